"""Uncentred principal components of tensor paths in L2(0, T), whatever the times at which the paths are known.

Paths f and modes phi are piecewise linear functions of time, and all integrals of them are exact:

    (f, g) = 1/T integral_0^T f g dt = 1/T f^T M g     M: mass matrix of hat functions, on the union of both grids
    p_i = (phi_i, f),    f ~ sum_i p_i phi_i,    (phi_i, phi_j) = delta_ij

for each of the six components of a tensor by itself (Liu et al. 2022, section 3.1; uncentred, so that a path that stays
at zero has the coefficients zero). A mode is a function, not a vector: paths on other grids have the same coefficients
as far as they are the same functions. phi_i are the eigenfunctions of the covariance of the sample, found as

    X M^(1/2) = Q S V^T,    phi = M^(-1/2) V           X (n, k+1): one component of n paths on a common grid

where M^(1/2) stands for the Cholesky factor. Symmetric tensors are 6-vectors in the order 11, 22, 33, 12, 23, 13.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, solve_triangular


@dataclass(frozen=True)
class Basis:
    """Modes (6, m, k+1) of each component at `times` (k+1,) from 0 to T; `scale` (6, m), rms of their coefficients.

    `scale` is in the unit of the paths; modes are dimensionless.
    """

    times: np.ndarray
    modes: np.ndarray
    scale: np.ndarray

    @property
    def count(self) -> int:
        """Modes per component."""
        return self.modes.shape[1]

    def projector(self, times: np.ndarray) -> np.ndarray:
        """P (6, m, q) so that P f are the coefficients of paths f (q,) known at `times` (q,) from 0 to T."""
        union = np.union1d(self.times, times)
        M = mass_matrix(union) / (union[-1] - union[0])
        onto = interpolation(self.times, union)
        return self.modes @ (onto.T @ M @ interpolation(times, union))

    def project(self, times: np.ndarray, paths: np.ndarray) -> np.ndarray:
        """Coefficients (n, 6, m) of paths (n, q, 6) known at common times (q,)."""
        return np.einsum("cmq,nqc->ncm", self.projector(times), paths)

    def lift(self, coefficients: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Paths (n, q, 6) at times (q,) of coefficients (n, 6, m)."""
        modes = self.modes @ interpolation(self.times, times).T
        return np.einsum("cmq,ncm->nqc", modes, coefficients)


def principal_components(times: np.ndarray, paths: np.ndarray, count: int) -> Basis:
    """The `count` leading modes of each component of paths (n, k+1, 6) at common times (k+1,)."""
    if not 1 <= count <= len(times):
        raise ValueError(f"from 1 to {len(times)} modes can be had of paths at {len(times)} times, not {count}")
    root = cholesky(mass_matrix(times) / (times[-1] - times[0]), lower=True)
    modes, scale = np.zeros((6, count, len(times))), np.zeros((6, count))
    for c in range(6):
        _, values, vectors = np.linalg.svd(paths[:, :, c] @ root / np.sqrt(len(paths)), full_matrices=False)
        vectors = _completed(vectors, count)
        modes[c] = solve_triangular(root, vectors.T, lower=True, trans="T").T
        scale[c, : len(values)] = values[:count]
    return Basis(times, modes, scale)


def _completed(rows: np.ndarray, count: int) -> np.ndarray:
    """The first `count` of orthonormal rows (r, k); where there are fewer, others orthonormal to them are added."""
    if count <= len(rows):
        return rows[:count]
    return np.concatenate([rows, np.linalg.svd(rows)[2][len(rows) : count]])


def mass_matrix(times: np.ndarray) -> np.ndarray:
    """M (k, k) with f^T M g = integral of f g dt, for functions piecewise linear between increasing times (k,)."""
    h = np.diff(times)
    diagonal = np.zeros(len(times))
    diagonal[:-1] += h / 3.0
    diagonal[1:] += h / 3.0
    return np.diag(diagonal) + np.diag(h / 6.0, 1) + np.diag(h / 6.0, -1)


def interpolation(times: np.ndarray, at: np.ndarray) -> np.ndarray:
    """A (q, k) so that A f are the values at times `at` (q,) of a function with values f (k,) at `times` (k,)."""
    left = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(times) - 2)
    part = (at - times[left]) / (times[left + 1] - times[left])
    A = np.zeros((len(at), len(times)))
    rows = np.arange(len(at))
    A[rows, left] = 1.0 - part
    A[rows, left + 1] += part
    return A
