"""Dense layers over a block of material points, feature-major: feature c of point p is `x[c * BLOCK + p]`.

y = W x + b, and two activations without a call to the C library, so that loops over points vectorise (tanhf costs 5 to
10 times more): phi(x) = x / sqrt(1 + x^2), float32, and SELU (Klambauer et al. 2017), which like `dense` serves float32
and float64.
"""

import math

import numpy as np

from constitutive.jit import njit
from constitutive.law import BLOCK

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
TILE = 4  # inputs and outputs that `dense` takes at a time; layers are filled up with zeros to multiples of it


@njit
def padded(n):
    """n rounded up to a multiple of TILE."""
    return -(-n // TILE) * TILE


@njit
def dense(weights, start, inputs, outputs, x, y):
    """y = W x + b for a block: x (inputs * BLOCK,), y (outputs * BLOCK,); returns where the next layer's weights start.

    TILE outputs by TILE inputs at a time, so that each loaded vector is used TILE times; slices and constant offsets
    are what lets LLVM vectorise it (4096 products: 54 ns a point on one thread, AVX-512).
    """
    bias = start + outputs * inputs
    for j in range(outputs // TILE):
        yj = y[j * TILE * BLOCK : (j + 1) * TILE * BLOCK]
        for c in range(TILE):
            b = weights[bias + TILE * j + c]
            for p in range(BLOCK):
                yj[c * BLOCK + p] = b
        for i in range(inputs // TILE):
            first = start + (j * inputs + i * TILE) * TILE
            w = weights[first : first + TILE * TILE]
            xi = x[i * TILE * BLOCK : (i + 1) * TILE * BLOCK]
            w00, w01, w02, w03, w10, w11, w12, w13 = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]
            w20, w21, w22, w23, w30, w31, w32, w33 = w[8], w[9], w[10], w[11], w[12], w[13], w[14], w[15]
            for p in range(BLOCK):
                x0, x1, x2, x3 = xi[p], xi[BLOCK + p], xi[2 * BLOCK + p], xi[3 * BLOCK + p]
                yj[p] += w00 * x0 + w01 * x1 + w02 * x2 + w03 * x3
                yj[BLOCK + p] += w10 * x0 + w11 * x1 + w12 * x2 + w13 * x3
                yj[2 * BLOCK + p] += w20 * x0 + w21 * x1 + w22 * x2 + w23 * x3
                yj[3 * BLOCK + p] += w30 * x0 + w31 * x1 + w32 * x2 + w33 * x3
    return bias + outputs


@njit
def activate(y, first, last):
    """x / sqrt(1 + x^2) in place, of rows first to last."""
    one = np.float32(1.0)
    for p in range(first * BLOCK, last * BLOCK):
        y[p] = y[p] / math.sqrt(one + y[p] * y[p])


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


def tiled(weight: np.ndarray, bias: np.ndarray, real: type = np.float32) -> np.ndarray:
    """A layer's weight (outputs, inputs) and bias as `dense` reads them: filled up, TILE x TILE tiles, then biases."""
    rows, columns = (padded(n) for n in weight.shape)
    full = np.zeros((rows, columns), real)
    full[: weight.shape[0], : weight.shape[1]] = weight
    biases = np.zeros(rows, real)
    biases[: len(bias)] = bias
    tiles = full.reshape(rows // TILE, TILE, columns // TILE, TILE).transpose(0, 2, 1, 3)
    return np.concatenate([tiles.ravel(), biases])
