"""The file of a trained law: what a run needs of a training, read without torch and without pickle.

An artefact is a NumPy `.npz`: named numeric arrays (weights, scalings) and, as `header`, JSON text in UTF-8 bytes:

    format    "multiscale-impact trained law"
    version   1; a reader refuses a newer one
    kind      the law that runs it, "recurrent" say
    material  the fine scale's material file (TOML text), which fixes its texture by seed or table
    command   what made it;  created, versions
    sizes     of the network;  training  sampler, seeds, paths, iterations, cost;  errors  measured on fresh paths
    envelope  the largest values of its inputs in training

The ZIP container's checksums reveal damage. Errors are LawErrors of one line.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from constitutive.law import LawError
from constitutive.validation import is_finite, shown
from constitutive.whole_file import replacing

TRAINED = Path(__file__).parent / "trained"  # the artefacts that ship
FORMAT = "multiscale-impact trained law"
VERSION = 1


@dataclass(frozen=True)
class Artefact:
    """A trained law as read from `path`: its header and its arrays by name."""

    path: Path
    header: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]

    def array(self, name: str, *shape: int) -> np.ndarray:
        """An array of the wanted shape, all finite. Raises LawError where it is missing or otherwise."""
        if name not in self.arrays:
            raise LawError(f"{self.path}: the artefact lacks the array '{name}'; make it again with learning.train")
        array = self.arrays[name]
        if array.shape != shape or array.dtype.kind != "f":
            raise LawError(f"{self.path}: array '{name}' must be finite numbers of shape {shape}, it has {array.shape}")
        if not np.all(np.isfinite(array)):
            raise LawError(f"{self.path}: array '{name}' must be finite, but not all its numbers are; make it again")
        return array

    def entry(self, *keys: str) -> Any:
        """A value of the header, by its path of keys. Raises LawError where there is none."""
        value: Any = self.header
        for key in keys:
            if not isinstance(value, Mapping) or key not in value:
                raise LawError(f"{self.path}: the artefact's header lacks {'.'.join(keys)}")
            value = value[key]
        return value

    def number(self, *keys: str) -> float:
        """A number above zero of the header. Raises LawError where it is missing or otherwise."""
        value = self.entry(*keys)
        if not is_finite(value) or not value > 0.0:
            raise LawError(f"{self.path}: {'.'.join(keys)} of the header must be a number above 0, not {shown(value)}")
        return float(value)

    def size(self, name: str, most: int = 1_000_000) -> int:
        """A whole number from 1 to `most` of the header's sizes. Raises LawError where it is missing or otherwise."""
        value = self.entry("sizes", name)
        if not isinstance(value, int) or not 1 <= value <= most:
            raise LawError(f"{self.path}: sizes.{name} must be a whole number from 1 to {most}, not {shown(value)}")
        return value

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """A word of the header, one of `choices`. Raises LawError where it is missing or otherwise."""
        value = self.entry(name)
        if value not in choices:
            raise LawError(f"{self.path}: {name} must be one of {', '.join(choices)}, not {shown(value)}")
        return value


def save_artefact(path: str | Path, kind: str, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Path:
    """Write an artefact, whole or not at all: under a temporary name first. Returns its path."""
    path = Path(path)
    text = json.dumps({"format": FORMAT, "version": VERSION, "kind": kind, **header}, indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        np.savez_compressed(file, allow_pickle=False, header=np.frombuffer(text.encode(), np.uint8), **arrays)
    return path


def load_artefact(path: str | Path, kind: str) -> Artefact:
    """Read an artefact made for the law `kind`; LawError as of `read_artefact`, or where it is made for another law."""
    artefact = read_artefact(path)
    found = artefact.header.get("kind")
    if found != kind:
        raise LawError(f"{path}: made for law '{found}', not for '{kind}'")
    return artefact


def read_artefact(path: str | Path) -> Artefact:
    """Read an artefact of any kind.

    Raises LawError, one line that names the file: no such file, damaged, foreign, or newer.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(arrays.pop("header").tobytes().decode())
    except FileNotFoundError:
        raise LawError(f"{path}: no such artefact; python -m learning.train makes one") from None
    except OSError as error:
        raise LawError(f"{path}: cannot be read: {error.strerror or error}") from None
    except Exception:  # a damaged or foreign file may make the readers of ZIP, NumPy and JSON raise anything
        raise LawError(f"{path}: damaged, or not a trained law's artefact") from None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise LawError(f"{path}: not a trained law's artefact")
    version = header.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise LawError(f"{path}: artefact of version {version}; this program reads up to {VERSION}: update it")
    return Artefact(path, header, arrays)
