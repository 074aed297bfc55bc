"""The paper's particular strain paths (Liu et al. 2022, figures 1 e-g, 2 and 3), as stretches U (n, m+1, 6).

Times are in units of the duration T, from 0 to 1. Symmetric tensors are 6-vectors in the order 11, 22, 33, 12, 23, 13.
"""

import numpy as np

from constitutive.tensor import symmetric
from learning.strain_paths import IDENTITY, PlaneSampler, path

STRETCH = 0.15  # c of uniaxial strain, U11 = 1 + c t: within what random paths of U_max = 0.15 reach
CAVITY = 0.5  # c of the shear around a growing cavity, U22 = sqrt(1 + c t^2)
DIVERGE = 0.5  # t at which the paths of the first causality set part
STOPS = (0.2, 0.35, 0.5, 0.65, 0.8)  # times at which those of the second are held
ANGLES = np.radians(np.arange(0.0, 360.0, 30.0))
TENSION = 0.15  # largest log strain of the isotropy test


def plane_stretch(U11: np.ndarray, U22: np.ndarray) -> np.ndarray:
    """U (m+1, 6) with U33 = 1 and no shear."""
    U = np.tile(IDENTITY, (len(U11), 1))
    U[:, 0], U[:, 1] = U11, U22
    return U


def common_paths(t: np.ndarray) -> dict[str, np.ndarray]:
    """Uniaxial strain U11 = f, U22 = 1/f, loaded and loaded-unloaded, and shear as around a cavity; each (m+1, 6).

    The paper writes f = c t, which does not begin at 1: f = 1 + c t is meant, and 1 + c (1 - t) on the way back.
    """
    up, down = 1.0 + STRETCH * t, 1.0 + STRETCH * np.minimum(2.0 * t, 2.0 - 2.0 * t)
    cavity = np.sqrt(1.0 + CAVITY * t**2)
    return {
        "uniaxial": plane_stretch(up, 1.0 / up),
        "load and unload": plane_stretch(down, 1.0 / down),
        "cavity expansion": plane_stretch(1.0 / cavity, cavity),
    }


def diverging_paths(t: np.ndarray, seed: int, u_max: float) -> np.ndarray:
    """Five paths (5, m+1, 6), a random walk up to DIVERGE and five ways from there."""
    U = path(PlaneSampler(duration=1.0, u_max=u_max), seed, 0, len(t) - 1).U(np.minimum(t, DIVERGE))
    rng = np.random.default_rng([seed, 1])
    ways = rng.choice([-1.0, 1.0], (5, 6)) * PlaneSampler.walking * u_max * np.linspace(0.2, 1.0, 5)[:, None]
    late = np.maximum(t - DIVERGE, 0.0) / (1.0 - DIVERGE)
    return U + (late * late * (3.0 - 2.0 * late))[:, None] * ways[:, None]


def held_paths(t: np.ndarray) -> np.ndarray:
    """Five uniaxial paths (5, m+1, 6) that share their loading, and stop at STOPS."""
    f = [1.0 + STRETCH * np.minimum(t, stop) for stop in STOPS]
    return np.array([plane_stretch(up, 1.0 / up) for up in f])


def tension_paths(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Isochoric tension (12, m+1, 6) along directions n (12, 3) in the plane of axes 1 and 3, ANGLES apart."""
    n = np.stack([np.cos(ANGLES), np.zeros_like(ANGLES), np.sin(ANGLES)], axis=1)
    nn, e = n[:, None, :, None] * n[:, None, None, :], (TENSION * t)[:, None, None]
    return symmetric(np.exp(e) * nn + np.exp(-0.5 * e) * (np.eye(3) - nn)), n


def axial_stress(stress: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Axial minus mean lateral stress (k, m+1) of stresses (k, m+1, 6) along directions n (k, 3)."""
    doubled = symmetric(n[:, :, None] * n[:, None, :]) * [1, 1, 1, 2, 2, 2]
    along = np.einsum("kmc,kc->km", stress, doubled)
    return 1.5 * along - 0.5 * stress[..., :3].sum(axis=-1)
