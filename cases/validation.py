"""In-situ validation: rod and plate with several laws on the same mesh, compared with the concurrent run.

Each LAW is a law, a material, LAW:MATERIAL or a trained law's file, with :KEY=VALUE behind it for parameters. The first
is the reference: by default `taylor`, crystal plasticity in every element. Beside the learned laws the default has the
empirical law fitted to the same polycrystal, and `taylor` with another texture seed: the fine scale's own noise.

Every run has a folder of its own under --output. The same command again computes what is not finished only, and goes on
with a run that was interrupted; a law whose trained file has changed since is run anew. Then the runs are compared:
change of length and radius, deflection, contact impulse and force, fields of von Mises stress, e_d and e_v element by
element. The output folder gets validation.json, validation.md and, for each case, pictures.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cases import comparison_pictures
from cases.comparison import FIELDS, Run, comparison, read_run
from cases.impact import FREE, check_same, has_material, parse, run_case
from cases.options import (
    OptionError,
    chosen_laws,
    command_parser,
    count,
    named_material,
    number_at_least,
    one_line,
    positive,
    split_name,
    user_errors,
)
from cases.registry import CASES
from cases.report import percent, table
from constitutive.whole_file import replace_text
from fem.elements import MaterialError
from fem.model import ELEMENTS
from fem.run import MOST_THREADS

SIZE = {"rod": "--elements-across", "plate": "--elements-through"}
QUICK = {"rod": 6, "plate": 3}  # elements across the rod and through the plate
DEFAULT_LAWS = ("taylor", "recurrent", "pca_net", "magnesium_empirical", "taylor:magnesium_liu2022:texture_seed=7")
RESULT = "validation.json"


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    made = command_parser(
        "validation",
        __doc__,
        "python -m cases.validation --cases rod --laws taylor recurrent mine.npz magnesium_empirical --quick "
        "--output runs/validation",
    )
    made.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="what to run")
    made.add_argument("--laws", nargs="+", metavar="LAW", help="the reference first (default, as far as "
                      f"they ship: {' '.join(DEFAULT_LAWS)})")  # fmt: skip
    made.add_argument("--elements-across", type=number_at_least(2, int), default=12, help="of the rod, even")
    made.add_argument("--elements-through", type=count, default=8, help="of the plate")
    made.add_argument("--quick", action="store_true", help=f"coarse: {QUICK['rod']} across, {QUICK['plate']} through")
    made.add_argument("--velocity", type=positive, default=200.0, help="impact velocity, m/s")
    made.add_argument("--end-time", type=positive, default=1e-6, help="time to compute to, s")
    made.add_argument("--element", choices=ELEMENTS, default="hex8r", help="as of the cases")
    made.add_argument("--symmetry", choices=("full", "quarter"), default="quarter", help="part of the body to compute")
    made.add_argument("--frames", type=number_at_least(2, int), default=20, help="frames at which fields are compared")
    made.add_argument("--threads", type=count, default=MOST_THREADS, help="threads of the solver")
    made.add_argument("--output", default="runs/validation", help="folder of all runs")
    made.add_argument("--overwrite", action="store_true", help="run everything anew")
    made.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return made


def case_options(case: str, word: str, folder: Path, options: argparse.Namespace) -> list[str]:
    """The command line of one run."""
    law, material, overrides = split_name(word)
    size = QUICK[case] if options.quick else {"rod": options.elements_across, "plate": options.elements_through}[case]
    values = {"--law": law, "--material": material, SIZE[case]: size}
    for key in ("velocity", "end_time", "element", "symmetry", "frames", "threads"):
        values[f"--{key.replace('_', '-')}"] = getattr(options, key)
    given = [f"{key}={value}" for key, value in values.items() if value is not None]
    return [*given, *(f"--set={pair}" for pair in overrides), f"--output={folder}", "--no-picture", "--quiet"]


def run_law(case: str, word: str, folder: Path, options: argparse.Namespace) -> None:
    """Make sure that a run is there and complete. Raises RunError where its folder holds one with other options."""
    module, given = CASES[case], case_options(case, word, folder, options)
    anew = options.overwrite
    if (folder / "options.json").exists() and not anew:
        check_same(folder, module.parser().parse_args(given), [key for key in FREE if key != "end_time"])
        anew = not has_material(folder, named_material(word))  # which, or its artefact, has changed
        if not anew and (folder / "summary.json").exists():
            return
    if folder.is_dir():
        given.append("--overwrite" if anew else "--restart")
    if not options.quiet:
        print(f"running: {case}, {word}", file=sys.stderr, flush=True)
    run_case(parse(module.parser(), given), module.build, module.finish)


def markdown(case: str, found: Mapping[str, Any], options: argparse.Namespace) -> list[str]:
    """The tables of a case."""
    shape = [key for key in ("length_error", "radius_error", "deflection_error") if key in found["runs"][0]]
    head = ["law", *(f"{key.removesuffix('_error')}, %" for key in shape), "impulse, %", "force history, %"]
    head += [f"{name}, end, all frames, %" for name in ("von Mises", "e_d", "e_v")]
    head += ["energy error, %", "outside envelope, %", "loop, s"]
    rows = []
    for run in found["runs"]:
        first = run is found["runs"][0]
        cells = [f"{run['label']}{' (reference)' if first else ''}"]
        cells += ["-" if first else percent(run[key]) for key in (*shape, "impulse_error", "contact_force_error")]
        for name in FIELDS:
            errors = run["fields"][name]
            cells.append("-" if first else f"{percent(errors['final'])}, {percent(errors['all'])}")
        cells += [percent(run["max_energy_error"]), percent(run.get("outside_envelope_fraction"))]
        rows.append([*cells, f"{run['wall_time']:.2f}"])
    size = f"{found['elements']} {found['element']}, {options.symmetry}, {options.velocity:g} m/s"
    lines = [f"## {case}: {size}, {found['end_time']:g} s", ""]
    lines += ["Lengths, radii and deflections: difference over the reference's own change. Fields: relative L2 over",
              "elements, at the end and over all frames. Loop: time loop without file output; threads: "
              f"{found['threads']}.", ""]  # fmt: skip
    return [*lines, *table(head, rows), "", f"![cuts]({case}_cuts.png)", f"![histories]({case}_histories.png)",
            f"![fields]({case}_fields.png)", ""]  # fmt: skip


def draw(folder: Path, case: str, runs: Sequence[Run], options: argparse.Namespace) -> None:
    """All pictures of a case."""
    title = f"{case}, {options.velocity:g} m/s, {1e6 * runs[0].times[-1]:g} µs"
    comparison_pictures.draw_cuts(folder / f"{case}_cuts.png", runs, options.symmetry, title)
    comparison_pictures.draw_histories(folder / f"{case}_histories.png", runs, title)
    comparison_pictures.draw_field_errors(folder / f"{case}_fields.png", runs, f"{title}, against {runs[0].label}")


@user_errors
def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run what is missing, compare, and return what validation.json holds."""
    options = parser().parse_args(arguments)
    words, left_out = chosen_laws(options.laws, DEFAULT_LAWS)
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)
    if len(words) < 2:
        raise OptionError("two laws at least are compared: name them by --laws")
    output = Path(options.output)
    result: dict[str, Any] = {"laws": [*words.values()], "units": "SI; errors relative to the reference", "cases": {}}
    lines = ["# Laws in situ against the concurrent run", ""]
    for case in options.cases:
        runs: list[Run] = []
        failed: dict[str, str] = {}
        for name, word in words.items():
            folder = output / case / re.sub(r"[^\w.=-]+", "_", word).strip("_")
            try:
                run_law(case, word, folder, options)
            except MaterialError as error:  # the others are compared without it
                if not runs:
                    raise
                failed[name] = one_line(error)
            else:
                runs.append(read_run(name, folder))
        result["cases"][case] = comparison(runs) | {"failed": failed}
        lines += markdown(case, result["cases"][case], options)
        lines += [line for name, reason in failed.items() for line in (f"`{name}` failed: {reason}", "")]
        draw(output, case, runs, options)
    replace_text(output / RESULT, json.dumps(result, indent=1) + "\n")
    replace_text(output / "validation.md", "\n".join(lines))
    if not options.quiet:
        print("\n".join(line for line in lines if not line.startswith("!")))
        print(f"written: {output}")
    return result


if __name__ == "__main__":
    main()
