"""Strain paths to learn from: right stretch tensors U(t) that start at I.

Three samplers. `paper` is a random walk of the components of U (Liu et al. 2022, section 3.2),

    (U_ij)_n = (U_ij)_{n-1} + nu_n U_max sqrt(dt_n / T),   nu_n = +-1 by Rademacher, its own for each component,

whose determinant, hence the pressure, wanders freely. `impact` is what impact produces: random walks of the log strain,

    U = exp(E),   E = sum_k c_k D_k + (ln J / 3) I,   D_k an orthonormal basis of the symmetric deviators,

with the five c_k reaching equivalent strains sqrt(2/3) |c| of the order one and the volume J kept within 5 %, and a
share of the simple programmes below (monotonic, load and unload, hold, shear, cyclic) in random directions.
`recorded` draws from what elements of finished runs went through (learning/histories.py).

Between the knots of a walk runs the monotone cubic Hermite interpolant (Fritsch & Carlson's, `pchip`; the paper says
"cubic Hermite" only), which does not overshoot: bounds that hold at the knots hold between them.

A path depends on (sampler, seed, index, attempt) alone, whoever draws it, with whatever others.
Symmetric tensors are 6-vectors in the order 11, 22, 33, 12, 23, 13 with tensor shear components; SI units.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, ClassVar
from zipfile import BadZipFile

import numpy as np
from scipy.interpolate import PchipInterpolator, PPoly

from constitutive.tensor import full, square_root, symmetric

Curve = Callable[[np.ndarray], np.ndarray]

# Rows: an orthonormal basis (Frobenius) of symmetric deviators, (5, 6). Being orthonormal, it turns directions uniform
# on the sphere of the coefficients into deviators that know no preferred axes.
DEVIATORS = np.array(
    [[1, -1, 0, 0, 0, 0], [-1, -1, 2, 0, 0, 0], [0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 1]], float
) / np.sqrt([[2], [6], [2], [2], [2]])
IDENTITY = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
GRIDS = ("equal", "random", "mixed")
MOST_REDRAWS = 1000


class StrainPathError(ValueError):
    """A strain path that cannot be drawn as asked; the message says why."""


@dataclass(frozen=True)
class StrainPath:
    """One path: `U(t)` gives stretches (k, 6) at times (k,) in [0, T]; `times` (m+1,) s are those to record.

    `kind` names the programme; `redraws` counts walks rejected before this one.
    """

    kind: str
    times: np.ndarray
    U: Curve
    redraws: int = 0


def equivalent_strain(U: np.ndarray) -> np.ndarray:
    """sqrt(2/3 e : e) with e = dev ln U, of stretches (..., 6)."""
    values = np.log(np.linalg.eigvalsh(full(U)))
    return np.sqrt(2.0 / 3.0) * np.linalg.norm(values - values.mean(axis=-1, keepdims=True), axis=-1)


def exponential(E: np.ndarray) -> np.ndarray:
    """exp of symmetric tensors (..., 6)."""
    return _of_principal_values(np.exp, E)


def logarithm(U: np.ndarray) -> np.ndarray:
    """ln of symmetric, positive definite tensors (..., 6)."""
    return _of_principal_values(np.log, U)


def _of_principal_values(function: Callable, S: np.ndarray) -> np.ndarray:
    """The symmetric tensors (..., 6) of the same axes as S whose principal values are functions of those of S."""
    values, vectors = np.linalg.eigh(full(S))
    return symmetric((vectors * function(values)[..., None, :]) @ np.swapaxes(vectors, -1, -2))


# --- programmes: one direction, a scalar that goes up and down in time -------------------------------------------


def proportional(direction: np.ndarray, knots: np.ndarray, strains: np.ndarray, smooth: bool = False) -> Curve:
    """ln U = strain(t) sqrt(3/2) sum_k direction_k D_k, isochoric.

    direction (5,), normalised here; knots (k,) s from 0; equivalent strains (k,) from 0; straight between the knots, or
    `smooth` by pchip.
    """
    direction = np.asarray(direction, float) / np.linalg.norm(direction)
    strain = interpolant(knots, np.asarray(strains, float), smooth)
    return lambda t: exponential(np.sqrt(1.5) * strain(t)[:, None] * (direction @ DEVIATORS))


def monotonic(direction: np.ndarray, strain: float, duration: float) -> Curve:
    """Straight loading to an equivalent log strain in `duration` seconds; `direction` (5,) as in `proportional`."""
    return proportional(direction, np.array([0.0, duration]), np.array([0.0, strain]))


def load_unload(
    direction: np.ndarray, strain: float, duration: float, turn: float = 0.5, residual: float = 0.0
) -> Curve:
    """Loading to `strain` at the time turn * duration, then back to `residual`, both equivalent log strains."""
    return proportional(direction, duration * np.array([0.0, turn, 1.0]), np.array([0.0, strain, residual]))


def hold(direction: np.ndarray, strain: float, duration: float, stop: float = 0.5) -> Curve:
    """Loading to `strain` at the time stop * duration, held from then on: the stress relaxes."""
    return proportional(direction, duration * np.array([0.0, stop, 1.0]), np.array([0.0, strain, strain]))


def cyclic(direction: np.ndarray, strain: float, duration: float, cycles: float = 2.0) -> Curve:
    """strain * sin(2 pi cycles t / duration): whole numbers of cycles end at I."""
    direction = np.asarray(direction, float) / np.linalg.norm(direction)
    rate = 2.0 * np.pi * cycles / duration
    return lambda t: exponential(np.sqrt(1.5) * strain * np.sin(rate * t)[:, None] * (direction @ DEVIATORS))


def simple_shear(s: np.ndarray, m: np.ndarray, gamma: float, duration: float) -> Curve:
    """U of F = I + gamma t/T s (x) m: principal axes turn. s (3,) and m (3,) are normalised, m made normal to s."""
    s = np.asarray(s, float) / np.linalg.norm(s)
    m = m - (m @ s) * s
    sm = np.outer(s, m / np.linalg.norm(m))

    def U(t):
        F = np.eye(3) + (gamma / duration) * np.asarray(t)[:, None, None] * sm
        return square_root(np.swapaxes(F, 1, 2) @ F)

    return U


def interpolant(knots: np.ndarray, values: np.ndarray, smooth: bool) -> PPoly:
    """Piecewise polynomial through values (k, ...) at knots (k,): pchip, or straight lines with kinks."""
    if smooth:
        return PchipInterpolator(knots, values)
    slopes = np.diff(values, axis=0) / np.diff(knots).reshape(-1, *[1] * (values.ndim - 1))
    return PPoly(np.stack([slopes, values[:-1]]), knots)


# --- samplers ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PaperSampler:
    """Random walk of the components of U; see the head of this file.

    u_max 1; duration s; `intervals` of equal or (random_intervals) random length; det U within det_min and det_max.
    The paper's U_max (its table 1) and bounds are lost in our source: the defaults here are assumed.
    """

    u_max: float = 0.15
    duration: float = 1e-6
    intervals: int = 10
    random_intervals: bool = True
    det_min: float = 0.5
    det_max: float = 2.0
    grid: str = "equal"
    name: ClassVar[str] = "paper"
    walking: ClassVar[np.ndarray] = np.ones(6)  # components that walk

    def draw(self, rng: np.random.Generator, steps: int) -> StrainPath:
        """A path of `steps` recorded steps. Raises StrainPathError where nothing admissible can be drawn."""
        times = time_grid(rng, self.duration, steps, self.grid)
        for redraws in range(MOST_REDRAWS):
            knots = random_knots(rng, self.duration, self.intervals) if self.random_intervals else None
            if knots is None:
                knots = np.linspace(0.0, self.duration, self.intervals + 1)
            signs = rng.choice([-1.0, 1.0], size=(self.intervals, 6)) * self.walking
            jumps = signs * self.u_max * np.sqrt(np.diff(knots) / self.duration)[:, None]
            U = PchipInterpolator(knots, IDENTITY + np.concatenate([np.zeros((1, 6)), np.cumsum(jumps, axis=0)]))
            if self.admits(U(np.concatenate([times, np.linspace(0.0, self.duration, 16 * self.intervals)]))):
                return StrainPath("walk", times, U, redraws)
        raise StrainPathError(
            f"{MOST_REDRAWS} walks of u_max = {self.u_max:g} were not positive definite with a determinant from "
            f"{self.det_min:g} to {self.det_max:g}: make u_max (--strain) smaller"
        )

    def admits(self, U: np.ndarray) -> bool:
        """Whether stretches (k, 6) are positive definite with determinants in the bounds."""
        values = np.linalg.eigvalsh(full(U))
        volume = values.prod(axis=1)
        return bool(values.min() > 0.0 and volume.min() >= self.det_min and volume.max() <= self.det_max)


@dataclass(frozen=True)
class PlaneSampler(PaperSampler):
    """The same walk of U_11, U_22 and U_12 alone, in the 1 s of the paper's plane problem."""

    duration: float = 1.0
    name: ClassVar[str] = "paper_plane"
    walking: ClassVar[np.ndarray] = np.array([1.0, 1.0, 0.0, 1.0, 0.0, 0.0])


