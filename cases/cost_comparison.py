"""Cost comparison: what the rod and the plate cost with an empirical, a learned and the concurrent law, and the errors.

Every law runs the same meshes in turn, in rounds, in one process. Per law: whole-run time and its spread, time per
element and step, split into law, element work, contact, nodes and output; memory per point; ratio to the empirical
law; error against the concurrent run; what learning cost before, from the artefact, and the number of runs after which
it has paid. The concurrent law is run, not estimated; figures scaled to larger meshes say so.

Tables go to the terminal and, with all numbers and a plot, into the output folder: cost.md, cost.json, cost.png.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cases.cost_measurement import Measurement, Plan, measure
from cases.cost_report import CONCURRENT, EMPIRICAL, case_numbers, environment, markdown, plot, scaled
from cases.impact import number_at_least
from cases.off_line_cost import OffLineCost, off_line_cost
from cases.options import OptionError, command_parser, one_line, positive, user_errors
from cases.registry import CASES
from constitutive.artefact import read_artefact
from constitutive.law import LawError
from constitutive.material import default_material, load_material
from fem.model import ELEMENTS
from fem.run import MOST_THREADS

LAWS = (EMPIRICAL, "recurrent", "pca_net", CONCURRENT)
SIZES = {"rod": ("--elements-across", 12, 8), "plate": ("--elements-through", 8, 4)}  # option, default, --quick
ROUNDS, QUICK_ROUNDS = 5, 3
FILES = ("cost.md", "cost.json", "cost.png")


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    whole = number_at_least(1, int)
    made = command_parser(
        "cost_comparison", __doc__, "python -m cases.cost_comparison --laws johnson_cook recurrent=mine.npz taylor"
    )
    made.add_argument("--quick", action="store_true", help="coarse meshes and fewer rounds: minutes less")
    made.add_argument(
        "--laws",
        nargs="+",
        metavar="LAW[=MATERIAL]",
        help="laws, each with its material's name or file (default: those of "
        f"{', '.join(LAWS)} that can run, on the magnesium of Liu et al.)",
    )
    made.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="what to run")
    made.add_argument("--end-time", type=positive, default=1e-6, help="time to compute to, s")
    made.add_argument("--element", choices=ELEMENTS, default="hex8r", help="element type")
    made.add_argument("--symmetry", choices=("full", "quarter"), default="quarter", help="part of the body to compute")
    made.add_argument("--elements-across", type=whole, help="of the rod (default: 12, with --quick 8)")
    made.add_argument("--elements-through", type=whole, help="of the plate (default: 8, with --quick 4)")
    made.add_argument("--threads", type=whole, default=1, help="threads of the solver")
    made.add_argument("--rounds", type=whole, help=f"runs of each law (default: {ROUNDS}, with --quick {QUICK_ROUNDS})")
    made.add_argument(
        "--seconds", type=positive, default=100.0, help="time for each law and case, s, after which it has two rounds"
    )
    made.add_argument("--scaled-elements", type=whole, default=1_000_000, help="mesh size of the scaled figures")
    made.add_argument("--output", default="runs/cost_comparison", help="folder for tables, numbers and plot")
    made.add_argument("--overwrite", action="store_true", help="replace the tables, numbers and plot there")
    made.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return made


def chosen_laws(given: list[str] | None) -> tuple[dict[str, str], list[str]]:
    """Material of each law to run, and a line on each of the default laws that cannot. Raises LawError, OptionError."""
    materials, left_out = {}, []
    for word in given or LAWS:
        law, _, material = word.partition("=")
        if law in materials:
            raise OptionError(f"--laws {word}: law '{law}' is named twice")
        try:
            material = material or default_material(law)
            load_material(material, law)
        except LawError as error:
            if given:
                raise
            left_out.append(f"`{law}`: {one_line(error)}")
            continue
        materials[law] = material
    return materials, left_out


def off_line_costs(materials: Mapping[str, str]) -> dict[str, OffLineCost]:
    """Costs before the first run of those laws that have an artefact."""
    values = {law: load_material(material, law).values for law, material in materials.items()}
    return {law: off_line_cost(read_artefact(v["artefact"])) for law, v in values.items() if v.get("artefact")}


def plan(case: str, options: argparse.Namespace) -> Plan:
    """How to measure a case."""
    name, size, quick = SIZES[case]
    chosen = getattr(options, name.removeprefix("--").replace("-", "_"), None) or (quick if options.quick else size)
    arguments = [name, str(chosen), "--symmetry", options.symmetry, "--element", options.element,
                 "--end-time", repr(options.end_time), "--threads", str(options.threads)]  # fmt: skip
    return Plan(arguments, options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS), options.seconds)


def compare(options: argparse.Namespace, command: str) -> dict[str, Any]:
    """Measure everything; the report's numbers, SI."""
    materials, left_out = chosen_laws(options.laws)
    if not options.quiet:
        for line in left_out:
            print(f"left out: {line}", file=sys.stderr)
    off_line = off_line_costs(materials)
    report = {
        "command": command,
        "environment": environment(options.threads),
        "left_out": left_out,
        "off_line": {law: asdict(cost) for law, cost in off_line.items()},
        "scaled_elements": options.scaled_elements,
        "cases": {},
    }
    for case in options.cases:
        found = measure(case, materials, plan(case, options), lambda line: _say(line, options))
        numbers = case_numbers(found, errors(found), off_line, options.threads)
        for one in numbers.values():
            one["scaled_time"] = scaled(one, options.scaled_elements)
        report["cases"][case] = numbers
    return report


def errors(found: Mapping[str, Measurement]) -> dict[str, dict[str, float]]:
    """Errors of each law against the concurrent one; nothing where that did not run."""
    return {}


def _say(line: str, options: argparse.Namespace) -> None:
    if not options.quiet:
        print(line, file=sys.stderr, flush=True)


@user_errors
def main(arguments: list[str] | None = None) -> None:
    """Compare, print the tables and write the files."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(arguments)
    options.threads = min(options.threads, MOST_THREADS)
    folder = Path(options.output)
    files = [folder / name for name in FILES]
    taken = next((file for file in files if file.exists()), None)
    if taken and not options.overwrite:
        raise OptionError(f"{taken} exists: name another --output, or add --overwrite to replace it")
    folder.mkdir(parents=True, exist_ok=True)
    report = compare(options, shlex.join(["python", "-m", "cases.cost_comparison", *arguments]))
    text = markdown(report)
    files[0].write_text(text)
    files[1].write_text(json.dumps(report, indent=2) + "\n")
    plot(files[2], report)
    if not options.quiet:
        print(text)
        print(f"files in {folder}")


if __name__ == "__main__":
    main()
