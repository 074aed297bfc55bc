"""Tuple algebra against NumPy, and the elementary functions against the C library's."""

import numpy as np
import pytest

from constitutive import elementary, tensor
from constitutive.jit import njit


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_products_determinant_and_adjugate_agree_with_numpy(rng):
    for _ in range(20):
        A, B = rng.normal(size=(2, 3, 3))
        S = A + A.T
        a, b = tuple(A.ravel()), tuple(B.ravel())
        assert np.allclose(np.reshape(tensor.matmul(a, b), (3, 3)), A @ B, rtol=0, atol=1e-14)
        assert tensor.determinant(a) == pytest.approx(np.linalg.det(A), abs=1e-14)
        assert np.allclose(np.reshape(tensor.adjugate(a), (3, 3)) @ A, np.linalg.det(A) * np.eye(3), atol=1e-13)
        s = tuple(tensor.symmetric(S))
        assert np.allclose(tensor.full(np.array(tensor.push_forward(b, s))), B @ S @ B.T, rtol=0, atol=1e-13)
        assert tensor.norm_squared(s) == pytest.approx(np.sum(S * S))


def test_adjugate_of_a_singular_matrix():
    A = np.outer([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    assert np.allclose(tensor.adjugate(tuple(A.ravel())), 0.0, atol=1e-14)


@pytest.mark.parametrize(("J", "tolerance"), [(0.1, 1e-11), (0.2, 1e-15), (1.0, 1e-15), (5.0, 1e-15), (10.0, 1e-11)])
def test_isochoric_factor(J, tolerance):
    assert tensor.isochoric_factor(J) == pytest.approx(J ** (-2.0 / 3.0), rel=tolerance)


def test_symmetric_storage_order_and_round_trip(rng):
    A = rng.normal(size=(4, 3, 3))
    S = tensor.symmetric(A)
    full = tensor.full(S)
    assert np.allclose(full, 0.5 * (A + np.swapaxes(A, -1, -2)))
    assert np.array_equal(S[:, 3:], np.stack([full[:, 0, 1], full[:, 1, 2], full[:, 0, 2]], axis=1))


def test_von_mises_of_tension_shear_and_pressure():
    assert tensor.von_mises(np.array([3.0, 0, 0, 0, 0, 0])) == pytest.approx(3.0)
    assert tensor.von_mises(np.array([0, 0, 0, 2.0, 0, 0])) == pytest.approx(2.0 * np.sqrt(3.0))
    assert tensor.von_mises(np.array([5.0, 5.0, 5.0, 0, 0, 0])) == pytest.approx(0.0, abs=1e-12)


def test_strain_measures():
    dilatation = 1.3 * np.eye(3)
    assert tensor.deviatoric_strain(dilatation) == pytest.approx(0.0, abs=1e-14)
    assert tensor.volumetric_strain(dilatation) == pytest.approx(1.3**3 - 1.0)
    e = 1e-6
    stretch = np.diag([1 + e, 1 - e / 2, 1 - e / 2])
    assert tensor.deviatoric_strain(stretch) == pytest.approx(e * np.sqrt(1.5), rel=1e-5)


def test_random_rotations_are_rotations_and_uniform(rng):
    Q = tensor.random_rotations(rng, 20000)
    assert np.allclose(Q @ np.swapaxes(Q, -1, -2), np.eye(3), atol=1e-14)
    assert np.allclose(np.linalg.det(Q), 1.0)
    assert np.abs(Q.mean(axis=0)).max() < 0.02
    assert np.abs(np.einsum("nij,nkl->ijkl", Q, Q)[0, 0, 0, 0] / len(Q) - 1.0 / 3.0) < 0.01


@njit
def _all(x, exponent, e, logarithm, power):
    for i in range(len(x)):
        e[i] = elementary.exp(x[i])
        logarithm[i] = elementary.log(e[i])
        power[i] = elementary.power(abs(x[i]) + 1e-3, exponent)


def test_elementary_functions_agree_with_the_library(rng):
    x = np.concatenate([rng.uniform(-700.0, 700.0, 50000), rng.uniform(-1.0, 1.0, 50000), [0.0, -800.0, 800.0]])
    e, logarithm, power = np.empty((3, len(x)))
    _all(x, 0.31, e, logarithm, power)
    assert np.allclose(e, np.exp(np.clip(x, -708.0, 709.0)), rtol=3e-16, atol=0.0)
    assert np.allclose(logarithm, np.log(e), rtol=3e-16, atol=0.0)
    assert np.allclose(power, (np.abs(x) + 1e-3) ** 0.31, rtol=2e-15, atol=0.0)
