"""The network of the law `recurrent`, for training only.

The equations, with their symbols and units, open constitutive/recurrent.py, which runs the trained weights without
torch. On a CPU whole paths run through the derived kernels of learning/rollout.py; elsewhere (CUDA) torch itself reads
the very same point functions, and differentiates them. Tests hold the two, and the law, to the same numbers.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Lock
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from constitutive import recurrent_equations as equations
from constitutive.recurrent import PER_FLOW
from learning import rollout
from learning.adjoint import LANES, reinterpret
from learning.rollout import Sizes

_TORCH = {
    "math": SimpleNamespace(sqrt=torch.sqrt),
    "min": lambda x, y: torch.clamp(x, max=y),
}
(_strains, _ratio_of_steps, _ahead, _invariants, _gates, _flows, _tensor_memory, _scalar_memory) = (
    reinterpret(function, _TORCH)
    for function in (
        rollout.strains, equations.ratio_of_steps, equations.ahead, equations.invariants, rollout.gates,
        rollout.flows, rollout.tensor_memory, rollout.scalar_memory,
    )
)  # fmt: skip


def activation(x: Tensor) -> Tensor:
    """x / sqrt(1 + x^2)."""
    return x * torch.rsqrt(1.0 + x * x)


class InternalVariableNetwork(nn.Module):
    """The learned law on batches of whole paths.

    Sizes as in constitutive/recurrent.py: deviators and scalars remembered, channels, units of each of two layers. Half
    of the remembered deviators begin as memories that forget by strain, over |z| from 1 to 1/50; the other half as
    branches that the elastic strain drives and that relax with it, at 0.2 to 4.5 times its rate; the scalars forget by
    strain. What drives and relaxes them is then learned. Without `texture`, the law is isotropic.
    """

    def __init__(self, sizes: Sizes, texture: bool = False) -> None:
        super().__init__()
        self.sizes, self.texture = sizes, texture
        K, S, J, W = sizes
        slow = K // 2
        self.mix_weight = nn.Parameter(torch.randn(J, 2 + K) / (2 + K) ** 0.5)
        self.mix_bias = nn.Parameter(0.1 * torch.randn(J, 5) * texture, requires_grad=texture)
        self.first, self.second = nn.Linear(sizes.inputs, W), nn.Linear(W, W)
        self.last = nn.Linear(W, sizes.outputs)
        self.out_weight = nn.Parameter(torch.randn(1 + K, 2 * J) * 0.5 / (2 * J) ** 0.5)
        self.log_by_flow = nn.Parameter(
            torch.cat([torch.linspace(0.0, 4.0, slow), torch.zeros(K - slow), torch.linspace(-0.5, 4.0, S)])
        )
        self.log_by_rate = nn.Parameter(
            torch.cat([torch.full((slow,), -6.0), torch.linspace(-1.5, 1.5, K - slow), torch.full((S,), -6.0)])
        )
        self.drive = nn.Parameter(0.3 * (torch.arange(K) >= slow))
        with torch.no_grad():
            self.last.weight[1:] *= 0.5
            self.last.bias.zero_()
            self.last.bias[0] = 0.5  # r = 7e7 1/s: a plausible flow stress from the start
            self.last.bias[1 : 1 + J] = 0.5
            self.out_weight[:, J:] /= 3.0  # its deviators are squares times three

    @torch.no_grad()
    def rescale(self, elastic_strain: float) -> None:
        """Begin as if e_s were another typical elastic strain."""
        factor = equations.ELASTIC_SCALE / elastic_strain
        for weights in (self.mix_weight[:, 0], self.first.weight[:, -1], self.drive):
            weights.mul_(factor)
        self.out_weight[0].div_(factor)

    def parameters_in_order(self) -> list[Tensor]:
        """As learning/rollout.py wants them."""
        K = self.sizes.tensors
        alpha, beta = self.log_by_flow.exp(), self.log_by_rate.exp()
        layers = [x for layer in (self.first, self.second, self.last) for x in (layer.bias, layer.weight)]
        tensor = torch.stack([alpha[:K], beta[:K], self.drive], 1)
        scalar = torch.stack([alpha[K:], beta[K:]], 1)
        return [self.mix_bias, self.mix_weight, *layers, self.out_weight, tensor, scalar]

    def rollout(self, U: Tensor, dt: Tensor) -> Tensor:
        """dev sigma / G times J of n whole paths, after each step: (m, 6, n).

        U isochoric stretches (m+1, 6, n), U = I at first; dt time steps (m, n) s.
        """
        if U.device.type == "cpu":
            return _Rollout.apply(self.sizes, U, dt, *self.parameters_in_order())
        return self.rollout_by_torch(U, dt)

    def rollout_by_torch(self, U: Tensor, dt: Tensor) -> Tensor:
        """`rollout` by torch alone, on any device and in any precision."""
        return torch.stack([flows[17:23] for flows in self._steps(U, dt)])

    @torch.no_grad()
    def extent(self, U: Tensor, dt: Tensor) -> dict[str, Tensor]:
        """Largest elastic strain |e|, shape |3 N^T N / tr - I| and plastic strain p along each path, each (n,)."""
        p = torch.zeros_like(dt[0])
        elastic, shape = torch.zeros_like(p), torch.zeros_like(p)
        on_cpu = U.device.type == "cpu"
        for flows in _flows_on_cpu(self.sizes, U, dt, self.parameters_in_order()) if on_cpu else self._steps(U, dt):
            N, stress = flows[:9].reshape(3, 3, -1), flows[17:23]
            M = torch.einsum("kin,kjn->ijn", N, N)
            M = 3.0 * M / M.diagonal(dim1=0, dim2=1).sum(-1) - torch.eye(3, device=N.device)[..., None]
            elastic = torch.maximum(elastic, norm_squared(stress).sqrt())
            shape = torch.maximum(shape, M.square().sum((0, 1)).sqrt())
            p = p + PER_FLOW * flows[15]
        return {"elastic_strain": elastic, "shape": shape, "plastic_strain": p}

    def _steps(self, U: Tensor, dt: Tensor) -> Iterator[Tensor]:
        """What `rollout.flows` gives in each step, (23, n), by torch's own reading of the equations."""
        K, S, J, _ = self.sizes
        mix_bias, mix, *layers, out_weight, tensor, scalar = self.parameters_in_order()
        n = dt.shape[1]
        carried = torch.zeros(15, n, device=U.device, dtype=U.dtype)
        carried[[0, 4, 8]] = 1.0
        h, s = torch.zeros(K, 5, n, device=U.device, dtype=U.dtype), torch.zeros(S, n, device=U.device, dtype=U.dtype)
        h_change, s_change, before = torch.zeros_like(h), torch.zeros_like(s), torch.zeros_like(dt[0])
        for k in range(len(dt)):
            N, T, r = carried[:9], carried[9:14], carried[14]
            first = torch.stack(_strains(U[k], U[k + 1], dt[k], N, T, r))
            e_old, e_trial, told = first[:5], first[5:10], first[10:20].reshape(2, 5, n)
            ratio = _ratio_of_steps(dt[k], before)
            h_middle, s_middle, before = _ahead(h, h_change, ratio), _ahead(s, s_change, ratio), dt[k]
            v = torch.einsum("jk,kcn->jcn", mix, torch.cat([told, h_middle])) + mix_bias[..., None]
            size, det = _invariants(v.unbind(1))
            x = torch.cat([size, det, s_middle, first[20:21]])
            for bias, weight in zip(layers[0:4:2], layers[1:4:2], strict=True):
                x = activation(bias[:, None] + weight @ x)
            o = layers[4][:, None] + layers[5] @ x
            a, b, c, gate = o[1 : 1 + J], o[1 + J : 1 + 2 * J], o[1 + 2 * J : 1 + 2 * J + S], o[1 + 2 * J + S :]
            parts = torch.stack(_gates(v.unbind(1), a, b)).reshape(2, 5, J, n).transpose(1, 2).reshape(2 * J, 5, n)
            out = torch.einsum("kj,jcn->kcn", out_weight, parts)
            flows = torch.stack(_flows(e_old, e_trial, out[0], o[0], dt[k], N, U[k + 1]))
            carried, length, ageing = flows[:15], flows[15], flows[16]
            both = torch.stack(
                _tensor_memory(h.unbind(1), out[1:].unbind(1), e_old, e_trial, length, ageing, gate[:K],
                               *tensor[..., None].unbind(1)), 1
            )  # fmt: skip
            h, h_change = both[:, :5], both[:, 5:]
            s, s_change = _scalar_memory(s, c, length, ageing, gate[K:], *scalar[..., None].unbind(1))
            yield flows

    def weights(self) -> dict[str, np.ndarray]:
        """The arrays of the law in the solver (constitutive/recurrent.py), float64."""
        arrays: dict[str, Tensor] = {
            "mix_bias": self.mix_bias,
            "mix_weight": self.mix_weight,
            "out_weight": self.out_weight,
        }
        for name in ("first", "second", "last"):
            layer = getattr(self, name)
            arrays |= {f"{name}_bias": layer.bias, f"{name}_weight": layer.weight}
        arrays |= {"by_flow": self.log_by_flow.exp(), "by_rate": self.log_by_rate.exp(), "drive": self.drive}
        return {name: x.detach().cpu().double().numpy() for name, x in arrays.items()}


