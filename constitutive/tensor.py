"""3x3 algebra on tuples, for point-wise functions.

Tensors are flat tuples of floats, row-major: A = (A11, A12, A13, A21, ..., A33), shape (9,). Symmetric tensors are
6-tuples in the order 11, 22, 33, 12, 23, 13 with tensor shear components, as in ABAQUS/Explicit. Tuples live in
registers, so a loop over points that calls these functions is vectorised by the compiler.

The second half has the same ideas for NumPy arrays of any number of points.
"""

import numpy as np

from constitutive.jit import inline

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
ROW = np.array([0, 1, 2, 0, 1, 0])  # row and column of each component of a symmetric 6-vector
COLUMN = np.array([0, 1, 2, 1, 2, 2])
SMALLEST_J, LARGEST_J = 0.1, 10.0  # range of isochoric_factor


@inline
def determinant(A):
    """det A of a 9-tuple."""
    return A[0] * (A[4] * A[8] - A[5] * A[7]) + A[1] * (A[5] * A[6] - A[3] * A[8]) + A[2] * (A[3] * A[7] - A[4] * A[6])


@inline
def adjugate(A):
    """adj A = det(A) A^-1 of a 9-tuple; A adj A = det(A) I holds for singular A too."""
    return (
        A[4] * A[8] - A[5] * A[7],
        A[2] * A[7] - A[1] * A[8],
        A[1] * A[5] - A[2] * A[4],
        A[5] * A[6] - A[3] * A[8],
        A[0] * A[8] - A[2] * A[6],
        A[2] * A[3] - A[0] * A[5],
        A[3] * A[7] - A[4] * A[6],
        A[1] * A[6] - A[0] * A[7],
        A[0] * A[4] - A[1] * A[3],
    )


@inline
def transpose(A):
    """A^T of a 9-tuple."""
    return (A[0], A[3], A[6], A[1], A[4], A[7], A[2], A[5], A[8])


@inline
def matmul(A, B):
    """A B of 9-tuples."""
    return (
        A[0] * B[0] + A[1] * B[3] + A[2] * B[6],
        A[0] * B[1] + A[1] * B[4] + A[2] * B[7],
        A[0] * B[2] + A[1] * B[5] + A[2] * B[8],
        A[3] * B[0] + A[4] * B[3] + A[5] * B[6],
        A[3] * B[1] + A[4] * B[4] + A[5] * B[7],
        A[3] * B[2] + A[4] * B[5] + A[5] * B[8],
        A[6] * B[0] + A[7] * B[3] + A[8] * B[6],
        A[6] * B[1] + A[7] * B[4] + A[8] * B[7],
        A[6] * B[2] + A[7] * B[5] + A[8] * B[8],
    )


@inline
def gram(A):
    """A^T A of a 9-tuple, as a 6-tuple."""
    return (
        A[0] * A[0] + A[3] * A[3] + A[6] * A[6],
        A[1] * A[1] + A[4] * A[4] + A[7] * A[7],
        A[2] * A[2] + A[5] * A[5] + A[8] * A[8],
        A[0] * A[1] + A[3] * A[4] + A[6] * A[7],
        A[1] * A[2] + A[4] * A[5] + A[7] * A[8],
        A[0] * A[2] + A[3] * A[5] + A[6] * A[8],
    )


@inline
def push_forward(F, S):
    """F S F^T of a 9-tuple F and a symmetric 6-tuple S, as a 6-tuple."""
    t00 = F[0] * S[0] + F[1] * S[3] + F[2] * S[5]
    t01 = F[0] * S[3] + F[1] * S[1] + F[2] * S[4]
    t02 = F[0] * S[5] + F[1] * S[4] + F[2] * S[2]
    t10 = F[3] * S[0] + F[4] * S[3] + F[5] * S[5]
    t11 = F[3] * S[3] + F[4] * S[1] + F[5] * S[4]
    t12 = F[3] * S[5] + F[4] * S[4] + F[5] * S[2]
    t20 = F[6] * S[0] + F[7] * S[3] + F[8] * S[5]
    t21 = F[6] * S[3] + F[7] * S[1] + F[8] * S[4]
    t22 = F[6] * S[5] + F[7] * S[4] + F[8] * S[2]
    return (
        t00 * F[0] + t01 * F[1] + t02 * F[2],
        t10 * F[3] + t11 * F[4] + t12 * F[5],
        t20 * F[6] + t21 * F[7] + t22 * F[8],
        t00 * F[3] + t01 * F[4] + t02 * F[5],
        t10 * F[6] + t11 * F[7] + t12 * F[8],
        t00 * F[6] + t01 * F[7] + t02 * F[8],
    )


