"""Products of weights with blocks of points against NumPy's."""

import numpy as np
import pytest

from constitutive.network import activate, dense
from constitutive.products import VECTOR, add_product


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("outputs", [1, 2, 5, 6, 13, 24])
@pytest.mark.parametrize("lanes", [VECTOR, 5 * VECTOR])
def test_add_product(real, outputs, lanes):
    rng = np.random.default_rng(outputs)
    W, X, Y = (rng.normal(size=shape).astype(real) for shape in ((outputs, 7), (7, lanes), (outputs, lanes)))
    expected = Y + W @ X
    add_product(W, X, Y)
    assert np.abs(Y - expected).max() < 20.0 * np.finfo(real).eps * np.abs(expected).max()


@pytest.mark.parametrize("components", [1, 5])
@pytest.mark.parametrize("points", [VECTOR, 4 * VECTOR])
def test_dense(components, points):
    """Biases of each component, then weights, from any place on; nothing is read from y, or written beyond it."""
    rng, outputs, inputs = np.random.default_rng(components), 9, 4
    b, W = rng.normal(size=(outputs, components)), rng.normal(size=(outputs, inputs))
    weights = np.concatenate([[np.nan] * 3, b.ravel(), W.ravel(), [np.nan]]).astype(np.float32)
    x = rng.normal(size=(inputs, components, points)).astype(np.float32)
    y = np.full(outputs * components * points + 1, np.nan, np.float32)
    assert dense(weights, 3, inputs, outputs, components, points, x.ravel(), y) == len(weights) - 1
    expected = b[..., None] + np.einsum("ji,icp->jcp", W, x)
    assert y[:-1].reshape(expected.shape) == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert np.isnan(y[-1])


def test_activation():
    x = np.linspace(-9.0, 9.0, 37).astype(np.float32)
    y = x.copy()
    activate(y)
    assert y == pytest.approx(x / np.sqrt(1.0 + x * x), rel=1e-6)
