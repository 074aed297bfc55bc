"""Crystals of many unit cells at once, in torch: the equations of constitutive/crystal_rates.py and crystal_step.py.

Those kernels take 32 grains a core; here every operation takes all pixels of all paths, so that it fills a GPU. Arrays
are component-major: unknowns y (rows, paths, pixels) in the rows of crystal_rates.py, C = J^(-2/3) F^T F as symmetric
6-vectors (6, paths, pixels); what belongs to a path (paths,). The mirroring in a twin plane is linear in the tensor
mirrored, so it is a matrix here.

The pixels of a path share their substeps, whose length is set by the worst LANES neighbours; paths go through them side
by side, each with its own length and all with the stages of the one that needs most.
"""

import numpy as np
import torch
from torch import Tensor

from constitutive.crystal_rates import FIRST_SLIP, LANES, SLIP_ROW, TWIN_ROW, Crystal
from constitutive.crystal_step import (
    GROW,
    LONGEST,
    MARGIN,
    MAX_STAGES,
    MAX_SUBSTEPS,
    SAFETY,
    SHORTEST,
    SHRINK,
    SMALLEST_STRAIN,
    SMALLEST_TWIN,
    TWIN_WEIGHT,
    stage_coefficients,
    stage_count,
)
from constitutive.tensor import full, symmetric

Substep = tuple[Tensor, int]  # length of each path's (paths,) s, 0 for a path that takes none, and stages


def matmul(A: Tensor, B: Tensor) -> Tensor:
    """A B of (3, 3, ...)."""
    return (A[:, :, None] * B[None]).sum(1)


def transpose(A: Tensor) -> Tensor:
    """A^T of (3, 3, ...)."""
    return A.transpose(0, 1)


def determinant(A: Tensor) -> Tensor:
    """det A of (3, 3, ...)."""
    return (A[0] * torch.linalg.cross(A[1], A[2], dim=0)).sum(0)


def adjugate(A: Tensor) -> Tensor:
    """adj A = det(A) A^-1 of (3, 3, ...)."""
    cross = torch.linalg.cross
    return torch.stack([cross(A[1], A[2], dim=0), cross(A[2], A[0], dim=0), cross(A[0], A[1], dim=0)], 1)


def six(A: Tensor) -> Tensor:
    """Symmetric tensors (3, 3, ...) as 6-vectors (6, ...)."""
    return torch.stack([A[0, 0], A[1, 1], A[2, 2], A[0, 1], A[1, 2], A[0, 2]])


def matrix(C: Tensor) -> Tensor:
    """6-vectors (6, ...) as symmetric tensors (3, 3, ...)."""
    return torch.stack([C[0], C[3], C[5], C[3], C[1], C[4], C[5], C[4], C[2]]).unflatten(0, (3, 3))


def gram(A: Tensor) -> Tensor:
    """A^T A of (3, 3, ...), as 6-vectors (6, ...)."""
    return six(matmul(transpose(A), A))