@dataclass(frozen=True)
class ImpactSampler:
    """Random walks in log strain and simple programmes in random directions; see the head of this file.

    The largest equivalent strain of a path is uniform from 5 to 100 % of the least of `strain` and `rate` (1/s) times
    its duration, in cycles half as large; |J - 1| <= volume. Half of the durations lie within a factor two of
    `duration`, s; the others spread over 0.2 to 50 times as much, both log-uniformly; with `fixed_duration` all last
    `duration`. Walks have 4 to 16 intervals of random length; a quarter of them rests now and then, a fifth is straight
    between the knots (kinks). `walks` is the share of walks; the five programmes share the rest evenly.
    """

    strain: float = 1.0
    volume: float = 0.05
    duration: float = 1e-6
    rate: float = 2e6
    walks: float = 0.65
    grid: str = "mixed"
    fixed_duration: bool = False
    name: ClassVar[str] = "impact"
    programmes: ClassVar[tuple[str, ...]] = ("monotonic", "load_unload", "hold", "cyclic", "shear")

    def draw(self, rng: np.random.Generator, steps: int) -> StrainPath:
        """A path of `steps` recorded steps."""
        near = rng.random() < 0.5
        spread = np.exp(rng.uniform(*np.log([0.5, 2.0] if near else [0.2, 50.0])))
        T = self.duration if self.fixed_duration else self.duration * spread
        strain = rng.uniform(0.05, 1.0) * min(self.strain, self.rate * T)
        times = time_grid(rng, T, steps, self.grid)
        kind = "walk" if rng.random() < self.walks else str(rng.choice(self.programmes))
        isochoric = self.walk(rng, strain, T) if kind == "walk" else self.programme(kind, rng, strain, T)
        log_volume = self.log_volume(rng, T)
        return StrainPath(kind, times, lambda t: np.exp(log_volume(t) / 3.0)[:, None] * isochoric(t))

    def walk(self, rng: np.random.Generator, strain: float, T: float) -> Curve:
        """Isochoric walk whose largest equivalent strain at a knot is `strain`."""
        knots = random_knots(rng, T, int(rng.integers(4, 17)))
        jumps = random_directions(rng, len(knots) - 1, 5) * np.sqrt(np.diff(knots))[:, None]
        if rng.random() < 0.25:
            rests = rng.random(len(jumps)) < 0.3
            jumps[rests & (np.arange(len(jumps)) != rng.integers(len(jumps)))] = 0.0  # one at least moves
        c = np.concatenate([np.zeros((1, 5)), np.cumsum(jumps, axis=0)])
        c *= np.sqrt(1.5) * strain / np.linalg.norm(c, axis=1).max()
        coefficients = interpolant(knots, c, smooth=rng.random() >= 0.2)
        return lambda t: exponential(coefficients(t) @ DEVIATORS)

    def programme(self, kind: str, rng: np.random.Generator, strain: float, T: float) -> Curve:
        """One of the simple programmes with random parameters."""
        direction = random_directions(rng, 1, 5)[0]
        if kind == "monotonic":
            return monotonic(direction, strain, T)
        if kind == "load_unload":
            return load_unload(direction, strain, T, rng.uniform(0.2, 0.9), rng.uniform(-1.0, 0.95) * strain)
        if kind == "hold":
            return hold(direction, strain, T, rng.uniform(0.05, 0.8))
        if kind == "cyclic":
            return cyclic(direction, 0.5 * strain, T, rng.uniform(0.5, 3.0))
        s, m = random_directions(rng, 2, 3)
        return simple_shear(s, m, shear_to(strain), T)

    def log_volume(self, rng: np.random.Generator, T: float) -> PPoly:
        """ln J of a walk of its own, the largest |ln J| uniform up to that of J = 1 + volume."""
        knots = random_knots(rng, T, int(rng.integers(2, 11)))
        values = np.concatenate([[0.0], np.cumsum(rng.choice([-1.0, 1.0], len(knots) - 1) * np.sqrt(np.diff(knots)))])
        scale = rng.uniform(0.0, np.log1p(self.volume)) / np.abs(values).max()
        return interpolant(knots, scale * values, smooth=True)