@inline
def norm_squared(S):
    """S : S of a symmetric 6-tuple."""
    return S[0] * S[0] + S[1] * S[1] + S[2] * S[2] + 2.0 * (S[3] * S[3] + S[4] * S[4] + S[5] * S[5])


@inline
def isochoric_factor(J):
    """J^(-2/3): to round-off for 0.2 < J < 5, to 1e-11 for SMALLEST_J < J < LARGEST_J; of no use beyond.

    A Pade approximant at J = 1 and two steps of fourth order on y^-3 = J^2; no library call, so loops over points
    vectorise.
    """
    y = (10.0 + J * (16.0 + J)) / (1.0 + J * (16.0 + 10.0 * J))
    for _ in range(2):
        e = 1.0 - (J * J) * (y * y * y)
        y = y + (y * e) * (1.0 / 3.0 + e * (2.0 / 9.0 + e * (14.0 / 81.0)))
    return y


def full(S: np.ndarray) -> np.ndarray:
    """Symmetric tensors (..., 6) as matrices (..., 3, 3)."""
    S = np.asarray(S)
    A = np.empty((*S.shape[:-1], 3, 3), S.dtype)
    A[..., ROW, COLUMN] = S
    A[..., COLUMN, ROW] = S
    return A


def symmetric(A: np.ndarray) -> np.ndarray:
    """Symmetric part of matrices (..., 3, 3) as 6-vectors (..., 6)."""
    A = np.asarray(A)
    return (0.5 * (A + np.swapaxes(A, -1, -2)))[..., ROW, COLUMN]


def square_root(C: np.ndarray) -> np.ndarray:
    """Symmetric positive definite root of matrices (..., 3, 3), as 6-vectors (..., 6)."""
    values, vectors = np.linalg.eigh(C)
    return symmetric((vectors * np.sqrt(values)[..., None, :]) @ np.swapaxes(vectors, -1, -2))


def von_mises(stress: np.ndarray) -> np.ndarray:
    """Von Mises stress sqrt(3/2) |dev sigma| of stresses (..., 6), in the unit of the stress."""
    deviator = full(stress)
    deviator -= np.trace(deviator, axis1=-2, axis2=-1)[..., None, None] / 3.0 * np.eye(3)
    return np.sqrt(1.5 * np.einsum("...ij,...ij", deviator, deviator))


def deviatoric_strain(F: np.ndarray) -> np.ndarray:
    """e_d = |F^T F / (det F)^(2/3) - I| / 2 of deformation gradients (..., 3, 3).

    The paper (section 4.1) prints the exponent 2; with it e_d would not vanish for pure dilatation in 3D, so 2/3 is
    used.
    """
    C = np.swapaxes(F, -1, -2) @ F / np.cbrt(np.linalg.det(F) ** 2)[..., None, None] - np.eye(3)
    return 0.5 * np.sqrt(np.einsum("...ij,...ij", C, C))


def volumetric_strain(F: np.ndarray) -> np.ndarray:
    """e_v = det F - 1 of deformation gradients (..., 3, 3)."""
    return np.linalg.det(F) - 1.0


def random_rotations(rng: np.random.Generator, count: int) -> np.ndarray:
    """Rotations (count, 3, 3) uniform on SO(3), from Gaussian quaternions (Shoemake 1992)."""
    return rotations_from_quaternions(rng.normal(size=(count, 4)))


def rotations_from_quaternions(q: np.ndarray) -> np.ndarray:
    """Rotations (n, 3, 3) of quaternions w, x, y, z (n, 4), normalised here."""
    w, x, y, z = q.T / np.linalg.norm(q, axis=1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)
