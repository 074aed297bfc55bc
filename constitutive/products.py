"""Products of small matrices with blocks of points, VECTOR points at a time, all sums in registers.

LLVM keeps no sums in registers across the loop over inputs when it vectorises one over points, so that loop is written
in its own language: 45 to 53 products a nanosecond on one thread of an AMD EPYC (Zen 4), against 34 to 45 of loops in
Python.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from constitutive.jit import known_as, njit

VECTOR = 16  # points at a time: float32 numbers of the widest registers
SIX, TWO = 6, 2  # rows at a time: as many independent sums as hide the latency of a multiplication; then what is left
FLAGS = ("contract",)


def _rows_of_product(rows: int, biased: bool) -> Callable:
    """Y[j, p] = b[j] + sum_i W[j, i] X[i, p] for `rows` neighbouring j and VECTOR neighbouring p.

    Where not biased, Y[j, p] itself stands for b[j]: the sums are added to it. Called with flat arrays, where in each
    to begin, and how far apart their rows are.
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
            if biased:
                first = [in_all_lanes(number_at(0, r)) for r in numbers]
            else:
                first = [builder.load(result, align=size) for result in results]
            sums = [cgutils.alloca_once_value(builder, value) for value in first]  # LLVM puts them into registers
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

    return known_as(f"rows_of_product.{rows}.{biased}", product)


def _rows_by_rows(biased: bool) -> Callable:
    """The product of all rows, for VECTOR points from lane `p` on; arrays are flat, and begin at `b_at` and `w_at`."""
    six, two, one = (_rows_of_product(rows, biased) for rows in (SIX, TWO, 1))

    @njit(name="biased" if biased else "added")
    def product(b, b_at, b_row, W, w_at, X, Y, p, lanes, inputs, outputs):
        sixes, twos = outputs - outputs % SIX, outputs - outputs % TWO
        for j in range(0, sixes, SIX):
            six(b, b_at + j * b_row, b_row, W, w_at + j * inputs, inputs, X, p, lanes, Y, j * lanes + p, lanes, inputs)
        for j in range(sixes, twos, TWO):
            two(b, b_at + j * b_row, b_row, W, w_at + j * inputs, inputs, X, p, lanes, Y, j * lanes + p, lanes, inputs)
        for j in range(twos, outputs):
            one(b, b_at + j * b_row, b_row, W, w_at + j * inputs, inputs, X, p, lanes, Y, j * lanes + p, lanes, inputs)

    return product


biased_product, _added_product = _rows_by_rows(True), _rows_by_rows(False)


@njit
def add_product(W, X, Y):
    """Y += W X; W (outputs, inputs), X (inputs, lanes), Y (outputs, lanes), of one type and contiguous."""
    outputs, inputs = W.shape
    lanes = Y.shape[1]
    w, x, y = W.reshape(-1), X.reshape(-1), Y.reshape(-1)
    for p in range(0, lanes, VECTOR):
        _added_product(w, 0, 0, w, 0, x, y, p, lanes, inputs, outputs)
