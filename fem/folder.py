"""The folder of a run: what may be written there, and by whom; its JSON files read back."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from constitutive.whole_file import TEMPORARY
from fem.checkpoint import NAME, PREVIOUS

MARK = "history_units.json"  # what tells a run folder from others
AT_THE_END = ("summary.json", "picture.png")  # files that a finished run has
RUN_FILES = (*AT_THE_END, "history.csv", "history_units.json", "fields.pvd", "options.json", "material.toml", NAME,
             PREVIOUS, NAME + TEMPORARY)  # fmt: skip


class RunError(RuntimeError):
    """A run that cannot start or go on; the message says why and what to do."""


@contextmanager
def run_folder(folder: str | Path, restart: bool = False, overwrite: bool = False) -> Iterator[Path]:
    """Make a run folder, or take over an old one to restart or to overwrite its run; it is ours until we leave.

    Raises RunError where it must not be taken over, and where another run is at work there.
    """
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise RunError(f"{path} is a file; choose another --output")
    if restart and not path.is_dir():
        raise RunError(f"there is no run folder {path} to restart; leave --restart out to begin one")
    path.mkdir(parents=True, exist_ok=True)
    with alone_in(path):
        if any(path.iterdir()):
            _take_over(path, restart, overwrite)
        yield path


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Lock a folder against a second process that would write there; the lock ends with this one, however it ends.

    Raises RunError where another process holds it.
    """
    with _locked(os.open(folder, os.O_RDONLY), folder):
        yield


@contextmanager
def alone_with(file: Path) -> Iterator[None]:
    """As `alone_in`, for one file of a folder: the lock is a file beside it, which goes when we leave."""
    lock = file.with_suffix(".lock")
    with _locked(os.open(lock, os.O_WRONLY | os.O_CREAT, 0o666), file):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


@contextmanager
def _locked(descriptor: int, place: Path) -> Iterator[None]:
    """Hold the lock of an open file or folder, and close it at the end; `place` is what the error names."""
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(
                f"{place}: another process is at work there; wait until it ends, or choose another --output"
            ) from None
        except OSError:
            pass  # some network disks lock nothing: better unguarded than not at all
        yield
    finally:
        os.close(descriptor)


def _take_over(path: Path, restart: bool, overwrite: bool) -> None:
    """See that a run can go on in a folder, or empty it of one that is to be overwritten. Raises RunError."""
    if not (restart or overwrite):
        raise RunError(f"{path} exists already: choose another --output, or add --restart to go on or --overwrite")
    written = [*(path / name for name in RUN_FILES), *(path / "fields").glob("frame_*.vtu")]
    if any(file.exists() for file in written) and not (path / MARK).exists():
        raise RunError(f"{path} was not written by a run, so nothing there is replaced; choose another --output")
    if restart and _has_results(path) and not any((path / name).exists() for name in (NAME, PREVIOUS)):
        raise RunError(f"{path} holds results but no checkpoint to go on from; --overwrite begins the run anew")
    if not restart:
        for file in sorted(written, key=lambda file: file.name == MARK):  # the mark last, should we be interrupted
            file.unlink(missing_ok=True)


def _has_results(path: Path) -> bool:
    """Whether a run got beyond its start, which is in the history before there is a checkpoint."""
    history = path / "history.csv"
    return (path / "summary.json").exists() or (history.exists() and history.read_bytes().count(b"\n") > 2)


def read_json(path: Path) -> dict[str, Any]:
    """What options.json or summary.json says. Raises RunError where it is damaged, and OSError."""
    try:
        content = json.loads(path.read_text("utf-8"))
        if not isinstance(content, dict):
            raise ValueError("no keys and values")
    except ValueError as error:
        raise RunError(f"{path} is damaged ({error}): begin the run anew with --overwrite") from None
    return content
