"""Training of the law `recurrent`: whole rollouts along the stored paths against the fine scale's deviatoric stress.

The pressure is exact. Early in training paths are cut short. The law takes long steps in parts, so training takes every
step in PARTS. The learning rate rises over the first 200 iterations and falls along a cosine; resumed with fewer
--iterations, it falls sooner.

A body that hits a wall deforms until the work of its stresses has taken up its kinetic energy. --work-weight adds the
error of the work done along a path to the loss; it is for the last training of a law that is to serve impacts.
"""

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cases.off_line_cost import off_line_cost
from cases.options import OptionError, count, number_at_least, positive
from constitutive.artefact import load_artefact
from constitutive.recurrent import SIZES
from constitutive.tensor import full
from learning.growth import begin_with
from learning.judgement import all_known, learned_from
from learning.networks import InternalVariableNetwork, norm_squared
from learning.rollout import Sizes
from learning.soap import Soap
from learning.training import Training, load_set, summary

FLOOR = 3e-3  # deviatoric stress over G to which errors of nearly stress-free starts of paths are related
WARM_UP = 200  # iterations
LENGTHS = (0.2, 0.4)  # cut paths are at least this part of the whole, and from this part of training on none is cut
PARTS = 2  # of every step
LEAST_WORK = 1e-6  # work over G to which errors of work are related where hardly any has been done
CHUNK = 256  # paths at a time in evaluation


@dataclass(frozen=True)
class Paths:
    """Paths: dt (m, n) s, isochoric U (m+1, 6, n), det U (m+1, n), S = dev sigma / G (m+1, 6, n)."""

    dt: Tensor
    U: Tensor
    J: Tensor
    S: Tensor

    def __len__(self) -> int:
        return self.dt.shape[1]

    def chosen(self, rows: Any, steps: int | None = None) -> "Paths":
        """Some paths, cut after some steps."""
        end = None if steps is None else steps + 1
        return Paths(self.dt[:steps, rows], self.U[:end, :, rows], self.J[:end, rows], self.S[:end, :, rows])

    def and_also(self, other: "Paths") -> "Paths":
        """These paths and others of as many steps."""
        return Paths(*(torch.cat([getattr(p, f.name) for p in (self, other)], -1) for f in fields(self)))

    def parts(self) -> list["Paths"]:
        """All paths, CHUNK at a time."""
        return [self.chosen(slice(a, a + CHUNK)) for a in range(0, len(self), CHUNK)]


def load_paths(options: argparse.Namespace, folder: str, count: int | None = None) -> tuple[Paths, dict[str, Any]]:
    """The first `count` paths of a data set, and its material's elastic constants and manifest.

    Raises DataSetError, and OptionError for a data set whose fine scale does not have the energy (A.3).
    """
    data, values = load_set(options, folder, count)
    if data.manifest["law"] not in ("taylor", "crystal"):
        raise OptionError(f"{folder}: law '{data.manifest['law']}'; recurrent learns from taylor or crystal")
    stress = np.asarray(data.stress, float) / values["shear_modulus"]
    stress[..., :3] -= stress[..., :3].mean(axis=-1, keepdims=True)
    J = np.linalg.det(full(data.U))
    U = data.U / np.cbrt(J)[..., None]
    arrays = (np.diff(data.time, axis=1).T, np.moveaxis(U, 0, 2), J.T, np.moveaxis(stress, 0, 2))
    paths = Paths(*(torch.tensor(a, dtype=torch.float32, device=options.device) for a in arrays))
    elastic = {key: values[key] for key in ("shear_modulus", "lambda_e", "density")}
    return paths, {"elastic": elastic, "manifest": data.manifest, "also": []}


def load_point_paths(
    options: argparse.Namespace, folder: str, count: int | None = None
) -> tuple[Paths, dict[str, Any]]:
    """`load_paths` of a set that a law at a point has answered. Raises OptionError for a unit cell's."""
    paths, source = load_paths(options, folder, count)
    if source["manifest"].get("unit_cell"):
        raise OptionError(f"{folder}: answered by a unit cell; recurrent learns from taylor or crystal at a point")
    return paths, source


