"""Finite differences on a periodic grid, and the Green operator that belongs to them.

Displacements w live on the nodes of a grid of unit spacing, gradients and stresses at the centres of its cells (pixels
in two dimensions, voxels in three). The gradient at a centre comes from the 4 (8) nodes around, one axis differenced,
the others averaged; the divergence is its adjoint. These are the uniform-gradient elements of `fem/` (one quadrature
point), and, in Fourier space, Willot's rotated scheme:

    k_j(xi) = 2 i s_j e^(i (xi_1 + xi_2 + xi_3) / 2),   s_j = sin(xi_j / 2) prod_{l != j} cos(xi_l / 2)

Wave numbers of finite differences do not ring at grain boundaries, and make laminates along the axes exact; of the
known schemes this one converges at any contrast (Willot 2015, Fourier-based schemes for computing the mechanical
response of composites with accurate local fields, C. R. Mecanique 343). Products k_i conj(k_j) = 4 s_i s_j are all
that the Green operator needs, so it is real. Hourglass patterns have s = 0: nothing drives them, and they stay zero.

One plane of pixels, shape (1, n, n), is the plane problem: same code, two displacements instead of three.
"""

from functools import cached_property

import numpy as np
from numba import prange
from scipy import fft

from constitutive.jit import njit


@njit(parallel=True)
def gradient(w, H):
    """H_ij = dw_i / dx_j at the centres, (d, d, nz, ny, nx), of nodal values w (d, nz, ny, nx); axis x is j = 0."""
    d, nz, ny, nx = w.shape
    averaged = 0.25 if d == 3 else 0.5  # in a plane the two z-neighbours are one node, counted once
    for row in prange(nz * ny):
        z, y = row // ny, row % ny
        z1, y1 = (z + 1) % nz, (y + 1) % ny
        for i in range(d):
            a, b, c, e = w[i, z, y], w[i, z, y1], w[i, z1, y], w[i, z1, y1]
            for x in range(nx):
                x1 = x + 1 if x + 1 < nx else 0
                if d == 2:
                    H[i, 0, z, y, x] = averaged * ((a[x1] - a[x]) + (b[x1] - b[x]))
                    H[i, 1, z, y, x] = averaged * ((b[x] - a[x]) + (b[x1] - a[x1]))
                else:
                    H[i, 0, z, y, x] = averaged * ((a[x1] - a[x]) + (b[x1] - b[x]) + (c[x1] - c[x]) + (e[x1] - e[x]))
                    H[i, 1, z, y, x] = averaged * ((b[x] - a[x]) + (b[x1] - a[x1]) + (e[x] - c[x]) + (e[x1] - c[x1]))
                    H[i, 2, z, y, x] = averaged * ((c[x] - a[x]) + (c[x1] - a[x1]) + (e[x] - b[x]) + (e[x1] - b[x1]))


@njit(parallel=True)
def divergence(S, R):
    """R_i = sum over pixels of S_ij dH_ij/dw_i, (d, nz, ny, nx), of stresses S (d, d, nz, ny, nx): the nodal forces."""
    d, nz, ny, nx = R.shape
    averaged = 0.25 if d == 3 else 0.5
    for row in prange(nz * ny):
        z, y = row // ny, row % ny
        z0, y0 = (z - 1) % nz, (y - 1) % ny
        for i in range(d):
            for x in range(nx):
                x0 = x - 1 if x > 0 else nx - 1
                if d == 2:
                    along_x = (S[i, 0, z, y, x0] - S[i, 0, z, y, x]) + (S[i, 0, z, y0, x0] - S[i, 0, z, y0, x])
                    along_y = (S[i, 1, z, y0, x] - S[i, 1, z, y, x]) + (S[i, 1, z, y0, x0] - S[i, 1, z, y, x0])
                    R[i, z, y, x] = averaged * (along_x + along_y)
                else:
                    total = 0.0
                    for zz in (z, z0):
                        for yy in (y, y0):
                            total += S[i, 0, zz, yy, x0] - S[i, 0, zz, yy, x]
                    for xx in (x, x0):
                        for zz in (z, z0):
                            total += S[i, 1, zz, y0, xx] - S[i, 1, zz, y, xx]
                        for yy in (y, y0):
                            total += S[i, 2, z0, yy, xx] - S[i, 2, z, yy, xx]
                    R[i, z, y, x] = averaged * total


