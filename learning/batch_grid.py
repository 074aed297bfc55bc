"""The periodic grid of constitutive/periodic_grid.py for many paths at once, in torch.

Fields are (paths, ..., nz, ny, nx); the axes x, y, z of the grid are the last three from the end.
"""

import torch
from torch import Tensor

from constitutive.periodic_grid import PeriodicGrid

AXES = (-1, -2, -3)  # of x, y, z


def gradient(w: Tensor, d: int) -> Tensor:
    """H_ij = dw_i / dx_j at the centres, (n, d, d, nz, ny, nx), of nodal values w (n, d, nz, ny, nx)."""
    columns = []
    for j in range(d):
        column = w
        for k in range(d):
            following = torch.roll(column, -1, AXES[k])
            column = following - column if k == j else 0.5 * (following + column)
        columns.append(column)
    return torch.stack(columns, 2)


def divergence(S: Tensor, d: int) -> Tensor:
    """The adjoint of `gradient`: nodal forces (n, d, nz, ny, nx) of stresses S (n, d, d, nz, ny, nx)."""
    forces = torch.zeros_like(S[:, :, 0])
    for j in range(d):
        column = S[:, :, j]
        for k in range(d):
            preceding = torch.roll(column, 1, AXES[k])
            column = preceding - column if k == j else 0.5 * (preceding + column)
        forces = forces + column
    return forces


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Sum of products over all but the paths, (n,)."""
    return (a * b).flatten(1).sum(1)


def per_path(values: Tensor, field: Tensor) -> Tensor:
    """Numbers (n,) shaped so that they multiply a field (n, ...)."""
    return values.reshape(-1, *[1] * (field.ndim - 1))


class BatchGrid:
    """The Green operator of a PeriodicGrid on a device."""

    def __init__(self, grid: PeriodicGrid, device: str):
        self.d, self.shape, self.size = grid.dimension, grid.shape, grid.size
        s, weight = grid.wave
        self.k = 2.0 * torch.tensor(s[: self.d], device=device)
        self.weight = torch.tensor(weight, device=device)

    def correction(self, R: Tensor, inverse: Tensor, shear: float, bulk: Tensor) -> tuple[Tensor, Tensor]:
        """-A^-1 R (n, d, nz, ny, nx) and the residual (n,); see PeriodicGrid.correction.

        `inverse` is C^-1 (n, 3, 3), bulk (n,).
        """
        axes = AXES[: self.d][::-1]
        spectrum = torch.fft.rfftn(R, dim=axes)
        flat = spectrum.reshape(len(R), self.d, -1)
        inner = inverse[:, : self.d, : self.d]
        v = inner @ self.k
        kappa = (self.k * v).sum(1)
        driven = kappa > 1e-20
        per_kappa = torch.where(driven, 1.0 / kappa, 0.0)
        per_k = torch.where(driven, 1.0 / (self.k**2).sum(0), 0.0)
        p = inner.to(flat.dtype) @ flat
        total = (self.weight * per_k * (flat.conj() * p).real.sum(1)).sum(1)
        along = (bulk / (shear + bulk))[:, None] * per_kappa * (v * flat).sum(1)
        flat = (p - v * along[:, None]) * (-per_kappa / shear)[:, None]
        z = torch.fft.irfftn(flat.reshape(spectrum.shape), s=R.shape[axes[0] :], dim=axes)
        return z, torch.sqrt(total) / self.size
