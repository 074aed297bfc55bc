"""Norms of errors against closed forms."""

import numpy as np
import pytest

from constitutive.tensor import full, random_rotations, symmetric
from learning.errors import deviator, growth, path_errors, pressure, relative_error, root_mean_square, statistics

SHAPES = np.array([[1.0, -1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, 0.0, 0.0]])


def path(times, values, shape):
    """Stress values(t) * shape of one path, (1, m+1, 6), at times (m+1,)."""
    return (values(times)[:, None] * shape)[None]


def test_norm_of_a_sine_on_random_grids():
    """rms of 3e8 sin(2 pi t / T) over a period is 3e8 / sqrt(2), times |shape| = sqrt(2), on any fine grid."""
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        times = np.sort(np.concatenate([[0.0, 1e-6], rng.uniform(0.0, 1e-6, 4000)]))
        stress = path(times, lambda t: 3e8 * np.sin(2e6 * np.pi * t), shape)
        assert root_mean_square(times[None], stress) == pytest.approx([3e8], rel=1e-5)


def test_errors_split_into_pressure_and_deviator():
    times = np.linspace(0.0, 1e-6, 11)[None]
    reference = np.tile([-4e9, -4e9, -4e9, 0.0, 0.0, 3e8], (1, 11, 1))
    stress = reference * [1.01, 1.01, 1.01, 1.0, 1.0, 0.8]
    errors = path_errors(times, stress, reference)
    assert errors["pressure"] == pytest.approx([0.01])
    assert errors["deviatoric"] == pytest.approx([0.2])
    assert errors["total"] == pytest.approx(np.hypot(0.04 * 3**0.5, 0.06 * 2**0.5) / np.hypot(4 * 3**0.5, 0.3 * 2**0.5))


def test_errors_know_no_axes():
    rng = np.random.default_rng(1)
    stress, reference = rng.normal(size=(2, 5, 9, 6))
    times = np.cumsum(rng.uniform(size=(5, 9)), axis=1)
    Q = random_rotations(rng, 1)[0]
    turned = [symmetric(Q @ full(s) @ Q.T) for s in (stress, reference)]
    for norm, errors in path_errors(times, stress, reference).items():
        assert errors == pytest.approx(path_errors(times, *turned)[norm], rel=1e-6, abs=1e-9)


def test_a_path_without_stress_is_compared_with_one_pascal():
    times, nothing = np.array([[0.0, 1.0]]), np.zeros((1, 2, 6))
    assert relative_error(times, nothing, nothing) == [0.0]
    assert relative_error(times, np.tile([5.0, 0, 0, 0, 0, 0], (1, 2, 1)), nothing) == pytest.approx([5.0])


def test_growth_of_a_linear_error():
    """|error| = 0.3 t/T of a constant deviator: the mean square over part k of 10 is 0.09 (k^2 + k + 1/3) / 100."""
    times = np.linspace(0.0, 2e-6, 2001)
    reference = path(times, lambda t: 1e8 + 0.0 * t, SHAPES[0]) - 5e9 * symmetric(np.eye(3))
    stress = reference + path(times, lambda t: 1e8 * 0.3 * t / 2e-6, SHAPES[0])
    k = np.arange(10)
    assert growth(times[None], stress, reference)[0] == pytest.approx(0.3 * np.sqrt((k**2 + k + 1 / 3) / 100), rel=1e-4)


def test_parts_and_statistics():
    stress = np.array([1.0, 2.0, 6.0, 4.0, 5.0, 6.0])
    assert pressure(stress) == pytest.approx([-3.0])
    assert deviator(stress) == pytest.approx([-2.0, -1.0, 3.0, 4.0, 5.0, 6.0])
    found = statistics(np.arange(101.0))
    assert found == {"mean": 50.0, "median": 50.0, "p95": 95.0, "largest": 100.0}
