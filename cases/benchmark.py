"""Benchmark: time per element and step of the solver, over mesh sizes and threads.

A block of metal flies against a wall with a wavy velocity, so that points yield and unload. Each size is warmed up,
then timed in repeated batches of steps; the table shows the median batch, its share for the law, the spread (largest
over smallest), and the memory of the solver's arrays. Machines are noisy: compare figures of one run.
"""

import functools
import json
import platform
import time

import numba
import numpy as np

from cases.options import add_material_options, chosen_material, command_parser, count, new_file, user_errors
from cases.report import table
from constitutive.whole_file import replace_text
from fem.contact import plane
from fem.meshing import box
from fem.model import ELEMENTS, Model
from fem.run import MOST_THREADS
from fem.solver import Solver

REPEATS, WARM_UP = 7, 5
SPACING = 1e-4  # m, edge of an element


def parser():
    """Options of the command."""
    made = command_parser(
        "benchmark", __doc__, "python -m cases.benchmark --law j2 --elements 3000 30000 --threads 1 2"
    )
    add_material_options(made)
    made.add_argument("--element", choices=ELEMENTS, default="hex8r", help="element type")
    made.add_argument("--elements", type=count, nargs="+", default=[3_000, 30_000, 300_000], help="mesh sizes, about")
    made.add_argument("--threads", type=count, nargs="+", default=list(range(1, MOST_THREADS + 1)), help="threads")
    made.add_argument("--json", metavar="FILE", help="write the figures into this file as well")
    made.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    return made


def block(law, element: str, elements: int) -> Model:
    """A block of about so many elements, three times as long as wide, on a wall."""
    across = max(2, round((elements / 3) ** (1 / 3)))
    mesh = box((across * SPACING, across * SPACING, 3 * across * SPACING), (across, across, 3 * across))
    model = Model(mesh, law, element).contact(plane(), nodes="z_min")
    phase = 2 * np.pi * mesh.points / np.ptp(mesh.points[:, 2])
    model.velocity[:] = 100.0 * np.sin(phase[:, [2, 0, 1]] * [3, 2, 2]) - [0, 0, 100.0]
    return model


def measure(model: Model, threads: int) -> dict[str, float]:
    """Median time per element and step, s, and what belongs to it."""
    numba.set_num_threads(threads)
    solver = Solver(model, threads)
    count = len(model.mesh.hexes)
    steps = int(np.clip(400_000 // count, 2, 100))
    for _ in range(WARM_UP):
        solver.step(solver.stable_step())
    solver.elements.times[:] = 0.0
    solver.seconds["elements"] = 0.0
    batches = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        for _ in range(steps):
            solver.step(solver.stable_step())
        batches.append((time.perf_counter() - begin) / steps / count)
    law = solver.seconds["elements"] * solver.elements.law_share() / (REPEATS * steps * count)
    return {
        "elements": count,
        "threads": threads,
        "time_per_element_step": float(np.median(batches)),
        "law": float(law),
        "spread": max(batches) / min(batches),
        "memory": solver.elements.memory,
    }


@user_errors
def main(arguments: list[str] | None = None) -> None:
    """Measure and print a Markdown table."""
    options = parser().parse_args(arguments)
    file = new_file(options.json, options.overwrite) if options.json else None
    law = chosen_material(options).law
    say = (lambda *lines: None) if options.quiet else functools.partial(print, sep="\n", flush=True)
    say(f"{options.element}, {law.name}, float64, {platform.processor() or platform.machine()}, "
        f"numba {numba.__version__}; warm-up {WARM_UP} steps, median of {REPEATS} batches",
        *table(["elements", "threads", "ns per element-step", "of it law", "spread", "memory, MB"], []))  # fmt: skip
    rows = []
    for size in options.elements:
        model = block(law, options.element, size)
        for threads in options.threads:
            rows.append(row := measure(model, min(threads, MOST_THREADS)))
            time_ns, law_ns = (1e9 * row[key] for key in ("time_per_element_step", "law"))
            say(f"| {row['elements']} | {row['threads']} | {time_ns:.1f} | {law_ns:.1f} | {row['spread']:.2f} "
                f"| {row['memory'] / 1e6:.0f} |")  # fmt: skip
    if file:
        replace_text(file, json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
