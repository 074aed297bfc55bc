"""The internal-variable network of the law `recurrent`, in torch, for training only.

The equations, with their symbols and units, open constitutive/recurrent.py, which runs the trained weights without
torch; tests hold the two to the same numbers. Here tensors are full 3x3 matrices in batches, N (n, 3, 3), because
symmetric storage saves nothing in torch; `weights` folds them to six components.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from constitutive.recurrent import ELASTIC_SCALE, ONSET, PER_FLOW, RATE_SCALE, TINY
from constitutive.tensor import COLUMN, ROW


def activation(x: Tensor) -> Tensor:
    """x / sqrt(1 + x^2)."""
    return x * torch.rsqrt(1.0 + x * x)


def mean_decay(x: Tensor) -> Tensor:
    """(1 + x/2) / (1 + x + x^2/2), close to (1 - exp(-x)) / x, for x >= 0."""
    half = 0.5 * x
    return (1.0 + half) / (1.0 + x * (1.0 + half))


def inner(A: Tensor, B: Tensor) -> Tensor:
    """A : B of matrices (..., 3, 3), shape (..., 1, 1)."""
    return (A * B).sum(dim=(-2, -1), keepdim=True)


def trace(A: Tensor) -> Tensor:
    """tr A of matrices (..., 3, 3), shape (..., 1, 1)."""
    return A.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]


def deviator(A: Tensor, eye: Tensor) -> Tensor:
    """dev A of matrices (..., 3, 3)."""
    return A - trace(A) * eye / 3.0


def gram(A: Tensor) -> Tensor:
    """A^T A of matrices (..., 3, 3)."""
    return A.transpose(-1, -2) @ A


class InternalVariableNetwork(nn.Module):
    """One step of the learned law for batches of points, and whole paths of steps.

    `width` units in each of two layers, `hidden` hidden variables h. Half of these begin as memories that forget by
    strain, over |z| from 1 to 1/300; the others as branches that the elastic strain drives and that relax with it, at
    0.2 to 4.5 times its rate. What drives and relaxes them is then learned. `elastic_scale` is a typical elastic strain
    e, that of the law in the solver by default.
    """

    eye: Tensor
    project: Tensor

    def __init__(self, width: int = 48, hidden: int = 16, elastic_scale: float = ELASTIC_SCALE) -> None:
        super().__init__()
        self.width, self.hidden, self.elastic_scale = width, hidden, elastic_scale
        self.first = nn.Linear(19 + hidden, width)
        self.second = nn.Linear(width, width)
        self.last = nn.Linear(width, 10 + hidden)
        slow = hidden // 2  # these forget by strain alone at first, the others with the stress, which drives them
        ones = torch.ones(hidden - slow)
        self.log_by_flow = nn.Parameter(torch.cat([torch.linspace(0.0, 5.7, slow), 0.0 * ones]))
        self.log_by_rate = nn.Parameter(
            torch.cat([torch.full((slow,), -6.0), torch.linspace(-1.5, 1.5, hidden - slow)])
        )
        self.drive = nn.Parameter(torch.randn(hidden, 9) * (torch.arange(hidden) >= slow)[:, None] * 0.15)
        with torch.no_grad():
            self.last.bias[9] = 0.5  # r = 7e7 1/s: a plausible flow stress from the start
        unit = torch.eye(3).reshape(9)
        transpose = torch.eye(9).reshape(3, 3, 9).transpose(0, 1).reshape(9, 9)
        project = 0.5 * (torch.eye(9) + transpose) - torch.outer(unit, unit) / 3.0
        self.register_buffer("eye", torch.eye(3), persistent=False)
        self.register_buffer("project", project, persistent=False)  # onto symmetric deviators

    def last_layer(self) -> tuple[Tensor, Tensor]:
        """Weights (10 + hidden, width) and biases of the last layer, its target a symmetric deviator."""
        weight, bias = self.last.weight, self.last.bias
        return (
            torch.cat([self.project @ weight[:9], weight[9:]]),
            torch.cat([self.project @ bias[:9], bias[9:]]),
        )

    def step(self, U_old: Tensor, U: Tensor, dt: Tensor, state: tuple[Tensor, ...], last: tuple[Tensor, Tensor]):
        """One step; isochoric stretches U (n, 3, 3), dt (n, 1, 1) s.

        state = N (n, 3, 3), h (n, hidden), and of the step before T (n, 3, 3) and r (n, 1, 1). Returns A = U N with the
        new N, the new state, and |z|.
        """
        N, h, T, r = state
        n, eye = len(N), self.eye
        e_old, e_trial = deviator(gram(U_old @ N), eye), deviator(gram(U @ N), eye)
        x, de = r * dt, e_trial - e_old
        g = mean_decay(x)
        mean = e_old - 0.5 * (x * g * (e_old - T) - g * de)
        M = gram(N)
        shape = M * (3.0 / trace(M)) - eye
        scaled = mean * (1.0 / self.elastic_scale)
        norm_of_mean = torch.sqrt(inner(scaled, scaled) + TINY).reshape(n, 1)
        inputs = torch.cat([scaled.reshape(n, 9), shape.reshape(n, 9), norm_of_mean, h], 1)
        units = activation(self.second(activation(self.first(inputs))))
        out = torch.addmm(last[1], units, last[0].T)
        T = out[:, :9].reshape(n, 3, 3) * self.elastic_scale
        u = out[:, 9].reshape(n, 1, 1)
        r = RATE_SCALE * (u + torch.sqrt(1.0 + u * u)) ** 4
        x = r * dt
        g = mean_decay(x)
        e = e_old - x * g * (e_old - T) + g * de
        e = e * torch.sqrt((inner(e_trial, e_trial) / (inner(e, e) + TINY)).clamp(1e-20, 1.0))
        d = e_trial - e
        product = d @ e_trial
        z = 0.5 * (product + product.transpose(1, 2)) - d
        norm = inner(z, z)
        z = z * (1.0 + norm * norm) ** -0.25
        N = N @ (eye + 0.5 * z - 0.125 * (z @ z))
        determinant = (torch.linalg.cross(N[:, 0], N[:, 1]) * N[:, 2]).sum(1)
        N = N * ((4.0 - determinant)[:, None, None] / 3.0)
        flow = norm / torch.sqrt(norm + TINY**1.25)
        size = inner(e_trial, e_trial)
        ageing = (x * size / (size + ONSET**2)).reshape(n, 1)
        y = flow.reshape(n, 1) * self.log_by_flow.exp() + ageing * self.log_by_rate.exp()
        driven = de.reshape(n, 9) @ self.drive.T * (1.0 / self.elastic_scale)
        h = h + mean_decay(y) * (driven + y * (activation(out[:, 10:]) - h))
        return U @ N, (N, h, T, r), flow

    def rollout(self, U: Tensor, dt: Tensor) -> Tensor:
        """dev sigma / G of whole paths: stretch U (n, m+1, 3, 3), U = I at first; time steps dt (n, m) s.

        Returns (n, m, 3, 3), after each step.
        """
        A = torch.stack([A for A, _, _ in self._steps(U, dt)], 1)
        return deviator(A @ A.transpose(2, 3), self.eye) / torch.linalg.det(U[:, 1:])[..., None, None]

    @torch.no_grad()
    def extent(self, U: Tensor, dt: Tensor) -> dict[str, Tensor]:
        """Largest elastic strain |e|, shape |3 N^T N / tr - I| and plastic strain p along each path, each (n,)."""
        elastic, shape, p = (torch.zeros(len(U), dtype=U.dtype, device=U.device) for _ in range(3))
        for A, N, flow in self._steps(U, dt):
            e, M = deviator(gram(A), self.eye), gram(N)
            M = M * (3.0 / trace(M)) - self.eye
            elastic = torch.maximum(elastic, inner(e, e).sqrt().reshape(-1))
            shape = torch.maximum(shape, inner(M, M).sqrt().reshape(-1))
            p = p + PER_FLOW * flow.reshape(-1)
        return {"elastic_strain": elastic, "shape": shape, "plastic_strain": p}

    def _steps(self, U: Tensor, dt: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """A, N and |z| after each step of whole paths."""
        n = len(dt)
        isochoric = (U * (torch.linalg.det(U) ** (-1.0 / 3.0))[..., None, None]).transpose(0, 1).contiguous()
        intervals = dt.T.contiguous()[..., None, None]
        h = torch.zeros(n, self.hidden, dtype=U.dtype, device=U.device)
        eyes, zeros = self.eye.expand(n, 3, 3).contiguous(), torch.zeros_like(isochoric[0])
        state, last = (eyes, h, zeros, torch.zeros_like(intervals[0])), self.last_layer()
        for k in range(len(intervals)):
            A, state, flow = self.step(isochoric[k], isochoric[k + 1], intervals[k], state, last)
            yield A, state[0], flow

    def weights(self) -> dict[str, np.ndarray]:
        """The arrays of the law in the solver (constitutive/recurrent.py), on six components, as float64."""
        first = self.first.weight.detach().cpu().double().numpy()
        weight, bias = (x.detach().cpu().double().numpy() for x in self.last_layer())
        six = 3 * ROW + COLUMN
        pairs = [_fold(first[:, :9]), _fold(first[:, 9:18]), first[:, 18:]]
        rest = np.arange(9, 10 + self.hidden)
        rows = np.concatenate([six, rest])
        return {
            "first_weight": np.concatenate(pairs, axis=1),
            "first_bias": _array(self.first.bias),
            "second_weight": _array(self.second.weight),
            "second_bias": _array(self.second.bias),
            "last_weight": weight[rows],
            "last_bias": bias[rows],
            "by_flow": _array(self.log_by_flow.exp()),
            "by_rate": _array(self.log_by_rate.exp()),
            "drive": _fold(_array(self.drive)),
        }


def _array(x: Tensor) -> np.ndarray:
    return x.detach().cpu().double().numpy()


def _fold(weight: np.ndarray) -> np.ndarray:
    """Weights (w, 9) on a full symmetric matrix as weights (w, 6) on its six components."""
    matrix = weight.reshape(-1, 3, 3)
    both = (matrix + matrix.transpose(0, 2, 1))[:, ROW, COLUMN]
    return both * np.where(ROW == COLUMN, 0.5, 1.0)
