"""Layers of units over points, feature-major: feature c of point p is `x[c * lanes + p]`, lanes a multiple of VECTOR.

y = W x + b, and two activations without a call to the C library, so that loops over points vectorise (tanhf costs 5 to
10 times more): phi(x) = x / sqrt(1 + x^2), float32, and SELU (Klambauer et al. 2017), which like `dense` serves float32
and float64.
"""

import math

import numpy as np

from constitutive.jit import njit
from constitutive.products import VECTOR, biased_product

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


@njit
def dense(weights, start, inputs, outputs, components, points, x, y):
    """y = b + W x: from `start` on, b (outputs, components), W (outputs, inputs). Returns where the next layer begins.

    x (inputs * components * points,), y (outputs * components * points,): a feature is a number at each point, or a
    deviator, of 5 components.
    """
    lanes, first = components * points, start + outputs * components
    for c in range(components):
        for p in range(c * points, (c + 1) * points, VECTOR):
            biased_product(weights, start + c, components, weights, first, x, y, p, lanes, inputs, outputs)
    return first + outputs * inputs


@njit
def activate(y):
    """x / sqrt(1 + x^2) of all numbers, in place."""
    one = np.float32(1.0)
    for p in range(len(y)):
        y[p] = y[p] / math.sqrt(one + y[p] * y[p])


@njit
def selu(y):
    """x for x > 0, else a (exp(x) - 1), times a constant, of all numbers, in place.

    exp(x) - 1 by its series at x / 128 and seven doublings e(2x) = e (e + 2), which damp errors: to round-off.
    """
    real = y.dtype.type
    scale, most = real(SELU_SCALE), real(SELU_SCALE * SELU_ALPHA)
    zero, one, two, lowest, part = real(0.0), real(1.0), real(2.0), real(-40.0), real(1.0 / 128.0)
    c2, c3, c4, c5, c6 = real(1 / 2), real(1 / 3), real(1 / 4), real(1 / 5), real(1 / 6)
    c7, c8, c9, c10, c11 = real(1 / 7), real(1 / 8), real(1 / 9), real(1 / 10), real(1 / 11)
    for p in range(len(y)):
        x = part * max(min(y[p], zero), lowest)
        e = one + c7 * x * (one + c8 * x * (one + c9 * x * (one + c10 * x * (one + c11 * x))))
        e = x * (one + c2 * x * (one + c3 * x * (one + c4 * x * (one + c5 * x * (one + c6 * x * e)))))
        for _ in range(7):
            e = e * (e + two)
        y[p] = scale * max(y[p], zero) + most * e
