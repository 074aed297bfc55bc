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


def test_vectors_get_plain_adam():
    start, scales = torch.linspace(-1.0, 1.0, 5), torch.logspace(-2, 1, 5)
    ends = []
    for optimiser_of in (Soap, torch.optim.Adam):
        p = start.clone().requires_grad_()
        optimiser = optimiser_of([p], lr=0.03, betas=(0.95, 0.95))
        for _ in range(20):
            optimiser.zero_grad()
            (scales * p.square()).sum().backward()
            optimiser.step()
        ends.append(p.detach())
    assert torch.allclose(*ends, rtol=1e-5) and not torch.allclose(ends[0], start, rtol=0.1)


def test_eigenvectors_are_found_anew_every_few_steps():
    """Those of the mean of G G^T, from the first step on; one more power iteration when it is time."""
    generator = torch.Generator().manual_seed(0)
    p = torch.zeros(4, 3, requires_grad=True)
    optimiser, found, moment = Soap([p], 0.1, every=3), [], None
    for _ in range(6):
        p.grad = torch.randn(4, 3, generator=generator)
        optimiser.step()
        new = p.grad @ p.grad.T
        moment = new if moment is None else moment.lerp(new, 0.05)
        found.append(optimiser.state[p]["basis0"].clone())
    first, again, third, *_, sixth = found
    assert torch.equal(first, again) and not torch.equal(again, third) and torch.equal(third, found[4])
    assert torch.allclose(optimiser.state[p]["moment0"], moment, atol=1e-5)
    assert torch.allclose(sixth, torch.linalg.qr(moment @ third)[0], atol=1e-4)
    assert torch.allclose(sixth.T @ sixth, torch.eye(4), atol=1e-5)
