"""Layers of units over points, feature-major: feature c of point p is `x[c * lanes + p]`, lanes a multiple of VECTOR.

y = W x + b, and two activations without a call to the C library, so that loops over points vectorise (tanhf costs 5 to
10 times more): phi(x) = x / sqrt(1 + x^2), float32, and SELU (Klambauer et al. 2017), which like `dense` serves float32
and float64.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from constitutive.jit import njit

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
VECTOR = 16  # points at a time: float32 numbers of the widest registers
FLAGS = ("contract",)


def _rows_of_product(rows: int, biased: bool) -> Callable:
    """Y[j, p] = b[j] + sum_i W[j, i] X[i, p] for `rows` neighbouring j and VECTOR neighbouring p, all sums in registers;
    where not biased, the sums are added to Y.

    LLVM keeps no sums in registers across the loop over i when it vectorises one over p, so the loop is written in its
    own language. Called with flat arrays, where in each to begin, and how far apart their rows are.
    """

    @intrinsic
    def product(typing, b, b_at, b_row, W, w_at, w_row, X, x_at, x_row, Y, y_at, y_row, inputs):
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            arrays = [context.make_array(signature.args[k])(context, builder, args[k]).data for k in (0, 3, 6, 9)]
            starts, apart = args[1:12:3], args[2:12:3]
            real = context.get_data_type(signature.args[9].dtype)
            size, index = context.get_abi_sizeof(real), ir.IntType(64)
            vector = ir.VectorType(real, VECTOR)
            unset, lane_0 = ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), VECTOR), None)

            def number_at(array, row, column=None):
                place = builder.add(starts[array], builder.mul(apart[array], row))
                return builder.gep(arrays[array], [place if column is None else builder.add(place, column)])

            def vector_at(array, row):
                return builder.bitcast(number_at(array, row), vector.as_pointer())

            def in_all_lanes(pointer):
                one = builder.insert_element(unset, builder.load(pointer), ir.Constant(ir.IntType(32), 0))
                return builder.shuffle_vector(one, unset, lane_0)

            numbers = [ir.Constant(index, r) for r in range(rows)]
            results = [vector_at(3, r) for r in numbers]
            first = [in_all_lanes(number_at(0, r)) for r in numbers] if biased else []
            first = first or [builder.load(result, align=size) for result in results]
            sums = [cgutils.alloca_once_value(builder, value) for value in first]
            with cgutils.for_range(builder, args[12]) as loop:
                points = builder.load(vector_at(2, loop.index), align=size)
                for r, total in zip(numbers, sums, strict=True):
                    term = builder.fmul(in_all_lanes(number_at(1, r, loop.index)), points, flags=FLAGS)
                    builder.store(builder.fadd(builder.load(total), term, flags=FLAGS), total)
            for total, result in zip(sums, results, strict=True):
                builder.store(builder.load(total), result, align=size)
            return context.get_dummy_value()

        whole = types.int64
        arrays = [kind for array in (b, W, X, Y) for kind in (array, whole, whole)]
        return types.void(*arrays, whole), generate

    return product


SIX, TWO = 6, 2  # rows at a time: as many independent sums as hide the latency of a multiplication; then what is left


def _rows_by_rows(biased: bool) -> Callable:
    """The product over all rows, for VECTOR points from lane `p` on."""
    six, two, one = (_rows_of_product(rows, biased) for rows in (SIX, TWO, 1))

    @njit
    def product(b, b_at, b_row, W, w_at, X, Y, p, lanes, inputs, outputs):
        sixes, twos = outputs - outputs % SIX, outputs - outputs % TWO
        for j in range(0, sixes, SIX):
            six(b, b_at + j * b_row, b_row, W, w_at + j * inputs, inputs, X, p, lanes, Y, j * lanes + p, lanes, inputs)
        for j in range(sixes, twos, TWO):
            two(b, b_at + j * b_row, b_row, W, w_at + j * inputs, inputs, X, p, lanes, Y, j * lanes + p, lanes, inputs)
        for j in range(twos, outputs):
            one(b, b_at + j * b_row, b_row, W, w_at + j * inputs, inputs, X, p, lanes, Y, j * lanes + p, lanes, inputs)

    return product


_add, _begin = _rows_by_rows(False), _rows_by_rows(True)


@njit
def add_product(W, X, Y):
    """Y += W X; W (outputs, inputs), X (inputs, lanes), Y (outputs, lanes), of one type, contiguous; lanes a multiple of
    VECTOR.
    """
    outputs, inputs = W.shape
    lanes = Y.shape[1]
    w, x, y = W.reshape(-1), X.reshape(-1), Y.reshape(-1)
    for p in range(0, lanes, VECTOR):
        _add(w, 0, 0, w, 0, x, y, p, lanes, inputs, outputs)


@njit
def dense(weights, start, inputs, outputs, components, points, x, y):
    """y = b + W x: from `start` on, b (outputs, components) and W (outputs, inputs); returns where the next layer begins.

    x (inputs * components * points,), y (outputs * components * points,): a feature is a number at each point, or a
    deviator, of 5 components.
    """
    lanes, first = components * points, start + outputs * components
    for c in range(components):
        for p in range(c * points, (c + 1) * points, VECTOR):
            _begin(weights, start + c, components, weights, first, x, y, p, lanes, inputs, outputs)
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
