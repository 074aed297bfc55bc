"""Derives the kernels of training from a law's own point functions, by tracing them (reverse-mode differentiation).

A point function of tuples (constitutive/recurrent_equations.py) is run once on symbols. What it did becomes the source
of two Numba kernels over the lanes of a buffer of rows, `B[row * LANES + lane]`: the function itself, and its adjoint,
which adds to the derivatives with respect to the inputs what those with respect to the outputs imply (Griewank &
Walther 2008, Evaluating Derivatives, chapter 3). Rows at constant distances are what lets LLVM vectorise both over the
lanes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FunctionType, SimpleNamespace
from typing import Any, NamedTuple

import numba
import numpy as np

LANES = 64  # paths in a block
_njit: Any = numba.njit
_REAL = numba.types.float32
_ROWS, _TABLE = _REAL[::1], _REAL[:, ::1]
_OPTIONS = {"error_model": "numpy", "fastmath": {"reassoc", "contract", "arcp", "nsz"}}

# how each operation is written, and what its adjoint adds to each operand; o is its value, g the adjoint of it
_OPERATIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "add": ("{0} + {1}", ("{g}", "{g}")),
    "subtract": ("{0} - {1}", ("{g}", "-{g}")),
    "multiply": ("{0} * {1}", ("{g} * {1}", "{g} * {0}")),
    "divide": ("{0} / {1}", ("{g} / {1}", "-{g} * {o} / {1}")),
    "negate": ("-{0}", ("-{g}",)),
    "sqrt": ("math.sqrt({0})", ("half * {g} / {o}",)),
    "minimum": ("min({0}, {1})", ("({g} if {0} < {1} else zero)", "(zero if {0} < {1} else {g})")),
}


@dataclass(frozen=True)
class Rows:
    """Rows of a buffer: row = first + stride * j in pass j of a kernel, for each of `count` components in turn."""

    first: int
    count: int
    stride: int = 0

    def places(self) -> list[str]:
        """Where lane 0 of each component is, as source."""
        starts = [(self.first + c) * LANES for c in range(self.count)]
        return [f"{start} + {self.stride * LANES} * j" if self.stride else str(start) for start in starts]


class Kernels(NamedTuple):
    """forward(B, parameters) and backward(B, G, parameters, gradients); B, G flat, the others (passes, p)."""

    forward: Callable
    backward: Callable


class _Symbol:
    """A value of the traced function: its number on the tape. NumPy's scalars leave arithmetic with it to us."""

    __array_ufunc__ = None

    def __init__(self, tape: list[tuple[str, tuple]], operation: str, *operands: Any) -> None:
        self.tape, self.number = tape, len(tape)
        tape.append((operation, operands))

    def _apply(self, operation: str, *operands: Any) -> "_Symbol":
        symbols = [x if isinstance(x, _Symbol) else _Symbol(self.tape, "constant", float(x)) for x in operands]
        return _Symbol(self.tape, operation, *(x.number for x in symbols))

    def __add__(self, other):
        return self._apply("add", self, other)

    def __radd__(self, other):
        return self._apply("add", other, self)

    def __sub__(self, other):
        return self._apply("subtract", self, other)

    def __rsub__(self, other):
        return self._apply("subtract", other, self)

    def __mul__(self, other):
        return self._apply("multiply", self, other)

    def __rmul__(self, other):
        return self._apply("multiply", other, self)

    def __truediv__(self, other):
        return self._apply("divide", self, other)

    def __rtruediv__(self, other):
        return self._apply("divide", other, self)

    def __neg__(self):
        return self._apply("negate", self)


_SYMBOLS = {
    "math": SimpleNamespace(sqrt=lambda x: x._apply("sqrt", x)),
    "min": lambda x, y: x._apply("minimum", x, y),
}


def reinterpret(function: Callable, names: dict[str, Any] = _SYMBOLS) -> Callable:
    """A function, compiled or not, and all that it calls by name, as plain Python with other `math` and `min`."""
    plain: Any = getattr(function, "py_func", function)
    scope = {**plain.__globals__, **names}
    for name in plain.__code__.co_names:
        value: Any = plain.__globals__.get(name)
        if hasattr(value, "py_func") or (isinstance(value, FunctionType) and value.__module__ == plain.__module__):
            scope[name] = reinterpret(value, names)
        elif isinstance(value, np.floating):
            scope[name] = float(value)
    return FunctionType(plain.__code__, scope, plain.__name__, plain.__defaults__)


