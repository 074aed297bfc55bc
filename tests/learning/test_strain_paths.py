"""Strain paths: what is promised of each, and the statistics of many."""

from collections import Counter

import numpy as np
import pytest

from constitutive.tensor import full, symmetric
from learning.strain_paths import (
    DEVIATORS,
    IDENTITY,
    ImpactSampler,
    PaperSampler,
    StrainPathError,
    cyclic,
    equivalent_strain,
    hold,
    load_unload,
    monotonic,
    path,
    proportional,
    random_directions,
    shear_to,
    simple_shear,
    time_grid,
)

T = 2e-6
TIMES = np.linspace(0.0, T, 41)
SAMPLERS = [PaperSampler(), PaperSampler(random_intervals=False), ImpactSampler()]


@pytest.fixture(scope="module")
def impact_paths():
    return [path(ImpactSampler(), 3, index) for index in range(400)]


def log_strain(U: np.ndarray) -> np.ndarray:
    """ln U of stretches (n, 6), as an independent reference by eigenvalues."""
    values, vectors = np.linalg.eigh(full(U))
    return symmetric((vectors * np.log(values)[:, None, :]) @ np.swapaxes(vectors, 1, 2))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_path_starts_at_the_identity_and_stays_positive_definite(sampler):
    for index in range(40):
        drawn = path(sampler, 1, index, steps=57)
        U = drawn.U(drawn.times)
        assert U.shape == (58, 6) and drawn.times.shape == (58,)
        assert np.array_equal(U[0], IDENTITY)  # bit for bit: a law's virgin point
        assert drawn.times[0] == 0.0 and np.all(np.diff(drawn.times) > 0.0)
        assert np.linalg.eigvalsh(full(U)).min() > 0.0


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_path_depends_on_seed_index_and_attempt_alone(sampler):
    def drawn(*key, **more):
        p = path(sampler, *key, **more)
        return np.concatenate([p.times[:, None], p.U(p.times)], axis=1)

    alone = drawn(5, 7)
    for index in range(10):
        path(sampler, 5, index)
    assert np.array_equal(drawn(5, 7), alone)
    for other in (drawn(5, 8), drawn(6, 7), drawn(5, 7, attempt=1), drawn(7, 5)):
        assert not np.allclose(other[:, 1:], alone[:, 1:])


def test_the_walk_of_the_paper():
    sampler = PaperSampler(u_max=0.1, duration=T, random_intervals=False)
    knots = np.linspace(0.0, T, 11)
    jumps = np.array([np.diff(path(sampler, 1, index).U(knots), axis=0) for index in range(200)])
    assert np.abs(jumps) == pytest.approx(0.1 * np.sqrt(0.1), rel=1e-9)
    signs = np.sign(jumps)
    assert np.abs(signs.mean(axis=0)).max() < 4.5 / np.sqrt(200)  # each fair,
    correlation = np.corrcoef(signs.reshape(-1, 6).T) - np.eye(6)
    assert np.abs(correlation).max() < 4.5 / np.sqrt(2000)  # and independent of the other components


