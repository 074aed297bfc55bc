"""Numba as this project uses it: one set of options, and a kernel cache that is never stale.

Numba's own disk cache looks only at the file of the function it caches, so it serves old machine code when a callee in
another file has changed. Here the cache folder is named by a hash of all sources of the project and of the Numba and
Python versions: any edit leads to a new, empty folder. Functions of other packages, whose sources the hash does not
know, are compiled by each process anew. The base folder is `$NUMBA_CACHE_DIR` where set, else `.kernels/` beside the
packages in a source checkout, else the user's cache folder.
"""

import hashlib
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import config
from platformdirs import user_cache_dir

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("constitutive", "fem", "learning", "cases")
UNUSED_DAYS = 14  # a cache folder that no run has touched for so long is removed

# Contraction (fused multiply-add) is the only liberty: no reordering of sums, and NaN keeps its meaning.
OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract"}}


def source_hash(root: Path = ROOT) -> str:
    """Hash of every Python source of the project and of the versions that turn it into machine code."""
    digest = hashlib.sha256(f"{sys.version} {numba.__version__}".encode())
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(str(path.relative_to(root)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder(root: Path = ROOT) -> Path:
    """Folder of the compiled kernels of exactly these sources."""
    base = os.environ.get("NUMBA_CACHE_DIR")
    if base is None:
        in_checkout = (root / "pyproject.toml").exists() and os.access(root, os.W_OK)
        base = str(root / ".kernels") if in_checkout else user_cache_dir("multiscale-impact")
    return Path(base) / source_hash(root)


def _use_cache() -> None:
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        for other in folder.parent.iterdir():
            unused = time.time() - other.stat().st_mtime > UNUSED_DAYS * 86400
            if unused and re.fullmatch(r"[0-9a-f]{16}", other.name):  # the user's folder may hold other things
                shutil.rmtree(other, ignore_errors=True)
    except OSError:
        OPTIONS["cache"] = False  # nowhere to keep kernels: a place that Numba finds would be stale after an edit
        return
    config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]


_use_cache()


def kept(function: Callable) -> bool:
    """Whether the machine code of a function may be kept: only where the folder's hash covers its sources."""
    return bool(OPTIONS["cache"]) and function.__module__.partition(".")[0] in PACKAGES


def njit(*signature: Any, name: str | None = None, **options: Any) -> Any:
    """`numba.njit` with the project's options; usable bare, with a signature, or with options.

    A function that closes over others needs a `name` that tells it from its siblings of the same factory, in every
    process the same. Numba calls such siblings alike but for a number of the process; one that comes from the cache
    with the number of another process may then be called instead of its sibling that is compiled now. And it names
    function objects at random, so that what closes over them would be compiled again by each process.
    """
    if len(signature) == 1 and callable(signature[0]) and hasattr(signature[0], "__code__"):
        return njit()(signature[0])

    def decorate(function: Callable) -> Any:
        if function.__closure__ is not None and name is None:
            raise ValueError(f"{function.__qualname__} closes over {function.__code__.co_freevars}: njit(name=...)")
        if name is not None:
            function.__qualname__ += f".{name}"
        compiler: Any = numba.njit
        dispatcher = compiler(*signature, **(OPTIONS | {"cache": kept(function)} | options))(function)
        return known_as(f"{function.__module__}.{function.__qualname__}", dispatcher)

    return decorate


def known_as(name: str, compiled: Any) -> Any:
    """A compiled function or an intrinsic, named the same in every process to those that close over it."""
    if hasattr(compiled, "_set_uuid"):  # not where NUMBA_DISABLE_JIT leaves Python's own function
        compiled._set_uuid(name)
    return compiled


def inline(function: Callable, name: str | None = None) -> Any:
    """Compile a small point-wise function so that its callers' loops over points can be vectorised (SIMD).

    `name` as in `njit`.
    """
    return njit(inline="always", name=name)(function)
