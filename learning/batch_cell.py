"""Unit cells of many paths at once, in torch, to fill a GPU: what constitutive/fft_cell.py and equilibrium.py do.

Paths go side by side through their steps, each with its own times, Newton iterations, halvings and failures; those that
are in equilibrium wait while the others go on. The same code runs on "cuda" and on "cpu", there to be checked against
Cell. A path's numbers depend on its companions only within the tolerances (batch_crystal.py).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from constitutive.crystal_rates import LANES
from constitutive.crystal_step import STUCK
from constitutive.equilibrium import (
    ENOUGH,
    FLOOR,
    FORCING,
    INNER,
    MAX_CONJUGATE,
    MAX_HALVINGS,
    MAX_ITERATIONS,
    NOT_FINITE,
    CellError,
)
from constitutive.fft_cell import (
    BEYOND,
    LARGEST_J,
    MAX_BISECTIONS,
    NUDGE,
    SMALLEST_J,
    UNSTABLE,
    Cell,
    CellHistory,
    failure,
    halfway,
)
from constitutive.taylor import REASONS
from constitutive.tensor import symmetric
from learning.batch_crystal import (
    BatchCrystal,
    Substep,
    adjugate,
    advance,
    determinant,
    gram,
    matmul,
    replay,
    transpose,
)
from learning.batch_grid import BatchGrid, divergence, dot, gradient, per_path

SOUND, OUT_OF_BOUNDS, NOT_INTEGRATED, NO_STRESS, NO_EQUILIBRIUM = range(5)
CAUSES = ("", BEYOND, REASONS[STUCK], NOT_FINITE, f"no equilibrium within {MAX_ITERATIONS} iterations")


class BatchCell:
    """A Cell whose paths are followed together on a device of torch's, "cpu" or "cuda"."""

    def __init__(self, cell: Cell, device: str):
        self.cell, self.device = cell, device
        self.grid, self.crystal = BatchGrid(cell.grid, device), BatchCrystal(cell.crystal, device)

    @torch.no_grad()
    def follow(self, times: np.ndarray, F: np.ndarray) -> list[CellHistory | CellError]:
        """The cell's answers to n mean deformations F (n, m+1, 3, 3) at times (n, m+1) s, from F = I.

        A path that fails has its error instead of an answer; the others are followed to their ends.
        """
        n, steps = len(times), times.shape[1] - 1
        run = _Run(self, n)
        stress, evaluations, residual = np.zeros((n, steps + 1, 6)), np.zeros((n, steps), int), np.zeros((n, steps))
        scalars, errors = [run.scalars()], dict[int, CellError]()
        for i in range(1, steps + 1):
            alive = np.array([k for k in range(n) if k not in errors])
            if not len(alive):
                break
            P = run.advance(alive, F[:, i - 1], F[:, i], times[:, i] - times[:, i - 1])
            for k in alive[run.cause[alive] != SOUND]:
                errors[k] = failure(i, times[k, i], F[k, i], CAUSES[run.cause[k]])
            stress[:, i] = symmetric(P @ F[:, i].swapaxes(-1, -2)) / np.linalg.det(F[:, i])[:, None]
            evaluations[:, i - 1], residual[:, i - 1] = run.evaluations, run.residual
            scalars.append(run.scalars())
        return [
            errors.get(k)
            or CellHistory(
                stress[k],
                {s: np.array([row[s][k] for row in scalars]) for s in scalars[0]},
                evaluations[k],
                residual[k],
            )
            for k in range(n)
        ]


@dataclass
class _Step:
    """A step of some paths under way: where it begins, the newest end, how it is integrated."""

    F: Tensor  # (n, 3, 3) mean deformation at its end
    dt: Tensor  # (n,)
    y: Tensor  # unknowns at the start
    C: Tensor
    y_end: Tensor
    C_end: Tensor
    trial: Tensor  # (n,) substeps to begin with
    planned: Tensor  # (n,) whether there is a plan
    plan: list[Substep]