def test_random_intervals_of_the_paper_vary():
    turns = [np.diff(path(PaperSampler(), 1, i).U(np.linspace(0.0, 1e-6, 1001)), axis=0) for i in range(3)]
    lengths = [np.diff(np.flatnonzero(np.diff(np.sign(t[:, 0])))) for t in turns]
    assert any(len(set((length // 20).tolist())) > 1 for length in lengths)


def test_determinants_out_of_bounds_are_drawn_again_and_counted():
    tight = PaperSampler(det_min=0.9, det_max=1.1)
    drawn = [path(tight, 1, index) for index in range(20)]
    for p in drawn:
        volume = np.linalg.det(full(p.U(p.times)))
        assert volume.min() >= 0.9 and volume.max() <= 1.1
    assert sum(p.redraws for p in drawn) > 0
    with pytest.raises(StrainPathError, match="make u_max"):
        path(PaperSampler(u_max=3.0), 1, 0)


def test_impact_keeps_its_bounds(impact_paths):
    strains = []
    for p in impact_paths:
        U = p.U(np.linspace(0.0, p.times[-1], 400))
        assert np.abs(np.linalg.det(full(U)) - 1.0).max() <= 0.05 * (1 + 1e-9)
        strains.append(equivalent_strain(U).max())
    assert max(strains) < 1.05  # a smooth walk may pass its largest knot by little, as five components are combined
    assert np.mean(np.array(strains) > 0.5) > 0.3
    assert min(strains) < 0.1


def test_impact_has_no_preferred_direction(impact_paths):
    """Coefficients of the deviators at the end: covariance a multiple of I, and no preferred sense."""
    ends = np.array([log_strain(p.U(p.times[-1:]))[0] for p in impact_paths if p.kind == "walk"])
    weights = [1, 1, 1, 2, 2, 2]
    c = (ends * weights) @ DEVIATORS.T
    c /= np.linalg.norm(c, axis=1, keepdims=True)
    bound = 4.5 / np.sqrt(len(c))
    assert np.abs(c.T @ c / len(c) - np.eye(5) / 5).max() < bound / 3  # standard deviation of c_i^2 is 0.24
    assert np.abs(c.mean(axis=0)).max() < bound / np.sqrt(5)
    third_invariant = np.linalg.det(full(c @ DEVIATORS)) * np.sqrt(54)
    assert abs(third_invariant.mean()) < bound / np.sqrt(2)


def test_impact_mixes_programmes_durations_rests_and_kinks(impact_paths):
    kinds = Counter(p.kind for p in impact_paths)
    assert 0.55 < kinds["walk"] / len(impact_paths) < 0.75
    assert all(kinds[name] > 10 for name in ImpactSampler.programmes)
    durations = np.array([p.times[-1] for p in impact_paths])
    assert durations.min() < 3e-7 and durations.max() > 3e-5 and 5e-7 < np.median(durations) < 3e-6
    assert 0.3 < np.mean([np.ptp(np.diff(p.times)) < 1e-9 * p.times[-1] for p in impact_paths]) < 0.7
    walks = [p for p in impact_paths if p.kind == "walk"]
    strain = [log_strain(p.U(np.linspace(0.0, p.times[-1], 500)))[:, 3] for p in walks]  # no part in the volume
    resting = [np.mean(np.abs(np.diff(e)) < 1e-9 * np.ptp(e)) > 0.03 for e in strain]
    straight = [np.mean(np.abs(np.diff(e, 2)) < 1e-9 * np.ptp(e)) > 0.7 for e in strain]
    assert 0.05 < np.mean(resting) < 0.35 and 0.1 < np.mean(straight) < 0.4


def test_smaller_strains_and_longer_paths_by_options():
    drawn = [path(ImpactSampler(strain=0.1, duration=1e-3, volume=0.01), 1, i) for i in range(30)]
    assert max(equivalent_strain(p.U(p.times)).max() for p in drawn) < 0.11
    assert max(np.abs(np.linalg.det(full(p.U(p.times))) - 1.0).max() for p in drawn) < 0.0101
    assert min(p.times[-1] for p in drawn) > 1e-4


def test_all_paths_of_one_duration_by_option():
    drawn = [path(ImpactSampler(duration=3e-6, fixed_duration=True), 1, i) for i in range(20)]
    assert [p.times[-1] for p in drawn] == pytest.approx([3e-6] * 20, rel=1e-12)
    assert len({p.kind for p in drawn}) > 3


DIRECTION = [-1.0, 0.3, 0.0, 0.5, 0.2]
FAMILIES = {
    "monotonic": monotonic(DIRECTION, 0.5, T),
    "load_unload": load_unload(DIRECTION, 0.5, T, turn=0.25),
    "hold": hold(DIRECTION, 0.5, T, stop=0.25),
    "cyclic": cyclic(DIRECTION, 0.5, T, cycles=2.0),
    "shear": simple_shear([1, 0, 0], [0, 1, 0], shear_to(0.5), T),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_families_are_isochoric_and_reach_their_strain(name):
    U = FAMILIES[name](TIMES)
    assert np.array_equal(U[0], IDENTITY)
    assert np.linalg.det(full(U)) == pytest.approx(1.0, abs=1e-12)
    assert equivalent_strain(U).max() == pytest.approx(0.5, rel=1e-3)


def test_programmes_in_time():
    rising = np.linspace(0.0, 0.5, 41)
    assert equivalent_strain(FAMILIES["monotonic"](TIMES)) == pytest.approx(rising)
    there_and_back = np.interp(TIMES, [0.0, 0.25 * T, T], [0.0, 0.5, 0.0])
    assert equivalent_strain(FAMILIES["load_unload"](TIMES)) == pytest.approx(there_and_back, abs=1e-7)
    held = np.interp(TIMES, [0.0, 0.25 * T, T], [0.0, 0.5, 0.5])
    assert equivalent_strain(FAMILIES["hold"](TIMES)) == pytest.approx(held)
    assert FAMILIES["cyclic"](np.array([0.5 * T, T])) == pytest.approx(np.tile(IDENTITY, (2, 1)), abs=1e-12)


def test_uniaxial_stretch_by_its_direction():
    U = proportional([0.0, 1.0, 0.0, 0.0, 0.0], np.array([0.0, T]), np.array([0.0, 0.3]))(np.array([T]))[0]
    np.testing.assert_allclose(U, [np.exp(-0.15), np.exp(-0.15), np.exp(0.3), 0.0, 0.0, 0.0], atol=1e-12)


def test_simple_shear_against_its_closed_form():
    """U = [[cos b, sin b], [sin b, (1 + sin^2 b) / cos b]] in the plane of shear, tan b = gamma / 2."""
    gamma = 0.8
    U = simple_shear([2, 0, 0], [1, 3, 0], gamma, T)(np.array([T]))[0]
    b = np.arctan(gamma / 2)
    np.testing.assert_allclose(U, [np.cos(b), (1 + np.sin(b) ** 2) / np.cos(b), 1.0, np.sin(b), 0.0, 0.0], atol=1e-12)


def test_random_directions_are_uniform():
    d = random_directions(np.random.default_rng(1), 4000, 3)
    assert np.linalg.norm(d, axis=1) == pytest.approx(1.0)
    assert np.abs(d.mean(axis=0)).max() < 0.04
    assert d[:, 2] == pytest.approx(np.clip(d[:, 2], -1, 1)) and np.mean(np.abs(d[:, 2]) < 0.5) == pytest.approx(
        0.5, abs=0.04
    )  # Archimedes: heights on a sphere are uniform


def test_time_grids():
    rng = np.random.default_rng(1)
    assert time_grid(rng, T, 40, "equal") == pytest.approx(TIMES)
    random = time_grid(rng, T, 2000, "random")
    steps = np.diff(random)
    assert random[-1] == pytest.approx(T) and 10.0 < steps.max() / steps.min() <= 16.0
    with pytest.raises(StrainPathError, match="must be one of equal, random, mixed"):
        time_grid(rng, T, 10, "even")