def relative_error(P: Tensor, S: Tensor, floor: float = 0.0) -> Tensor:
    """Relative L2 error of P against S (m, 6, n) over time and components, per path (n,)."""
    return torch.sqrt(norm_squared(P - S).sum(0) / (norm_squared(S) + floor**2).sum(0))


def work(S: Tensor, paths: Paths) -> Tensor:
    """Work over G that stresses S = dev sigma / G after each step (..., m, 6, n) have done so far: (..., m, n)."""
    change, middle = _matrices(paths.U.diff(dim=0)), _matrices(0.5 * (paths.U[1:] + paths.U[:-1]))
    strain = torch.linalg.solve(middle, change, left=False)  # dU U^-1, whose antisymmetric part does no work
    return (paths.J[1:] * (_matrices(S) * strain).sum((-2, -1))).cumsum(-2)


def work_error(P: Tensor, paths: Paths) -> Tensor:
    """Relative L2 error over time of the work done so far by P instead of the paths' stresses, per path (n,)."""
    done, wanted = work(torch.stack([P, paths.S[1:]]), paths)
    return torch.sqrt((done - wanted).square().sum(0) / (wanted.square() + LEAST_WORK**2).sum(0))


def _matrices(S: Tensor) -> Tensor:
    """Symmetric tensors (..., 6, n) as matrices (..., n, 3, 3)."""
    return S[..., [0, 3, 5, 3, 1, 4, 5, 4, 2], :].unflatten(-2, (3, 3)).movedim(-1, -3)


