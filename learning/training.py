"""What the trainings of all laws have in common: the loop, its checkpoint and loss curve, errors, provenance.

A checkpoint beside the artefact holds network, optimiser, random state and loss curve; `resume` goes on from it, also
after an interruption, to the same weights bit for bit. Where the kind allows it, it may go on with other data of the
same material: the artefact then names all sets that were learned from.
"""

import argparse
import hashlib
import pickle
import shlex
import sys
import time
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from cases.options import OptionError
from constitutive.artefact import save_artefact
from constitutive.whole_file import replacing
from learning import dataset
from learning.judgement import has_learned
from learning.loss_curve import write_curve

CHECKPOINT = ".checkpoint.pt"  # beside the artefact
CLIP = 1.0  # bound on the norm of a gradient
MOST_CAUTIOUS = 1e-3  # part of the learning rate at which a training that diverges again and again is given up
SET = ("sampler", "seed", "steps", "substeps", "law", "texture_per_path", "unit_cell", "points")  # tell sets apart
WORDS = ("name", "source")  # of a material
TEXTURE = ("grains", "texture_seed", "texture_file")
DIVERGED = 1.5  # a training whose loss grows by so much from one note to the next goes back to the one before


def load_set(
    options: argparse.Namespace, folder: str, count: int | None = None
) -> tuple[dataset.DataSet, dict[str, Any]]:
    """A data set, or its first `count` paths, and the values of its material. Raises DataSetError."""
    data = dataset.load(folder, partial=options.partial)
    data = data if count is None else dataset.first(data, count)
    return data, tomllib.loads(data.manifest["material"])


def summary(errors: np.ndarray) -> dict[str, float]:
    """Mean, median and 95th percentile."""
    return {
        "mean": float(errors.mean()),
        "median": float(np.median(errors)),
        "p95": float(np.percentile(errors, 95)),
        "paths": len(errors),
    }


def fine_scale(manifest: Mapping[str, Any], any_texture: bool) -> tuple[Any, ...]:
    """What has answered the paths of a set: law, unit cell and the material's values, with its texture or without."""
    aside = WORDS + (TEXTURE if any_texture else ())
    values = tomllib.loads(manifest["material"]).items()
    return manifest["law"], manifest.get("unit_cell"), {key: value for key, value in values if key not in aside}


