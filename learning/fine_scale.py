"""The fine scale's answer to strain paths: one shard of a data set, computed by one thread.

The fine scale is a law at a point, or a periodic unit cell of crystals (constitutive/fft_cell.py); with a device, the
cells of all paths of the shard go together there (batch_cell.py, which needs torch).

Between two recorded times the law is told U at the ends (or at `substeps` equal parts of the interval), as a solver
tells it in its steps; what lies between is the law's own reading of a step, straight in C = U^2 for crystals. With
substeps = 1 the recorded U are thus all that the law has seen, and the data are as exact as the law's integration.

A path on which the law fails is drawn again under the same index, with the next `attempt`; the causes are counted.
Numbers do not depend on what else is in the shard, or on who computes it.
"""

import os
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from constitutive.drive import drive
from constitutive.fft_cell import Cell, CellHistory
from constitutive.law import Law, LawError, law_definition
from constitutive.tensor import full
from learning.dataset import shard_indices
from learning.strain_paths import Sampler, StrainPath, path, random_stream

if TYPE_CHECKING:
    from learning.batch_cell import BatchCell

METRIC = "inelastic_metric"  # the law's field that is stored as Z
RESIDUAL = "equilibrium_residual"  # of a unit cell, relative to the mean stress
PIECE = 50  # recorded steps of which states are kept at a time
RECORD_BYTES = 256e6  # of all states kept at a time, per process
MOST_ATTEMPTS = 20


class FineScaleError(RuntimeError):
    """The law fails on every path of an index; the message says which, and why."""


@dataclass(frozen=True)
class Task:
    """What every shard of a data set has in common.

    `values` are the numbers of the law, as a material file's; `unit_cell` (fft2d, fft3d, or None for the law at a
    point) has `points` pixels along an axis; `device` is torch's for cells of many paths at once, None for one by one.
    """

    sampler: Sampler
    seed: int
    paths: int
    steps: int
    substeps: int
    shard_size: int
    law: str
    values: Mapping[str, Any]
    texture_per_path: bool = False
    unit_cell: str | None = None
    points: int | None = None
    device: str | None = None

    def build(self, texture_seed: int | None = None) -> Law | Cell:
        """The law or the unit cell, with the material's own texture or a random one."""
        values = dict(self.values) | ({} if texture_seed is None else {"texture_seed": texture_seed})
        if self.unit_cell is not None and self.points is not None:
            return Cell(self.unit_cell, values, self.points)
        return law_definition(self.law).build(values)

    def texture_seed(self, index: int, attempt: int) -> int:
        """Seed of the texture that belongs to a path alone."""
        return int(random_stream(self.seed, index, attempt, purpose=1).integers(2**63))


def compute_shard(task: Task, number: int) -> tuple[int, dict[str, np.ndarray], dict[str, Any]]:
    """Draw the paths of a shard and drive the law along them; the number, arrays and report of dataset.write_shard.

    Raises FineScaleError, and StrainPathError where no path can be drawn.
    """
    begin = time.process_time()
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        answers, failures, redraws = _answers(task, shard_indices(number, task.paths, task.shard_size).tolist())
    finally:
        numba.set_num_threads(threads)
    arrays = {name: np.stack([answers[i][name] for i in sorted(answers)]) for name in next(iter(answers.values()))}
    report = {"redraws": redraws, "failures": dict(failures), "processor_seconds": time.process_time() - begin}
    return number, arrays, report


def compute_shard_for(parent: int, task: Task, number: int) -> tuple[int, dict[str, np.ndarray], dict[str, Any]]:
    """`compute_shard` in a worker process that leaves when its parent, a process number, is gone (kill -9, say)."""
    _leave_with(parent)
    return compute_shard(task, number)


@cache
def _leave_with(parent: int) -> None:
    def watch():
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _answers(task: Task, waiting: list[int]) -> tuple[dict[int, dict[str, np.ndarray]], Counter, int]:
    """The answer to each path by index, the failures of the law by cause, and the paths that the sampler redrew."""
    answers: dict[int, dict[str, np.ndarray]] = {}
    failures: Counter = Counter()
    redraws = 0
    attempts = dict.fromkeys(waiting, 0)
    law = None if task.texture_per_path else task.build()
    batch = _batch(law, task.device)
    while waiting:
        drawn = {i: path(task.sampler, task.seed, i, task.steps, attempts[i]) for i in waiting}
        redraws += sum(p.redraws for p in drawn.values())
        if batch is not None:
            answers |= _answer_batch(task, batch, [(i, attempts[i], p) for i, p in drawn.items()], failures)
        else:
            for group in _groups(drawn, law):
                answers |= _answer_group(task, law, [(i, attempts[i], drawn[i]) for i in group], failures)
        waiting = [i for i in waiting if i not in answers]
        for i in waiting:
            attempts[i] += 1
            if attempts[i] == MOST_ATTEMPTS:
                causes = "; ".join(f"{cause} ({count} times)" for cause, count in failures.most_common())
                raise FineScaleError(f"law '{task.law}' fails on {MOST_ATTEMPTS} paths of index {i} in a row: {causes}")
    return answers, failures, redraws


def _batch(law: Law | Cell | None, device: str | None) -> "BatchCell | None":
    """The unit cell of all paths together, where there is a device for it."""
    if device is None or not isinstance(law, Cell):
        return None
    from learning.batch_cell import BatchCell

    return BatchCell(law, device)


