"""Periodic equilibrium at finite strain: find w with F = Fbar (I + grad w) and R(w) = Div(Fbar^T P(F)) = 0.

Newton's method; its linear systems K dw = -R by conjugate gradients, preconditioned by A^-1, the stiffness of a
homogeneous medium inverted by FFT (periodic_grid.py; Zeman et al. 2017, A finite element perspective on nonlinear
FFT-based micromechanical simulations, Int. J. Numer. Meth. Eng. 111; Ladecky et al. 2023 for finite differences). So
the iterations do not grow with the grid, and neither local strains of 2 nor soft grains stop them, which both defeat
the basic scheme and Anderson's acceleration of it (tried here). The tangent K is kept from step to step and renewed
where an iteration gains too little.

w is the fluctuation pulled back by the mean deformation, so a rotation of Fbar changes no iterate (objectivity to
round-off). Convergence: the root mean square of the unbalanced part of P is at most `tolerance` |<P>|, and at most
`tolerance` FLOOR shear where the mean stress passes zero.
"""

from collections.abc import Callable

import numpy as np

from constitutive.jit import njit
from constitutive.law import LawError
from constitutive.periodic_grid import PeriodicGrid, divergence, gradient

TOLERANCE = 1e-4
FLOOR = 1e-3
MAX_ITERATIONS = 30
MAX_CONJUGATE = 60
ENOUGH = 0.25  # an iteration with a good tangent leaves less than this part of the residual
INNER, FORCING = 0.3, 0.03  # of the residual wanted, of the present one: what conjugate gradients may leave
MAX_HALVINGS = 4  # of a step that makes the residual grow, or pixels fail
NOT_FINITE = "the stress is not finite"


class CellError(LawError):
    """A unit cell that cannot be brought to equilibrium; the message says why."""


@njit
def dot(a, b):
    """Sum of products in one fixed order, eight at a time for SIMD."""
    partial = np.zeros(8)
    whole = len(a) // 8 * 8
    for i in range(0, whole, 8):
        for k in range(8):
            partial[k] += a[i + k] * b[i + k]
    for i in range(whole, len(a)):
        partial[0] += a[i] * b[i]
    return partial.sum()


@njit
def _contract(K, H, S):
    """S_a = K_ab H_b of each pixel: K (c, c, n), H and S (c, n)."""
    for a in range(len(S)):
        S[a] = 0.0
        for b in range(len(H)):
            for p in range(S.shape[1]):
                S[a, p] += K[a, b, p] * H[b, p]


class Equilibrium:
    """Equilibrium of one cell along its path; keeps the tangent from step to step.

    shear and lambda_e, Pa, are the constants of the energy (A.3) in all pixels, or typical ones; tolerance as above.
    """

    def __init__(self, grid: PeriodicGrid, shear: float, lambda_e: float, tolerance: float = TOLERANCE):
        self.grid, self.shear, self.lambda_e, self.tolerance = grid, shear, lambda_e, tolerance
        d = grid.dimension
        self.H, self.S = np.zeros((d, d, *grid.shape)), np.zeros((d, d, *grid.shape))
        self.R, self.q = np.zeros((d, *grid.shape)), np.zeros((d, *grid.shape))
        self.K: np.ndarray | None = None
        self.relative_residual, self.conjugate = 0.0, 0

    def solve(
        self,
        F: np.ndarray,
        w: np.ndarray,
        respond: Callable[[np.ndarray], np.ndarray],
        tangent: Callable[[np.ndarray], np.ndarray],
    ) -> np.ndarray:
        """Bring w (d, nz, ny, nx) to equilibrium, in place, under the mean F (3, 3); the mean P (3, 3), Pa.

        respond(H) gives S = F^T P (3, 3, nz, ny, nx) for H = grad w; tangent(H), called after it for the same H, gives
        dS_ij/dH_kl (d * d, d * d, n), symmetric. Raises CellError.
        """
        C = F.T @ F
        bulk, inverse = self.shear / 3.0 + 2.0 * self.lambda_e * np.linalg.det(C), np.linalg.inv(C)
        step, last, halvings = np.zeros_like(w), np.inf, 0
        for _ in range(MAX_ITERATIONS):
            try:
                P, z, residual = self._unbalanced(F, inverse, bulk, w, respond)
            except CellError:
                if not step.any() or halvings == MAX_HALVINGS:
                    raise
                residual = np.inf
            if residual > last and halvings < MAX_HALVINGS:
                halvings += 1
                step *= 0.5
                w -= step
                continue
            wanted = self.tolerance * max(float(np.linalg.norm(P)), FLOOR * self.shear)
            self.relative_residual = self.tolerance * residual / wanted
            if residual <= wanted:
                return P
            if self.K is None or residual > ENOUGH * last:
                self.K = tangent(self.H)
            last, halvings = residual, 0
            step = self._newton_step(z, max(INNER * wanted, FORCING * residual), inverse, bulk)
            w += step
        raise CellError(f"no equilibrium within {MAX_ITERATIONS} iterations")

    def _unbalanced(self, F, inverse, bulk, w, respond) -> tuple[np.ndarray, np.ndarray, float]:
        """Mean P, Pa, the preconditioned nodal forces -A^-1 R, and the residual, Pa; leaves R and H = grad w."""
        d = self.grid.dimension
        gradient(w, self.H)
        S = respond(self.H)
        divergence(S[:d, :d], self.R)
        z, residual = self.grid.correction(self.R, inverse, self.shear, bulk)
        if not np.isfinite(residual):
            raise CellError(NOT_FINITE)
        return np.linalg.solve(F.T, S.reshape(9, -1).mean(axis=1).reshape(3, 3)), z, residual

    def _newton_step(self, z: np.ndarray, wanted: float, inverse: np.ndarray, bulk: float) -> np.ndarray:
        """dw with K dw = -R but for a residual `wanted`, by conjugate gradients; z = -A^-1 R."""
        assert self.K is not None
        r, d = self.R.copy(), self.grid.dimension  # r = R + K dw
        dw, p = np.zeros_like(r), z.copy()
        power = -dot(r.ravel(), z.ravel())
        for _ in range(MAX_CONJUGATE):
            self.conjugate += 1
            gradient(p, self.H)
            _contract(self.K, self.H.reshape(d * d, -1), self.S.reshape(d * d, -1))
            divergence(self.S, self.q)
            curvature = dot(p.ravel(), self.q.ravel())
            if curvature <= 0.0:  # not convex here: what has been found so far is a direction of descent
                return dw if dw.any() else p
            alpha = power / curvature
            dw += alpha * p
            r += alpha * self.q
            z, residual = self.grid.correction(r, inverse, self.shear, bulk)
            if residual <= wanted:
                break
            power, before = -dot(r.ravel(), z.ravel()), power
            p *= power / before
            p += z
        return dw
