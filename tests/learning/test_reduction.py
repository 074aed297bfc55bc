"""Principal components in L2(0, T): orthonormal functions of time, whatever the times at which paths are known."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from learning.reduction import Basis, interpolation, mass_matrix, principal_components

T = 3e-6


def random_times(steps, seed):
    lengths = np.random.default_rng(seed).uniform(0.2, 2.0, steps)
    times = np.concatenate([[0.0], np.cumsum(lengths)])
    return T * times / times[-1]


def smooth_paths(times, count=40, seed=0):
    """Sums of sines that start at zero, (count, len(times), 6)."""
    a = np.random.default_rng(seed).normal(size=(count, 6, 5)) / np.arange(1, 6)
    return np.einsum("ncj,jt->ntc", a, np.sin(np.pi * np.outer(np.arange(1, 6), times / T)))


def mean_product(basis, times, values, c, i):
    """1/T integral of a mode and a piecewise linear function, by adaptive quadrature between all their kinks."""

    def product(t):
        return np.interp(t, basis.times, basis.modes[c, i]) * np.interp(t, times, values)

    kinks = np.union1d(basis.times, times)
    return sum(quad(product, a, b, epsabs=0.0)[0] for a, b in pairwise(kinks)) / T


def test_modes_are_those_of_an_svd():
    """On equal fine steps the inner product is the plain one; modes, scales and best fit are those of an SVD."""
    times = np.linspace(0.0, T, 2001)
    paths = smooth_paths(times)
    basis = principal_components(times, paths, 3)
    for c in range(6):
        X = paths[:, :, c]
        _, s, V = np.linalg.svd(X / np.sqrt(X.size), full_matrices=False)
        assert basis.scale[c] == pytest.approx(s[:3], rel=1e-3)
        overlap = np.abs(V[:3] @ basis.modes[c].T) / np.sqrt(X.shape[1])
        assert overlap == pytest.approx(np.eye(3), abs=2e-3)
        left = X - basis.lift(basis.project(times, paths), times)[:, :, c]
        assert np.sqrt((left**2).mean()) == pytest.approx(np.sqrt((s[3:] ** 2).sum()), rel=2e-3)


def test_modes_are_orthonormal_on_any_grid_and_coefficients_have_their_scale():
    times = random_times(30, 1)
    paths = smooth_paths(times)
    basis = principal_components(times, paths, 4)
    M = mass_matrix(times) / T
    for modes in basis.modes:
        assert modes @ M @ modes.T == pytest.approx(np.eye(4), abs=1e-11)
    assert np.sqrt((basis.project(times, paths) ** 2).mean(axis=0)) == pytest.approx(basis.scale)


def test_coefficients_are_the_integrals():
    basis = principal_components(random_times(8, 2), smooth_paths(random_times(8, 2)), 3)
    times = random_times(11, 3)
    paths = smooth_paths(times, 2, seed=4)
    coefficients = basis.project(times, paths)
    for c, i in ((0, 0), (3, 1), (5, 2)):
        assert coefficients[1, c, i] == pytest.approx(mean_product(basis, times, paths[1, :, c], c, i), rel=1e-10)


def test_the_same_function_on_other_times_has_the_same_coefficients_and_modes():
    """More times on the same straight pieces change nothing."""
    coarse = random_times(20, 5)
    fine = np.union1d(coarse, random_times(173, 6))
    paths = smooth_paths(coarse)
    same = np.einsum("qk,nkc->nqc", interpolation(coarse, fine), paths)
    basis, finer = (principal_components(t, p, 4) for t, p in ((coarse, paths), (fine, same)))
    assert basis.project(fine, same) == pytest.approx(basis.project(coarse, paths), abs=1e-12)
    assert finer.scale == pytest.approx(basis.scale, rel=1e-10)
    signs = np.sign(np.einsum("cmk,cmk->cm", finer.modes @ interpolation(coarse, fine), basis.modes))
    at_coarse = finer.modes[..., np.searchsorted(fine, coarse)] * signs[..., None]
    assert at_coarse == pytest.approx(basis.modes, abs=1e-7)


def test_coefficients_converge_at_second_order_with_the_steps():
    """A smooth path known at 25, 50, 100 random or equal times: the error falls with the square of the step."""
    basis = principal_components(np.linspace(0.0, T, 801), smooth_paths(np.linspace(0.0, T, 801)), 4)
    exact_at = np.linspace(0.0, T, 12_801)
    exact = basis.project(exact_at, smooth_paths(exact_at, 3, 7))
    errors = []
    for steps in (25, 50, 100, 200):
        times = np.linspace(0.0, T, steps + 1)
        errors.append(np.abs(basis.project(times, smooth_paths(times, 3, 7)) - exact).max())
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(orders > 1.8)


def test_a_path_that_rests_has_no_coefficients_and_few_paths_give_all_modes():
    times = np.linspace(0.0, T, 11)
    basis = principal_components(times, smooth_paths(times, 2), 6)  # more modes than paths
    assert np.all(basis.project(times, np.zeros((1, 11, 6))) == 0.0)
    assert np.all(basis.scale[:, 2:] < 1e-9)
    M = mass_matrix(times) / T
    for modes in basis.modes:
        assert modes @ M @ modes.T == pytest.approx(np.eye(6), abs=1e-10)
    with pytest.raises(ValueError, match="from 1 to 11 modes"):
        principal_components(times, smooth_paths(times, 2), 12)
    assert Basis(times, basis.modes[:, :2], basis.scale[:, :2]).count == 2
