"""Runs of one impact case with several laws, timed fairly: what `cases.cost_comparison` measures.

All laws run the same mesh to the same time in this one process. Each first runs a short stretch, so that kernels are
compiled and threads started. Then rounds follow: in each, every law runs once in turn, so that a machine that slows
down slows all of them. A law that has used up its time skips the rounds after the second. Reported are medians over
the rounds and the spread, largest over smallest.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cases.impact import compute
from cases.options import split_name
from cases.registry import CASES
from fem.elements import MaterialError
from fem.run import Result

LOOP = ("law_time", "element_time", "contact_time", "node_time")  # what a run's wall_time is split into
PARTS = (*LOOP, "output_time", "set_up_time")
WARM_UP = 0.05  # of the run's time
LEAST_ROUNDS = 2  # so that every figure has a spread


@dataclass
class Measurement:
    """The timed runs of a law, a word of `split_name`, in `folder`.

    `runs` holds for each `whole` and PARTS in s; `result` is that of the last, whose files are in the folder.
    """

    word: str
    folder: Path
    runs: list[dict[str, float]] = field(default_factory=list)
    result: Result = None  # type: ignore[assignment]

    @property
    def spent(self) -> float:
        """Time of all runs so far, s."""
        return sum(run["whole"] for run in self.runs)

    @property
    def whole(self) -> float:
        """Median time of a whole run, s."""
        return float(np.median([run["whole"] for run in self.runs]))

    @property
    def spread(self) -> float:
        """Longest whole run over the shortest."""
        times = [run["whole"] for run in self.runs]
        return max(times) / min(times)

    def per_element_step(self, *parts: str) -> float:
        """Time per element and step of some PARTS together, s: the median over the runs."""
        summary = self.result.summary
        times = [sum(run[part] for part in parts) for run in self.runs]
        return float(np.median(times)) / (summary["elements"] * summary["steps"])


@dataclass(frozen=True)
class Plan:
    """How to measure: the case's own command-line `arguments` (mesh, threads, end time), rounds and time per law, s."""

    arguments: Sequence[str]
    rounds: int
    seconds: float


def measure(
    case: str, words: Mapping[str, str], plan: Plan, folder: Path, say: Callable[[str], Any]
) -> dict[str, Measurement]:
    """Time `case` (of CASES) with each law of `words`, by label, in folders below `folder`; `say` is told each run."""
    found = {label: Measurement(word, folder / f"{case}_{k}") for k, (label, word) in enumerate(words.items())}

    def run(label: str, *more: float) -> dict[str, float] | None:
        """A run; None where its law fails, which is then left out."""
        try:
            return _run(case, found[label], plan, *more)
        except MaterialError as error:
            say(f"{case}: without {label}, which failed: {error}")
            del found[label]
            return None

    for label in list(found):
        run(label, WARM_UP)
    for number in range(plan.rounds):
        for label, one in list(found.items()):
            if number >= LEAST_ROUNDS and one.spent > plan.seconds:
                continue
            timed = run(label)
            if timed is not None:
                one.runs.append(timed)
                say(f"{case}, round {number + 1} of {plan.rounds}: {label} {timed['whole']:.2f} s")
    return found


def _run(case: str, one: Measurement, plan: Plan, stretch: float = 1.0) -> dict[str, float]:
    """Run a part of a case once, output and all; its times in s."""
    module = CASES[case]
    law, material, overrides = split_name(one.word)
    chosen = [f"--{key}={value}" for key, value in (("law", law), ("material", material)) if value]
    arguments = [*plan.arguments, *chosen, *(f"--set={pair}" for pair in overrides), f"--output={one.folder}"]
    options = module.parser().parse_args([*arguments, "--overwrite", "--quiet", "--no-picture"])
    options.end_time *= stretch
    begin = time.perf_counter()
    one.result = compute(options, module.build, module.finish)
    whole = time.perf_counter() - begin
    summary = one.result.summary
    parts = {part: summary[part] for part in PARTS if part in summary}
    return {"whole": whole, "set_up_time": whole - summary["wall_time"] - summary["output_time"], **parts}
