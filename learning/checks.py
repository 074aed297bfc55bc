"""Checks of a law that need no large set of paths: resolution, causality, isotropy, roughness, drift, dissipation.

Each takes a law and gives numbers for a table, and the curves that a picture shows; the fine scale goes through the
same ones. Paths are driven with F = U, and last `duration` seconds, but for those of `drift`, ten times as long.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from constitutive.drive import History, drive
from constitutive.law import Law
from constitutive.tensor import full, von_mises
from learning.errors import deviator, squared
from learning.fine_scale import RECORD_BYTES
from learning.strain_paths import DEVIATORS, Curve, cyclic, exponential, hold, proportional, random_directions

RESOLUTIONS = (50, 200, 1000, 5000, 20_000)  # steps
SMOOTH_PATHS, SMOOTH_STRAIN, MOST_WAVES = 4, 0.3, 1.5  # equivalent strain; waves within a path
DIRECTIONS, DIRECTION_STRAIN, DIRECTION_STEPS = 12, 0.3, 200
TURNS, TURNED, TURN_STRAIN, TURN_STEPS = (0.003, 0.01, 0.03, 0.1), 24, 0.1, 40  # rad; directions that are turned
LONG_STEPS, LONG = 20_000, 10.0  # of `drift`; its duration over that of other checks
HOLD_STRAIN, CYCLE_STRAIN, CYCLES = 0.2, 0.05, 40
CAUSAL_STEPS = 200
RECORDS = 1000  # of energies along a path


@dataclass(frozen=True)
class Response:
    """A law's answer to n paths at m+1 times: stress (m+1, n, 6) Pa.

    Energies (r, n) in J/m3 are those after every `every`th step: `work` that the stress has done, and the law's own
    plastic work, stored and dissipated energy, None where it has none.
    """

    stress: np.ndarray
    every: int
    work: np.ndarray
    plastic_work: np.ndarray | None
    stored: np.ndarray | None
    dissipated: np.ndarray | None


def respond(law: Law, times: np.ndarray, curves: list[Curve]) -> Response:
    """Drive a law along curves U(t), in pieces whose states fit in memory. Raises LawError where it fails."""
    U = np.stack([curve(times) for curve in curves], axis=1)
    F, n, steps = full(U), len(curves), len(times) - 1
    every = max(1, steps // RECORDS)
    piece = every * max(1, int(RECORD_BYTES / (8 * n * max(law.state_size, 1))))
    stress, energies = np.zeros_like(U), []
    state = last = None
    for a in range(0, steps, piece):
        b = min(a + piece, steps)
        keep = np.arange(0 if a == 0 else every, b - a + 1, every)
        history = drive(law, times[a : b + 1], F[a : b + 1], keep, state, last)
        state, last = history.state, history.stress[-1]
        stress[a : b + 1] = history.stress
        energies.append(_energies(law, F[a + keep], history))
    plastic_work, stored, dissipated = (
        None if parts[0] is None else np.concatenate(parts) for parts in zip(*energies, strict=True)
    )
    return Response(stress, every, stress_work(F, stress)[::every], plastic_work, stored, dissipated)


def _energies(law: Law, F: np.ndarray, history: History) -> tuple[np.ndarray | None, ...]:
    """Plastic work, stored and dissipated energy (r, n) of the recorded states under F (r, n, 3, 3)."""
    plastic = history.recorded("plastic_work") if any(state.name == "plastic_work" for state in law.states) else None
    if law.energies is None:
        return plastic, None, None
    stored, dissipated = law.energies(
        F.reshape(-1, 3, 3), history.record.reshape(F.shape[0] * F.shape[1], law.state_size)
    )
    return plastic, stored.reshape(F.shape[:2]), dissipated.reshape(F.shape[:2])


def stress_work(F: np.ndarray, stress: np.ndarray) -> np.ndarray:
    """Work of the stress, int P : dF, J per reference m3, (m+1, n), by the trapezoidal rule; P = J sigma F^-T."""
    P = np.linalg.det(F)[..., None, None] * full(stress) @ np.linalg.inv(F).swapaxes(-1, -2)
    steps = np.einsum("tnij,tnij->tn", 0.5 * (P[1:] + P[:-1]), np.diff(F, axis=0))
    return np.concatenate([np.zeros((1, F.shape[1])), np.cumsum(steps, axis=0)])


def size(stress: np.ndarray) -> np.ndarray:
    """Frobenius norm of the deviator of stresses (..., 6), Pa."""
    return np.sqrt(squared(deviator(stress)))


def apart(stress: np.ndarray, reference: np.ndarray) -> float:
    """Relative L2 difference of deviators over all times and paths jointly, of stresses (m+1, n, 6)."""
    return float(np.linalg.norm(size(stress - reference)) / np.linalg.norm(size(reference)))


def smooth_walk(rng: np.random.Generator, duration: float, strain: float = SMOOTH_STRAIN) -> Curve:
    """An isochoric path without kinks: each component of the log strain a sine of its own, from U = I."""
    waves, phases = rng.uniform(0.2, MOST_WAVES, 5), rng.uniform(0.0, 2.0 * np.pi, 5)
    amplitude = np.sqrt(1.5) * strain * random_directions(rng, 1, 5)[0]

    def U(t):
        angle = 2.0 * np.pi * waves * (np.asarray(t)[:, None] / duration) + phases
        return exponential((amplitude * (np.sin(angle) - np.sin(phases))) @ DEVIATORS)

    return U


def resolution(law: Law, duration: float, seed: int, truth: np.ndarray | None = None) -> dict[str, Any]:
    """The same smooth paths in RESOLUTIONS steps: a law's answers at common times against its own finest answer, and
    against the fine scale's, `truth` as `finest` gives it (by default the law's own); and passivity along the finest.
    """
    curves = _smooth_paths(duration, seed)
    responses = [respond(law, np.linspace(0.0, duration, steps + 1), curves) for steps in RESOLUTIONS]
    answers = [r.stress[:: steps // RESOLUTIONS[0]] for r, steps in zip(responses, RESOLUTIONS, strict=True)]
    return {
        "steps": list(RESOLUTIONS),
        "against_own_finest": [apart(stress, answers[-1]) for stress in answers],
        "against_fine_scale": [apart(stress, answers[-1] if truth is None else truth) for stress in answers],
        **dissipation(responses[-1]),
    }


def finest(law: Law, duration: float, seed: int) -> np.ndarray:
    """A law's answer to the paths of `resolution` in the finest steps, at the times of the coarsest, (r, n, 6) Pa."""
    times = np.linspace(0.0, duration, RESOLUTIONS[-1] + 1)
    return respond(law, times, _smooth_paths(duration, seed)).stress[:: RESOLUTIONS[-1] // RESOLUTIONS[0]]


def _smooth_paths(duration: float, seed: int) -> list[Curve]:
    rng = np.random.default_rng(seed)
    return [smooth_walk(rng, duration) for _ in range(SMOOTH_PATHS)]


def dissipation(response: Response) -> dict[str, Any]:
    """Signs of the plastic power, and whether energy is accounted for; None where the law does not tell.

    least_plastic_power   least rise of the law's plastic work between records, over the mean work done to and fro
                          between them: not negative if passive
    least_dissipation     the same for the work of the stress less the stored energy, which the law cannot hide
    energy_imbalance      largest |work - stored - dissipated| over the largest work
    """

    scale = np.abs(np.diff(response.work, axis=0)).mean()
    known: dict[str, Any] = dict.fromkeys(("least_plastic_power", "least_dissipation", "energy_imbalance"))
    if response.plastic_work is not None:
        known["least_plastic_power"] = float(np.diff(response.plastic_work, axis=0).min() / scale)
    if response.stored is not None and response.dissipated is not None:
        known["least_dissipation"] = float(np.diff(response.work - response.stored, axis=0).min() / scale)
        missing = response.work - response.stored - response.dissipated
        known["energy_imbalance"] = float(np.abs(missing).max() / response.work.max())
    return known


def causality(law: Law, duration: float, seed: int) -> dict[str, Any]:
    """Two paths that part at half time: whether the answers are the same before, bit for bit, and how far apart after.

    The paths are driven apart from each other, so nothing but the law's own state could tell of the future.
    """
    rng = np.random.default_rng(seed)
    first, other = smooth_walk(rng, duration), smooth_walk(rng, duration)
    half = CAUSAL_STEPS // 2
    times = np.linspace(0.0, duration, CAUSAL_STEPS + 1)
    U = first(times)
    parted = U.copy()
    weight = np.linspace(0.0, 1.0, CAUSAL_STEPS - half + 1)[:, None]
    parted[half:] += weight * (other(times) - U)[half:]
    one, two = (drive(law, times, full(path)[:, None]).stress[:, 0] for path in (U, parted))
    return {
        "identical_before": bool(np.array_equal(one[: half + 1], two[: half + 1])),
        "apart_after": apart(one[half + 1 :, None], two[half + 1 :, None]),
    }


def isotropy(law: Law, duration: float) -> dict[str, Any]:
    """Isochoric tension and compression along axes in the plane x-y: von Mises stress at the end, Pa, and its spread.

    `spread` is the largest less the least over the mean, the worse of tension and compression.
    """
    angles = np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    axes = np.stack([np.cos(angles), np.sin(angles), 0.0 * angles], axis=1)
    deviators = np.einsum("ni,nj->nij", axes, axes) - np.eye(3) / 3.0
    directions = np.einsum("nij,kij->nk", deviators, full(DEVIATORS))
    knots = np.array([0.0, duration])
    strains = [
        (sign, [proportional(d, knots, sign * np.array([0.0, DIRECTION_STRAIN])) for d in directions])
        for sign in (1.0, -1.0)
    ]
    times = np.linspace(0.0, duration, DIRECTION_STEPS + 1)
    tension, compression = (von_mises(respond(law, times, curves).stress[-1]) for _, curves in strains)
    return {
        "angles": angles.tolist(),
        "tension": tension.tolist(),
        "compression": compression.tolist(),
        "spread": max(float(np.ptp(q) / q.mean()) for q in (tension, compression)),
        "strain": DIRECTION_STRAIN,
    }


def roughness(law: Law, duration: float, seed: int) -> dict[str, Any]:
    """How much more than the loading its answer turns, where the direction of straight loading turns by TURNS, rad.

    `rough` is (|sigma' - sigma|^2 / |sigma|^2 - |d' - d|^2)^(1/2) at a strain of TURN_STRAIN, of TURNED random unit
    deviators d together. It falls in proportion to the turn where the answer is a smooth function of direction, but
    like the turn's root where it is a sum of jumps, as of grains that do or do not twin: that is hard to learn.
    """
    rng = np.random.default_rng(seed)
    d = random_directions(rng, TURNED, 5)
    aside = random_directions(rng, TURNED, 5)
    aside -= np.sum(aside * d, axis=1, keepdims=True) * d
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    knots, strains = np.array([0.0, duration]), np.array([0.0, TURN_STRAIN])
    curves = [proportional(v, knots, strains) for a in (0.0, *TURNS) for v in np.cos(a) * d + np.sin(a) * aside]
    stress = respond(law, np.linspace(0.0, duration, TURN_STEPS + 1), curves).stress[-1].reshape(-1, TURNED, 6)
    turned = [apart(other[None], stress[0][None]) for other in stress[1:]]
    chords = 2.0 * np.sin(0.5 * np.array(TURNS))
    rough = np.sqrt(np.maximum(np.square(turned) - chords**2, 0.0))
    return {"turns": list(TURNS), "turn_strain": TURN_STRAIN, "rough": rough.tolist()}


def drift(law: Law, duration: float, seed: int) -> dict[str, Any]:
    """LONG_STEPS steps of rest after loading, and of closed cycles of strain, in SMOOTH_PATHS random directions.

    hold_rise      largest deviator at rest over that when rest begins, less 1
    hold_late      change of the deviator over the second half of the rest, over its size when rest begins
    cycle_growth   peak of the last cycle over that of the fifth, less 1
    cycle_work     least work spent in a cycle over that done to and fro: below 0, energy would be created
    plastic_rise   least rise of plastic work, as `least_plastic_power` of `dissipation`; None where the law has none
    bounded        whether every stress is finite and below ten times the first loading's largest
    """
    rng = np.random.default_rng(seed)
    directions = random_directions(rng, SMOOTH_PATHS, 5)
    times = np.linspace(0.0, LONG * duration, LONG_STEPS + 1)
    held = respond(law, times, [hold(d, HOLD_STRAIN, LONG * duration, 1.0 / LONG) for d in directions])
    cycled = respond(law, times, [cyclic(d, CYCLE_STRAIN, LONG * duration, CYCLES) for d in directions])
    begin, middle = int(LONG_STEPS / LONG), LONG_STEPS // 2
    rest, start = size(held.stress[begin:]), size(held.stress[begin])
    cycle = LONG_STEPS // CYCLES
    peaks = size(cycled.stress[1:]).reshape(CYCLES, cycle, -1).max(axis=1)
    done = np.diff(cycled.work, axis=0).reshape(CYCLES, cycle // cycled.every, -1)
    work = done.sum(axis=1) / np.abs(done).sum(axis=1)
    plastic = [dissipation(r)["least_plastic_power"] for r in (held, cycled)]
    every = np.concatenate([size(held.stress), size(cycled.stress)])
    return {
        "steps": LONG_STEPS,
        "hold_rise": float((rest / start - 1.0).max()),
        "hold_late": float((size(held.stress[-1] - held.stress[middle]) / start).max()),
        "cycle_growth": float((peaks[-1] / peaks[4] - 1.0).max()),
        "cycle_work": float(work.min()),
        "plastic_rise": None if None in plastic else min(plastic),
        "bounded": bool(np.isfinite(every).all() and every.max() < 10.0 * size(held.stress[: begin + 1]).max()),
        "held_von_mises": von_mises(held.stress[:: LONG_STEPS // 200, 0]).tolist(),
        "cycle_peaks": (np.sqrt(1.5) * peaks[:, 0]).tolist(),
    }


def all_checks(law: Law, duration: float, seed: int, truth: np.ndarray | None) -> dict[str, Callable[[], dict]]:
    """The checks by name, not yet run; `truth` as in `resolution`."""
    return {
        "resolution": lambda: resolution(law, duration, seed, truth),
        "causality": lambda: causality(law, duration, seed),
        "isotropy": lambda: isotropy(law, duration),
        "roughness": lambda: roughness(law, duration, seed),
        "drift": lambda: drift(law, duration, seed),
    }
