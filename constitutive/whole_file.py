"""Files that are written whole or not at all: whoever reads one, at any instant, finds the old or the new."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".tmp"  # ending of files that are being written


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write under a temporary name, which is then renamed. Raises OSError, which names the file."""
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        with naming(path):
            with open(temporary, "wb") as file:
                yield file
            os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def replace_file(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file of these bytes, see `replacing`."""
    with replacing(path) as file:
        file.writelines(chunks)


def replace_text(path: Path, text: str) -> None:
    """Write a file of this text in UTF-8, see `replacing`."""
    replace_file(path, [text.encode()])


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have errors name the file that is written, not the temporary one, or none, as where the disk is full."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise
