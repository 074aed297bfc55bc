"""What can be read off the state of a crystal law: mean fields, energies, orientations of grains and twins.

A state (n, k) of n points holds, each for all grains in turn, 9 components of P = F_in^-1 R, the accumulated slips e,
the twin fractions lambda, then the integration's substeps, and last the point's equivalent plastic strain and plastic
work (constitutive/taylor.py).

    W   = W_e + W_p + W_t                                             stored energy per reference volume (paper, A.2)
    W_e = G/2 (C : Z - 3) + lambda_e (J - 1)^2,  C = J^(-2/3) F^T F   A.3, in terms of the metric Z = <P P^T>
    W_p = 1/2 e . H e + sum_a sigma_inf (e_a + sigma_inf/h (exp(-h e_a / sigma_inf) - 1))   A.4, less its value at e = 0
    W_t = 1/2 lambda . K lambda + sum_b h/2 lambda_b^2                A.5; the print lacks K and the half f_b implies
    D   = plastic work - W_p - W_t                                    dissipated
"""

from collections.abc import Callable

import numpy as np

from constitutive.crystal import mirror
from constitutive.crystal_rates import SLIP_ROW, TWIN_ROW
from constitutive.law import Law
from constitutive.tensor import symmetric


def split_state(state: np.ndarray, grains: int, n_slip: int, n_twin: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P (n, grains, 3, 3), slip (n, n_slip, grains) and twin fractions (n, n_twin, grains) of a state (n, k)."""
    n = len(state)
    a, b = 9 * grains, (9 + n_slip) * grains
    P = state[:, :a].reshape(n, 3, 3, grains).transpose(0, 3, 1, 2)
    return P, state[:, a:b].reshape(n, -1, grains), state[:, b : b + n_twin * grains].reshape(n, -1, grains)


def sizes(law: Law) -> tuple[int, int, int]:
    """Grains, slip systems and twin systems of a crystal law."""
    n_slip, n_twin, grains = (int(x) for x in law.params[3:6])
    return grains, n_slip, n_twin


def crystal_fields(families: list[str], n_twin: int, weights: np.ndarray) -> Callable:
    """`Law.fields`: inelastic_metric, slip_<family> (weighted mean of the family's total), twin_fraction and strain."""

    def fields(F: np.ndarray, state: np.ndarray) -> dict[str, np.ndarray]:
        P, e, fraction = split_state(state, len(weights), len(families), n_twin)
        Z = np.einsum("g,ngik,ngjk->nij", weights, P, P, optimize=True)
        slips = e @ weights
        named = {
            f"slip_{name}": slips[:, [i for i, family in enumerate(families) if family == name]].sum(axis=1)
            for name in dict.fromkeys(families)
        }
        twins = {"twin_fraction": (fraction @ weights).sum(axis=1)} if n_twin else {}
        return {
            "inelastic_metric": symmetric(Z),
            **named,
            **twins,
            "equivalent_plastic_strain": state[:, -2],
            "plastic_work": state[:, -1],
        }

    return fields


def crystal_energies(G: float, lambda_e: float, slip: np.ndarray, twin: np.ndarray, weights: np.ndarray) -> Callable:
    """`Law.energies`: stored energy W and dissipated energy D, J per reference m3; their sum is the work done."""
    h, saturation, cross = slip[:, 18, None], slip[:, 19, None], slip[:, 20, None]
    hardens, sharpness = h > 0.0, np.where(h > 0.0, h, saturation) / saturation

    def energies(F: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        P, e, fraction = split_state(state, len(weights), len(slip), len(twin))
        J = np.linalg.det(F)
        C = np.swapaxes(F, 1, 2) @ F / np.cbrt(J**2)[:, None, None]
        trace = np.einsum("g,nij,ngik,ngjk->n", weights, C, P, P, optimize=True)
        elastic = 0.5 * G * (trace - 3.0) + lambda_e * (J - 1.0) ** 2
        others = e.sum(axis=1, keepdims=True) - e
        saturating = np.where(hardens, saturation * (e + np.expm1(-sharpness * e) / sharpness), 0.0)
        plastic = 0.5 * cross * e * others + saturating
        stored = plastic.sum(axis=1) @ weights
        if len(twin):
            own, k = twin[:, 21, None], twin[:, 22, None]
            rest = fraction.sum(axis=1, keepdims=True) - fraction
            stored += (0.5 * k * fraction * rest + 0.5 * own * fraction**2).sum(axis=1) @ weights
        return elastic + stored, state[:, -1] - stored

    return energies


def grain_weights(law: Law) -> np.ndarray:
    """Weights (grains,) of a crystal law's grains, of sum 1."""
    return law.params[-sizes(law)[0] :]


def initial_texture(law: Law) -> np.ndarray:
    """Orientations (grains, 3, 3), crystal to sample axes, of a law's virgin grains."""
    return split_state(law.initial_state(1), *sizes(law))[0][0]


def grain_deviators(law: Law, F: np.ndarray, state: np.ndarray) -> np.ndarray:
    """Deviatoric Cauchy stress of each grain, G J^(-5/3) dev(A A^T) with A = F P, shape (n, grains, 6), Pa."""
    A = F[:, None] @ split_state(state, *sizes(law))[0]
    B = symmetric(A @ np.swapaxes(A, -1, -2))
    B[..., :3] -= B[..., :3].mean(axis=-1, keepdims=True)
    return law.shear_modulus * np.cbrt(np.linalg.det(F))[:, None, None] ** -5 * B


def orientations(law: Law, F: np.ndarray, state: np.ndarray) -> np.ndarray:
    """Orientations (n, grains, 3, 3) of the deformed grains: the rotation of A R = F P, by polar decomposition."""
    P = split_state(state, *sizes(law))[0]
    U, _, V = np.linalg.svd(F[:, None] @ P)
    return U @ V


def twin_orientations(law: Law, F: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orientations (n, n_twin, grains, 3, 3) and fractions (n, n_twin, grains) of the twins in the grains.

    A twin's lattice is the parent's after half a turn about the twin plane's normal: the mirror and an inversion, which
    no pole figure sees.
    """
    grains, n_slip, n_twin = sizes(law)
    table = law.params[6 + SLIP_ROW * n_slip :][: TWIN_ROW * n_twin].reshape(n_twin, TWIN_ROW)
    half_turns = -mirror(table[:, :3])
    R = orientations(law, F, state)
    return R[:, None] @ half_turns[None, :, None], split_state(state, grains, n_slip, n_twin)[2]