class _Run:
    """All paths on their way; arrays of all of them. `rows`, numbers of paths, say which of them take part."""

    def __init__(self, batch: BatchCell, n: int):
        self.batch, cell, device = batch, batch.cell, batch.device
        d, size = batch.grid.d, batch.grid.size
        virgin = cell.virgin()
        y, C = (torch.tensor(a, device=device).unflatten(1, (-1, LANES)).movedim(1, 0).flatten(1) for a in virgin[:2])
        self.y, self.C = y[:, None].repeat(1, n, 1), C[:, None].repeat(1, n, 1)
        self.trial = torch.zeros(n, dtype=torch.float64, device=device)
        self.w = torch.zeros(n, d, *batch.grid.shape, dtype=torch.float64, device=device)
        self.w_before, self.dt_before = self.w.clone(), torch.zeros_like(self.trial)
        self.K = torch.zeros(n, d * d, d * d, size, dtype=torch.float64, device=device)
        self.tangent_known = torch.zeros(n, dtype=torch.bool, device=device)
        self.P, self.cause = np.zeros((n, 3, 3)), np.zeros(n, int)
        self.evaluations, self.residual = np.zeros(n, int), np.zeros(n)

    def advance(self, rows: np.ndarray, F_old: np.ndarray, F_new: np.ndarray, dt: np.ndarray) -> np.ndarray:
        """One step of the paths `rows`; mean P (n, 3, 3) of all, and `cause` tells which have failed for good."""
        self.evaluations[:], self.residual[:] = 0, 0.0
        self._advance(rows, F_old, F_new, dt, 0)
        return self.P

    def _advance(self, rows: np.ndarray, F_old: np.ndarray, F_new: np.ndarray, dt: np.ndarray, bisections: int) -> None:
        """A step, or its halves for the paths on which it fails; F (n, 3, 3) and dt (n,) of all paths."""
        cause = self._solve(rows, F_new, dt) if len(rows) else np.zeros(0, int)
        bad = rows[cause != SOUND]
        if not len(bad):
            return
        if bisections == MAX_BISECTIONS:
            self.cause[bad] = cause[cause != SOUND]
            return
        self.tangent_known[bad], self.dt_before[bad] = False, 0.0
        middle = F_new.copy()
        middle[bad] = halfway(F_old[bad], F_new[bad])
        self._advance(bad, F_old, middle, 0.5 * dt, bisections + 1)
        self._advance(bad[self.cause[bad] == SOUND], middle, F_new, 0.5 * dt, bisections + 1)

    def _solve(self, rows: np.ndarray, F: np.ndarray, dt: np.ndarray) -> np.ndarray:
        """Bring paths to equilibrium at the end of a step by Newton's method, as Equilibrium.solve; cause (rows,).

        The paths that are in equilibrium take the step; the others stay as they were.
        """
        step = self._begin(rows, F, dt)
        system = _System(self.batch.grid, step.F, self.batch.cell.crystal.G, self.batch.cell.lambda_e)
        w = self.w[rows]
        ratio = torch.where(self.dt_before[rows] > 0.0, step.dt / self.dt_before[rows], 0.0)
        newton = _Newton(w + per_path(ratio, w) * (w - self.w_before[rows]))
        for _ in range(MAX_ITERATIONS):
            self._iterate(rows, step, system, newton)
            if not len(newton.going):
                break
        self._commit(rows, np.flatnonzero(newton.cause == SOUND), step, newton.w)
        return newton.cause

    def _iterate(self, rows: np.ndarray, step: _Step, system: "_System", newton: "_Newton") -> None:
        """One iteration of the paths under way; those that arrive or fail are no longer."""
        cell, going = self.batch.cell, newton.going
        H = gradient(newton.w[going], self.batch.grid.d)
        S, found = self._respond(step, going, H)
        self.evaluations[rows[going]] += 1
        P, R, z, residual = system.unbalanced(going, S)
        wanted = cell.tolerance * torch.clamp(torch.linalg.matrix_norm(P), min=FLOOR * cell.crystal.G)
        now = np.where(found == SOUND, torch.nan_to_num(residual, torch.inf, torch.inf).cpu().numpy(), np.inf)
        worse = (now > newton.last[going]) & (newton.halvings[going] < MAX_HALVINGS)
        failed = np.isinf(now) & ~worse
        done = ~worse & (now <= wanted.cpu().numpy())
        on = ~(worse | failed | done)
        newton.go_back(going[worse])
        newton.cause[going[failed]] = np.where(found[failed] == SOUND, NO_STRESS, found[failed])
        newton.cause[going[done]] = SOUND
        self.P[rows[going[done]]] = P[done].cpu().numpy()
        relative = cell.tolerance * now / wanted.cpu().numpy()
        self.residual[rows[going[done]]] = np.maximum(self.residual[rows[going[done]]], relative[done])
        if on.any():
            known = self.tangent_known[rows[going]].cpu().numpy()
            stale = on & (~known | (now > ENOUGH * newton.last[going]))
            self._renew_tangents(rows[going[stale]], step, going[stale], H[stale], S[:, :, stale])
            left = torch.maximum(INNER * wanted[on], FORCING * residual[on])
            move = system.newton_step(going[on], self.K[rows[going[on]]], R[on], z[on], left)
            newton.go_on(going[on], move, now[on])
        newton.going = going[on | worse]

    def _renew_tangents(self, rows: np.ndarray, step: _Step, which: np.ndarray, H: Tensor, S: Tensor) -> None:
        """The tangents of some paths, `rows` of all and `which` of the step, where S answers H."""
        if len(rows):
            self.K[rows] = self._tangent(step, which, H, S)
            self.tangent_known[rows] = True
            self.evaluations[rows] += self.batch.grid.d**2

    def _begin(self, rows: np.ndarray, F: np.ndarray, dt: np.ndarray) -> _Step:
        device = self.batch.device
        y, C, length = self.y[:, rows], self.C[:, rows], torch.tensor(dt[rows], device=device)
        trial = torch.where(self.trial[rows] > 0.0, self.trial[rows], length)
        planned = torch.zeros(len(rows), dtype=torch.bool, device=device)
        return _Step(torch.tensor(F[rows], device=device), length, y, C, y.clone(), C.clone(), trial, planned, [])

    def _commit(self, rows: np.ndarray, solved: np.ndarray, step: _Step, w: Tensor) -> None:
        ends = rows[solved]
        self.w_before[ends], self.w[ends], self.dt_before[ends] = self.w[ends], w[solved], step.dt[solved]
        self.y[:, ends], self.C[:, ends], self.trial[ends] = (
            step.y_end[:, solved],
            step.C_end[:, solved],
            step.trial[solved],
        )

    def _respond(self, step: _Step, which: np.ndarray, H: Tensor) -> tuple[Tensor, np.ndarray]:
        """S = Fbar^T P (3, 3, k, pixels) of the paths `which` of the step under H, and what is wrong with each (k,).

        The first time a path is integrated with error control, afterwards by the same substeps. Leaves the end.
        """
        F, J, within = self._deformation(step, which, H)
        C = J ** (-2.0 / 3.0) * gram(F)
        y, found = step.y[:, which], np.where(within.cpu().numpy(), SOUND, OUT_OF_BOUNDS)
        anew = ~step.planned[which]
        if not anew.all():
            y = self._replayed(step, which, C)
            anew = anew | ~(y[:9].abs().amax((0, 2)) < UNSTABLE)
        again = np.flatnonzero(anew.cpu().numpy())
        if len(again):
            new, sound = self._planned(step, which[again], C[:, again])
            y = y.clone()
            y[:, again] = new
            found[again] = np.where(sound | (found[again] != SOUND), found[again], NOT_INTEGRATED)
        step.y_end[:, which], step.C_end[:, which] = y, C
        return self._stress(step.F[which], F, J, y), found

    def _planned(self, step: _Step, which: np.ndarray, C: Tensor) -> tuple[Tensor, np.ndarray]:
        """Unknowns at the end of the step under C with error control, and which paths were not stuck; plans them."""
        y, sound, trial, plan = advance(
            self.batch.crystal, self.batch.cell.accuracy, step.C[:, which], C, step.dt[which], step.trial[which],
            step.y[:, which],
        )  # fmt: skip
        for h, _ in step.plan:
            h[which] = 0.0
        for h, s in plan:
            of_all = torch.zeros_like(step.dt)
            of_all[which] = h
            step.plan.append((of_all, s))
        step.trial[which], step.planned[which] = trial, sound
        return y, sound.cpu().numpy()

    def _replayed(self, step: _Step, which: np.ndarray, C: Tensor) -> Tensor:
        """Unknowns at the end of the step under C by the planned substeps."""
        plan = [(h[which], s) for h, s in step.plan if h[which].any()]
        return replay(self.batch.crystal, step.C[:, which], C, step.dt[which], plan, step.y[:, which])

    def _deformation(self, step: _Step, which: np.ndarray, H: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """F = Fbar (I + H) (3, 3, k, pixels), J, and whether a path's J are in range; undeformed where they are not."""
        d = self.batch.grid.d
        inner = torch.eye(3, dtype=H.dtype, device=H.device)[:, :, None, None].repeat(
            1, 1, len(which), self.batch.grid.size
        )
        inner[:d, :d] += H.flatten(3).movedim(0, 2)
        F = matmul(step.F[which].movedim(0, 2)[..., None], inner)
        J = determinant(F)
        within = ((J > SMALLEST_J) & (J < LARGEST_J)).all(-1)
        identity = torch.eye(3, dtype=H.dtype, device=H.device)[:, :, None, None]
        return torch.where(within[:, None], F, identity), torch.where(within[:, None], J, 1.0), within

    def _stress(self, Fbar: Tensor, F: Tensor, J: Tensor, y: Tensor) -> Tensor:
        """S = Fbar^T P (3, 3, k, pixels) of unknowns y: tau = P F^T as in taylor.py."""
        cell = self.batch.cell
        A = matmul(F, y[:9].unflatten(0, (3, 3)))
        b = cell.crystal.G * J ** (-2.0 / 3.0) * matmul(A, transpose(A))
        pressure = (b[0, 0] + b[1, 1] + b[2, 2]) / 3.0 - 2.0 * cell.lambda_e * J * (J - 1.0)
        tau = b - pressure * torch.eye(3, dtype=b.dtype, device=b.device)[:, :, None, None]
        return matmul(Fbar.permute(2, 1, 0)[..., None], matmul(tau, transpose(adjugate(F)))) / J

    def _tangent(self, step: _Step, which: np.ndarray, H: Tensor, S: Tensor) -> Tensor:
        """dS_ij/dH_kl (k, d * d, d * d, pixels) by differences of the planned integration, symmetrised."""
        d = self.batch.grid.d
        columns = []
        for b in range(d * d):
            moved = H.clone()
            moved[:, b // d, b % d] += NUDGE
            F, J, _ = self._deformation(step, which, moved)
            y = self._replayed(step, which, J ** (-2.0 / 3.0) * gram(F))
            columns.append((self._stress(step.F[which], F, J, y) - S)[:d, :d].flatten(0, 1) / NUDGE)
        K = torch.stack(columns, 1).movedim(2, 0)
        return 0.5 * (K + K.transpose(1, 2))

    def scalars(self) -> dict[str, np.ndarray]:
        """Means over the cell by path, (n,) each, of the names that Cell.scalars has."""
        return self.batch.cell.named_scalars(self.y.mean(-1).cpu().numpy())


class _Newton:
    """Newton's method on fluctuations w (n, d, nz, ny, nx) of n paths: where each is, which are still going."""

    def __init__(self, w: Tensor):
        n = len(w)
        self.w, self.move, self.last = w, torch.zeros_like(w), np.full(n, np.inf)
        self.halvings, self.cause, self.going = np.zeros(n, int), np.full(n, NO_EQUILIBRIUM), np.arange(n)

    def go_back(self, which: np.ndarray) -> None:
        """Half of the last move of some paths, which has made their residuals larger."""
        self.halvings[which] += 1
        self.move[which] *= 0.5
        self.w[which] -= self.move[which]

    def go_on(self, which: np.ndarray, move: Tensor, residual: np.ndarray) -> None:
        """Move some paths from where they had these residuals."""
        self.last[which], self.halvings[which] = residual, 0
        self.move[which] = move
        self.w[which] += move


class _System:
    """Equilibrium of some paths under mean deformations F (n, 3, 3): residuals and linear systems."""

    def __init__(self, grid: BatchGrid, F: Tensor, shear: float, lambda_e: float):
        self.grid, self.F, self.shear = grid, F, shear
        C = F.transpose(1, 2) @ F
        self.bulk, self.inverse = shear / 3.0 + 2.0 * lambda_e * torch.linalg.det(C), torch.linalg.inv(C)

    def unbalanced(self, which: np.ndarray, S: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mean P (k, 3, 3) Pa, nodal forces R, -A^-1 R, and the residual (k,) Pa, of stresses S (3, 3, k, pixels)."""
        d = self.grid.d
        R = divergence(S[:d, :d].movedim(2, 0).reshape(len(which), d, d, *self.grid.shape), d)
        z, residual = self.grid.correction(R, self.inverse[which], self.shear, self.bulk[which])
        mean = torch.nan_to_num(S.mean(-1).movedim(2, 0))
        return torch.linalg.solve(self.F[which].transpose(1, 2), mean), R, z, residual

    def newton_step(self, which: np.ndarray, K: Tensor, R: Tensor, z: Tensor, wanted: Tensor) -> Tensor:
        """dw with K dw = -R but for residuals `wanted` (k,), by conjugate gradients; z = -A^-1 R."""
        d, k = self.grid.d, len(which)
        r, dw, p, power = R.clone(), torch.zeros_like(R), z.clone(), -dot(R, z)
        going = torch.ones(k, dtype=torch.bool, device=R.device)
        for _ in range(MAX_CONJUGATE):
            H = gradient(p, d).reshape(k, 1, d * d, -1)
            q = divergence((K * H).sum(2).reshape(k, d, d, *self.grid.shape), d)
            curvature = dot(p, q)
            # not convex here: what has been found so far is a direction of descent
            first = going & (curvature <= 0.0) & (dot(dw, dw) == 0.0)
            dw = torch.where(per_path(first, dw), p, dw)
            going = going & (curvature > 0.0)
            alpha = per_path(torch.where(going, power / curvature, 0.0), dw)
            dw, r = dw + alpha * p, r + alpha * q
            z, residual = self.grid.correction(r, self.inverse[which], self.shear, self.bulk[which])
            going = going & (residual > wanted)
            if not going.any():
                break
            power, before = -dot(r, z), power
            p = per_path(torch.where(going, power / before, 0.0), p) * p + z
        return dw
