"""J2 plasticity with linear isotropic hardening at finite strain (Simo & Hughes 1998, section 9.3).

q <= sigma_y + H p                     yield condition, q von Mises stress of the Kirchhoff stress J sigma
dp = (q_tr - sigma_y - H p)+ / (3 G k + H)   radial return in closed form, see radial_return.py
sigma = G/J dev b + K (J - 1) I        Cauchy stress, Pa
W = G/2 (tr b - 3) + K/2 (J - 1)^2     stored elastic energy per reference volume, J/m3
D = sigma_y p + H p^2 / 2              plastic work per reference volume, J/m3 (of it H p^2 / 2 may count as stored)

G, K elastic moduli, sigma_y yield stress, H hardening modulus (Pa); b isochoric elastic left Cauchy-Green tensor, p
equivalent plastic strain (states). At small pressure J = 1 and q is the von Mises stress that a tensile test
measures.
"""

import numpy as np

from constitutive import elastic
from constitutive.jit import inline
from constitutive.law import INVERTED, OK, Law, LawDefinition, Parameter, State, block_of_points
from constitutive.neo_hookean import cauchy_stress, energy
from constitutive.radial_return import (
    TINY,
    deviator_invariants,
    elastic_trial,
    return_modulus,
    returned,
    von_mises_kirchhoff,
)
from constitutive.tensor import LARGEST_J, SMALLEST_J

ELASTIC_METRIC = State("elastic_metric", "1", 6, (1.0, 1.0, 1.0, 0.0, 0.0, 0.0))
PLASTIC_STRAIN = State("equivalent_plastic_strain", "1")


@inline
def update(params, F_old, F_new, dt, stress, state):
    G, K, sigma_y, H = params[0], params[1], params[2], params[3]
    p = state[6]
    b, J, j = elastic_trial(F_old, F_new, (state[0], state[1], state[2], state[3], state[4], state[5]))
    m, square, det = deviator_invariants(b)
    q = von_mises_kirchhoff(G, square)
    per_q = 1.0 / max(q, TINY)
    strength = sigma_y + H * p
    midway = 0.5 + 0.5 * min(strength * per_q, 1.0)
    modulus = return_modulus(G, m, square, det, midway)
    dp = max(q - strength, 0.0) / (modulus + H)
    b = returned(b, m, square, det, 1.0 - modulus * dp * per_q)
    stress = cauchy_stress(G, K, J, b)
    status = OK if J > 0.0 and SMALLEST_J < j < LARGEST_J and q < np.inf else INVERTED
    return stress, (b[0], b[1], b[2], b[3], b[4], b[5], p + dp), status


def build(values) -> Law:
    G, K = elastic.moduli(values)
    sigma_y, H = values["yield_stress"], values["hardening_modulus"]

    def energies(F, state):
        p = state[:, 6]
        return energy(G, K, F, state[:, :3].sum(axis=1)), sigma_y * p + 0.5 * H * p**2

    return Law(
        name="j2",
        density=values["density"],
        p_wave_modulus=K + 4.0 / 3.0 * G,
        shear_modulus=G,
        params=np.array([G, K, sigma_y, H]),
        states=(ELASTIC_METRIC, PLASTIC_STRAIN),
        update_block=block_of_points(update, 7),
        energies=energies,
    )


PARAMETERS = (
    *elastic.PARAMETERS,
    Parameter("yield_stress", "Pa", "initial flow stress", 1e3, 1e12),
    Parameter("hardening_modulus", "Pa", "flow stress per plastic strain", 1e3, 1e12, default=0.0, or_zero=True),
)

LAW = LawDefinition("j2", PARAMETERS, build)