def distinct(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each of them once, in their order."""
    return [one for k, one in enumerate(found) if one not in found[:k]]


def same_set(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two manifests are of one data set, whatever has been added to it since."""
    return all(one.get(key) == other.get(key) for key in SET)


class Training(ABC):
    """A training under way: network, optimiser, random state and loss curve, which a checkpoint keeps.

    A kind of law says what is particular to it: the data that it takes, its network, the loss of a batch, the errors on
    test paths, and what an artefact of it holds.
    """

    kind: ClassVar[str]
    network: nn.Module

    def __init__(self, options: argparse.Namespace, network: nn.Module, iterations: int) -> None:
        self.options, self.iterations = options, iterations
        self.network = network.to(options.device)
        self.optimiser: torch.optim.Optimizer = torch.optim.Adam(self.network.parameters(), lr=options.learning_rate)
        self.rng = np.random.default_rng(options.seed)
        self.iteration, self.seconds, self.smooth, self.caution = 0, 0.0, float("nan"), 1.0
        self.curve: list[dict[str, float]] = []
        self.earlier: list[dict[str, Any]] = []  # data sets that were learned from before the present ones
        self.stopped = False
        self.checkpoint = Path(options.output).with_suffix(CHECKPOINT)

    @staticmethod
    @abstractmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        """The options of this kind."""

    @classmethod
    @abstractmethod
    def begin(cls, options: argparse.Namespace) -> "Training":
        """Check the options, load the data and build the network. Raises OptionError and DataSetError."""

    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """Of the network."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What else a checkpoint must agree in: its network is of no use to another."""

    @abstractmethod
    def manifests(self) -> list[Mapping[str, Any]]:
        """Those of the data sets that are learned from; a set that is mixed in more than once is named so often."""

    @abstractmethod
    def rate(self) -> float:
        """Learning rate of the present iteration."""

    @abstractmethod
    def loss(self) -> Tensor:
        """Loss of a random batch; its random numbers come from `rng`."""

    @abstractmethod
    def test_row(self) -> dict[str, float]:
        """Errors on the test paths for the loss curve: test_mean, test_p95, ...; nothing where there are none."""

    @abstractmethod
    def header(self) -> Mapping[str, Any]:
        """The artefact's header, beside its provenance; with `training` and the measured `errors`."""

    @abstractmethod
    def arrays(self) -> Mapping[str, np.ndarray]:
        """The artefact's arrays."""

    def improve(self) -> None:
        """One step of the optimiser."""
        loss = self.loss()
        self.optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        for group in self.optimiser.param_groups:
            group["lr"] = self.caution * self.rate()
        if torch.isfinite(norm):  # one overflow must not spoil the weights
            self.optimiser.step()
        value = float(loss.detach())
        self.smooth = value if not np.isfinite(self.smooth) else 0.95 * self.smooth + 0.05 * value
        self.iteration += 1

    def note(self) -> None:
        """Add a row to the loss curve, write it and a checkpoint; having diverged, go back to the last one."""
        if not self.curve and not np.isfinite(self.smooth):
            raise OptionError(
                "the loss is not finite from the start: give a smaller --learning-rate or --batch, or finer data"
            )
        if self.curve and not self.smooth < DIVERGED * self.curve[-1]["train"]:
            self.retreat()
            return
        row = {
            "iteration": self.iteration,
            "seconds": self.seconds,
            "rate": self.caution * self.rate(),
            "train": self.smooth,
        }
        row |= self.test_row()
        self.curve.append(row)
        self.save()
        write_curve(Path(self.options.output).with_suffix(""), self.curve)
        if not self.options.quiet:
            tested = f"  test {row['test_mean']:.4f}, p95 {row['test_p95']:.4f}" if "test_mean" in row else ""
            left = self.seconds / max(self.iteration, 1) * (self.iterations - self.iteration)
            print(f"{self.iteration} of {self.iterations}  train {self.smooth:.4f}{tested}  ETA {left:.0f} s",
                  flush=True)  # fmt: skip

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            "network": self.network.state_dict(), "optimiser": self.optimiser.state_dict(), "curve": self.curve,
            "rng": self.rng.bit_generator.state, "iteration": self.iteration, "seconds": self.seconds,
            "smooth": self.smooth, "caution": self.caution, "identity": self._whole_identity(), "data": self._learned(),
        }  # fmt: skip
        with replacing(self.checkpoint) as file:  # torch's own refusals are no OSError
            torch.save(state, file)

    def resume(self) -> None:
        """Go on from the checkpoint. Raises OptionError where there is none that fits."""
        if not self.checkpoint.exists():
            raise OptionError(f"{self.checkpoint}: no such checkpoint; leave --resume out to begin")
        try:
            state = torch.load(self.checkpoint, map_location=self.options.device, weights_only=True)
            found, wanted = state["identity"], self._whole_identity()
        except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
            raise OptionError(f"{self.checkpoint} cannot be read ({type(error).__name__}): begin anew") from None
        if wanted | found != wanted:  # older checkpoints tell less
            there = ", ".join(f"{key} {value}" for key, value in found.items() if wanted.get(key) != value)
            raise OptionError(f"{self.checkpoint}: another network is there ({there}); give its options and data")
        present = self._learned()
        self.earlier = [data for data in state["data"] if not any(same_set(data, one) for one in present)]
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.rng.bit_generator.state = state["rng"]
        self.curve, self.iteration, self.seconds = state["curve"], state["iteration"], state["seconds"]
        self.smooth, self.caution = state["smooth"], state["caution"]

    def check_test(self) -> None:
        """Raise OptionError where --test holds paths that are learned from, or of another material; DataSetError.

        Where no texture is learned, as with --isotropic, that of the test set may be another.
        """
        folder = self.options.test
        if folder is None:
            return
        test, data = dataset.read_manifest(Path(folder)), self.manifests()[0]
        if has_learned({"training": self.cost()}, test):
            raise OptionError(f"--test {folder}: its paths are learned from; generate fresh ones with another --seed")
        any_texture = self.options.isotropic or data["texture_per_path"]
        if fine_scale(test, any_texture) != fine_scale(data, any_texture):
            raise OptionError(f"--test {folder}: another material, law or unit cell than {self.options.data}")

    def retreat(self) -> None:
        """Go back to the checkpoint, and on from there at half the learning rate."""
        diverged, seconds, caution, earlier = self.iteration, self.seconds, self.caution, self.earlier
        if caution < MOST_CAUTIOUS:
            raise OptionError(f"diverges before iteration {diverged} at any rate: give a smaller --learning-rate")
        self.resume()
        self.seconds, self.caution, self.earlier = seconds, 0.5 * caution, earlier
        self.save()
        if not self.options.quiet:
            print(f"diverged before {diverged}: back to {self.iteration} at half the learning rate", flush=True)

    def stop(self, *signalled: Any) -> None:
        """End after the iteration under way, so that what is saved is whole; a handler of signals."""
        self.stopped = True

    def run(self) -> None:
        """Train until the wanted number of iterations or --minutes is reached, or until told to `stop`."""
        options, start, before = self.options, time.perf_counter(), self.seconds
        while self.iteration < self.iterations:
            self.improve()
            self.seconds = before + time.perf_counter() - start
            spent = options.minutes is not None and self.seconds - before > 60.0 * options.minutes
            late = spent or self.stopped
            if late and not self.curve and not np.isfinite(self.smooth):
                self.save()  # too early to say that no loss will be finite
            elif self.iteration % options.every == 0 or self.iteration == self.iterations or late:
                self.note()
            if late:
                break

    def write_artefact(self) -> Path:
        """Arrays, header and provenance in one file; see constitutive/artefact.py."""
        options = self.options
        provenance = {
            "created": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
            "command": shlex.join(["python", "-m", "learning.train", *options.arguments]),
            "versions": {"python": sys.version.split()[0], "numpy": np.__version__, "torch": str(torch.__version__)},
            "sizes": self.sizes(),
        }
        return save_artefact(options.output, self.kind, provenance | dict(self.header()), self.arrays())

    def _whole_identity(self) -> dict[str, Any]:
        """What a checkpoint must agree in; of the material, a few digits of its text's hash."""
        material = hashlib.sha256(self.manifests()[0]["material"].encode()).hexdigest()[:8]
        return {"kind": self.kind, "material": material, **self.sizes(), **self.identity()}

    def _learned(self) -> list[dict[str, Any]]:
        """Manifests, without the material, of all sets that have been learned from, each once."""
        return distinct([*self._present(), *self.earlier])

    def _present(self) -> list[dict[str, Any]]:
        """Manifests of the present sets without the material, which the artefact has itself."""
        return [{k: v for k, v in found.items() if k != "material"} for found in self.manifests()]

    def cost(self) -> dict[str, Any]:
        """What the training took, and the manifest of its data; the first set's has the paths and seconds of all.

        A set that is mixed in more than once counts with all its paths, but was made once.
        """
        options = self.options
        data, *more = self._present()
        if more:
            paths = sum(d["paths"] for d in (data, *more))
            more = distinct([data, *more])[1:]
            seconds = sum(d["throughput"]["processor_seconds"] for d in (data, *more))
            data |= {"paths": paths, "throughput": {"processor_seconds": seconds}}
        return {
            "iterations": self.iteration, "batch": options.batch, "seed": options.seed,
            "seconds": round(self.seconds, 1), "isotropic": options.isotropic, "device": options.device,
            "threads": torch.get_num_threads() if options.device == "cpu" else 1, "data": data, "also": more,
            **({"earlier": self.earlier} if self.earlier else {}),
        }  # fmt: skip
