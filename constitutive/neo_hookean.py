"""Compressible neo-Hookean elasticity, the elastic part of every law here (paper, eq. A.3).

W = G/2 (tr(F^T F) J^(-2/3) - 3) + K/2 (J - 1)^2        energy per reference volume, J/m3
sigma = G J^(-5/3) dev(F F^T) + K (J - 1) I             Cauchy stress, Pa

G shear modulus, K bulk modulus, J = det F.
"""

import numpy as np

from constitutive import elastic
from constitutive.jit import inline
from constitutive.law import INVERTED, OK, Law, LawDefinition, block_of_points
from constitutive.tensor import LARGEST_J, SMALLEST_J, determinant, isochoric_factor, push_forward

_UNIT = (1.0, 1.0, 1.0, 0.0, 0.0, 0.0)


@inline
def cauchy_stress(G, K, J, b):
    """Cauchy stress from the isochoric left Cauchy-Green tensor b (6-tuple, any trace) and J."""
    mean = (b[0] + b[1] + b[2]) / 3.0
    g = G / J
    p = K * (J - 1.0)
    return (g * (b[0] - mean) + p, g * (b[1] - mean) + p, g * (b[2] - mean) + p, g * b[3], g * b[4], g * b[5])


@inline
def update(params, F_old, F_new, dt, stress, state):
    J = determinant(F_new)
    factor = isochoric_factor(J)
    B = push_forward(F_new, _UNIT)
    b = (factor * B[0], factor * B[1], factor * B[2], factor * B[3], factor * B[4], factor * B[5])
    return cauchy_stress(params[0], params[1], J, b), state, OK if SMALLEST_J < J < LARGEST_J else INVERTED


def energy(G: float, K: float, F: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Stored energy (n,) for F (n, 3, 3) and the trace (n,) of the isochoric elastic left Cauchy-Green tensor."""
    return 0.5 * G * (b - 3.0) + 0.5 * K * (np.linalg.det(F) - 1.0) ** 2


def build(values) -> Law:
    G, K = elastic.moduli(values)

    def energies(F, state):
        trace = np.einsum("nij,nij->n", F, F) / np.cbrt(np.linalg.det(F) ** 2)
        return energy(G, K, F, trace), np.zeros(len(F))

    return Law(
        name="neo_hookean",
        density=values["density"],
        p_wave_modulus=K + 4.0 / 3.0 * G,
        shear_modulus=G,
        params=np.array([G, K]),
        states=(),
        update_block=block_of_points(update, 0),
        energies=energies,
    )


LAW = LawDefinition("neo_hookean", elastic.PARAMETERS, build)
