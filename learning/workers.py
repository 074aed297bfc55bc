"""Shards of a data set computed by processes or a dask cluster; progress shown."""

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from cases.options import OptionError
from learning.fine_scale import Task, compute_shard, compute_shard_for
from learning.strain_paths import RecordedSampler

LINE_SECONDS = 10.0


def results(task: Task, numbers: list[int], workers: int, dask: str | None = None) -> Iterator[tuple]:
    """Shards computed by so many processes, or on a scheduler `dask`, as they come."""
    if dask:
        yield from _on_dask(task, numbers, dask)
        return
    try:
        from joblib import Parallel, delayed
        from joblib.externals.loky.process_executor import TerminatedWorkerError
    except ImportError:
        raise OptionError("joblib is needed to generate data: python -m pip install -e '.[train]'") from None
    workers = min(workers, len(numbers))
    compute = partial(compute_shard_for, os.getpid()) if workers > 1 else compute_shard
    pool = Parallel(n_jobs=workers, backend="loky", return_as="generator_unordered")
    try:
        yield from pool(delayed(compute)(task, number) for number in numbers)
    except TerminatedWorkerError:
        raise OptionError(
            "a worker process was killed, perhaps for want of memory: use fewer --workers; what is written stays"
        ) from None


def _on_dask(task: Task, numbers: list[int], address: str) -> Iterator[tuple]:
    """Computed shards of a dask.distributed cluster, whose workers must have this project installed.

    Give the workers one thread each (--nthreads 1); files are written here, no shared disk is needed.
    """
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise OptionError("--dask needs dask: pip install 'dask[distributed]'") from None
    try:
        client = Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise OptionError(f"--dask {address}: no scheduler answers there ({error})") from None
    if isinstance(task.sampler, RecordedSampler):  # workers have another working directory
        task = replace(task, sampler=replace(task.sampler, histories=str(Path(task.sampler.histories).resolve())))
    with client:
        futures = [client.submit(compute_shard, task, number, pure=False) for number in numbers]
        for future in as_completed(futures):
            yield future.result()
            future.release()


class Progress:
    """Paths done: a bar with ETA on a terminal, a line every LINE_SECONDS elsewhere."""

    def __init__(self, total: int, done: int, quiet: bool):
        self.total, self.done, self.first, self.quiet = total, done, done, quiet
        self.begin = self.last = time.monotonic()
        on_terminal = not quiet and sys.stderr.isatty()
        self.bar = tqdm(total=total, initial=done, unit="path", file=sys.stderr) if on_terminal else None

    def add(self, paths: int) -> None:
        """Show that so many more paths are done."""
        self.done += paths
        now = time.monotonic()
        if self.bar is not None:
            self.bar.update(paths)
        elif not self.quiet and (now - self.last >= LINE_SECONDS or self.done == self.total):
            rate = (self.done - self.first) / max(now - self.begin, 1e-9)
            left = (self.total - self.done) / rate
            line = f"{self.done} of {self.total} paths  {rate:.1f} per s  ETA {left:.0f} s"
            print(line, file=sys.stderr, flush=True)
            self.last = now

    def close(self) -> None:
        """End the bar."""
        if self.bar is not None:
            self.bar.close()
