"""Checkpoints: everything a run needs to go on, bit for bit.

A checkpoint is one .npz file. It is written under a temporary name, forced to disk and renamed; the one before is kept
as `checkpoint.previous.npz`. Killing the process at any instant therefore leaves at least one whole checkpoint.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from constitutive.whole_file import replacing

NAME, PREVIOUS = "checkpoint.npz", "checkpoint.previous.npz"
FORMAT = 5


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used; says why and what to do."""


def write_checkpoint(folder: Path, arrays: dict[str, np.ndarray], fingerprint: str, progress: dict[str, Any]) -> None:
    """Write arrays and a JSON-able record of progress; raises OSError where the disk is full or not writable."""
    header = json.dumps({"format": FORMAT, "fingerprint": fingerprint, "progress": progress})
    with replacing(folder / NAME) as file:
        np.savez(file, allow_pickle=False, header=np.array(header), **arrays)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
        if (folder / NAME).exists():
            os.replace(folder / NAME, folder / PREVIOUS)


def read_checkpoint(folder: Path, fingerprint: str) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """Arrays and progress of the newest whole checkpoint in a run folder, or None where there is none.

    Raises CheckpointError where the checkpoint belongs to another model or another version.
    """
    damaged = []
    for path in (folder / NAME, folder / PREVIOUS):
        if not path.exists():
            continue
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
            header = json.loads(str(arrays.pop("header")))
        except Exception:  # whatever a reader meets
            damaged.append(path.name)
            continue
        if header.get("format") != FORMAT:
            raise CheckpointError(f"{path} has format {header.get('format')}; this version reads {FORMAT}: start anew")
        if header["fingerprint"] != fingerprint:
            raise CheckpointError(
                f"{path} was written by another model (mesh, material, options or program changed); "
                "restart with the options of the first run, or choose another output folder"
            )
        return arrays, header["progress"]
    if damaged:
        raise CheckpointError(f"no checkpoint in {folder} can be read ({', '.join(damaged)} damaged): start anew")
    return None
