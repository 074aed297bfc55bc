"""Trains a law on a data set and writes its artefact: python -m learning.train --kind recurrent --data FOLDER ...

Whole rollouts of the network along the stored paths are compared with the fine scale's deviatoric stress (the pressure
is exact), in the norm of SPEC section 7: relative L2 over time and components jointly, per path, averaged over paths.
Early in training paths are cut short, and their number of steps varies: some batches skip every other sample, some get
a sample in between, so that the law must agree with itself at any time step. The learning rate rises over the first
2 % and falls along a cosine.

A checkpoint beside the artefact holds network, optimiser, random state and loss curve; `--resume` goes on from it,
also after an interruption (Ctrl-C, SIGTERM), which writes one and the artefact before leaving.
"""

import argparse
import math
import shlex
import signal
import sys
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cases.options import OptionError, command_parser, positive, user_errors
from constitutive.artefact import save_artefact
from constitutive.tensor import full, random_rotations
from learning import dataset
from learning.loss_curve import write_curve
from learning.networks import InternalVariableNetwork

EXAMPLE = "python -m learning.train --kind recurrent --data train --test test --output recurrent.npz --iterations 20000"
FLOOR = 3e-3  # deviatoric stress over G to which errors of nearly stress-free starts of paths are related
CLIP = 1.0  # bound on the norm of a gradient
LENGTHS = (0.25, 1.0)  # cut paths are at least this part of the whole, and from this part of training on none is cut
CHUNK = 256  # paths at a time in evaluation


@dataclass(frozen=True)
class Paths:
    """Paths as torch wants them: dt (n, m) s, U (n, m+1, 3, 3), S = dev sigma / G (n, m+1, 3, 3)."""

    dt: Tensor
    U: Tensor
    S: Tensor

    def __len__(self) -> int:
        return len(self.dt)


def load_paths(folder: str | Path, count: int | None, device: str) -> tuple[Paths, dict[str, Any]]:
    """The first `count` paths of a data set, and its material's elastic constants and manifest.

    Raises DataSetError, and OptionError for a data set whose fine scale does not have the energy (A.3).
    """
    data = dataset.load(folder)
    values = tomllib.loads(data.manifest["material"])
    if data.manifest["law"] not in ("taylor", "crystal"):
        raise OptionError(f"{folder}: law '{data.manifest['law']}'; recurrent learns from taylor or crystal")
    stress = full(np.asarray(data.stress[:count], float)) / values["shear_modulus"]
    stress -= np.trace(stress, axis1=-2, axis2=-1)[..., None, None] / 3.0 * np.eye(3)
    arrays = (np.diff(data.time[:count], axis=1), full(data.U[:count]), stress)
    paths = Paths(*(torch.tensor(a, dtype=torch.float32, device=device) for a in arrays))
    elastic = {key: values[key] for key in ("shear_modulus", "lambda_e", "density")}
    return paths, {"elastic": elastic, "manifest": data.manifest}


def relative_error(P: Tensor, S: Tensor, floor: float = 0.0) -> Tensor:
    """Relative L2 error of P against S (n, m, 3, 3) over time and components, per path (n,)."""
    return torch.sqrt((P - S).square().sum((1, 2, 3)) / (S.square() + floor**2 / 9.0).sum((1, 2, 3)))


