"""Periodic polycrystal: grains of a Voronoi tessellation in equilibrium, by FFT (paper, section 3.1).

    F(X) = Fbar (I + grad w),   w periodic,   Div P = 0,   sigmabar = Jbar^-1 <P> Fbar^T

Every pixel is a crystal of `taylor`'s kind: its energy (A.3) as printed, slip and twinning of crystal_rates.py,
integrated with error control by crystal_step.py (substeps shared by LANES neighbours) for C = J^(-2/3) F^T F straight
in time within a step. Equilibrium is found at the end of each step, fully implicit (equilibrium.py); a step that finds
none is halved.

The plane problem is plane strain, embedded in three dimensions: F_33 = 1, F_13 = F_23 = F_31 = F_32 = 0, slip within
the plane. So (A.3) stays as printed (its 2/3 and 3 belong to three dimensions: with a 2x2 A the undeformed crystal
would not be free of stress), det F_in = 1 is the same condition, and both problems run the same code. sigma_33 is the
reaction that plane strain needs.

A path keeps one core busy and its megabyte or two in cache; many paths run in as many processes (learning.generate).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from constitutive.crystal_rates import EQUIVALENT, FIRST_SLIP, LANES, WORK, load_lattice
from constitutive.crystal_step import DONE, MAX_PLAN, make_work, replay, step
from constitutive.equilibrium import TOLERANCE, CellError, Equilibrium
from constitutive.jit import inline, njit
from constitutive.law import INVERTED, LawError
from constitutive.periodic_grid import PeriodicGrid
from constitutive.taylor import REASONS, crystal_tables, grains_of, isochoric_metric
from constitutive.tensor import (
    LARGEST_J,
    SMALLEST_J,
    adjugate,
    determinant,
    full,
    isochoric_factor,
    matmul,
    push_forward,
    square_root,
    symmetric,
    transpose,
)
from constitutive.voronoi import periodic_voronoi

DIMENSIONS = {"fft2d": 2, "fft3d": 3}
MAX_BISECTIONS = 6
UNSTABLE = 1e3  # components of F_in^-1 that only a diverging integration reaches
NUDGE = 1e-6  # of a displacement gradient, for differences
BEYOND = "a pixel is compressed or stretched beyond all bounds"


@inline
def _deformation(Fbar, H, d, p):
    """Fbar (I + H) of pixel p as a 9-tuple; H (d, d, n)."""
    a, b, c, e = 1.0 + H[0, 0, p], H[0, 1, p], H[1, 0, p], 1.0 + H[1, 1, p]
    if d == 2:
        return matmul(Fbar, (a, b, 0.0, c, e, 0.0, 0.0, 0.0, 1.0))
    return matmul(Fbar, (a, b, H[0, 2, p], c, e, H[1, 2, p], H[2, 0, p], H[2, 1, p], 1.0 + H[2, 2, p]))


@njit
def _stress(Fbar, G, lambda_e, H, y, first, S):
    """S = Fbar^T P, (9, n), of the LANES pixels from `first` on, whose unknowns are y: tau = P F^T as in taylor.py."""
    d = len(H)
    for g in range(LANES):
        F = _deformation(Fbar, H, d, first + g)
        A = matmul(F, load_lattice(y, 0, g))
        b = push_forward(A, (1.0, 1.0, 1.0, 0.0, 0.0, 0.0))
        J = determinant(F)
        factor = G * isochoric_factor(J)
        pressure = factor * (b[0] + b[1] + b[2]) / 3.0 - 2.0 * lambda_e * J * (J - 1.0)
        shears = (factor * b[3], factor * b[4], factor * b[5])
        tau = (
            factor * b[0] - pressure, shears[0], shears[2],
            shears[0], factor * b[1] - pressure, shears[1],
            shears[2], shears[1], factor * b[2] - pressure,
        )  # fmt: skip
        value = matmul(transpose(Fbar), matmul(tau, transpose(adjugate(F))))
        for c in range(9):
            S[c, first + g] = value[c] / J


@njit
def _metrics(Fbar, H, first, C):
    """C (6 * LANES,) of the pixels from `first` on; whether all of them have a J in range."""
    within = True
    for g in range(LANES):
        metric, J = isochoric_metric(_deformation(Fbar, H, len(H), first + g))
        within &= SMALLEST_J < J < LARGEST_J
        for c in range(6):
            C[c * LANES + g] = metric[c]
    return within


@njit
def _respond_chunk(crystal, lambda_e, tolerance, Fbar, H, dt, chunk, old, new, plan, S):
    """LANES pixels; see `_respond`."""
    first, C = chunk * LANES, new.C[chunk]
    if not _metrics(Fbar, H, first, C):
        return INVERTED
    work = make_work(crystal.n_slip, crystal.n_twin)
    work.y[:] = old.y[chunk]
    replayed = 0 < plan.number[chunk] <= MAX_PLAN
    if replayed:
        y = replay(LANES, crystal, old.C[chunk], C, dt, plan.substeps[chunk, : plan.number[chunk]], work)
        replayed = np.abs(y[: 9 * LANES]).max() < UNSTABLE  # a plan for another C may be; NaN is not less
        if not replayed:
            work.y[:] = old.y[chunk]
    if not replayed:
        trial = old.substep[chunk] if old.substep[chunk] > 0.0 else dt
        status, y, new.substep[chunk], count = step(LANES, crystal, tolerance, old.C[chunk], C, dt, trial, work)
        if status != DONE:
            return status
        plan.number[chunk] = count
        plan.substeps[chunk, : min(count, MAX_PLAN)] = work.plan[: min(count, MAX_PLAN)]
    new.y[chunk] = y
    _stress(Fbar, crystal.G, lambda_e, H, y, first, S)
    return DONE


@njit(parallel=True)
def _respond(crystal, lambda_e, tolerance, Fbar, H, dt, old, new, plan, S, status):
    """All pixels from `old` to `new`, States each, under Fbar (I + H); status (chunks,)."""
    for chunk in prange(len(status)):
        status[chunk] = _respond_chunk(crystal, lambda_e, tolerance, Fbar, H, dt, chunk, old, new, plan, S)


class Plan(NamedTuple):
    """How the first iteration of a step integrated each chunk; the others do the same (see crystal_step.replay)."""

    number: np.ndarray  # (chunks,) of substeps, 0 where there are none yet
    substeps: np.ndarray  # (chunks, MAX_PLAN, 2)


class States(NamedTuple):
    """What the pixels remember, in chunks of LANES neighbours."""

    y: np.ndarray  # (chunks, rows * LANES) unknowns of crystal_rates.py
    C: np.ndarray  # (chunks, 6 * LANES) J^(-2/3) F^T F
    substep: np.ndarray  # (chunks,) s, to begin the next integration with


@dataclass(frozen=True)
class CellHistory:
    """What a cell gave along its path: stress (m+1, 6) Pa, scalars (m+1,) each, and of each step (m,) the evaluations
    of the law by all pixels, and the worst residual of equilibrium over the larger of |<P>| and the floor."""

    stress: np.ndarray
    scalars: dict[str, np.ndarray]
    evaluations: np.ndarray
    residual: np.ndarray


def failure(step: int, time: float, F: np.ndarray, cause: str) -> CellError:
    """The error of a path that cannot be followed beyond a step, which ends at a time, s, with the mean F (3, 3)."""
    return CellError(
        f"the unit cell fails in step {step}, at time {time:.6g} s (det F = {np.linalg.det(F):.6g}): {cause}"
    )


def halfway(F_old: np.ndarray, F_new: np.ndarray) -> np.ndarray:
    """Mean deformations (..., 3, 3) in the middle of a step, straight in C; their rotation does not matter."""
    C_old, C_new = (np.swapaxes(F, -1, -2) @ F for F in (F_old, F_new))
    return full(square_root(0.5 * (C_old + C_new)))


class Cell:
    """A unit cell of `points` pixels along each axis, as `fft2d` or `fft3d`, of the grains of a material's `values`.

    `tolerance` is that of equilibrium; `values["tolerance"]` is that of the crystals. Raises LawError.
    """

    def __init__(self, kind: str, values: Mapping[str, Any], points: int, tolerance: float = TOLERANCE):
        dimension = DIMENSIONS[kind]
        if (dimension == 2) != (values["lattice"] == "plane"):
            raise LawError(f"unit cell {kind} needs crystals with {'' if dimension == 2 else 'no '}lattice = 'plane'")
        multiple = next(n for n in range(1, LANES + 1) if n**dimension % LANES == 0)  # so that chunks are full
        if points < multiple or points % multiple:
            raise LawError(f"unit cell {kind}: {points} points along an axis; take a multiple of {multiple}")
        self.grid = PeriodicGrid(dimension, points)
        self.crystal, self.families = crystal_tables(values)
        self.lambda_e, self.accuracy, self.tolerance = values["lambda_e"], values["tolerance"], tolerance
        orientations, weights = grains_of(values)
        if np.ptp(weights) > 1e-9:
            raise LawError(f"unit cell {kind}: the tessellation gives grains their volume; the weights must be equal")
        if dimension == 2 and not np.allclose(orientations[:, 2, 2], 1.0):
            raise LawError(f"unit cell {kind}: grains turn about the third axis only; give orientations with Phi = 0")
        self.grain = periodic_voronoi((points,) * dimension, len(orientations), values["texture_seed"])
        self.orientations = orientations

    def virgin(self) -> States:
        """States of undeformed crystals."""
        chunks, crystal = self.grid.size // LANES, self.crystal
        y = np.zeros((chunks, FIRST_SLIP + crystal.n_slip + crystal.n_twin, LANES))
        y[:, :9] = self.orientations[self.grain.reshape(chunks, LANES)].reshape(chunks, LANES, 9).swapaxes(1, 2)
        C = np.zeros((chunks, 6, LANES))
        C[:, :3] = 1.0
        return States(y.reshape(chunks, -1), C.reshape(chunks, -1), np.zeros(chunks))

    def follow(self, times: np.ndarray, F: np.ndarray) -> CellHistory:
        """The cell's answer to mean deformations F (m+1, 3, 3) at times (m+1,) s, from F = I.

        Raises CellError, which names the step, the time and the cause.
        """
        run = _Run(self)
        stress, scalars = [np.zeros(6)], [self.scalars(run.old)]
        evaluations, residual = np.zeros(len(times) - 1, int), np.zeros(len(times) - 1)
        for i in range(1, len(times)):
            try:
                P = run.advance(F[i - 1], F[i], times[i] - times[i - 1])
            except CellError as error:
                raise failure(i, times[i], F[i], str(error)) from None
            stress.append(symmetric(P @ F[i].T) / np.linalg.det(F[i]))
            scalars.append(self.scalars(run.old))
            evaluations[i - 1], residual[i - 1] = run.evaluations, run.residual
        named = {name: np.array([s[name] for s in scalars]) for name in scalars[0]}
        return CellHistory(np.array(stress), named, evaluations, residual)

    def scalars(self, states: States) -> dict[str, float]:
        """Means over the cell, of the names that `taylor` has."""
        return self.named_scalars(states.y.reshape(len(states.y), -1, LANES).mean(axis=(0, 2)))

    def named_scalars(self, rows: np.ndarray) -> dict[str, Any]:
        """By name, the scalars of means (rows of y, ...) of the unknowns over the cell."""
        twins = FIRST_SLIP + self.crystal.n_slip
        named = {f"slip_{name}": 0.0 for name in self.families}
        for name, slip in zip(self.families, rows[FIRST_SLIP:twins], strict=True):
            named[f"slip_{name}"] = named[f"slip_{name}"] + slip
        if self.crystal.n_twin:
            named["twin_fraction"] = rows[twins:].sum(axis=0)
        return named | {"equivalent_plastic_strain": rows[EQUIVALENT], "plastic_work": rows[WORK]}


class _Run:
    """A cell on its way: states, fluctuation, and what the last step cost."""

    def __init__(self, cell: Cell):
        self.cell, self.old, self.new, self.spare = cell, cell.virgin(), cell.virgin(), cell.virgin()
        grid = cell.grid
        self.equilibrium = Equilibrium(grid, cell.crystal.G, cell.lambda_e, cell.tolerance)
        self.w = np.zeros((grid.dimension, *grid.shape))
        self.w_before: np.ndarray | None = None
        self.dt_before = 0.0
        self.S = np.zeros((9, grid.size))
        chunks = len(self.old.y)
        self.status = np.zeros(chunks, np.int64)
        self.plan = Plan(np.zeros(chunks, np.int64), np.zeros((chunks, MAX_PLAN, 2)))
        self.evaluations, self.residual = 0, 0.0

    def advance(self, F_old: np.ndarray, F_new: np.ndarray, dt: float) -> np.ndarray:
        """One step of the path; the mean P (3, 3)."""
        self.evaluations, self.residual = 0, 0.0
        return self._advance(F_old, F_new, dt, 0)

    def _advance(self, F_old: np.ndarray, F_new: np.ndarray, dt: float, bisections: int) -> np.ndarray:
        """A step, or its halves where it fails."""
        w = self.w.copy()
        if self.w_before is not None:
            w += dt / self.dt_before * (self.w - self.w_before)
        self.plan.number[:] = 0
        try:
            P = self.equilibrium.solve(
                F_new, w, lambda H: self._respond(F_new, H, dt), lambda H: self._tangent(F_new, H, dt)
            )
        except CellError:
            if bisections == MAX_BISECTIONS:
                raise
            self.equilibrium.K = None
            self.w_before = None
            middle = halfway(F_old, F_new)
            self._advance(F_old, middle, 0.5 * dt, bisections + 1)
            return self._advance(middle, F_new, 0.5 * dt, bisections + 1)
        self.w_before, self.w, self.dt_before = self.w, w, dt
        self.old, self.new = self.new, self.old
        self.residual = max(self.residual, self.equilibrium.relative_residual)
        return P

    def _respond(self, F: np.ndarray, H: np.ndarray, dt: float) -> np.ndarray:
        """S = F^T P (3, 3, nz, ny, nx) of all pixels. Raises CellError."""
        return self._evaluate(F, H, dt, self.new, self.S).reshape(3, 3, *self.cell.grid.shape)

    def _tangent(self, F: np.ndarray, H: np.ndarray, dt: float) -> np.ndarray:
        """dS_ij/dH_kl (d * d, d * d, n) by differences of the very integration that has given S, symmetrised."""
        d = len(H)
        inner = [3 * i + j for i in range(d) for j in range(d)]
        K = np.empty((d * d, d * d, self.cell.grid.size))
        S, states = np.empty_like(self.S), self.spare
        for b in range(d * d):
            moved = H.copy()
            moved[b // d, b % d] += NUDGE
            self._evaluate(F, moved, dt, states, S)
            K[:, b] = (S[inner] - self.S[inner]) / NUDGE
        return 0.5 * (K + K.swapaxes(0, 1))

    def _evaluate(self, F: np.ndarray, H: np.ndarray, dt: float, new: States, S: np.ndarray) -> np.ndarray:
        """S (9, n) and the states after a step that ends with H. Raises CellError."""
        self.evaluations += 1
        cell, d = self.cell, len(H)
        _respond(
            cell.crystal, cell.lambda_e, cell.accuracy, tuple(F.ravel()), H.reshape(d, d, -1), dt,
            self.old, new, self.plan, S, self.status,
        )  # fmt: skip
        if self.status.any():
            code = int(self.status.max())
            raise CellError(REASONS.get(code) or BEYOND)
        return S
