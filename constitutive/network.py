"""Layers of units over a block of material points, feature-major: feature c of point p is `x[c * BLOCK + p]`.

y = W x + b, and two activations without a call to the C library, so that loops over points vectorise (tanhf costs 5 to
10 times more): phi(x) = x / sqrt(1 + x^2), float32, and SELU (Klambauer et al. 2017), which like `dense` serves float32
and float64.
"""

import math

import numpy as np

from constitutive.jit import njit
from constitutive.law import BLOCK

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
TILE = 4  # inputs and outputs that `dense` takes at a time


@njit
def spread(biases, start, rows, y):
    """y = b: each bias to all points of its row; returns where in `biases` the next begin."""
    for j in range(rows):
        b = biases[start + j]
        for p in range(j * BLOCK, (j + 1) * BLOCK):
            y[p] = b
    return start + rows


@njit
def add_product(W, X, Y):
    """Y += W X; W (outputs, inputs), X (inputs, lanes), Y (outputs, lanes).

    TILE outputs by TILE inputs at a time, so that each loaded vector is used TILE times.
    """
    outputs, inputs = W.shape
    whole_out, whole_in = outputs - outputs % TILE, inputs - inputs % TILE
    for j in range(0, whole_out, TILE):
        y0, y1, y2, y3 = Y[j], Y[j + 1], Y[j + 2], Y[j + 3]
        for i in range(0, whole_in, TILE):
            x0, x1, x2, x3 = X[i], X[i + 1], X[i + 2], X[i + 3]
            w00, w01, w02, w03 = W[j, i], W[j, i + 1], W[j, i + 2], W[j, i + 3]
            w10, w11, w12, w13 = W[j + 1, i], W[j + 1, i + 1], W[j + 1, i + 2], W[j + 1, i + 3]
            w20, w21, w22, w23 = W[j + 2, i], W[j + 2, i + 1], W[j + 2, i + 2], W[j + 2, i + 3]
            w30, w31, w32, w33 = W[j + 3, i], W[j + 3, i + 1], W[j + 3, i + 2], W[j + 3, i + 3]
            for p in range(Y.shape[1]):
                a, b, c, d = x0[p], x1[p], x2[p], x3[p]
                y0[p] += w00 * a + w01 * b + w02 * c + w03 * d
                y1[p] += w10 * a + w11 * b + w12 * c + w13 * d
                y2[p] += w20 * a + w21 * b + w22 * c + w23 * d
                y3[p] += w30 * a + w31 * b + w32 * c + w33 * d
        for i in range(whole_in, inputs):
            x0, w0, w1, w2, w3 = X[i], W[j, i], W[j + 1, i], W[j + 2, i], W[j + 3, i]
            for p in range(Y.shape[1]):
                y0[p] += w0 * x0[p]
                y1[p] += w1 * x0[p]
                y2[p] += w2 * x0[p]
                y3[p] += w3 * x0[p]
    for j in range(whole_out, outputs):
        y0 = Y[j]
        for i in range(inputs):
            x0, w0 = X[i], W[j, i]
            for p in range(Y.shape[1]):
                y0[p] += w0 * x0[p]


@njit
def dense(weights, start, inputs, outputs, lanes, x, y):
    """y += W x: W (outputs, inputs) from `start` on, x (inputs * lanes,), y (outputs * lanes,).

    A feature holds `lanes` numbers: BLOCK, or 5 BLOCK where it is a deviator. Returns where in `weights` the next layer
    begins.
    """
    W = weights[start : start + outputs * inputs].reshape(outputs, inputs)
    add_product(W, x[: inputs * lanes].reshape(inputs, lanes), y[: outputs * lanes].reshape(outputs, lanes))
    return start + outputs * inputs


@njit
def activate(y, first, last):
    """x / sqrt(1 + x^2) in place, of rows first to last."""
    one = np.float32(1.0)
    for row in range(first, last):
        values = y[row * BLOCK : (row + 1) * BLOCK]
        for p in range(BLOCK):
            values[p] = values[p] / math.sqrt(one + values[p] * values[p])


@njit
def selu(y, first, last):
    """x for x > 0, else a (exp(x) - 1), times a constant, in place, of rows first to last.

    exp(x) - 1 by its series at x / 128 and seven doublings e(2x) = e (e + 2), which damp errors: to round-off.
    """
    real = y.dtype.type
    scale, most = real(SELU_SCALE), real(SELU_SCALE * SELU_ALPHA)
    zero, one, two, lowest, part = real(0.0), real(1.0), real(2.0), real(-40.0), real(1.0 / 128.0)
    c2, c3, c4, c5, c6 = real(1 / 2), real(1 / 3), real(1 / 4), real(1 / 5), real(1 / 6)
    c7, c8, c9, c10, c11 = real(1 / 7), real(1 / 8), real(1 / 9), real(1 / 10), real(1 / 11)
    for row in range(first, last):
        values = y[row * BLOCK : (row + 1) * BLOCK]
        for p in range(BLOCK):
            x = part * max(min(values[p], zero), lowest)
            e = one + c7 * x * (one + c8 * x * (one + c9 * x * (one + c10 * x * (one + c11 * x))))
            e = x * (one + c2 * x * (one + c3 * x * (one + c4 * x * (one + c5 * x * (one + c6 * x * e)))))
            for _ in range(7):
                e = e * (e + two)
            values[p] = scale * max(values[p], zero) + most * e