def point_kernels(
    function: Callable, inputs: Sequence[Rows], outputs: Sequence[Rows], passes: int = 1, parameters: int = 0
) -> Kernels:
    """Kernels of `function(*tuples, *parameters) -> flat tuple`, its inputs and outputs in rows of the buffer.

    One tuple (or, of one component, number) for each of `inputs`; `parameters` numbers that all lanes of a pass share.
    """
    tape: list[tuple[str, tuple]] = []
    symbols = [[_Symbol(tape, "input", place) for place in rows.places()] for rows in inputs]
    shared = [_Symbol(tape, "parameter", k) for k in range(parameters)]
    arguments = [tuple(group) if len(group) > 1 else group[0] for group in symbols]
    results = [x.number for x in reinterpret(function)(*arguments, *shared)]
    places = [place for rows in outputs for place in rows.places()]
    if len(results) != len(places):
        raise ValueError(f"{function.__name__} has {len(results)} results for {len(places)} rows")
    source = _Source(tape, results)
    scope = {"math": math, "half": np.float32(0.5), "zero": np.float32(0.0), **source.constants}
    exec(compile(source.text(passes, parameters, places), f"<adjoint of {function.__name__}>", "exec"), scope)
    forward = _njit((_ROWS, _TABLE), **_OPTIONS)(scope["forward"])
    return Kernels(forward, _njit((_ROWS, _ROWS, _TABLE, _TABLE), **_OPTIONS)(scope["backward"]))


class _Source:
    """Source of both kernels of a tape."""

    def __init__(self, tape: list[tuple[str, tuple]], results: list[int]) -> None:
        self.tape, self.results = tape, results
        self.constants: dict[str, np.float32] = {}
        self.names: dict[int, str] = {}
        self.needed = self._needed()
        self.values = [line for number in sorted(self.needed) for line in self._value(number)]

    def _needed(self) -> set[int]:
        """What the results depend on."""
        needed: set[int] = set()
        waiting = list(self.results)
        while waiting:
            number = waiting.pop()
            if number not in needed:
                needed.add(number)
                operation, operands = self.tape[number]
                waiting += operands if operation in _OPERATIONS else ()
        return needed

    def _value(self, number: int) -> list[str]:
        """The line that computes a value; none for constants and parameters."""
        operation, operands = self.tape[number]
        if operation == "constant":
            self.names[number] = f"c{number}"
            self.constants[f"c{number}"] = np.float32(operands[0])
            return []
        if operation == "parameter":
            self.names[number] = f"s{operands[0]}"
            return []
        self.names[number] = f"v{number}"
        if operation == "input":
            return [f"v{number} = B[{operands[0]} + p]"]
        written = _OPERATIONS[operation][0].format(*(self.names[x] for x in operands))
        return [f"v{number} = {written}"]

    def _adjoints(self, places: list[str]) -> list[str]:
        """The lines that run backward, to the adjoints g of all inputs and parameters."""
        lines: list[str] = []
        begun: set[int] = set()

        def add(number: int, term: str) -> None:
            if self.tape[number][0] != "constant":
                lines.append(f"g{number} = g{number} + {term}" if number in begun else f"g{number} = {term}")
                begun.add(number)

        for place, number in zip(places, self.results, strict=True):
            add(number, f"G[{place} + p]")
        for number in sorted(self.needed, reverse=True):
            operation, operands = self.tape[number]
            if operation in _OPERATIONS and number in begun:
                names = [self.names[x] for x in operands]
                for operand, term in zip(operands, _OPERATIONS[operation][1], strict=True):
                    add(operand, term.format(*names, g=f"g{number}", o=self.names[number]))
        for number in sorted(begun):
            operation, operands = self.tape[number]
            if operation == "input":
                lines.append(f"G[{operands[0]} + p] += g{number}")
            elif operation == "parameter":
                lines.append(f"t{operands[0]} += g{number}")
        return lines

    def text(self, passes: int, parameters: int, places: list[str]) -> str:
        """Both functions; `places` are those of the results."""
        load = [f"s{k} = parameters[j, {k}]" for k in range(parameters)]
        stores = [f"B[{place} + p] = {self.names[x]}" for place, x in zip(places, self.results, strict=True)]
        clear = [f"t{k} = zero" for k in range(parameters)]
        keep = [f"gradients[j, {k}] += t{k}" for k in range(parameters)]
        forward = _loop("forward(B, parameters)", passes, load, [*self.values, *stores], [])
        body = [*self.values, *self._adjoints(places)]
        return forward + _loop("backward(B, G, parameters, gradients)", passes, [*load, *clear], body, keep)


def _loop(head: str, passes: int, before: list[str], body: list[str], after: list[str]) -> str:
    lines = [f"def {head}:", f"    for j in range({passes}):"]
    lines += [f"        {line}" for line in before]
    lines += [f"        for p in range({LANES}):", *(f"            {line}" for line in body)]
    return "\n".join([*lines, *(f"        {line}" for line in after)]) + "\n"