def in_parts(U: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
    """Stretches (m+1, 6, n) and time steps (m, n) s, every step in PARTS: straight in U."""
    weights = torch.arange(PARTS, device=U.device) / PARTS
    between = U[:-1, None] + weights[:, None, None] * (U[1:] - U[:-1])[:, None]
    return torch.cat([between.flatten(0, 1), U[-1:]]), (dt / PARTS).repeat_interleave(PARTS, 0)


def answer(network: InternalVariableNetwork, paths: Paths) -> Tensor:
    """The network's dev sigma / G after each step (m, 6, n)."""
    return network.rollout(*in_parts(paths.U, paths.dt))[PARTS - 1 :: PARTS] / paths.J[1:, None]


def draw_batch(paths: Paths, rng: np.random.Generator, size: int, progress: float) -> Paths:
    """Some paths, cut where training has not come far yet."""
    m = len(paths.dt)
    shortest = int(m * (LENGTHS[0] + (1.0 - LENGTHS[0]) * min(progress / LENGTHS[1], 1.0)))
    length = int(rng.integers(max(1, min(shortest, m)), m + 1))
    return paths.chosen(torch.as_tensor(rng.choice(len(paths), min(size, len(paths)), replace=False)), length)


@torch.no_grad()
def evaluate(network: InternalVariableNetwork, paths: Paths) -> np.ndarray:
    """Deviatoric relative L2 error of each path, (n,)."""
    return torch.cat([relative_error(answer(network, p), p.S[1:]) for p in paths.parts()]).cpu().numpy()


class RecurrentTraining(Training):
    """See the head of this file."""

    kind = "recurrent"
    network: InternalVariableNetwork

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--tensors", type=count, default=12, help="deviators that the material remembers by")
        parser.add_argument("--scalars", type=count, default=6, help="scalars that the material remembers by")
        parser.add_argument("--channels", type=count, default=24, help="mixtures of deviators")
        parser.add_argument("--width", type=count, default=48, help="units in each of two layers")
        parser.add_argument("--iterations", type=count, default=20000, help="steps of the optimiser")
        parser.add_argument("--batch", type=count, default=128, help="paths in a step; on a CPU 64 go to a thread")
        parser.add_argument("--learning-rate", type=positive, default=5e-3, help="its largest value")
        parser.add_argument(
            "--work-weight", type=number_at_least(0.0), default=0.0, help="of the error of the work in the loss"
        )
        parser.add_argument("--isotropic", action="store_true", help="no texture of its own: the isotropic limit")
        parser.add_argument("--also", nargs="+", default=[], metavar="FOLDER", help="more data sets, mixed in")
        parser.add_argument(
            "--begin-with", metavar="FILE.npz", help="artefact of the same or smaller sizes to begin with"
        )

    @classmethod
    def begin(cls, options: argparse.Namespace) -> "RecurrentTraining":
        paths, source = load_point_paths(options, options.data, options.paths)
        for folder in options.also:
            more, other = load_point_paths(options, folder)
            if other["manifest"]["material"] != source["manifest"]["material"] or len(more.dt) != len(paths.dt):
                raise OptionError(f"--also {folder}: another material, or other steps to a path, than {options.data}")
            paths = paths.and_also(more)
            source["also"].append(other["manifest"])
        test = load_point_paths(options, options.test)[0] if options.test else None
        return cls(options, paths, test, source)

    def __init__(self, options: argparse.Namespace, paths: Paths, test: Paths | None, source: Mapping[str, Any]):
        super().__init__(options, self.build(options, paths), options.iterations)
        learned = [p for p in self.network.parameters() if p.requires_grad]
        self.optimiser = Soap(learned, options.learning_rate)
        self.paths, self.test, self.source = paths, test, source
        self.begun_with = cost_before(options.begin_with) if options.begin_with else None

    def build(self, options: argparse.Namespace, paths: Paths) -> InternalVariableNetwork:
        """The network before training."""
        network = InternalVariableNetwork(Sizes(*(getattr(options, name) for name in SIZES)), not options.isotropic)
        if options.begin_with:
            if Path(options.begin_with).resolve() == Path(options.output).resolve():
                raise OptionError(f"--begin-with {options.begin_with}: it would be replaced; name another --output")
            begin_with(network, options.begin_with)
        return network

    def sizes(self) -> dict[str, int]:
        return self.network.sizes._asdict()

    def identity(self) -> dict[str, Any]:
        return {"isotropic": self.options.isotropic, "begin_with": self.options.begin_with}

    def manifests(self) -> list[Mapping[str, Any]]:
        return [self.source["manifest"], *self.source["also"]]

    def progress(self) -> float:
        """Part of the training that is done."""
        return self.iteration / self.iterations

    def rate(self) -> float:
        warm = min((self.iteration + 1) / WARM_UP, 1.0)
        return self.options.learning_rate * warm * (0.5 + 0.5 * math.cos(math.pi * self.progress()))

    def loss(self) -> Tensor:
        paths = draw_batch(self.paths, self.rng, self.options.batch, self.progress())
        P = answer(self.network, paths)
        finite = torch.isfinite(P).flatten(0, 1).all(0)
        if finite.any() and not finite.all():  # weights that have learned nothing may overflow in long steps
            paths = paths.chosen(finite)
            P = answer(self.network, paths)
        loss = relative_error(P, paths.S[1:], FLOOR).mean()
        weight = self.options.work_weight
        return loss + weight * work_error(P, paths).mean() if weight else loss

    def test_row(self) -> dict[str, float]:
        if self.test is None:
            return {}
        return {f"test_{key}": value for key, value in summary(evaluate(self.network, self.test)).items()}

    def header(self) -> dict[str, Any]:
        paths, manifest = self.paths, self.source["manifest"]
        extents = [self.network.extent(*in_parts(p.U, p.dt)) for p in paths.parts()]
        envelope = {key: max(float(x[key].max()) for x in extents) for key in extents[0]}
        envelope["elastic_strain"] = float(norm_squared(paths.S).sqrt().max())  # the fine scale's own
        errors = {"train": summary(evaluate(self.network, paths.chosen(slice(500))))}
        if self.test is not None:
            errors["test"] = summary(evaluate(self.network, self.test))
        return {
            "material": manifest["material"],
            "elastic": self.source["elastic"],
            "training": {"paths": len(paths), "steps": len(paths.dt), **self.cost()},
            "errors": errors,
            "envelope": envelope,
        }

    def cost(self) -> dict[str, Any]:
        return super().cost() | ({"begun_with": self.begun_with} if self.begun_with else {})

    def arrays(self) -> dict[str, np.ndarray]:
        return self.network.weights()


def cost_before(path: str | Path) -> dict[str, Any]:
    """What an artefact that a training begins with has cost, s, the command that made it, and what it has learned."""
    artefact = load_artefact(path, "recurrent")
    cost, header = off_line_cost(artefact), artefact.header
    spent = {"generation": cost.generation, "training": cost.training, "iterations": cost.iterations}
    learned = {"learned_from": learned_from(header), "all_known": all_known(header)}
    return {"command": header.get("command"), **spent, **learned}