def draw_batch(paths: Paths, rng: np.random.Generator, size: int, progress: float, rotate: bool) -> tuple:
    """U, dt and S of a random batch, and the stride of its samples in the steps; see the head of this file.

    `rotate` turns each path and its stress by a random rotation, which only an isotropic material allows.
    """
    m = paths.dt.shape[1]
    shortest = int(m * (LENGTHS[0] + (1.0 - LENGTHS[0]) * min(progress / 0.6, 1.0)))
    length = max(2, 2 * (int(rng.integers(min(shortest, m), m + 1)) // 2))
    rows = torch.as_tensor(rng.choice(len(paths), min(size, len(paths)), replace=False), device=paths.U.device)
    U, dt, S = paths.U[rows, : length + 1], paths.dt[rows, :length], paths.S[rows, : length + 1]
    if rotate:
        Q = torch.as_tensor(random_rotations(rng, len(rows)), dtype=U.dtype, device=U.device)[:, None]
        U, S = Q @ U @ Q.mT, Q @ S @ Q.mT
    grid = rng.choice(["native", "coarse", "fine"], p=[0.6, 0.2, 0.2])
    if grid == "coarse":
        return U[:, ::2], dt[:, ::2] + dt[:, 1::2], S[:, 2::2], 1
    if grid == "fine":
        half = max(1, length // 2)
        between = torch.stack([U[:, :half], 0.5 * (U[:, :half] + U[:, 1 : half + 1])], 2).flatten(1, 2)
        U = torch.cat([between, U[:, half : half + 1]], 1)
        return U, (0.5 * dt[:, :half]).repeat_interleave(2, 1), S[:, 1 : half + 1], 2
    return U, dt, S[:, 1:], 1


@torch.no_grad()
def evaluate(network: InternalVariableNetwork, paths: Paths) -> np.ndarray:
    """Deviatoric relative L2 error of each path, (n,)."""
    parts = [slice(a, a + CHUNK) for a in range(0, len(paths), CHUNK)]
    errors = [relative_error(network.rollout(paths.U[p], paths.dt[p]), paths.S[p, 1:]) for p in parts]
    return torch.cat(errors).cpu().numpy()


def summary(errors: np.ndarray) -> dict[str, float]:
    """Mean, median and 95th percentile."""
    return {
        "mean": float(errors.mean()),
        "median": float(np.median(errors)),
        "p95": float(np.percentile(errors, 95)),
        "paths": len(errors),
    }


class Training:
    """A training under way: network, optimiser, random state and loss curve, which a checkpoint keeps."""

    def __init__(self, options: argparse.Namespace) -> None:
        torch.manual_seed(options.seed)
        self.options = options
        self.network = InternalVariableNetwork(options.width, options.hidden).to(options.device)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=options.learning_rate)
        self.rng = np.random.default_rng(options.seed)
        self.iteration, self.seconds, self.smooth = 0, 0.0, float("nan")
        self.curve: list[dict[str, float]] = []
        self.checkpoint = Path(options.output).with_suffix(".checkpoint.pt")

    def rate(self) -> float:
        """Learning rate of the present iteration."""
        progress = self.iteration / self.options.iterations
        return self.options.learning_rate * min(progress / 0.02 + 0.01, 0.5 + 0.5 * math.cos(math.pi * progress))

    def improve(self, paths: Paths) -> None:
        """One step of the optimiser."""
        progress = self.iteration / self.options.iterations
        U, dt, S, stride = draw_batch(paths, self.rng, self.options.batch, progress, self.options.isotropic)
        loss = relative_error(self.network.rollout(U, dt)[:, stride - 1 :: stride], S, FLOOR).mean()
        self.optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        if torch.isfinite(norm):  # one overflow must not spoil the weights
            self.optimiser.step()
        value = float(loss.detach())
        self.smooth = value if not np.isfinite(self.smooth) else 0.95 * self.smooth + 0.05 * value
        self.iteration += 1

    def note(self, test: Paths | None, quiet: bool) -> None:
        """Add a row to the loss curve, and write it and a checkpoint."""
        row = {"iteration": self.iteration, "seconds": self.seconds, "rate": self.rate(), "train": self.smooth}
        if test is not None:
            row |= {f"test_{key}": value for key, value in summary(evaluate(self.network, test)).items()}
        self.curve.append(row)
        write_curve(Path(self.options.output).with_suffix(""), self.curve)
        self.save()
        if not quiet:
            tested = f"  test {row['test_mean']:.4f}, p95 {row['test_p95']:.4f}" if test is not None else ""
            left = self.seconds / max(self.iteration, 1) * (self.options.iterations - self.iteration)
            print(f"{self.iteration} of {self.options.iterations}  train {self.smooth:.4f}{tested}  ETA {left:.0f} s",
                  flush=True)  # fmt: skip

    def save(self) -> None:
        state = {
            "network": self.network.state_dict(), "optimiser": self.optimiser.state_dict(), "curve": self.curve,
            "rng": self.rng.bit_generator.state, "iteration": self.iteration, "seconds": self.seconds,
            "smooth": self.smooth, "sizes": [self.options.width, self.options.hidden],
        }  # fmt: skip
        temporary = self.checkpoint.with_suffix(".writing")
        torch.save(state, temporary)
        temporary.replace(self.checkpoint)

    def resume(self) -> None:
        """Go on from the checkpoint. Raises OptionError where there is none that fits."""
        if not self.checkpoint.exists():
            raise OptionError(f"{self.checkpoint}: no such checkpoint; leave --resume out to begin")
        state = torch.load(self.checkpoint, map_location=self.options.device, weights_only=True)
        if state["sizes"] != [self.options.width, self.options.hidden]:
            raise OptionError(f"{self.checkpoint}: width and hidden are {state['sizes']} there; give these")
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.rng.bit_generator.state = state["rng"]
        self.curve, self.iteration, self.seconds = state["curve"], state["iteration"], state["seconds"]
        self.smooth = state["smooth"]

    def run(self, paths: Paths, test: Paths | None) -> None:
        """Train until the wanted number of iterations, or --minutes, is reached."""
        options, start, before = self.options, time.perf_counter(), self.seconds
        while self.iteration < options.iterations:
            self.improve(paths)
            self.seconds = before + time.perf_counter() - start
            late = options.minutes is not None and self.seconds - before > 60.0 * options.minutes
            if self.iteration % options.every == 0 or self.iteration == options.iterations or late:
                self.note(test, options.quiet)
            if late:
                break


def write_artefact(training: Training, paths: Paths, test: Paths | None, source: Mapping[str, Any]) -> Path:
    """Weights, envelope, errors and provenance in one file; see constitutive/artefact.py."""
    options, network = training.options, training.network
    parts = [slice(a, a + CHUNK) for a in range(0, min(len(paths), 4 * CHUNK), CHUNK)]
    extents = [network.extent(paths.U[p], paths.dt[p]) for p in parts]
    manifest = source["manifest"]
    header = {
        "created": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "command": shlex.join(["python", "-m", "learning.train", *options.arguments]),
        "versions": {"python": sys.version.split()[0], "numpy": np.__version__, "torch": str(torch.__version__)},
        "material": manifest["material"],
        "elastic": source["elastic"],
        "sizes": {"width": options.width, "hidden": options.hidden},
        "training": {
            "paths": len(paths), "steps": paths.dt.shape[1], "iterations": training.iteration, "batch": options.batch,
            "seed": options.seed, "seconds": round(training.seconds, 1), "isotropic": options.isotropic,
            "device": options.device, "data": {k: v for k, v in manifest.items() if k != "material"},
        },
        "errors": {"train": summary(evaluate(network, Paths(paths.dt[:500], paths.U[:500], paths.S[:500])))},
        "envelope": {key: max(float(x[key].max()) for x in extents) for key in extents[0]},
    }  # fmt: skip
    if test is not None:
        header["errors"]["test"] = summary(evaluate(network, test))
    return save_artefact(options.output, options.kind, header, network.weights())


def parser() -> argparse.ArgumentParser:
    p = command_parser("train", __doc__, EXAMPLE)
    p.prog = "python -m learning.train"
    p.add_argument("--kind", choices=["recurrent"], default="recurrent", help="which law")
    p.add_argument("--data", required=True, metavar="FOLDER", help="data set of learning.generate to train on")
    p.add_argument("--test", metavar="FOLDER", help="data set of fresh paths to measure errors on")
    p.add_argument("--output", required=True, metavar="FILE.npz", help="the artefact; its curve and checkpoint beside")
    p.add_argument("--paths", type=int, metavar="N", help="use the first N paths only (default: all)")
    p.add_argument("--width", type=int, default=64, help="units in each of two layers, a multiple of 4")
    p.add_argument("--hidden", type=int, default=16, help="hidden variables")
    p.add_argument("--iterations", type=int, default=20000, help="steps of the optimiser")
    p.add_argument("--batch", type=int, default=128, help="paths in a step")
    p.add_argument("--learning-rate", type=positive, default=5e-3, help="its largest value")
    p.add_argument("--isotropic", action="store_true", help="turn paths at random: the isotropic limit")
    p.add_argument("--seed", type=int, default=0, help="of initial weights and batches")
    p.add_argument("--device", default="cpu", help="cpu or cuda")
    p.add_argument("--threads", type=int, default=1, help="threads on a CPU")
    p.add_argument("--compile", action="store_true", help="compile the step: a minute, then about 10 times faster")
    p.add_argument("--every", type=int, default=500, help="iterations from one test and checkpoint to the next")
    p.add_argument("--minutes", type=positive, help="stop after this long; --resume goes on")
    p.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    p.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return p


@user_errors
def main(arguments: list[str] | None = None) -> Path:
    """Train, and return the artefact's path."""
    given = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(given)
    options.arguments = given
    if options.width % 4 or options.width < 4 or options.hidden < 1:
        raise OptionError(f"--width {options.width} must be a multiple of 4 and --hidden {options.hidden} at least 1")
    torch.set_num_threads(options.threads)
    paths, source = load_paths(options.data, options.paths, options.device)
    test = load_paths(options.test, None, options.device)[0] if options.test else None
    training = Training(options)
    if options.resume:
        training.resume()
    if options.compile:
        training.network.step = torch.compile(training.network.step, dynamic=False)  # type: ignore[method-assign]
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        training.run(paths, test)
    except KeyboardInterrupt:
        training.save()
    finally:
        signal.signal(signal.SIGTERM, before)
    return write_artefact(training, paths, test, source)


if __name__ == "__main__":
    main()