@njit
def _green(s, weight, inverse, shear, ratio, R):
    """R <- -A^-1 R in place, R (d, n); returns the sum of weight |F^-T R|^2 / |k|^2 over the spectrum.

    s (3, n), weight (n,); inverse = C^-1 (3, 3). A^-1 by Sherman & Morrison, v = C^-1 k:
    A^-1 = (C^-1 - ratio v (x) v / kappa) / (shear kappa), ratio = bulk / (shear + bulk).
    """
    total = 0.0
    a, b, c, d, e, f = inverse[0, 0], inverse[1, 1], inverse[2, 2], inverse[0, 1], inverse[1, 2], inverse[0, 2]
    in_space = len(R) == 3
    for i in range(len(weight)):
        k0, k1, k2 = 2.0 * s[0, i], 2.0 * s[1, i], 2.0 * s[2, i]
        v0, v1, v2 = a * k0 + d * k1 + f * k2, d * k0 + b * k1 + e * k2, f * k0 + e * k1 + c * k2
        kappa = k0 * v0 + k1 * v1 + k2 * v2 + 1e-30  # never zero: where k is, nothing drives R (hourglass) or it is 0
        per_kappa = 1.0 / kappa if kappa > 1e-20 else 0.0
        per_k = 1.0 / (k0 * k0 + k1 * k1 + k2 * k2) if kappa > 1e-20 else 0.0
        r0, r1 = R[0, i], R[1, i]
        r2 = R[2, i] if in_space else 0.0j
        p0, p1, p2 = a * r0 + d * r1 + f * r2, d * r0 + b * r1 + e * r2, f * r0 + e * r1 + c * r2
        power = (r0.conjugate() * p0 + r1.conjugate() * p1 + r2.conjugate() * p2).real
        total += weight[i] * per_k * power
        along = ratio * per_kappa * (v0 * r0 + v1 * r1 + v2 * r2)
        scale = -per_kappa / shear
        R[0, i] = scale * (p0 - v0 * along)
        R[1, i] = scale * (p1 - v1 * along)
        if in_space:
            R[2, i] = scale * (p2 - v2 * along)
    return total


class PeriodicGrid:
    """A periodic grid of `points` pixels along each of `dimension` (2 or 3) axes."""

    def __init__(self, dimension: int, points: int):
        self.dimension = dimension
        self.shape = (points if dimension == 3 else 1, points, points)
        self.size = points**dimension

    @cached_property
    def wave(self) -> tuple[np.ndarray, np.ndarray]:
        """s (3, n) in the order x, y, z, over half of the spectrum, and how often each of it counts (n,)."""
        nz, ny, nx = self.shape
        half = [np.pi * np.arange(n) / n for n in (nz, ny)] + [np.pi * np.arange(nx // 2 + 1) / nx]
        z, y, x = (a.ravel() for a in np.meshgrid(*half, indexing="ij"))
        s = [np.sin(x) * np.cos(y) * np.cos(z), np.cos(x) * np.sin(y) * np.cos(z), np.cos(x) * np.cos(y) * np.sin(z)]
        k = np.arange(nx // 2 + 1)
        return np.array(s), np.tile(np.where(2 * k % nx == 0, 1.0, 2.0), nz * ny)

    def correction(self, R: np.ndarray, inverse: np.ndarray, shear: float, bulk: float) -> tuple[np.ndarray, float]:
        """-A^-1 R for nodal forces R = Div(F^T P) (d, nz, ny, nx), and the residual of equilibrium, in the unit of P.

        A is the stiffness of a homogeneous isotropic medium of moduli `shear` and `bulk` under the mean deformation
        F, C = F^T F:  A = shear kappa C + bulk k (x) k,  kappa = k . C^-1 k, and `inverse` C^-1 (3, 3).  The residual
        is the root mean square over the cell of the part of P that is no divergence-free field, P - its projection.
        """
        axes = (1, 2, 3)[3 - self.dimension :]  # an axis of one pixel is not free of cost
        spectrum = fft.rfftn(R, axes=axes)
        flat = spectrum.reshape(self.dimension, -1)
        total = _green(*self.wave, inverse, shear, bulk / (shear + bulk), flat)
        g = fft.irfftn(spectrum, s=R.shape[axes[0] :], axes=axes, overwrite_x=True)
        return g, float(np.sqrt(total)) / self.size
