"""Training of the law `pca_net`: coefficients of whole stretch paths to those of stress paths (Liu et al. 2022).

The law asks the network at every step of a run, with the path known up to t* and completed by a straight line or a held
value. So it is trained on such paths: of every batch a part is whole (as in the paper), the others are cut at a random
t* and completed as on line, and compared up to t*, with the weight of a mean on its last value, which is the one that
the law uses. Paths also begin late, after a random rest (the fine scale does not age at rest: exact, and free). With
--whole none is cut and none begins late: the paper's training, for whole paths only.

A path in a window (0, T) of k equal intervals is a sum of ramps (constitutive/pca_net.py), so that cutting it at t_k is
dropping the ramps from k on: the coefficients of all completed paths of a path are one cumulative sum.

With `--pressure exact` the network learns the deviator, and the mean stress is K (J - 1), as it is in the data; with
`learned` it learns the whole stress, as in the paper. Loss: relative L2 error, mean of that of the stress and of its
deviator. On the paper's strain paths det U wanders freely, and pressure is many times the deviator: of the stress
alone, as a plain mean square, the error would be one of pressure only. On `impact` paths a change of volume of 1e-3 has
to be told from stretches of the order one, which this network cannot: learned pressure is wrong by most of itself. The
optimiser is Adam; its rate rises over the first 1 % and falls along a cosine to a hundredth.

Paths of another duration than T are put into the window: shorter ones begin late, longer ones are cut off.
"""

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cases.options import OptionError, count, positive
from constitutive.pca_net import COMPLETIONS, PRESSURES, integrals_to_the_end
from constitutive.tensor import COLUMN, ROW, full, random_rotations
from learning.reduction import Basis, principal_components
from learning.training import Training, load_set, summary

PAPER = {
    "width": 1000,
    "layers": 4,
    "modes_in": 100,
    "modes_out": 100,
    "learning_rate": 1e-4,
    "batch": 16,
    "epochs": 1500,
}
FROBENIUS = (1.0, 1.0, 1.0, 2.0, 2.0, 2.0)  # weights of six components in the square of a tensor's norm
WHOLE, LATE = 0.25, 0.5  # part of a batch that is not cut, and that begins late
SMALLEST = 0.03  # of the largest mode's coefficients: smaller ones are not blown up to unit variance
LATEST = 0.9  # part of T by which a path begins at the latest
ELASTIC = 1e-3  # relative deviation up to which mean stress counts as K (J - 1)
CHUNK = 64  # paths at a time in evaluation
FLOOR = 0.02  # of the mean stress of all paths, to which the errors of nearly stress-free paths are related


@dataclass(frozen=True)
class Paths:
    """Strain U - I (n, k+1, 6) and stress at k equal intervals of (0, T), in units of a scale.

    S (n, k+1, 6) is what the network is to give; with exact pressure that is the deviator, and `mean` (n, k+1) the mean
    stress (otherwise 0).
    """

    strain: Tensor
    S: Tensor
    mean: Tensor

    def __len__(self) -> int:
        return len(self.strain)

    def part(self, begin: int, end: int) -> "Paths":
        """Paths from `begin` to `end`."""
        return Paths(self.strain[begin:end], self.S[begin:end], self.mean[begin:end])


@dataclass(frozen=True)
class Source:
    """Where paths come from: manifest, durations (n,) s, and the elastic constants of the fine scale."""

    manifest: Mapping[str, Any]
    durations: np.ndarray
    elastic: Mapping[str, float]