@dataclass(frozen=True)
class Histories:
    """n strain histories at f instants each: times (n, f) s from 0, stretches U (n, f, 6) from I."""

    times: np.ndarray
    U: np.ndarray


@cache
def load_histories(path: str) -> Histories:
    """A file of learning.histories. Raises StrainPathError where it is none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = Histories(file["times"].astype(float), file["U"].astype(float))
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else "not a whole .npz file"
        raise StrainPathError(f"histories '{path}' ({reason}): learning.histories makes them from runs") from None
    if found.U.shape != (*found.times.shape, 6) or not np.allclose(found.U[:, 0], IDENTITY, atol=1e-5):
        raise StrainPathError(f"histories '{path}' do not begin undeformed: learning.histories makes them from runs")
    return found


@dataclass(frozen=True)
class RecordedSampler:
    """What a random element of the runs in the file `histories` went through, by pchip between their frames.

    Half of the paths are whole, half end early, anywhere after `shortest` of the time.
    """

    histories: str = ""
    shortest: float = 0.2
    grid: str = "mixed"
    name: ClassVar[str] = "recorded"

    def draw(self, rng: np.random.Generator, steps: int) -> StrainPath:
        """A path of `steps` recorded steps. Raises StrainPathError where the file cannot be read."""
        known = load_histories(self.histories)
        k = int(rng.integers(len(known.times)))
        share = 1.0 if rng.random() < 0.5 else rng.uniform(self.shortest, 1.0)
        times = time_grid(rng, share * known.times[k, -1], steps, self.grid)
        return StrainPath("recorded", times, PchipInterpolator(known.times[k], known.U[k]))


Sampler = PaperSampler | ImpactSampler | RecordedSampler
SAMPLERS: dict[str, type[Sampler]] = {s.name: s for s in (PaperSampler, ImpactSampler, RecordedSampler)}
BY_NAME = SAMPLERS | {PlaneSampler.name: PlaneSampler}  # also those that only a kind of unit cell draws from


def sampler_of(description: Mapping[str, Any]) -> Sampler:
    """The sampler that a manifest describes; options that are younger than the manifest have their defaults."""
    return BY_NAME[description["name"]](**{key: value for key, value in description.items() if key != "name"})


def described(sampler: Sampler) -> dict[str, Any]:
    """What a manifest says of a sampler."""
    return {"name": sampler.name, **asdict(sampler)}


def random_stream(seed: int, index: int, attempt: int, purpose: int = 0) -> np.random.Generator:
    """Random numbers that belong to (seed, index, attempt, purpose) alone, independent of all others'."""
    key = (index, attempt, purpose)
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=key)))


