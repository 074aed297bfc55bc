"""What a learned law has cost before its first run, as its artefact records it, and when that has paid.

    break-even N = (generation + training) / (concurrent - learned)

counts runs of one kind: each saves the difference of a run's processor time with the concurrent and the learned law.
Generation is in processor seconds of the machine that made the data. Training is in seconds of its device: on a CPU
times the threads that it had, seconds of a GPU are added as they are. What an artefact that the training began
with had cost is counted too, and sets that it learned from before it was resumed with others.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from constitutive.artefact import Artefact


@dataclass(frozen=True)
class OffLineCost:
    """Costs in s: `generation` of the data by processor, `training` on `device`; what they were spent on.

    Generation is None where the artefact does not record it.
    """

    generation: float | None
    training: float
    device: str
    paths: int
    steps: int
    iterations: int
    machine: str

    @property
    def total(self) -> float | None:
        """Generation and training, s."""
        return None if self.generation is None else self.generation + self.training


def off_line_cost(artefact: Artefact) -> OffLineCost:
    """The costs that an artefact's header records. Raises LawError where it lacks them."""
    training: Mapping[str, Any] = artefact.entry("training")
    data: Mapping[str, Any] = artefact.entry("training", "data")
    spent = _seconds(data)
    machines = sorted({session.get("machine", "not stated") for session in data.get("sessions", [])})
    used = artefact.entry("training", "paths") / artefact.entry("training", "data", "paths")
    before = training.get("begun_with", {"generation": 0.0, "training": 0.0, "iterations": 0})
    unknown = spent is None or before["generation"] is None
    earlier = sum(_seconds(one) or 0.0 for one in training.get("earlier", []))
    return OffLineCost(
        generation=None if unknown else before["generation"] + used * spent + earlier,
        training=before["training"] + training.get("threads", 1) * artefact.entry("training", "seconds"),
        device=artefact.entry("training", "device"),
        paths=artefact.entry("training", "paths"),
        steps=artefact.entry("training", "data", "steps"),
        iterations=before["iterations"] + artefact.entry("training", "iterations"),
        machine="; ".join(machines) or "not stated",
    )


def _seconds(data: Mapping[str, Any]) -> float | None:
    """Processor time, s, that a data set took, as its manifest tells."""
    return data.get("throughput", {}).get("processor_seconds")


def break_even(off_line: float, concurrent: float, learned: float) -> int | None:
    """Runs after which learning has paid: costs off line, and per run with either law, s. None: it never does."""
    saved = concurrent - learned
    return math.ceil(off_line / saved) if saved > 0.0 else None
