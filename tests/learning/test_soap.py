"""The optimiser on an ill-conditioned problem whose answer is known."""

import pytest

torch = pytest.importorskip("torch")

from learning.soap import Soap  # noqa: E402


def distance(optimiser_of, steps=300):
    """How far from the least squares solution W of X W Y = Z, whose factors have condition numbers of 1000, W ends."""
    generator = torch.Generator().manual_seed(0)
    Q1, Q2 = (torch.linalg.qr(torch.randn(6, 6, generator=generator))[0] for _ in range(2))
    X = Q1 @ torch.diag(torch.logspace(-3, 0, 6)) @ Q1.T
    Y = Q2 @ torch.diag(torch.logspace(-3, 0, 6)) @ Q2.T
    W = torch.randn(6, 6, generator=generator)
    tried, bias = torch.zeros(6, 6, requires_grad=True), torch.zeros(6, requires_grad=True)
    optimiser = optimiser_of([tried, bias])
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 0.1 * (1.0 - step / steps)
        optimiser.zero_grad()
        loss = (X @ (tried + bias - W) @ Y).square().sum()
        loss.backward()
        optimiser.step()
    return loss.item()


def test_it_turns_into_the_eigenbasis():
    """Adam's steps are along the components of W; SOAP's along those that the problem has."""
    assert distance(lambda p: Soap(p, 0.1)) < 0.5 * distance(lambda p: torch.optim.Adam(p, 0.1, (0.95, 0.95)))
