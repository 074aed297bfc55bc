"""Cost comparison: what the rod and the plate cost with an empirical, a learned and the concurrent law, and the errors.

Every law runs the same meshes in turn, in rounds, in one process. Per law: whole-run time and its spread, time per
element and step, split into law, element work, contact, nodes and output; memory per point; ratio to the empirical
law; error against the concurrent run; what learning cost before, from the artefact, and the number of runs after which
it has paid. The concurrent law is run, not estimated; figures scaled to larger meshes say so.

Each LAW is a law, a material, LAW:MATERIAL or a trained law's file, with :KEY=VALUE behind it for parameters. The first
of law johnson_cook is the empirical one that others are related to, the first of law taylor the concurrent one. Tables
go to the terminal and, with all numbers and a plot, into the output folder: cost.md, cost.json, cost.png.
"""

import argparse
import json
import shlex
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cases.comparison import compare, read_run
from cases.cost_measurement import Measurement, Plan, measure
from cases.cost_report import environment, has_errors, law_numbers, markdown, plot, relate, scaled
from cases.off_line_cost import OffLineCost, off_line_cost
from cases.options import chosen_laws, command_parser, count, named_material, new_file, positive, user_errors
from cases.registry import CASES
from constitutive.artefact import read_artefact
from constitutive.material import Material
from constitutive.whole_file import replace_text
from fem.model import ELEMENTS
from fem.run import MOST_THREADS

EMPIRICAL, CONCURRENT = "johnson_cook", "taylor"
LAWS = (EMPIRICAL, "recurrent", "pca_net", CONCURRENT)
SIZES = {"rod": ("--elements-across", 12, 8), "plate": ("--elements-through", 8, 4)}  # option, default, --quick
ROUNDS, QUICK_ROUNDS = 5, 3
FILES = ("cost.md", "cost.json", "cost.png")


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    made = command_parser(
        "cost_comparison", __doc__, "python -m cases.cost_comparison --laws johnson_cook mine.npz taylor --quick"
    )
    made.add_argument("--quick", action="store_true", help="coarse meshes and fewer rounds: minutes less")
    made.add_argument(
        "--laws", nargs="+", metavar="LAW", help=f"laws to run (default, as far as they ship: {' '.join(LAWS)})"
    )
    made.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="what to run")
    made.add_argument("--end-time", type=positive, default=1e-6, help="time to compute to, s")
    made.add_argument("--element", choices=ELEMENTS, default="hex8r", help="element type")
    made.add_argument("--symmetry", choices=("full", "quarter"), default="quarter", help="part of the body to compute")
    made.add_argument("--elements-across", type=count, help="of the rod, even (default: 12, with --quick 8)")
    made.add_argument("--elements-through", type=count, help="of the plate (default: 8, with --quick 4)")
    made.add_argument("--threads", type=count, default=1, help="threads of the solver")
    made.add_argument("--rounds", type=count, help=f"runs of each law (default: {ROUNDS}, with --quick {QUICK_ROUNDS})")
    made.add_argument(
        "--seconds", type=positive, default=60.0, help="time for each law and case, s, after which it has two rounds"
    )
    made.add_argument("--scaled-elements", type=count, default=1_000_000, help="mesh size of the scaled figures")
    made.add_argument("--output", default="runs/cost_comparison", help="folder for tables, numbers and plot")
    made.add_argument("--overwrite", action="store_true", help="replace the tables, numbers and plot there")
    made.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return made


def off_line_costs(materials: Mapping[str, Material]) -> dict[str, OffLineCost]:
    """Costs before the first run of those laws that have an artefact."""
    artefacts = {label: material.values.get("artefact") for label, material in materials.items()}
    return {label: off_line_cost(read_artefact(file)) for label, file in artefacts.items() if file}


def plan(case: str, options: argparse.Namespace) -> Plan:
    """How to measure a case."""
    name, size, quick = SIZES[case]
    chosen = getattr(options, name.removeprefix("--").replace("-", "_")) or (quick if options.quick else size)
    arguments = [name, str(chosen), "--symmetry", options.symmetry, "--element", options.element,
                 "--end-time", repr(options.end_time), "--threads", str(options.threads)]  # fmt: skip
    return Plan(arguments, options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS), options.seconds)


def errors(found: Mapping[str, Measurement], concurrent: str | None) -> dict[str, dict[str, float]]:
    """Errors of each law against the concurrent one at the end; none where that did not run. See cases.comparison."""
    if concurrent is None:
        return {label: {} for label in found}
    runs = {label: read_run(label, one.folder) for label, one in found.items()}
    listed = {}
    for label, run in runs.items():
        row = compare(run, runs[concurrent])
        shape = {key.removesuffix("_error"): row[key] for key in ("length_error", "radius_error", "deflection_error",
                                                                  "impulse_error") if key in row}  # fmt: skip
        fields = {name: row["fields"][name]["final"] for name in row["fields"]}
        listed[label] = shape | fields if label != concurrent else {}
    return listed


def compare_costs(options: argparse.Namespace, command: str) -> dict[str, Any]:
    """Measure everything; the report's numbers, SI."""
    words, left_out = chosen_laws(options.laws, LAWS)
    for line in left_out:
        _say(f"left out: {line}", options)
    materials = {label: named_material(word) for label, word in words.items()}
    roles = {}
    for role, law in (("empirical", EMPIRICAL), ("concurrent", CONCURRENT)):
        roles[role] = next((label for label, material in materials.items() if material.law.name == law), None)
    off_line = off_line_costs(materials)
    report: dict[str, Any] = {
        "command": command,
        "environment": environment(options.threads),
        **roles,
        "left_out": left_out,
        "off_line": {label: asdict(cost) for label, cost in off_line.items()},
        "scaled_elements": options.scaled_elements,
        "cases": {},
    }
    for case in options.cases:
        with tempfile.TemporaryDirectory(prefix="cost_comparison_") as folder:
            found = measure(case, words, plan(case, options), Path(folder), lambda line: _say(line, options))
            there = {role: label if label in found else None for role, label in roles.items()}  # others failed
            wrong = errors(found, there["concurrent"])
        if not found:
            left_out.append(f"{case}: every law failed")
            continue
        laws = {label: law_numbers(one) | {"error": wrong[label]} for label, one in found.items()}
        relate(laws, off_line, there["empirical"], there["concurrent"], options.threads)
        for one in laws.values():
            one["scaled_time"] = scaled(one, options.scaled_elements)
        report["cases"][case] = laws
    return report


def _say(line: str, options: argparse.Namespace) -> None:
    if not options.quiet:
        print(line, file=sys.stderr, flush=True)


@user_errors
def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Compare, print the tables and write the files; what cost.json holds."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(arguments)
    options.threads = min(options.threads, MOST_THREADS)
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    tables, numbers, picture = (new_file(folder / name, options.overwrite) for name in FILES)
    report = compare_costs(options, shlex.join(["python", "-m", "cases.cost_comparison", *arguments]))
    text = markdown(report)
    replace_text(tables, text)
    replace_text(numbers, json.dumps(report, indent=2) + "\n")
    picture.unlink(missing_ok=True)  # of a comparison before
    if has_errors(report):
        plot(picture, report)
    if not options.quiet:
        print(text)
        print(f"files in {folder}")
    return report


if __name__ == "__main__":
    main()