def norm_squared(S: Tensor) -> Tensor:
    """S : S of symmetric tensors (..., 6, n), shape (..., n)."""
    return S[..., :3, :].square().sum(-2) + 2.0 * S[..., 3:, :].square().sum(-2)


class _Buffers:
    """Buffers of steps that are free: new ones of 100 MB would cost a tenth of the time."""

    def __init__(self) -> None:
        self.free: list[np.ndarray] = []
        self.lock = Lock()

    def take(self, steps: int, rows: int) -> np.ndarray:
        """At least `steps` buffers (rows, LANES)."""
        with self.lock:
            for k, buffers in enumerate(self.free):
                if len(buffers) >= steps and buffers.shape[1] == rows:
                    return self.free.pop(k)
            self.free.clear()
        return np.empty((steps, rows, LANES), np.float32)

    def give(self, buffers: np.ndarray) -> None:
        with self.lock:
            self.free.append(buffers)


_BUFFERS = _Buffers()


class _Rollout(torch.autograd.Function):
    """`rollout.passes` for torch, in blocks of LANES paths."""

    @staticmethod
    def forward(ctx: Any, sizes: Sizes, U: Tensor, dt: Tensor, *parameters: Tensor) -> Tensor:
        at, arrays = rollout.passes(sizes).layout, _arrays(parameters)
        ctx.sizes, ctx.arrays, ctx.paths = sizes, arrays, dt.shape[1]
        keep = any(ctx.needs_input_grad)
        stress, ctx.buffers = _forward(sizes, U, dt, arrays, slice(at.stress, at.stress + 6), keep)
        return stress

    @staticmethod
    def backward(ctx: Any, stress: Tensor) -> Any:  # type: ignore[override]
        passes = rollout.passes(ctx.sizes)

        def run(block: range, buffer: np.ndarray) -> tuple[np.ndarray, ...]:
            gradients = tuple(np.zeros_like(a) for a in ctx.arrays)
            wanted = np.zeros((len(stress), 6, LANES), np.float32)
            wanted[..., : len(block)] = stress[..., block].numpy()
            passes.backward(buffer, np.empty((passes.layout.rows, LANES), np.float32), wanted, ctx.arrays, gradients)
            _BUFFERS.give(buffer)
            return gradients

        shares = list(_side_by_side(run, _blocks(ctx.paths), ctx.buffers))
        return (None, None, None, *(torch.from_numpy(sum(parts)) for parts in zip(*shares, strict=True)))


