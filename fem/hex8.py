"""The 8-node hexahedron: shape functions, reference operators, hourglass base vectors.

    7-----6      node   xi  eta zeta         u(X) = sum_I N_I u_I
   /|    /|      0,1,2,3: zeta = -1          N_I = (1 + xi_I xi)(1 + eta_I eta)(1 + zeta_I zeta) / 8
  4-----5 |      4,5,6,7: zeta = +1
  | 3---|-2      (order of VTK and of Abaqus C3D8)
  |/    |/
  0-----1

Operators are taken in the reference configuration (total Lagrangian): F = I + sum_I u_I (x) B_I with B_I = dN_I/dX.
`hex8r` uses the volume average of B (Flanagan & Belytschko 1981), `hex8` its values at 2x2x2 Gauss points.
"""

import numpy as np

SIGNS = np.array(
    [[-1, -1, -1], [1, -1, -1], [1, 1, -1], [-1, 1, -1], [-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]], float
)
"""Natural coordinates (xi, eta, zeta) of the nodes, shape (8, 3)."""

HOURGLASS = np.array(
    [
        SIGNS[:, 1] * SIGNS[:, 2],
        SIGNS[:, 2] * SIGNS[:, 0],
        SIGNS[:, 0] * SIGNS[:, 1],
        SIGNS[:, 0] * SIGNS[:, 1] * SIGNS[:, 2],
    ]
)
"""Hourglass base vectors h_alpha (4, 8): eta zeta, zeta xi, xi eta, xi eta zeta at the nodes; h_alpha . h_alpha = 8."""

GAUSS = SIGNS / np.sqrt(3.0)
"""2x2x2 Gauss points (8, 3), in the order of the nearest nodes; all weights are 1."""


def shape_gradients(xi: np.ndarray) -> np.ndarray:
    """dN_I/dxi at natural coordinates xi (3,), shape (8, 3)."""
    factors = 1.0 + SIGNS * xi
    return np.stack([SIGNS[:, i] * factors[:, (i + 1) % 3] * factors[:, (i + 2) % 3] for i in range(3)], axis=1) / 8.0


def _cofactors(corners: np.ndarray, dN: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """det(A) A^-1 (m, 3, 3) and det A (m,) of A = dX/dxi in elements with corners (m, 8, 3); dN (8, 3) is dN_I/dxi."""
    a, b, c = np.moveaxis(np.tensordot(corners, dN, (1, 0)), 1, 0)
    cofactors = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=2)
    return cofactors, np.einsum("mi,mi->m", a, cofactors[:, :, 0])


def gauss_gradients(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradients B_I = dN_I/dX and volumes w at the Gauss points of elements with corners (m, 8, 3).

    Returns B (m, 8 points, 8 nodes, 3) in 1/m and w (m, 8 points) in m3.
    """
    gradients, volumes = np.empty((len(corners), 8, 8, 3)), np.empty((len(corners), 8))
    for q, xi in enumerate(GAUSS):
        dN = shape_gradients(xi)
        cofactors, volumes[:, q] = _cofactors(corners, dN)
        gradients[:, q] = dN @ (cofactors / volumes[:, q, None, None])
    return gradients, volumes


def mean_gradient(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Volume-averaged gradient B (m, 8, 3) in 1/m and volume (m,) in m3 of elements with corners (m, 8, 3).

    2x2x2 Gauss integrates dN/dX det(dX/dxi), a polynomial of degree two in each coordinate, exactly.
    """
    B, V = np.zeros((len(corners), 8, 3)), np.zeros(len(corners))
    for xi in GAUSS:
        dN = shape_gradients(xi)
        cofactors, determinant = _cofactors(corners, dN)
        B += dN @ cofactors
        V += determinant
    return B / V[:, None, None], V


def lumped_mass(hexes: np.ndarray, volume: np.ndarray, density: float, nodes: int) -> np.ndarray:
    """Nodal masses (nodes,) in kg: an eighth of each element's mass (volume (m,) in m3) to each of its corners."""
    return np.bincount(hexes.ravel(), np.repeat(density * volume / 8.0, 8), nodes)
