"""Loops over points are compiled to SIMD instructions: 10 ns a point for j2, against 43 ns if something breaks that.

Looks at the compiler's output, since timings say little on a busy machine. What has broken it before: a call to the C
library, an array handed to a function inside the loop, an early return.
"""

import numba
import pytest

from constitutive import johnson_cook, recurrent
from constitutive.jit import OPTIONS
from constitutive.material import load_material


@pytest.mark.parametrize("name", ["elastic_steel", "copper_j2"])
def test_point_wise_laws(name):
    block = load_material(name).law.update_block
    again = numba.njit(block.signatures[0], **(OPTIONS | {"cache": False}))(block.py_func)
    assert "vector.body" in next(iter(again.inspect_llvm().values()))


VECTOR, NUMBER, WHOLE = numba.float64[::1], numba.float64, numba.int64[::1]
LOOPS = {
    "try_elastic": (VECTOR, VECTOR, VECTOR, NUMBER, VECTOR, VECTOR, WHOLE),
    "solve_plastic_steps": (VECTOR, NUMBER, VECTOR, VECTOR),
    "return_radially": (VECTOR, VECTOR, VECTOR, VECTOR, WHOLE),
}


@pytest.mark.parametrize("loop", LOOPS)
def test_the_three_loops_of_johnson_cook(loop):
    kernel = getattr(johnson_cook, loop)
    again = numba.njit(LOOPS[loop], **(OPTIONS | {"cache": False}))(kernel.py_func)
    assert "vector.body" in next(iter(again.inspect_llvm().values()))


INTEGER = numba.int64
OF_RECURRENT = {
    "_strains": (VECTOR, INTEGER, NUMBER, VECTOR, VECTOR),
    "_flow": (NUMBER, INTEGER, VECTOR, VECTOR),
}


@pytest.mark.parametrize("loop", OF_RECURRENT)
def test_the_long_loops_of_recurrent(loop):
    """80 and 37 ns a point where they are not vectorised, 17 and 10 where they are."""
    kernel = getattr(recurrent, loop)
    again = numba.njit(OF_RECURRENT[loop], **(OPTIONS | {"cache": False}))(kernel.py_func)
    assert "vector.body" in next(iter(again.inspect_llvm().values()))
