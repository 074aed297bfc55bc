"""Kernels derived from point functions: their values and derivatives against complex steps and plain Python."""

import math

import numpy as np
import pytest

from constitutive.jit import inline
from learning.adjoint import LANES, Rows, point_kernels, reinterpret

SCALE = np.float32(3.0)


@inline
def curved(x):
    return SCALE * x / math.sqrt(1.0 + x * x)


def example(pair, c, a, b):
    """Two numbers from a pair, a number, and two parameters; every operation, a used-twice value, a dead one."""
    _dead = pair[0] * 7.0
    s = curved(pair[0]) - a * pair[1]
    return s * s / (2.0 + c * c), math.sqrt(2.0 + s * s) + min(b, c) - (1.0 - c)


def plain(x, y, c, a, b):
    s = 3.0 * x / np.sqrt(1.0 + x * x) - a * y
    return np.array([s * s / (2.0 + c * c), np.sqrt(2.0 + s * s) + (b if b.real < c.real else c) - (1.0 - c)])


@pytest.fixture(scope="module")
def kernels():
    """Two passes: pass j reads rows 2 j, 2 j + 1 and 4 + j, and writes rows 6 + 2 j, 7 + 2 j."""
    return point_kernels(example, (Rows(0, 2, 2), Rows(4, 1, 1)), (Rows(6, 2, 2),), passes=2, parameters=2)


def test_values_and_derivatives(kernels):
    rng = np.random.default_rng(1)
    B, G = np.zeros((10, LANES), np.float32), np.zeros((10, LANES), np.float32)
    B[:6] = rng.normal(size=(6, LANES))
    G[:] = rng.normal(size=G.shape)
    before, parameters = G.copy(), rng.normal(size=(2, 2)).astype(np.float32)
    gradients = np.zeros((2, 2), np.float32)
    kernels.forward(B.reshape(-1), parameters)
    kernels.backward(B.reshape(-1), G.reshape(-1), parameters, gradients)
    expected, shared = before.astype(float), np.zeros((2, 2))
    for j in range(2):
        rows = (2 * j, 2 * j + 1, 4 + j)
        for p in range(LANES):
            x = np.array([*B[list(rows), p], *parameters[j]], complex)
            value = plain(*x)
            assert B[6 + 2 * j : 8 + 2 * j, p] == pytest.approx(value.real, rel=2e-5, abs=1e-5)
            wanted = before[6 + 2 * j : 8 + 2 * j, p]
            steps = [plain(*(x + 1e-30j * np.eye(5)[k])).imag / 1e-30 @ wanted for k in range(5)]
            expected[list(rows), p] += steps[:3]
            shared[j] += steps[3:]
    assert np.abs(G - expected).max() < 2e-5 * np.abs(expected).max()
    assert gradients == pytest.approx(shared, rel=1e-4)


def test_the_compiled_function_is_left_alone():
    """What is read anew is a copy: the law's function still compiles and computes."""
    read = reinterpret(curved, {"math": np})
    assert read(np.array([0.5]))[0] == pytest.approx(curved(0.5))
    assert curved.py_func.__globals__["math"] is math


def test_results_must_fit_their_rows():
    with pytest.raises(ValueError, match="example has 2 results for 3 rows"):
        point_kernels(example, (Rows(0, 2), Rows(2, 1)), (Rows(3, 3),), parameters=2)
