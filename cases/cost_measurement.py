"""Runs of one impact case with several laws, timed fairly: what `cases.cost_comparison` measures.

All laws run the same mesh to the same time in this one process. Each first runs a short stretch, so that kernels are
compiled and threads started. Then rounds follow: in each, every law runs once in turn, so that a machine that slows
down slows all of them. A law that has used up its time skips the rounds after the second. Reported are medians over
the rounds and the spread, largest over smallest.
"""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cases.impact import compute
from cases.registry import CASES, command_name
from fem.run import Result

PARTS = ("law_time", "element_time", "contact_time", "node_time", "output_time", "set_up_time")
WARM_UP = 0.05  # of the run's time
LEAST_ROUNDS = 2  # so that every figure has a spread


@dataclass
class Measurement:
    """The timed runs of one law: `runs` holds, for each, `whole` and PARTS in s; `result` is the last run's."""

    law: str
    material: str
    runs: list[dict[str, float]] = field(default_factory=list)
    result: Result = None  # type: ignore[assignment]

    @property
    def spent(self) -> float:
        """Time of all runs so far, s."""
        return sum(run["whole"] for run in self.runs)

    def median(self, part: str = "whole") -> float:
        """Median over the runs, s."""
        return float(np.median([run[part] for run in self.runs]))

    @property
    def spread(self) -> float:
        """Longest whole run over the shortest."""
        times = [run["whole"] for run in self.runs]
        return max(times) / min(times)

    @property
    def element_steps(self) -> int:
        """Elements times steps of a run."""
        return self.result.summary["elements"] * self.result.summary["steps"]

    def per_element_step(self, *parts: str) -> float:
        """Time per element and step of some PARTS together, s: the median over the runs."""
        return float(np.median([sum(run[part] for part in parts) for run in self.runs])) / self.element_steps


@dataclass(frozen=True)
class Plan:
    """How to measure: the case's own command-line `arguments` (mesh, threads, end time), rounds and time per law, s."""

    arguments: Sequence[str]
    rounds: int
    seconds: float


def measure(case: str, materials: Mapping[str, str], plan: Plan, say: Callable[[str], Any]) -> dict[str, Measurement]:
    """Time `case` (of CASES) with each law of `materials` (law to material); `say` is told of each run."""
    found = {law: Measurement(law, material) for law, material in materials.items()}
    with tempfile.TemporaryDirectory(prefix="cost_comparison_") as folder:
        for one in found.values():
            _run(case, one, plan, Path(folder), WARM_UP)
        for number in range(plan.rounds):
            for one in found.values():
                if number >= LEAST_ROUNDS and one.spent > plan.seconds:
                    continue
                run = _run(case, one, plan, Path(folder))
                one.runs.append(run)
                say(f"{case}, round {number + 1} of {plan.rounds}: {one.law} {run['whole']:.2f} s")
    return found


def _run(case: str, one: Measurement, plan: Plan, folder: Path, stretch: float = 1.0) -> dict[str, float]:
    """Run a part of a case once, output and all; its times in s."""
    module = CASES[case]
    arguments = ["--law", one.law, "--material", one.material, "--output", str(folder), "--overwrite", "--quiet",
                 "--no-picture", *plan.arguments]  # fmt: skip
    options = module.parser().parse_args(arguments)
    options.end_time *= stretch
    begin = time.perf_counter()
    one.result = compute(command_name(module), options, lambda *given: module.build(options, *given), module.finish)
    whole = time.perf_counter() - begin
    summary = one.result.summary
    parts = {part: summary[part] for part in PARTS if part in summary}
    return {"whole": whole, "set_up_time": whole - summary["wall_time"] - summary["output_time"], **parts}