def _mirrors(normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What mirroring in planes adds to a symmetric tensor, (n, 6, 6), and to any tensor, (n, 9, 9)."""
    Q = np.eye(3) - 2.0 * normals[:, :, None] * normals[:, None, :]
    of_any = np.einsum("nij,nkl->nikjl", Q, Q).reshape(-1, 9, 9) - np.eye(9)
    units = full(np.eye(6))
    of_symmetric = np.einsum("nij,cjk,nkl->ncil", Q, units, Q) - units
    return np.moveaxis(symmetric(of_symmetric), 1, 2), of_any


class BatchCrystal:
    """The single crystal of `crystal_tables`, its tables on a device."""

    def __init__(self, crystal: Crystal, device: str):
        def table(values: np.ndarray) -> Tensor:
            return torch.tensor(np.ascontiguousarray(values), dtype=torch.float64, device=device)

        slip, twin = crystal.slip.reshape(-1, SLIP_ROW), crystal.twin.reshape(-1, TWIN_ROW)
        self.G, self.n_slip, self.n_twin = crystal.G, crystal.n_slip, crystal.n_twin
        self.twice = table(np.array([1.0, 1, 1, 2, 2, 2]))[:, None, None]  # how often a component counts in A : B
        self.schmid, self.resolve = table(slip[:, :9].T), table(slip[:, 9:15])
        columns = table(slip[:, 15:].T)[:, :, None, None]
        self.tau0, self.exponent, self.gamma0, self.h, self.saturation, self.cross = columns
        interaction = crystal.interaction.reshape(crystal.n_slip, crystal.n_slip)
        self.own = table(interaction.diagonal())[:, None, None]
        self.others = table(interaction**2 - np.diag(interaction.diagonal() ** 2))
        self.twin_schmid, self.twin_resolve = table(twin[:, 3:12].T), table(twin[:, 12:18])
        columns = table(twin[:, 18:].T)[:, :, None, None]
        self.twin_tau0, self.twin_exponent, self.twin_gamma0, self.twin_h, self.twin_k, _ = columns
        self.mirror_symmetric, self.mirror = (table(m) for m in _mirrors(twin[:, :3]))
        self.twin_own = max(self.G * twin[:, 23] ** 2 + twin[:, 21], default=0.0)
        self.twin_others = max(twin[:, 22], default=0.0)

    def twins(self, y: Tensor) -> Tensor:
        """Twin fractions among the unknowns."""
        return y[FIRST_SLIP + self.n_slip :]

    def rates(self, C: Tensor, start: Tensor, per_h: Tensor, y: Tensor) -> "Rates":
        """Rates of the unknowns y under C; `start` and per_h (paths, 1) limit the twins as in crystal_rates.rates."""
        P = y[:9].unflatten(0, (3, 3))
        metric = six(matmul(transpose(P), matmul(matrix(C), P)))
        slips, fractions = y[FIRST_SLIP : FIRST_SLIP + self.n_slip], self.twins(y)
        twinning, twin_over = self._twin_rates(metric, fractions, self.twins(start), per_h)
        mixed = metric + (fractions[:, None] * torch.tensordot(self.mirror_symmetric, metric, 1)).sum(0)
        tau = torch.tensordot(self.resolve, mixed, 1)
        left = torch.exp(-self.h / self.saturation * slips)
        resistance = self.cross * (slips.sum(0) - slips) + self.saturation * (1.0 - left)
        over = torch.clamp(tau.abs() - resistance, min=0.0) / self.tau0
        slipping = self.gamma0 * over**self.exponent
        slip_velocity = torch.tensordot(self.schmid, torch.copysign(slipping, tau), 1)
        L = slip_velocity + (fractions[:, None] * torch.tensordot(self.mirror, slip_velocity, 1)).sum(0)
        L = L + torch.tensordot(self.twin_schmid, twinning, 1)
        L = L.unflatten(0, (3, 3))
        D = six(0.5 * (L + transpose(L)))
        strain = torch.sqrt(2.0 / 3.0 * (self.twice * D * D).sum(0))
        power = self.G * (self.twice * D * metric).sum(0)
        f = torch.cat([-matmul(P, L).flatten(0, 1), strain[None], power[None], slipping, twinning])
        return Rates(self, f, metric, over, self.h * left, twin_over)

    def _twin_rates(self, metric: Tensor, fractions: Tensor, start: Tensor, per_h: Tensor) -> tuple[Tensor, Tensor]:
        """Limited rates of the twin fractions, and |f_b| / tau0."""
        tau = torch.tensordot(self.twin_resolve, metric, 1)
        drive = tau - self.twin_h * fractions - self.twin_k * (fractions.sum(0) - fractions)
        over = drive.abs() / self.twin_tau0
        slowest = -per_h * start
        rate = torch.maximum(torch.copysign(self.twin_gamma0 * over**self.twin_exponent, drive), slowest)
        room = torch.clamp(per_h + slowest.sum(0), min=0.0)
        growth = torch.clamp(rate, min=0.0).sum(0)
        return torch.where(rate > 0.0, rate * torch.clamp(room / (growth + 1e-300), max=1.0), rate), over

    def project(self, y: Tensor, f: Tensor) -> Tensor:
        """y with det P = 1, 0 <= lambda_b, sum lambda <= 1; f are the rates there."""
        excess = determinant(y[:9].unflatten(0, (3, 3))) - 1.0
        scale = 1.0 + excess * (-1.0 / 3.0 + excess * (2.0 / 9.0 - excess * (14.0 / 81.0)))
        fractions = torch.clamp(self.twins(y), min=0.0)
        fractions = torch.where((fractions < SMALLEST_TWIN) & (self.twins(f) <= 0.0), 0.0, fractions)
        fractions = fractions / torch.clamp(fractions.sum(0), min=1.0)
        return torch.cat([y[:9] * scale, y[9 : FIRST_SLIP + self.n_slip], fractions])


class Rates:
    """Rates f of the unknowns, the elastic metric Ce (6, ...) there, and what the stiffness takes from them."""

    def __init__(
        self, crystal: BatchCrystal, f: Tensor, metric: Tensor, over: Tensor, slope: Tensor, twin_over: Tensor
    ):
        self.crystal, self.f, self.metric = crystal, f, metric
        self.over, self.slope, self.twin_over = over, slope, twin_over

    def stiffness(self) -> Tensor:
        """Bound on the rates, 1/s, at which stress relaxes in any pixel of a path, (paths,); see crystal_step."""
        c = self.crystal
        D = c.exponent / c.tau0 * self.f[FIRST_SLIP : FIRST_SLIP + c.n_slip] / torch.clamp(self.over, min=1e-9)
        own = D * (c.own + self.slope)
        bound = torch.sqrt((own * own).sum(0) + (D * torch.tensordot(c.others, D, 1)).sum(0))
        if c.n_twin:
            D = c.twin_exponent / c.twin_tau0 * c.twins(self.f).abs() / torch.clamp(self.twin_over, min=1e-9)
            total = D.sum(0)
            pairs = torch.clamp(total * total - (D * D).sum(0), min=0.0)
            bound = bound + c.twin_others * torch.sqrt(pairs) + c.twin_own * total
        return bound.amax(-1)


def between(C_old: Tensor, C_new: Tensor, x: Tensor) -> Tensor:
    """C at the fraction x (paths,) of a step."""
    return C_old + x[:, None] * (C_new - C_old)


def _per(h: Tensor) -> Tensor:
    """1 / h as (paths, 1), 0 where h is."""
    return torch.where(h > 0.0, 1.0 / h, 0.0)[:, None]


def substep(
    crystal: BatchCrystal, C_old: Tensor, C_new: Tensor, t: Tensor, h: Tensor, dt: Tensor, s: int, y: Tensor, f0: Tensor
) -> tuple[Tensor, Rates]:
    """s stages of RKC2 from y over h; the unknowns at its end, and the rates there."""
    stages = np.zeros((MAX_STAGES + 1, 5))
    stage_coefficients(s, stages)
    step, per_h = h[:, None], _per(h)
    before, now = y, y + stages[1, 2] * step * f0
    for j in range(2, s + 1):
        mu, nu, mu_rate, gamma_rate, c = stages[j].tolist()
        f = crystal.rates(between(C_old, C_new, (t + c * h) / dt), y, per_h, now).f
        after = (1.0 - mu - nu) * y + mu * now + nu * before + step * (mu_rate * f + gamma_rate * f0)
        before, now = now, after
    return now, crystal.rates(between(C_old, C_new, (t + h) / dt), y, per_h, now)


def error_of(h: Tensor, y: Tensor, y1: Tensor, f0: Tensor, end: Rates) -> Tensor:
    """Estimated error over elastic strain of each path's worst LANES neighbours, (paths,); see crystal_step."""
    crystal = end.crystal
    difference = 0.8 * (y - y1) + 0.4 * h[:, None] * (f0 + end.f)
    dP = matmul(adjugate(y1[:9].unflatten(0, (3, 3))), difference[:9].unflatten(0, (3, 3)))
    slips, twins = difference[FIRST_SLIP : FIRST_SLIP + crystal.n_slip], TWIN_WEIGHT * crystal.twins(difference)
    errors = (dP * dP).sum((0, 1)) + (slips * slips).sum(0) + (twins * twins).sum(0)
    c = end.metric
    stretches = (c[0] - c[1]) ** 2 + (c[1] - c[2]) ** 2 + (c[2] - c[0]) ** 2
    strains = 0.5 * (c[3:] ** 2).sum(0) + stretches / 12.0
    errors, strains = (a.unflatten(-1, (-1, LANES)).sum(-1) for a in (errors, strains))
    return torch.sqrt(errors / (strains + LANES * SMALLEST_STRAIN**2)).amax(-1)


def advance(
    crystal: BatchCrystal, tolerance: float, C_old: Tensor, C_new: Tensor, dt: Tensor, trial: Tensor, y: Tensor
) -> tuple[Tensor, Tensor, Tensor, list[Substep]]:
    """Advance the unknowns y by dt (paths,) from C_old to C_new, with error control.

    `trial` (paths,) are the substeps to begin with, s. Returns the unknowns, which paths did not get stuck (paths,),
    the substeps that their next step should begin with, and the substeps for `replay`.
    """
    t, h, trial = torch.zeros_like(dt), torch.minimum(trial, dt), trial.clone()
    shortest = SHORTEST * h
    going, sound, plan = torch.ones_like(dt, dtype=torch.bool), torch.ones_like(dt, dtype=torch.bool), []
    start = crystal.rates(C_old, y, _per(h), y)
    f0, rho = start.f, MARGIN * start.stiffness()
    for _ in range(MAX_SUBSTEPS):
        stable = LONGEST / (rho + 1e-300)
        trial = torch.where(going & (h > stable), stable, trial)
        h = torch.where(going, torch.minimum(h, stable), 0.0)
        s = stage_count(float((h * rho).max()))
        f0 = _starting_rates(crystal, C_old, C_new, t, h, dt, y, f0)
        y1, end = substep(crystal, C_old, C_new, t, h, dt, s, y, f0)
        error = error_of(h, y, y1, f0, end) / tolerance
        growth = torch.where(error < torch.inf, SAFETY * torch.clamp(error, min=1e-3) ** (-1.0 / 3.0), SHRINK)
        longer = h * torch.clamp(growth, SHRINK, GROW)
        accepted = going & (error <= 1.0)
        told = torch.where(h >= trial, longer, torch.maximum(trial, longer))  # cut short by the end, h says less
        trial = torch.where(accepted, told, torch.where(going, longer, trial))
        plan.append((torch.where(accepted, h, 0.0), s))
        t = torch.where(accepted, t + h, t)
        y = torch.where(accepted[:, None], crystal.project(y1, end.f), y)
        f0 = torch.where(accepted[:, None], end.f, f0)
        rho = torch.where(accepted, MARGIN * end.stiffness(), rho)
        left = dt - t
        h = torch.minimum(trial, left)
        h = torch.where((0.5 * left < h) & (h < left), 0.5 * left, h)
        going = going & (t < dt * (1.0 - 1e-12))
        stuck = going & (h < shortest)
        sound, going = sound & ~stuck, going & ~stuck
        if not going.any():
            return y, sound, trial, plan
    return y, sound & ~going, trial, plan


def _starting_rates(
    crystal: BatchCrystal, C_old: Tensor, C_new: Tensor, t: Tensor, h: Tensor, dt: Tensor, y: Tensor, f0: Tensor
) -> Tensor:
    """Rates where a substep begins: f0, but for twins, whose limits depend on the length of the substep."""
    return crystal.rates(between(C_old, C_new, t / dt), y, _per(h), y).f if crystal.n_twin else f0


def replay(crystal: BatchCrystal, C_old: Tensor, C_new: Tensor, dt: Tensor, plan: list[Substep], y: Tensor) -> Tensor:
    """`advance` once more with its substeps, and nearly the same C_new: a smooth function of it."""
    t, f0 = torch.zeros_like(dt), crystal.rates(C_old, y, torch.zeros_like(dt)[:, None], y).f
    for h, s in plan:
        f0 = _starting_rates(crystal, C_old, C_new, t, h, dt, y, f0)
        y1, end = substep(crystal, C_old, C_new, t, h, dt, s, y, f0)
        taken = (h > 0.0)[:, None]
        y, f0, t = torch.where(taken, crystal.project(y1, end.f), y), torch.where(taken, end.f, f0), t + h
    return y
