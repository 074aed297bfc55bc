"""Sets of paths to judge laws on, and the answers of a law to them.

A set is drawn afresh from a sampler and answered by the fine scale, or read from a data set's folder. Arrays are as in
learning/dataset.py: time (n, m+1) s, U (n, m+1, 6), stress (n, m+1, 6) Pa; the law is driven with F = U.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from constitutive.drive import drive
from constitutive.law import Law, LawError
from constitutive.material import Material
from constitutive.tensor import full
from learning import dataset
from learning.dataset import shard_count
from learning.fine_scale import Task, reason_of, sharing_times
from learning.strain_paths import ImpactSampler, RecordedSampler, Sampler, described, path, sampler_of
from learning.workers import Progress, results

SHARDS_PER_WORKER = 4
SOURCE = ("sampler", "seed", "steps", "material", "unit_cell", "files")  # what is told of a data set


@dataclass(frozen=True)
class PathSet:
    """Paths, what kind each is of, and the fine scale's stress; `source` says where they come from."""

    name: str
    source: Mapping[str, Any]
    kinds: np.ndarray
    time: np.ndarray
    U: np.ndarray
    stress: np.ndarray

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True)
class Answer:
    """A law's stress (n, m+1, 6) on a set; `answered` (n,) is false where the law refused, for `reasons`.

    `plastic_work` (n, m+1) J/m3, and `outside` (n,), whether a path left the training's envelope: None where the law
    has none.
    """

    stress: np.ndarray
    answered: np.ndarray
    reasons: Mapping[str, int]
    plastic_work: np.ndarray | None
    outside: np.ndarray | None


def kinds_of(sampler: Sampler, seed: int, index: np.ndarray, attempt: np.ndarray, steps: int) -> np.ndarray:
    """The kind of each path: its programme's name, or "walk"; "recorded" without a look at the histories."""
    if isinstance(sampler, RecordedSampler):
        return np.full(len(index), sampler.name)
    return np.array(
        [path(sampler, seed, int(i), steps, int(k)).kind for i, k in zip(index, attempt, strict=True)], dtype=str
    )


def drawn_set(
    sampler: Sampler, reference: Material, count: int, steps: int, seed: int, workers: int, quiet: bool = True
) -> PathSet:
    """`count` fresh paths of a sampler with the fine scale's answers, by so many processes.

    Raises StrainPathError and FineScaleError.
    """
    progress = Progress(count, 0, quiet)
    size = max(1, min(64, -(-count // (SHARDS_PER_WORKER * workers))))
    task = Task(sampler, seed, count, steps, 1, size, reference.law.name, dict(reference.values))
    found = {}
    try:
        for number, arrays, _ in results(task, list(range(shard_count(count, size))), workers):
            found[number] = arrays
            progress.add(len(arrays["index"]))
    finally:
        progress.close()
    time, U, stress, index, attempt = (
        np.concatenate([found[number][name] for number in sorted(found)])
        for name in ("time", "U", "stress", "index", "attempt")
    )
    source = {"sampler": described(sampler), "seed": seed, "steps": steps}
    name: str = sampler.name
    if isinstance(sampler, ImpactSampler) and sampler.fixed_duration:
        name += f", {1e6 * sampler.duration:g} us"
    return PathSet(name, source, kinds_of(sampler, seed, index, attempt, steps), time, U, stress)


def stored_set(folder: Path, count: int | None) -> PathSet:
    """The first `count` paths of a data set, all by default, as far as it is written. Raises DataSetError."""
    data = dataset.load(folder, partial=True)
    manifest, kept = data.manifest, slice(count)
    sampler = sampler_of(manifest["sampler"])
    kinds = kinds_of(sampler, manifest["seed"], data.index[kept], data.attempt[kept], manifest["steps"])
    source = {"folder": str(folder), **{key: manifest[key] for key in SOURCE if key in manifest}}
    stress = np.asarray(data.stress[kept], float)
    return PathSet(Path(folder).resolve().name, source, kinds, data.time[kept], data.U[kept], stress)


def answer(law: Law, paths: PathSet) -> Answer:
    """What a law gives along the paths of a set; a path on which it fails is left out and its reason counted."""
    n, steps = paths.time.shape
    stress, work, outside = np.zeros((n, steps, 6)), np.zeros((n, steps)), np.zeros(n, bool)
    answered, reasons, named = np.zeros(n, bool), Counter[str](), {state.name for state in law.states}
    waiting = [np.array(group) for group in sharing_times(dict(enumerate(paths.time)), steps, law)]
    while waiting:
        group = waiting.pop()
        F = full(paths.U[group]).swapaxes(0, 1)
        try:
            history = drive(law, paths.time[group[0]], F, range(steps))
        except LawError as error:
            if len(group) == 1:
                reasons[reason_of(error)] += 1
            else:
                waiting += np.array_split(group, 2)
            continue
        stress[group], answered[group] = history.stress.swapaxes(0, 1), True
        if "plastic_work" in named:
            work[group] = history.recorded("plastic_work").T
        if "outside_envelope" in named:
            outside[group] = history.recorded("outside_envelope")[-1] > 0.0
    return Answer(
        stress,
        answered,
        dict(reasons),
        work if "plastic_work" in named else None,
        outside if "outside_envelope" in named else None,
    )