def in_window(time: np.ndarray, values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Paths (n, m+1, 6) known at times (n, m+1), at the times `grid` (k+1,); shorter ones rest at first."""
    late = np.maximum(grid[-1] - time[:, -1], 0.0)
    return np.array(
        [[np.interp(grid - d, t, column) for column in v.T] for t, d, v in zip(time, late, values, strict=True)]
    ).swapaxes(1, 2)


def load_paths(
    options: argparse.Namespace, folder: str, count: int | None = None
) -> tuple[np.ndarray, np.ndarray, Source]:
    """U - I and stress (Pa) of the first `count` paths in the window, (n, k+1, 6), and their source."""
    data, values = load_set(options, folder, count)
    if "shear_modulus" not in values:
        raise OptionError(f"{folder}: law '{data.manifest['law']}' has no shear_modulus, which bounds the time step")
    J, mean = np.linalg.det(full(data.U)) - 1.0, data.stress[..., :3].mean(axis=-1, dtype=float)
    G, K = values["shear_modulus"], float((J * mean).sum() / (J * J).sum())
    elastic = {"density": values["density"], "shear_modulus": G, "bulk_modulus": K, "p_wave_modulus": K + 4.0 / 3.0 * G}
    rest = np.linalg.norm(mean - K * J) / np.linalg.norm(mean)
    if options.pressure == "exact" and rest > ELASTIC:
        raise OptionError(
            f"{folder}: mean stress is not in proportion to J - 1 ({rest:.2g} off): use --pressure learned"
        )
    time = data.time
    if options.duration is None:
        options.duration = float(np.median(time[:, -1]))
    grid = np.linspace(0.0, options.duration, options.intervals + 1)
    strain = in_window(time, data.U - [1.0, 1.0, 1.0, 0.0, 0.0, 0.0], grid)
    stress = in_window(time, data.stress.astype(float), grid)
    return strain, stress, Source(data.manifest, time[:, -1], elastic)


class PcaNet(nn.Module):
    """The network between coefficients, and the projections around it; times in units of T, k equal intervals.

    strain (n, k+1, 6) -> ramps (n, k, 6) -> coefficients (n, 6 m_in) -> (n, 6, m_out) -> stress (n, k+1, 6).
    """

    modes_in: Tensor
    modes_out: Tensor
    ramp: Tensor
    unit: Tensor

    def __init__(self, inputs: Basis, outputs: Basis, width: int, layers: int, linear: bool, deviatoric: bool) -> None:
        super().__init__()
        self.linear, self.deviatoric = linear, deviatoric
        sizes = [6 * inputs.count, *[width] * layers]
        self.hidden = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        self.layers = nn.ModuleList(self.hidden)  # makes their weights the network's
        self.last = nn.Linear(width, 6 * outputs.count, bias=False)
        for layer in (*self.hidden, self.last):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)  # as SELU wants it
        for layer in self.hidden:
            nn.init.uniform_(layer.bias, -0.5, 0.5)
        Psi = integrals_to_the_end(inputs.modes)[1]
        unit = np.maximum(inputs.scale, SMALLEST * inputs.scale.max())
        ramp = (Psi[..., :-1] if linear else Psi[..., :-1] - Psi[..., 1:]) / unit[..., None]
        scaled = outputs.modes * outputs.scale[..., None]  # so that all coefficients of stress are of the order one
        for name, array in (("ramp", ramp), ("unit", unit), ("modes_in", inputs.modes), ("modes_out", scaled)):
            self.register_buffer(name, torch.tensor(array, dtype=torch.float32))

    def ramps(self, strain: Tensor) -> Tensor:
        """What begins at each of the k first times: a change of rate (linear), or the rate that ends with the step."""
        rate = strain.diff(dim=1) * (strain.shape[1] - 1)
        return rate.diff(dim=1, prepend=torch.zeros_like(rate[:, :1])) if self.linear else rate

    def coefficients(self, ramps: Tensor) -> Tensor:
        """Scaled coefficients (n, 6 m_in) of paths given by their ramps (n, k, 6)."""
        return torch.einsum("cmk,nkc->ncm", self.ramp, ramps).flatten(1)

    def all_coefficients(self, ramps: Tensor) -> Tensor:
        """Those of the paths cut at each of the times 1 to k and completed: (n, k, 6 m_in)."""
        return torch.einsum("cmk,nkc->nkcm", self.ramp, ramps).cumsum(1).flatten(2)

    def forward(self, p: Tensor) -> Tensor:
        """Coefficients of stress (..., 6, m_out); of a path at rest they are zero."""
        x, rest = p, p.new_zeros(p.shape[-1])
        for layer in self.hidden:
            x, rest = nn.functional.selu(layer(x)), nn.functional.selu(layer(rest))
        return self.last(x - rest).unflatten(-1, (6, -1))

    def stress(self, q: Tensor) -> Tensor:
        """Stress paths (n, k+1, 6) of coefficients (n, 6, m_out)."""
        S = torch.einsum("cmk,ncm->nkc", self.modes_out, q)
        return deviator(S) if self.deviatoric else S

    def whole(self, strain: Tensor) -> Tensor:
        """Stress (n, k+1, 6) from the whole path at once, as the paper tests it."""
        return self.stress(self(self.coefficients(self.ramps(strain))))

    def on_line(self, strain: Tensor) -> Tensor:
        """Stress (n, k+1, 6) as the law finds it, from the path up to each time only."""
        q = self(self.all_coefficients(self.ramps(strain)))
        S = torch.einsum("cmk,nkcm->nkc", self.modes_out[..., 1:], q)
        S = torch.cat([torch.zeros_like(S[:, :1]), S], 1)
        return deviator(S) if self.deviatoric else S

    def arrays(self, scale: float) -> dict[str, np.ndarray]:
        """The arrays of the law (constitutive/pca_net.py); `scale` is the unit of stress, Pa."""

        def array(x: Tensor) -> np.ndarray:
            return x.detach().cpu().numpy()

        weights = {f"layer_{k}_weight": array(layer.weight) for k, layer in enumerate(self.hidden)}
        weights["layer_0_weight"] = weights["layer_0_weight"] / array(self.unit).ravel()
        biases = {f"layer_{k}_bias": array(layer.bias) for k, layer in enumerate(self.hidden)}
        last = {"last_weight": array(self.last.weight) * np.float32(scale)}
        return {"input_modes": array(self.modes_in), "output_modes": array(self.modes_out), **weights, **biases, **last}


def deviator(S: Tensor) -> Tensor:
    """Deviators of symmetric tensors (..., 6)."""
    return torch.cat([S[..., :3] - S[..., :3].mean(-1, keepdim=True), S[..., 3:]], -1)


def square(S: Tensor) -> Tensor:
    """|S|^2 of symmetric tensors (..., 6)."""
    return (S * S * S.new_tensor(FROBENIUS)).sum(-1)


def relative_errors(P: Tensor, paths: Paths) -> dict[str, Tensor]:
    """Relative L2 error of P (n, k+1, 6) over time and components, per path (n,): total and deviatoric."""
    wrong, total = P - paths.S, square(paths.S) + 3.0 * paths.mean.square()
    pairs = {"total": (square(wrong), total), "deviatoric": (square(deviator(wrong)), square(deviator(paths.S)))}
    return {name: torch.sqrt(error.sum(1) / size.sum(1)) for name, (error, size) in pairs.items()}


@torch.no_grad()
def evaluate(network: PcaNet, paths: Paths) -> dict[str, dict[str, dict[str, float]]]:
    """Errors of `whole` paths at once, and `on_line`, where each stress comes from the path up to its time only."""
    errors: dict[str, dict[str, dict[str, float]]] = {}
    parts = [paths.part(a, a + CHUNK) for a in range(0, len(paths), CHUNK)]
    for name, predict in (("whole", network.whole), ("on_line", network.on_line)):
        found = [relative_errors(predict(part.strain), part) for part in parts]
        errors[name] = {key: summary(torch.cat([f[key] for f in found]).cpu().numpy()) for key in found[0]}
    return errors


def turning(Q: np.ndarray) -> np.ndarray:
    """B (n, 6, 6) so that a B are the components of Q A Q^T, if a (..., 6) are those of A; rotations Q (n, 3, 3)."""
    units = full(np.eye(6))
    return (Q[:, None] @ units @ np.swapaxes(Q, 1, 2)[:, None])[..., ROW, COLUMN]


class PcaNetTraining(Training):
    """See the head of this file."""

    kind = "pca_net"
    network: PcaNet

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--isotropic", action="store_true", help="turn paths at random: the isotropic limit")
        parser.add_argument("--width", type=count, default=128, help="units in a hidden layer")
        parser.add_argument("--layers", type=count, default=3, help="hidden layers")
        parser.add_argument("--modes-in", type=count, default=24, help="principal components of each of U - I")
        parser.add_argument("--modes-out", type=count, default=48, help="principal components of each stress")
        parser.add_argument("--intervals", type=count, default=200, help="equal intervals in which modes are straight")
        parser.add_argument("--duration", type=positive, help="T, s (default: the median of the paths)")
        parser.add_argument("--completion", choices=COMPLETIONS, default="linear", help="of a path beyond the present")
        parser.add_argument("--pressure", choices=PRESSURES, default="exact", help="mean stress: K (J - 1), or learned")
        parser.add_argument("--whole", action="store_true", help="whole paths only, as in the paper: not for runs")
        parser.add_argument("--epochs", type=count, default=300, help="passes through the data")
        parser.add_argument("--batch", type=count, default=64, help="paths in a step")
        parser.add_argument("--learning-rate", type=positive, default=2e-3, help="its largest value")
        sizes = ", ".join(f"{key} {value}" for key, value in PAPER.items())
        parser.add_argument("--paper", action="store_true", help=f"the authors' sizes for 3D: {sizes}")

    @classmethod
    def begin(cls, options: argparse.Namespace) -> "PcaNetTraining":
        if options.paper:
            vars(options).update(PAPER)
        if max(options.modes_in, options.modes_out) > options.intervals + 1:
            raise OptionError(f"--intervals {options.intervals} must be at least the number of modes")
        strain, stress, source = load_paths(options, options.data, options.paths)
        test = load_paths(options, options.test)[:2] if options.test else None
        return cls(options, strain, stress, source, test)

    def __init__(
        self,
        options: argparse.Namespace,
        strain: np.ndarray,
        stress: np.ndarray,
        source: Source,
        test: tuple[np.ndarray, np.ndarray] | None,
    ):
        grid = np.linspace(0.0, 1.0, options.intervals + 1)
        linear, self.exact = options.completion == "linear", options.pressure == "exact"
        S, _ = self._parts(stress)
        self.scale = float(np.sqrt((S**2 * FROBENIUS).sum(-1).mean()))
        inputs = principal_components(grid, strain, options.modes_in)
        outputs = principal_components(grid, S / self.scale, options.modes_out)
        network = PcaNet(inputs, outputs, options.width, options.layers, linear, self.exact)
        super().__init__(options, network, options.epochs * math.ceil(len(strain) / options.batch))
        self.paths, self.source = self._tensors(strain, stress), source
        self.test = None if test is None else self._tensors(*test)
        means = [square(part(self.paths.S)).mean(1) for part in (lambda S: S, deviator)]
        self.means = torch.stack([mean + FLOOR**2 * mean.mean() for mean in means])  # (2, n)

    def _parts(self, stress: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the network is to give of stress (n, k+1, 6), and the mean stress that it is not to give."""
        mean = stress[..., :3].mean(-1) * self.exact
        return stress - mean[..., None] * [1.0, 1.0, 1.0, 0.0, 0.0, 0.0], mean

    def _tensors(self, strain: np.ndarray, stress: np.ndarray) -> Paths:
        S, mean = self._parts(stress)
        arrays = (strain, S / self.scale, mean / self.scale)
        return Paths(*(torch.tensor(a, dtype=torch.float32, device=self.options.device) for a in arrays))

    def sizes(self) -> dict[str, int]:
        return {name: getattr(self.options, name) for name in ("width", "layers", "modes_in", "modes_out", "intervals")}

    def identity(self) -> dict[str, Any]:
        o = self.options
        meant = {"isotropic": o.isotropic, "completion": o.completion, "pressure": o.pressure}
        return {**meant, "duration": o.duration, "stress": self.scale}

    def manifests(self) -> list[Mapping[str, Any]]:
        return [self.source.manifest]

    def rate(self) -> float:
        progress = self.iteration / self.iterations
        return self.options.learning_rate * min(progress / 0.01 + 0.01, 0.505 + 0.495 * math.cos(math.pi * progress))

    def loss(self) -> Tensor:
        rows = self.rng.choice(len(self.paths), min(self.options.batch, len(self.paths)), replace=False)
        strain, S, cut = self.draw(rows)
        times = torch.arange(strain.shape[1], device=strain.device)
        ramps = self.network.ramps(strain) * (times[:-1] < cut[:, None])[..., None]
        P = self.network.stress(self.network(self.network.coefficients(ramps)))
        known, end = times <= cut[:, None], times == cut[:, None]
        weight = 0.5 * known / known.sum(1, keepdim=True) + 0.5 * end
        weight = torch.where(cut[:, None] == times[-1], 1.0 / len(times), weight)
        errors = [(square(part(P - S)) * weight).sum(1) for part in (lambda S: S, deviator)]
        return torch.sqrt(torch.stack(errors) / self.means[:, rows]).mean()

    def draw(self, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Strain and stress of a batch, turned and begun late, and the time at which each is cut."""
        strain, S, n = self.paths.strain[rows], self.paths.S[rows], len(rows)
        k = strain.shape[1] - 1
        if self.options.isotropic:
            B = torch.as_tensor(turning(random_rotations(self.rng, n)), dtype=strain.dtype, device=strain.device)
            strain, S = strain @ B, S @ B
        if self.options.whole:
            return strain, S, torch.full((n,), k, device=strain.device)
        late = (self.rng.random(n) < LATE) * self.rng.integers(0, int(LATEST * k) + 1, n)
        cut = np.where(self.rng.random(n) < WHOLE, k, self.rng.integers(late + 1, k + 1))
        index = torch.as_tensor(np.maximum(np.arange(k + 1) - late[:, None], 0), device=strain.device)[..., None]
        strain, S = (torch.take_along_dim(x, index, 1) for x in (strain, S))
        return strain, S, torch.as_tensor(cut, device=strain.device)

    def test_row(self) -> dict[str, float]:
        if self.test is None:
            return {}
        errors = evaluate(self.network, self.test)
        row = {f"test_{key}": value for key, value in errors["on_line"]["deviatoric"].items()}
        others = {f"test_{how}_{norm}": errors[how][norm]["mean"] for how in errors for norm in errors[how]}
        return row | others

    def header(self) -> dict[str, Any]:
        strain = self.paths.strain.cpu().double().numpy()
        J = np.linalg.det(full(strain) + np.eye(3))
        rate = np.diff(strain, axis=1) * (self.options.intervals / self.options.duration)
        errors = {"train": evaluate(self.network, self.paths.part(0, 256))}
        if self.test is not None:
            errors["test"] = evaluate(self.network, self.test)
        return {
            "material": self.source.manifest["material"],
            "elastic": self.source.elastic,
            "duration": self.options.duration,
            "completion": self.options.completion,
            "pressure": self.options.pressure,
            "training": {"paths": len(self.paths), "epochs": self.options.epochs, **self.cost()},
            "errors": errors,
            "envelope": {
                "strain": float(np.sqrt((strain**2 * FROBENIUS).sum(-1)).max()),
                "volume_change": float(np.abs(J - 1.0).max()),
                "rate": float(np.sqrt((rate**2 * FROBENIUS).sum(-1)).max()),
            },
        }

    def arrays(self) -> dict[str, np.ndarray]:
        return self.network.arrays(self.scale)
