"""Data sets of strain paths and what the fine scale answered: a folder of shards and a manifest.

    manifest.json     what the data are and where they come from: format, sampler, seed, sizes, law, material (as the
                      text of a material file), redraws, failures, throughput, sessions (command, versions, workers)
    shard_00000.npz   paths 0 to shard_size - 1, and so on:
        index   (n,)        int64    number of the path
        attempt (n,)        int64    draws of this index on which the law had failed before
        time    (n, m+1)    float64  s
        U       (n, m+1, 6) float64  right stretch; the law was driven with F = U
        stress  (n, m+1, 6) float32  Cauchy stress, Pa
        Z       (n, m+1, 6) float64  mean inelastic metric, where the law has it
        NAME    (n, m+1)    float32  each scalar field that the law names
        texture_seed (n,)   int64    where each path has a texture of its own
        report  ()          str      JSON: redraws, failures by cause, processor time

Symmetric tensors are 6-vectors in the order 11, 22, 33, 12, 23, 13. Rounding to float32 costs 6e-8 of a value; time, U
and Z are kept whole, because differences between steps and J - 1 are taken of them. Files are not compressed: the low
bits of such numbers are noise, which does not shrink. All files are written under a temporary name and renamed.
"""

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from constitutive.whole_file import replacing

FORMAT = 1
MANIFEST = "manifest.json"
TOLD = ("sampler", "seed", "paths", "steps", "shard_size", "law", "material", "texture_per_path")  # by every manifest
TENSORS = {"time": np.float64, "U": np.float64, "stress": np.float32, "Z": np.float64}
INTEGERS = ("index", "attempt", "texture_seed")
REPORT = "report"
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError)


class DataSetError(ValueError):
    """A data set that cannot be used; the message says which file, why, and what to do."""


@dataclass(frozen=True)
class DataSet:
    """A data set in memory, paths in the order of their index; shapes and units as at the head of this file.

    `Z` and `texture_seed` are None where the set has none; `scalars` maps a field's name to its values (n, m+1).
    """

    manifest: dict[str, Any]
    index: np.ndarray
    attempt: np.ndarray
    time: np.ndarray
    U: np.ndarray
    stress: np.ndarray
    Z: np.ndarray | None
    scalars: dict[str, np.ndarray]
    texture_seed: np.ndarray | None

    def __len__(self) -> int:
        return len(self.index)


def shard_count(paths: int, shard_size: int) -> int:
    """Number of shards of a set of `paths` paths."""
    return -(-paths // shard_size)


def shard_indices(number: int, paths: int, shard_size: int) -> np.ndarray:
    """Indices of the paths in a shard; the last shard may be short."""
    return np.arange(number * shard_size, min((number + 1) * shard_size, paths))


def shard_path(folder: Path, number: int) -> Path:
    """File of a shard."""
    return folder / f"shard_{number:05d}.npz"


def write_shard(folder: Path, number: int, arrays: dict[str, np.ndarray], report: dict[str, Any]) -> None:
    """Write a shard at once: killed at any instant, it is there whole or not at all. Raises OSError."""
    stored = {name: values.astype(TENSORS.get(name, np.float32), copy=False) for name, values in arrays.items()}
    stored |= {name: arrays[name].astype(np.int64) for name in INTEGERS if name in arrays}
    with replacing(shard_path(folder, number)) as file:
        np.savez(file, allow_pickle=False, report=np.array(json.dumps(report)), **stored)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write manifest.json at once. Raises OSError."""
    with replacing(folder / MANIFEST) as file:
        file.write(json.dumps({"format": FORMAT} | manifest, indent=2).encode())
        file.flush()
        os.fsync(file.fileno())


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a data set. Raises DataSetError where there is none, a part of one, or of another format."""
    path = Path(folder) / MANIFEST
    try:
        manifest = json.loads(path.read_text("utf-8"))
        found = manifest["format"]
    except (FileNotFoundError, NotADirectoryError):
        raise DataSetError(f"{folder} is not a data set: it has no {MANIFEST}") from None
    except (*_UNREADABLE, TypeError) as error:
        raise DataSetError(f"{path} cannot be read as a manifest: {error!r}") from None
    if found != FORMAT:
        raise DataSetError(f"{path} has format {found}; this version reads {FORMAT}: generate the set anew")
    missing = [key for key in TOLD if key not in manifest]
    if missing:
        raise DataSetError(f"{path} does not tell {', '.join(missing)}: generate the set anew")
    return manifest


def read_report(folder: Path, number: int, indices: np.ndarray) -> dict[str, Any] | None:
    """The report of a shard that holds exactly the paths `indices`; None where there is no such whole shard."""
    try:
        with np.load(shard_path(folder, number), allow_pickle=False) as file:
            return json.loads(str(file[REPORT])) if np.array_equal(file["index"], indices) else None
    except _UNREADABLE:
        return None


def read_shard(folder: Path, number: int, manifest: dict[str, Any], partial: bool = False) -> dict[str, np.ndarray]:
    """Arrays of a shard, every byte checked. Raises DataSetError for a damaged shard or one of another set.

    With `partial` it may be short: the last one of a set that is being extended.
    """
    path = shard_path(folder, number)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name != REPORT}
    except _UNREADABLE as error:
        raise DataSetError(
            f"{path} is damaged ({error or type(error).__name__}): delete it and run the set's command again"
        ) from None
    indices = shard_indices(number, manifest["paths"], manifest["shard_size"])
    steps = manifest["steps"] + 1
    missing = {"index", "attempt", "time", "U", "stress"} - set(arrays)
    if partial and not missing and len(arrays["index"]):
        indices = indices[: len(arrays["index"])]
    if missing or not np.array_equal(arrays["index"], indices):
        raise DataSetError(f"{path} does not hold the paths of this set: run the set's command again")
    for name, values in arrays.items():
        shape = (len(indices),) if name in INTEGERS else (len(indices), steps, 6)[: 3 if name in TENSORS else 2]
        if values.shape != (shape[:2] if name == "time" else shape):
            raise DataSetError(f"{path}: {name} has shape {values.shape}, not that of this set's paths and steps")
    return arrays


