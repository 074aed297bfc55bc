"""Whether what a law lacks can be learned: how alike its errors are on neighbouring paths.

A random walk in log strain is moved aside by a part of another one, E' = E + a E_2. Where the law's errors on the two
are still alike, what it lacks is a smooth function of the path, which more paths, memory or units can give it. Where
they are not, it would have to tell such neighbours apart: the fine scale jumps between them, as grains do that twin or
do not, or the paths that it has learned from lie further apart than that.
"""

from typing import Any

import numpy as np

from constitutive.law import Law
from learning.checks import respond
from learning.errors import WEIGHTS, deviator
from learning.strain_paths import Curve, ImpactSampler, exponential, logarithm, random_stream

ASIDE = (0.01, 0.03, 0.1, 0.3)  # a
WALKS, STEPS = 24, 200


def paths(duration: float, seed: int) -> list[Curve]:
    """WALKS walks of the sampler `impact`, then as many for each of ASIDE, moved aside by a walk of the same strain."""
    rng, sampler = random_stream(seed, 0, 0), ImpactSampler()
    strains = sampler.strain * rng.uniform(0.05, 1.0, WALKS)
    walks, others = ([sampler.walk(rng, strain, duration) for strain in strains] for _ in range(2))
    return [moved(walk, other, a) for a in (0.0, *ASIDE) for walk, other in zip(walks, others, strict=True)]


def moved(walk: Curve, other: Curve, part: float) -> Curve:
    """U = exp(E + part E_2), with E and E_2 the log strains of two paths."""
    return lambda t: exponential(logarithm(walk(t)) + part * logarithm(other(t)))


def answer(law: Law, duration: float, seed: int) -> np.ndarray:
    """A law's stress on `paths`, (1 + len(ASIDE), STEPS + 1, WALKS, 6) Pa. Raises LawError."""
    stress = respond(law, np.linspace(0.0, duration, STEPS + 1), paths(duration, seed)).stress
    return np.moveaxis(stress.reshape(STEPS + 1, 1 + len(ASIDE), WALKS, 6), 1, 0)


def likeness(law: Law, duration: float, seed: int, truth: np.ndarray) -> dict[str, Any]:
    """Errors against the fine scale's `answer` on walks and their neighbours, over the second half of the paths.

    error   relative L2 norm of the deviator's error on the walks, all together
    alike   correlation of these errors with those on the walks moved aside, by ASIDE: 1 if they are the same; None for
            a law without errors
    moved   by how much the fine scale's own stress is another there, relative L2
    """
    wanted, told = (_late_deviators(stress) for stress in (truth, answer(law, duration, seed)))
    errors, changes = told - wanted, wanted[1:] - wanted[0]
    norms = np.linalg.norm(errors, axis=1)
    return {
        "aside": list(ASIDE),
        "error": float(norms[0] / np.linalg.norm(wanted[0])),
        "alike": (errors[1:] @ errors[0] / (norms[1:] * norms[0])).tolist() if norms.all() else None,
        "moved": (np.linalg.norm(changes, axis=1) / np.linalg.norm(wanted[0])).tolist(),
    }


def _late_deviators(stress: np.ndarray) -> np.ndarray:
    """Deviators over the second half, a row for each of ASIDE, whose Euclidean norm is Frobenius'."""
    return (deviator(stress[:, STEPS // 2 :]) * np.sqrt(WEIGHTS)).reshape(len(stress), -1)
