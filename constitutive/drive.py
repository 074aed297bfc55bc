"""Runs a law along given deformation histories: material points, data generation, tests.

All points share the times; each has its own deformation gradient F(t), and starts virgin and free of stress (or from a
given state). Blocks of points run on parallel threads; a point's result does not depend on their number.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numba
import numpy as np
from numba import prange, types

from constitutive.jit import njit
from constitutive.law import BLOCK, UPDATE_BLOCK, Law, LawError


@dataclass(frozen=True)
class History:
    """What a law gave along its paths.

    times (m+1,) s; stress (m+1, n, 6) Pa; F (m+1, n, 3, 3); state (n, state_size) at the end; `record`
    (r, n, state_size), the states after the steps `record_steps` (r,) (0 is the start).
    """

    law: Law
    times: np.ndarray
    F: np.ndarray
    stress: np.ndarray
    state: np.ndarray
    record_steps: np.ndarray
    record: np.ndarray

    def recorded(self, name: str) -> np.ndarray:
        """The recorded values of a state variable, (r, n) or (r, n, components). LawError for an unknown name."""
        where = self.law.state_slice(name)
        values = self.record[..., where]
        return values[..., 0] if where.stop - where.start == 1 else values


def drive(
    law: Law,
    times: np.ndarray,
    F: np.ndarray,
    record_steps: Iterable[int] = (),
    state: np.ndarray | None = None,
    stress: np.ndarray | None = None,
) -> History:
    """Run a law along paths.

    times (m+1,) s, increasing; F (m+1, n, 3, 3). `record_steps` are steps after which to keep the whole state (0 is the
    start), all of them by `range(m + 1)`, none by default. `state` (n, state_size) and `stress` (n, 6) at the start are
    virgin and zero by default; a virgin point is one at rest with F = I, so F[0] should be I then.

    Raises LawError that names the path, the step, the time and the law's reason where an update fails first, and
    ValueError for arrays whose shapes do not agree.
    """
    times = np.ascontiguousarray(times, float)
    F = np.ascontiguousarray(F, float)
    if times.ndim != 1 or F.ndim != 4 or F.shape != (len(times), F.shape[1], 3, 3) or F.size == 0:
        raise ValueError(f"times (m+1,) and F (m+1, n, 3, 3) are wanted, n at least 1; got {times.shape} and {F.shape}")
    if not np.all(np.diff(times) > 0.0):
        raise LawError(
            f"times must increase from step to step; they do not after step {np.argmax(~(np.diff(times) > 0))}"
        )
    n = F.shape[1]
    steps = np.array(list(record_steps), np.int64)
    slot = np.full(len(times), -1)
    slot[steps] = np.arange(len(steps))
    starts = _block_starts(n)
    stresses = np.zeros((len(times), n, 6))
    record = np.zeros((len(steps), n, law.state_size))
    if stress is not None:
        stresses[0] = stress
    first = law.initial_state(n) if state is None else np.asarray(state, float)
    states = np.concatenate([law.pack_state(first[a:b]) for a, b in pairwise(starts)])
    failure = np.full((len(states), 3), -1)
    _kernel()(
        law.update_block, law.params, times, F.reshape(len(times), n, 9), starts, stresses, states, law.point_major,
        slot, record, failure,
    )  # fmt: skip
    if np.any(failure[:, 0] >= 0):
        step, point, code = min(failure[failure[:, 0] >= 0].tolist())
        raise LawError(
            f"law '{law.name}' failed on path {point} in step {step}, at time {times[step]:.6g} s "
            f"(det F = {np.linalg.det(F[step, point]):.6g}): {law.reason(code)}"
        )
    blocks = zip(states, pairwise(starts), strict=True)
    last = np.concatenate([law.unpack_state(block[None], b - a) for block, (a, b) in blocks])
    return History(law, times, F, stresses, last, steps, record)


def _block_starts(n: int) -> np.ndarray:
    """First point of each block, and n: blocks of at most BLOCK points, enough of them to occupy all threads."""
    blocks = max(-(-n // BLOCK), min(n, numba.get_num_threads()))
    return np.linspace(0, n, blocks + 1).astype(np.int64)


def _drive(update_block, params, times, F, starts, stress, states, point_major, slot, record, failure):
    k = record.shape[2]
    for block in prange(len(starts) - 1):
        start, count = starts[block], starts[block + 1] - starts[block]
        old, new, sigma = np.zeros(9 * BLOCK), np.zeros(9 * BLOCK), np.zeros(6 * BLOCK)
        status = np.zeros(BLOCK, np.int64)
        for c in range(0, 9, 4):
            old[c * BLOCK : (c + 1) * BLOCK] = 1.0
            new[c * BLOCK : (c + 1) * BLOCK] = 1.0
        for p in range(count):
            for c in range(9):
                old[c * BLOCK + p] = F[0, start + p, c]
            for c in range(6):
                sigma[c * BLOCK + p] = stress[0, start + p, c]
        for step in range(len(times)):
            if step > 0:
                for p in range(count):
                    for c in range(9):
                        new[c * BLOCK + p] = F[step, start + p, c]
                dt = times[step] - times[step - 1]
                if update_block(params, old, new, dt, sigma, states[block], status) != 0:
                    point = np.argmax(status)
                    failure[block, 0], failure[block, 1], failure[block, 2] = step, start + point, status[point]
                    break
                old[:] = new
                for p in range(count):
                    for c in range(6):
                        stress[step, start + p, c] = sigma[c * BLOCK + p]
            if slot[step] >= 0:
                for p in range(count):
                    for c in range(k):
                        where = p * k + c if point_major else c * BLOCK + p
                        record[slot[step], start + p, c] = states[block, where]


_A1, _A2, _A3 = types.float64[::1], types.float64[:, ::1], types.float64[:, :, ::1]
_SIGNATURE = types.void(
    UPDATE_BLOCK, _A1, _A1, _A3, types.int64[::1], _A3, _A2, types.boolean, types.int64[::1], _A3, types.int64[:, ::1]
)  # fmt: skip


@cache
def _kernel():
    return njit(_SIGNATURE, parallel=True)(_drive)
