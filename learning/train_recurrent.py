"""Training of the law `recurrent`: whole rollouts along the stored paths against the fine scale's deviatoric stress.

The pressure is exact. Early in training paths are cut short, and their number of steps varies: some batches skip every
other sample, some get a sample in between, so that the law must agree with itself at any time step. The learning rate
rises over the first 2 % and falls along a cosine.
"""

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cases.options import OptionError, positive
from constitutive.tensor import full, random_rotations
from learning.networks import InternalVariableNetwork
from learning.training import Training, load_set, summary

FLOOR = 3e-3  # deviatoric stress over G to which errors of nearly stress-free starts of paths are related
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

    def first(self, count: int) -> "Paths":
        """The first `count` paths."""
        return Paths(self.dt[:count], self.U[:count], self.S[:count])


def load_paths(options: argparse.Namespace, folder: str, count: int | None = None) -> tuple[Paths, dict[str, Any]]:
    """The first `count` paths of a data set, and its material's elastic constants and manifest.

    Raises DataSetError, and OptionError for a data set whose fine scale does not have the energy (A.3).
    """
    data, values = load_set(options, folder)
    if data.manifest["law"] not in ("taylor", "crystal"):
        raise OptionError(f"{folder}: law '{data.manifest['law']}'; recurrent learns from taylor or crystal")
    stress = full(np.asarray(data.stress[:count], float)) / values["shear_modulus"]
    stress -= np.trace(stress, axis1=-2, axis2=-1)[..., None, None] / 3.0 * np.eye(3)
    arrays = (np.diff(data.time[:count], axis=1), full(data.U[:count]), stress)
    paths = Paths(*(torch.tensor(a, dtype=torch.float32, device=options.device) for a in arrays))
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


class RecurrentTraining(Training):
    """See the head of this file."""

    kind = "recurrent"
    network: InternalVariableNetwork

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--width", type=int, default=64, help="units in each of two layers, a multiple of 4")
        parser.add_argument("--hidden", type=int, default=16, help="hidden variables")
        parser.add_argument("--iterations", type=int, default=20000, help="steps of the optimiser")
        parser.add_argument("--batch", type=int, default=128, help="paths in a step")
        parser.add_argument("--learning-rate", type=positive, default=5e-3, help="its largest value")
        parser.add_argument("--compile", action="store_true", help="compile the step: a minute, then 10 times faster")

    @classmethod
    def begin(cls, options: argparse.Namespace) -> "RecurrentTraining":
        if options.width % 4 or options.width < 4 or options.hidden < 1:
            raise OptionError(
                f"--width {options.width} must be a multiple of 4 and --hidden {options.hidden} at least 1"
            )
        paths, source = load_paths(options, options.data, options.paths)
        test = load_paths(options, options.test)[0] if options.test else None
        return cls(options, paths, test, source)

    def __init__(self, options: argparse.Namespace, paths: Paths, test: Paths | None, source: Mapping[str, Any]):
        super().__init__(options, self.build(options, paths), options.iterations)
        self.paths, self.test, self.source = paths, test, source
        if options.compile:
            self.network.step = torch.compile(self.network.step, dynamic=False)  # type: ignore[method-assign]

    def build(self, options: argparse.Namespace, paths: Paths) -> InternalVariableNetwork:
        """The network before training."""
        return InternalVariableNetwork(options.width, options.hidden)

    def sizes(self) -> dict[str, int]:
        return {"width": self.options.width, "hidden": self.options.hidden}

    def rate(self) -> float:
        progress = self.iteration / self.iterations
        return self.options.learning_rate * min(progress / 0.02 + 0.01, 0.5 + 0.5 * math.cos(math.pi * progress))

    def loss(self) -> Tensor:
        progress = self.iteration / self.iterations
        U, dt, S, stride = draw_batch(self.paths, self.rng, self.options.batch, progress, self.options.isotropic)
        return relative_error(self.network.rollout(U, dt)[:, stride - 1 :: stride], S, FLOOR).mean()

    def test_row(self) -> dict[str, float]:
        if self.test is None:
            return {}
        return {f"test_{key}": value for key, value in summary(evaluate(self.network, self.test)).items()}

    def header(self) -> dict[str, Any]:
        paths, manifest = self.paths, self.source["manifest"]
        parts = [slice(a, a + CHUNK) for a in range(0, min(len(paths), 4 * CHUNK), CHUNK)]
        extents = [self.network.extent(paths.U[p], paths.dt[p]) for p in parts]
        errors = {"train": summary(evaluate(self.network, paths.first(500)))}
        if self.test is not None:
            errors["test"] = summary(evaluate(self.network, self.test))
        return {
            "material": manifest["material"],
            "elastic": self.source["elastic"],
            "training": {"paths": len(paths), "steps": paths.dt.shape[1], **self.cost(manifest)},
            "errors": errors,
            "envelope": {key: max(float(x[key].max()) for x in extents) for key in extents[0]},
        }

    def arrays(self) -> dict[str, np.ndarray]:
        return self.network.weights()
