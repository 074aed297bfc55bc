"""The monotonic clock for compiled code, so that the share of the law can be timed inside the element kernels."""

import time

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from constitutive.jit import njit

_CLOCK_MONOTONIC = int(getattr(time, "CLOCK_MONOTONIC", 1))


@intrinsic
def _seconds(typingctx):
    def codegen(context, builder, signature, args):
        integer = ir.IntType(64)
        timespec = builder.alloca(ir.ArrayType(integer, 2))
        function_type = ir.FunctionType(ir.IntType(32), [ir.IntType(32), timespec.type])
        function = builder.module.globals.get("clock_gettime")
        if function is None:
            function = ir.Function(builder.module, function_type, "clock_gettime")
        builder.call(function, [ir.Constant(ir.IntType(32), _CLOCK_MONOTONIC), timespec])
        parts = [builder.load(builder.gep(timespec, [ir.Constant(ir.IntType(32), i) for i in (0, k)])) for k in (0, 1)]
        seconds, nanoseconds = (builder.sitofp(part, ir.DoubleType()) for part in parts)
        return builder.fadd(seconds, builder.fmul(nanoseconds, ir.Constant(ir.DoubleType(), 1e-9)))

    return types.float64(), codegen


@njit
def seconds():
    """Monotonic time in s; about 25 ns a call."""
    return _seconds()