def _groups(drawn: dict[int, StrainPath], law: Law | Cell | None) -> list[list[int]]:
    """Indices of paths that share their times, and so can fill a law's blocks together, as many as fit in memory.

    Each path is alone where each has a law of its own, and in a unit cell.
    """
    if law is None or isinstance(law, Cell):
        return [[i] for i in drawn]
    return sharing_times({i: p.times for i, p in drawn.items()}, PIECE, law)


def sharing_times(times: Mapping[int, np.ndarray], records: int, law: Law) -> list[list[int]]:
    """Numbers of paths that share their times, as many together as `records` states of each fit in memory."""
    together: dict[bytes, list[int]] = {}
    for i, row in times.items():
        together.setdefault(row.tobytes(), []).append(i)
    most = max(1, int(RECORD_BYTES / (8 * records * max(law.state_size, 1))))
    return [group[a : a + most] for group in together.values() for a in range(0, len(group), most)]


def _answer_group(
    task: Task, law: Law | Cell | None, group: list[tuple[int, int, StrainPath]], failures: Counter
) -> dict[int, dict[str, np.ndarray]]:
    """Answers to paths (index, attempt, path) that share their times; those on which the law fails are left out."""
    index, attempt, first = group[0]
    own = {} if law is not None else {"texture_seed": np.array(task.texture_seed(index, attempt))}
    used = law if law is not None else task.build(int(own["texture_seed"]))
    try:
        recorded = follow(used, [p for _, _, p in group], task.substeps)
    except LawError as error:
        if len(group) == 1:
            failures[reason_of(error)] += 1
            return {}
        return {i: a for member in group for i, a in _answer_group(task, law, [member], failures).items()}
    return {
        i: {"index": np.array(i), "attempt": np.array(k), "time": first.times, **own}
        | {name: values[:, n] for name, values in recorded.items()}
        for n, (i, k, _) in enumerate(group)
    }


def _answer_batch(
    task: Task, batch: "BatchCell", group: list[tuple[int, int, StrainPath]], failures: Counter
) -> dict[int, dict[str, np.ndarray]]:
    """Answers to paths (index, attempt, path) by unit cells that go together; those that fail are left out."""
    times = np.stack([_parts(p.times, task.substeps) for _, _, p in group])
    U = np.stack([p.U(t) for t, (_, _, p) in zip(times, group, strict=True)])
    answers = {}
    for (i, k, p), strain, history in zip(group, U, batch.follow(times, full(U)), strict=True):
        if isinstance(history, LawError):
            failures[reason_of(history)] += 1
            continue
        labels = {"index": np.array(i), "attempt": np.array(k), "time": p.times, "U": strain[:: task.substeps]}
        answers[i] = labels | _recorded(history, task.substeps)
    return answers


def reason_of(error: LawError) -> str:
    """A law's reason to fail, without the numbers of this path."""
    return str(error).rsplit("): ", 1)[-1]


def _parts(times: np.ndarray, substeps: int) -> np.ndarray:
    """Times with every interval in equal parts."""
    parts = np.arange((len(times) - 1) * substeps + 1) / substeps
    return np.interp(parts, np.arange(len(times)), times)


def follow(law: Law | Cell, paths: list[StrainPath], substeps: int = 1) -> dict[str, np.ndarray]:
    """Drive a law, or a unit cell (n = 1), along n paths that share their m + 1 times, with F = U.

    Returns U (m+1, n, 6), stress (m+1, n, 6) Pa, Z (m+1, n, 6) where the law has it, and its scalar fields (m+1, n).
    Raises LawError where the law fails.
    """
    fine = _parts(paths[0].times, substeps)
    U = np.stack([p.U(fine) for p in paths], axis=1)
    F = full(U)
    if isinstance(law, Cell):
        recorded = _recorded(law.follow(fine, F[:, 0]), substeps)
        return {"U": U[::substeps]} | {name: values[:, None] for name, values in recorded.items()}
    pieces: list[dict[str, np.ndarray]] = []
    state = stress = None
    for a in range(0, len(fine) - 1, PIECE * substeps):
        b = min(a + PIECE * substeps, len(fine) - 1)
        keep = np.arange(0 if a == 0 else substeps, b - a + 1, substeps)
        history = drive(law, fine[a : b + 1], F[a : b + 1], keep, state, stress)
        state, stress = history.state, history.stress[-1]
        pieces.append({"stress": history.stress[keep]} | _fields(law, F[a + keep], history.record))
    answer = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    return {"U": U[::substeps]} | answer


def _recorded(history: CellHistory, substeps: int) -> dict[str, np.ndarray]:
    """Stress and mean fields of a unit cell, and the worst residual of equilibrium since the record before."""
    worst = np.concatenate([[0.0], history.residual.reshape(-1, substeps).max(axis=1)])
    found = {"stress": history.stress} | history.scalars
    return {name: values[::substeps] for name, values in found.items()} | {RESIDUAL: worst}


def _fields(law: Law, F: np.ndarray, record: np.ndarray) -> dict[str, np.ndarray]:
    """Z and scalar fields, (r, n, ...), of states (r, n, k) under F (r, n, 3, 3).

    Path by path: the order of a sum, as in a matrix product, may depend on how many states come together.
    """
    paths = [law.output_fields(F[:, i], record[:, i]) for i in range(record.shape[1])]
    kept = {name: name for name, values in paths[0].items() if values.ndim == 1}
    kept |= {METRIC: "Z"} if METRIC in paths[0] else {}
    return {new: np.stack([fields[name] for fields in paths], axis=1) for name, new in kept.items()}
