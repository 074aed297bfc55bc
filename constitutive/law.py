"""The constitutive interface: what a material law declares, and how everybody calls it.

Compiled laws work in place on blocks of BLOCK = 64 material points, in the manner of a VUMAT:

    update_block(params, F_old, F_new, dt, stress, state, status) -> worst status

    params  (any,)       float64  the law's numbers, in an order that the law chooses
    F_old   (9 * BLOCK,) float64  deformation gradient at the start of the step, row-major
    F_new   (9 * BLOCK,) float64  and at its end
    dt                   float64  time step, s
    stress  (6 * BLOCK,) float64  Cauchy stress, Pa, order 11 22 33 12 23 13: old on entry, new on return
    state   (k * BLOCK,) float64  the law's state variables: old on entry, new on return
    status  (BLOCK,)     int64    0 where the update succeeded, else one of the law's reasons

Arrays are flat and component-major: component c of point p is `a[c * BLOCK + p]`. The constant stride is what lets
the compiler turn the loop over points into SIMD instructions (measured for J2: 9 ns a point, against 43 ns for arrays
of shape (n, ...)). A law whose points are large (thousands of states) may declare `point_major`: its state is then
`state[p * k + c]`. The solver calls the block through a function pointer of type UPDATE_BLOCK, so its kernels are
compiled once for all laws.

Most laws are written for one point, as a pure function of tuples, which `block_of_points` wraps into a block loop:

    update(params, F_old, F_new, dt, stress, state) -> (stress, state, status)
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import numpy as np
from numba import types
from numba.cpython.unsafe import tuple as unsafe_tuple

from constitutive.jit import inline, kept, known_as, njit

tuple_setitem = known_as("tuple_setitem", unsafe_tuple.tuple_setitem)

BLOCK = 64

_VECTOR = types.float64[::1]
_BLOCK_SIGNATURE = types.int64(_VECTOR, _VECTOR, _VECTOR, types.float64, _VECTOR, _VECTOR, types.int64[::1])
UPDATE_BLOCK = types.FunctionType(_BLOCK_SIGNATURE)

OK, INVERTED, NOT_CONVERGED = 0, 1, 2
REASONS = {
    INVERTED: "the deformation gradient is not finite, or its determinant or that of the step is not within 0.1 to 10",
    NOT_CONVERGED: "the stress update did not converge",
}


class LawError(ValueError):
    """A law or a material that cannot be used as given; the message says what, where and what to do."""


@dataclass(frozen=True)
class Parameter:
    """A value that a material file gives to a law.

    `minimum` and `maximum` are inclusive unless `exclusive` (then the value must be strictly above the minimum);
    `or_zero` admits zero below the minimum. A required parameter without a default must be given.
    `kind` is float, int, str, `list` (of numbers), `Path` (a file, relative to the material file), or a tuple of
    Parameters (a list of tables, each with these keys).
    """

    name: str
    unit: str
    meaning: str
    minimum: float = -np.inf
    maximum: float = np.inf
    exclusive: bool = False
    default: Any = None
    required: bool = True
    kind: Any = float
    or_zero: bool = False


@dataclass(frozen=True)
class State:
    """A state variable: its name is used by field output, unless it is `internal`, and checkpoint."""

    name: str
    unit: str
    components: int = 1
    initial: float | tuple[float, ...] = 0.0
    internal: bool = False


@dataclass(frozen=True)
class Law:
    """A law bound to its numbers, ready to run.

    `fields(F, state)` turns deformation gradients (n, 3, 3) and states (n, k) into named cell fields, each (n,) or
    (n, c); by default every state of one component that is not internal; `field_units` has the units of those that are
    no states. `energies(F, state)` gives stored energy and plastic work, J per reference m3, each (n,), where the law
    knows them; of the state it reads `energy_states`, or all where none are named.
    """

    name: str
    density: float  # reference, kg/m3
    p_wave_modulus: float  # rho c_p^2, Pa: bounds the time step
    shear_modulus: float  # Pa: scales hourglass stiffness
    params: np.ndarray
    states: tuple[State, ...]
    update_block: Callable
    point_major: bool = False
    reasons: Mapping[int, str] = field(default_factory=dict)
    fields: Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]] | None = None
    field_units: Mapping[str, str] = field(default_factory=dict)
    energies: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None
    energy_states: tuple[str, ...] = ()

    @property
    def state_size(self) -> int:
        """Number of float64 state variables per point."""
        return sum(state.components for state in self.states)

    @property
    def memory_per_point(self) -> int:
        """Bytes per material point: state, stress and deformation gradient."""
        return 8 * (self.state_size + 6 + 9)

    @property
    def units(self) -> dict[str, str]:
        """Units of the states and of what the law derives from them, by name."""
        return dict(self.field_units) | {state.name: state.unit for state in self.states}

    @property
    def wave_speed(self) -> float:
        """Elastic P-wave speed, m/s."""
        return float(np.sqrt(self.p_wave_modulus / self.density))

    def reason(self, status: int) -> str:
        """Why an update failed, in words."""
        return self.reasons.get(status) or REASONS.get(status) or f"status {status}, which the law does not explain"

    def initial_state(self, points: int) -> np.ndarray:
        """State of `points` virgin material points, shape (points, state_size)."""
        values = [np.broadcast_to(np.asarray(s.initial, float), (s.components,)) for s in self.states]
        return np.tile(np.concatenate([*values, np.empty(0)]), (points, 1))

    def state_slice(self, name: str) -> slice:
        """Where state variable `name` lies in a state vector."""
        start = 0
        for state in self.states:
            if state.name == name:
                return slice(start, start + state.components)
            start += state.components
        raise LawError(f"law '{self.name}' has no state '{name}'; it has {[s.name for s in self.states]}")

    @property
    def shown(self) -> np.ndarray:
        """Components of the state that `output_fields` reads: all, or its scalars where the law derives no fields."""
        return self._components(() if self.fields is not None else self._scalars())

    @property
    def energetic(self) -> np.ndarray:
        """Components of the state that `energies` reads."""
        return self._components(self.energy_states)

    def _components(self, names: Sequence[str]) -> np.ndarray:
        """Components of the states of these names; of all where there are none."""
        every = np.arange(self.state_size)
        return np.concatenate([every[self.state_slice(name)] for name in names]) if names else every

    def _scalars(self) -> list[str]:
        """Names of the states that are fields by themselves."""
        return [state.name for state in self.states if state.components == 1 and not state.internal]

    def output_fields(self, F: np.ndarray, state: np.ndarray) -> dict[str, np.ndarray]:
        """The law's named cell fields for F (n, 3, 3) and state (n, state_size)."""
        if self.fields is not None:
            return self.fields(F, state)
        return {name: state[:, self.state_slice(name)][:, 0] for name in self._scalars()}

    def pack_state(self, state: np.ndarray) -> np.ndarray:
        """States (n, state_size) as blocks (n_blocks, state_size * BLOCK), filled up with virgin points."""
        blocks = -(-len(state) // BLOCK)
        padded = np.concatenate([state, self.initial_state(blocks * BLOCK - len(state))])
        if self.point_major:
            return padded.reshape(blocks, -1)
        return pack(padded)

    def unpack_state(self, blocks: np.ndarray, points: int) -> np.ndarray:
        """Inverse of `pack_state` for the first `points` points."""
        if self.point_major:
            return blocks.reshape(-1, self.state_size)[:points]
        return unpack(blocks, points)

    def update(self, F_old, F_new, dt: float, stress, state) -> np.ndarray:
        """Advance any number of points, in place; the Python face of `update_block`.

        F_old, F_new (n, 3, 3); stress (n, 6) and state (n, state_size) are overwritten. Returns status (n,), 0 where
        it went well.
        """
        n = len(F_new)
        old, new = pack(F_old.reshape(n, 9), np.eye(3).ravel()), pack(F_new.reshape(n, 9), np.eye(3).ravel())
        stresses, states = pack(stress), self.pack_state(state)
        status = np.zeros((len(new), BLOCK), np.int64)
        for b in range(len(new)):
            self.update_block(self.params, old[b], new[b], float(dt), stresses[b], states[b], status[b])
        stress[:] = unpack(stresses, n)
        state[:] = self.unpack_state(states, n)
        return status.ravel()[:n]


@dataclass(frozen=True)
class LawDefinition:
    """A law before it is given numbers: its parameters and `build(values) -> Law` for validated values."""

    name: str
    parameters: tuple[Parameter, ...]
    build: Callable[[Mapping[str, Any]], Law]


def pack(points: np.ndarray, fill: np.ndarray | float = 0.0) -> np.ndarray:
    """Arrays of points (n, c) as component-major blocks (n_blocks, c * BLOCK); `fill` completes the last block."""
    n, c = points.shape
    blocks = -(-n // BLOCK)
    padded = np.empty((blocks * BLOCK, c))
    padded[:n] = points
    padded[n:] = fill
    return np.ascontiguousarray(padded.reshape(blocks, BLOCK, c).transpose(0, 2, 1)).reshape(blocks, c * BLOCK)


def unpack(blocks: np.ndarray, points: int) -> np.ndarray:
    """Inverse of `pack`: the first `points` points, shape (points, c)."""
    return blocks.reshape(len(blocks), -1, BLOCK).transpose(0, 2, 1).reshape(len(blocks) * BLOCK, -1)[:points]


@inline
def _load_nothing(block, p):
    return ()


def _loader(components: int) -> Callable:
    """Compiled function (block, p) -> tuple of the components of point p."""
    if components == 0:
        return _load_nothing
    zeros = (0.0,) * components

    def load(block, p):
        values = zeros
        for c in range(components):
            values = tuple_setitem(values, c, block[c * BLOCK + p])
        return values

    return inline(load, name=f"{components}")


load_tensor, load_symmetric = _loader(9), _loader(6)


@cache
def block_of_points(update: Callable, state_size: int) -> Callable:
    """Wrap a point-wise update of tuples, compiled with `jit.inline`, into an `update_block`, once a process."""
    load_state = _loader(state_size)
    source = getattr(update, "py_func", update)

    @njit(_BLOCK_SIGNATURE, name=f"{source.__module__}.{source.__qualname__}.{state_size}", cache=kept(source))
    def update_block(params, F_old, F_new, dt, stress, state, status):
        worst = 0
        for p in range(BLOCK):
            new_stress, new_state, code = update(
                params,
                load_tensor(F_old, p),
                load_tensor(F_new, p),
                dt,
                load_symmetric(stress, p),
                load_state(state, p),
            )
            for c in range(6):
                stress[c * BLOCK + p] = new_stress[c]
            if state_size > 0:
                for c in range(state_size):
                    state[c * BLOCK + p] = new_state[c]
            status[p] = code
            worst = max(worst, code)
        return worst

    return update_block


def compile_block(update_block: Callable) -> Callable:
    """Compile an `update_block` that was written for a whole block."""
    return njit(_BLOCK_SIGNATURE)(update_block)


BUILT_IN = {
    "neo_hookean": "constitutive.neo_hookean",
    "j2": "constitutive.j2",
    "johnson_cook": "constitutive.johnson_cook",
    "taylor": "constitutive.taylor",
    "crystal": "constitutive.crystal_law",
    "recurrent": "constitutive.recurrent",
    "pca_net": "constitutive.pca_net",
}
ENTRY_POINT_GROUP = "multiscale_impact.laws"


def law_names() -> list[str]:
    """Names of all laws: built in, and added by installed packages."""
    return sorted({*BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def law_definition(name: str) -> LawDefinition:
    """The definition of a law by name.

    A third party adds a law by an entry point in the group `multiscale_impact.laws` that names a LawDefinition.
    """
    if name in BUILT_IN:
        return import_module(BUILT_IN[name]).LAW
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name == name:
            return _loaded(point)
    raise LawError(f"no law is called '{name}'{did_you_mean(name, law_names())}; the laws are {', '.join(law_names())}")


def _loaded(point: EntryPoint) -> LawDefinition:
    """What a third party's entry point names. Raises LawError where that is not there, or no LawDefinition."""
    where = f"law '{point.name}': its entry point {point.value}"
    try:
        found = point.load()
    except (ImportError, AttributeError) as error:
        raise LawError(f"{where} cannot be loaded ({error}): mend the package that names it") from error
    if not isinstance(found, LawDefinition):
        raise LawError(f"{where} must name a LawDefinition, not a {type(found).__name__}")
    return found


def did_you_mean(word: str, known: list[str]) -> str:
    """A hint with the nearest known word, or nothing."""
    near = difflib.get_close_matches(word, known, 1, 0.5)
    return f" (did you mean '{near[0]}'?)" if near else ""