def _flows_on_cpu(sizes: Sizes, U: Tensor, dt: Tensor, parameters: list[Tensor]) -> Tensor:
    """What `rollout.flows` gives in each step, (m, 23, n), by the derived kernels."""
    at = rollout.passes(sizes).layout
    return _forward(sizes, U, dt, _arrays(parameters), slice(at.new, at.stress + 6), keep=False)[0]


def _forward(
    sizes: Sizes, U: Tensor, dt: Tensor, arrays: tuple[np.ndarray, ...], rows: slice, keep: bool
) -> tuple[Tensor, list[np.ndarray]]:
    """Some rows of the buffers of all steps (m, rows, n), and the buffers of each block where they are to be kept."""
    passes = rollout.passes(sizes)

    def run(block: range) -> tuple[np.ndarray, np.ndarray]:
        buffers = _BUFFERS.take(len(dt), passes.layout.rows)
        passes.forward(buffers, _lanes(U, block), _lanes(dt, block), arrays)
        found = buffers[: len(dt), rows, : len(block)].copy()
        if not keep:
            _BUFFERS.give(buffers)
        return found, buffers

    found, kept = zip(*_side_by_side(run, _blocks(dt.shape[1])), strict=True)
    return torch.from_numpy(np.concatenate(found, axis=2)), list(kept) if keep else []


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count)


def _side_by_side(run: Callable, *arguments: Iterable[Any]) -> Iterator[Any]:
    """What `run` gives for each of the arguments, on as many threads as torch has, in their order."""
    return _threads(torch.get_num_threads()).map(run, *arguments)


def _arrays(parameters: Iterable[Tensor]) -> tuple[np.ndarray, ...]:
    return tuple(np.ascontiguousarray(p.detach().numpy(), np.float32) for p in parameters)


def _blocks(paths: int) -> list[range]:
    return [range(first, min(first + LANES, paths)) for first in range(0, paths, LANES)]


def _lanes(x: Tensor, block: range) -> np.ndarray:
    """Paths of a block (..., LANES); the last block is filled up with its first path."""
    chosen = [*block, *[block.start] * (LANES - len(block))]
    return np.ascontiguousarray(x[..., chosen].numpy(), np.float32)
