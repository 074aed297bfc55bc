"""The optimiser SOAP: Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024, arXiv 2409.11321).

For the gradient G of a matrix of weights, L = <G G^T> and R = <G^T G> (running means) have eigenvectors Q_L, Q_R, found
anew every few steps by a power iteration. Adam runs on Q_L^T G Q_R, whose components are nearly independent. For
networks of some ten thousand weights it costs little beside a rollout, and the recurrent law needs about a quarter of
the steps.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Soap(torch.optim.Optimizer):
    """Betas of gradient and square as in Adam; `every` steps between new eigenvectors. Vectors get plain Adam."""

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, betas: tuple[float, float] = (0.95, 0.95), every: int = 10
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "every": every, "eps": 1e-8})

    @torch.no_grad()
    def step(self, closure: Callable | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._improve(p, p.grad, self.state[p], group)

    def _improve(self, p: Tensor, G: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        mean_beta, square_beta = group["betas"]
        if not state:
            state |= {"step": 0, "mean": torch.zeros_like(G), "square": torch.zeros_like(G)}
            state |= {f"moment{k}": moment for k, moment in enumerate(_moments(G))}
            state |= {f"basis{k}": torch.linalg.eigh(state[f"moment{k}"])[1] for k in range(len(_moments(G)))}
        state["step"] += 1
        sides = range(2 if "basis0" in state else 0)
        bases = [state[f"basis{k}"] for k in sides]
        state["mean"].lerp_(G, 1.0 - mean_beta)
        turned = _turn(G, bases)
        state["square"].lerp_(turned * turned, 1.0 - square_beta)
        mean = _turn(state["mean"], bases) / (1.0 - mean_beta ** state["step"])
        root = (state["square"] / (1.0 - square_beta ** state["step"])).sqrt()
        p.sub_(group["lr"] * _turn(mean / (root + group["eps"]), [Q.T for Q in bases]))
        for k, moment in zip(sides, _moments(G), strict=False):
            state[f"moment{k}"].lerp_(moment, 1.0 - square_beta)
            if state["step"] % group["every"] == 0:
                state[f"basis{k}"] = torch.linalg.qr(state[f"moment{k}"] @ state[f"basis{k}"])[0]


def _moments(G: Tensor) -> tuple[Tensor, ...]:
    """G G^T and G^T G of a matrix; nothing for vectors."""
    return (G @ G.T, G.T @ G) if G.ndim == 2 and min(G.shape) > 1 else ()


def _turn(G: Tensor, bases: list[Tensor]) -> Tensor:
    """Q_L^T G Q_R."""
    return bases[0].T @ G @ bases[1] if bases else G