def _of_part(folder: Path, indices: Mapping[int, np.ndarray]) -> dict[str, Any]:
    """What a manifest says of the shards that are there, given the paths in each: how many, and what they took."""
    reports = [read_report(folder, number, paths) for number, paths in indices.items()]
    seconds = sum(report["processor_seconds"] for report in reports if report)
    return {"paths": sum(map(len, indices.values())), "throughput": {"processor_seconds": seconds}}


def first(data: DataSet, count: int) -> DataSet:
    """The first `count` paths of a set, with the manifest of a set of so many, which took their part of the time."""
    named = {name: getattr(data, name) for name in (*TENSORS, *INTEGERS)}
    kept = {name: None if values is None else values[:count] for name, values in named.items()}
    paths = min(count, len(data))
    seconds = data.manifest["throughput"]["processor_seconds"] * paths / len(data)
    manifest = data.manifest | {"paths": paths, "throughput": {"processor_seconds": seconds}}
    scalars = {name: values[:count] for name, values in data.scalars.items()}
    return DataSet(manifest=manifest, scalars=scalars, **kept)  # type: ignore[arg-type]


def load(folder: str | Path, partial: bool = False) -> DataSet:
    """Read a data set whole; with `partial`, as many of its shards as are there yet (one at least).

    The manifest of a part is of as many paths as are there, and of the time that they took. Raises DataSetError that
    names the missing shards, or the damaged one.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    numbers = range(shard_count(manifest["paths"], manifest["shard_size"]))
    present = [number for number in numbers if shard_path(folder, number).exists()]
    if not present or (len(present) < len(numbers) and not partial):
        missing = [shard_path(folder, number).name for number in numbers if number not in set(present)]
        shown = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
        raise DataSetError(f"{folder} is not complete, run its command again; missing: {shown}")
    shards = [read_shard(folder, number, manifest, partial) for number in present]
    indices = {number: shard["index"] for number, shard in zip(present, shards, strict=True)}
    if not manifest.get("complete") or sum(map(len, indices.values())) < manifest["paths"]:
        manifest |= _of_part(folder, indices)
    names = list(shards[0])
    for number, shard in zip(present, shards, strict=True):
        if set(shard) != set(names):
            raise DataSetError(f"{shard_path(folder, number)} has other fields than {shard_path(folder, present[0])}")
    arrays = {name: np.concatenate([shard.pop(name) for shard in shards]) for name in names}
    scalars = {name: arrays[name] for name in names if name not in TENSORS and name not in INTEGERS}
    named = {name: arrays.get(name) for name in (*TENSORS, *INTEGERS)}
    return DataSet(manifest=manifest, scalars=scalars, **named)  # type: ignore[arg-type]