def path(sampler: Sampler, seed: int, index: int, steps: int = 200, attempt: int = 0) -> StrainPath:
    """Path `index` of a sampler and a seed, with `steps` steps to record.

    `attempt` counts the paths of this index on which the law has failed: each draws anew. Raises StrainPathError.
    """
    return sampler.draw(random_stream(seed, index, attempt), steps)


def shear_to(strain: float) -> float:
    """The shear at which simple shear reaches an equivalent log strain: gamma = 2 sinh(sqrt(3)/2 strain)."""
    return 2.0 * float(np.sinh(0.5 * np.sqrt(3.0) * strain))


def random_directions(rng: np.random.Generator, count: int, dimension: int) -> np.ndarray:
    """Unit vectors (count, dimension), uniform on the sphere."""
    x = rng.normal(size=(count, dimension))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def random_knots(rng: np.random.Generator, duration: float, intervals: int) -> np.ndarray:
    """Times (intervals + 1,) from 0 to `duration`, each interval between a tenth and a few times the mean."""
    lengths = 0.1 + rng.exponential(size=intervals)
    knots = np.concatenate([[0.0], np.cumsum(lengths)])
    return duration * (knots / knots[-1])


def time_grid(rng: np.random.Generator, duration: float, steps: int, grid: str) -> np.ndarray:
    """Times (steps + 1,) to record: equal steps, random ones (lengths log-uniform over a factor 16), or half-half."""
    if grid not in GRIDS:
        raise StrainPathError(f"grid '{grid}': must be one of {', '.join(GRIDS)}")
    lengths = np.exp(rng.uniform(-np.log(4.0), np.log(4.0), steps))
    if grid == "equal" or (rng.random() < 0.5 and grid == "mixed"):
        lengths = np.ones(steps)
    times = np.concatenate([[0.0], np.cumsum(lengths)])
    return duration * (times / times[-1])
