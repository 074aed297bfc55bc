"""Parameter study of the rod or the plate: impact velocities and shapes, as in figures 5 and 7 of the paper.

Velocities are varied for the case's own shape, and shapes at the case's own velocity: the rod's aspect ratio length /
diameter at constant length, the plate's thickness / projectile diameter. Elements keep their size as nearly as may be:
there are 4 at least, and an even number across a rod. Each run has a folder of its own; runs that are complete are not
run again, and those that were interrupted go on. Then one sheet a series shows the axial cuts at the end on common
colour scales, and summary.csv lists all numbers, in the units that summary_units.json names. Runs whose material fails
are left out, and told at the end.

All further options are the case's own: --law, --material, --symmetry, --end-time, --threads and so on.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from cases.impact import check_same, has_material, run_case
from cases.options import OptionError, chosen_material, command_parser, one_line, positive, user_errors
from cases.registry import CASES
from cases.run_folder import open_run
from constitutive.law import Law
from constitutive.whole_file import replace_text
from fem.elements import MaterialError
from fem.folder import MARK, read_json
from fem.history import UNITS as HISTORY
from fem.output import cell_fields
from fem.picture import save, sheet

VELOCITIES = (100.0, 150.0, 200.0, 250.0, 300.0)  # m/s
SHAPES = {"rod": (2.5, 5.0, 7.5, 10.0), "plate": (0.0625, 0.125, 0.25, 0.5)}
FIELDS = ("von_mises", "deviatoric_strain")
UNITS = {  # of the columns of summary.csv, in their order
    "velocity": "m/s",
    "shape": "1, length / diameter of the rod, thickness / projectile diameter of the plate",
    "elements": "1",
    "steps": "1",
    "end_time": "s",
    **dict.fromkeys(("final_length", "final_radius", "back_face_deflection", "contact_radius", "centre_gap"), "m"),
    "contact_impulse": "N s, of the whole body",
    "max_von_mises": "Pa",
    "max_deviatoric_strain": "1",
    "max_equivalent_plastic_strain": "1",
    **dict.fromkeys(("plastic_work", "kinetic_energy", "internal_energy"), HISTORY["internal"]),
    "energy_error": HISTORY["error"],
    "hourglass_energy_ratio": "1, hourglass over internal energy",
    "outside_envelope_fraction": "1, of the elements",
    "wall_time": "s, of the time loop",
}


@dataclass(frozen=True)
class Variant:
    """One run: impact velocity in m/s, and length / diameter of the rod or thickness / projectile diameter."""

    velocity: float
    shape: float

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"velocity_{self.velocity:g}_shape_{self.shape:g}"


def parser() -> argparse.ArgumentParser:
    """Options of the study; those of the case are parsed by the case."""
    made = command_parser(
        "parameter_study",
        __doc__,
        "python -m cases.parameter_study plate --velocities 100 200 300 --shapes 0.0625 0.25 --symmetry quarter",
    )
    shown = {case: " ".join(map(str, shapes)) for case, shapes in SHAPES.items()}
    made.add_argument("case", choices=CASES, help="what to study")
    made.add_argument(
        "--velocities", type=positive, nargs="*", default=list(VELOCITIES), metavar="V", help="impact velocities, m/s"
    )
    made.add_argument(
        "--shapes",
        type=positive,
        nargs="*",
        metavar="R",
        help="length / diameter of the rod, thickness / projectile diameter of the plate "
        f"(default: {shown['rod']} of the rod, {shown['plate']} of the plate)",
    )
    made.add_argument("--fields", nargs="+", metavar="NAME", default=list(FIELDS), help="cell fields on the sheets")
    made.add_argument("--output", metavar="DIR", help="folder of the study (default: runs/<case>_study)")
    made.add_argument("--overwrite", action="store_true", help="compute complete runs again")
    made.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return made


def series(study: argparse.Namespace, own: Variant) -> dict[str, list[Variant]]:
    """The variants of each sheet, around the case's own."""
    shapes = SHAPES[study.case] if study.shapes is None else study.shapes
    made = {
        "velocity": [Variant(velocity, own.shape) for velocity in sorted(set(study.velocities))],
        "shape": [Variant(own.velocity, shape) for shape in sorted(set(shapes))],
    }
    chosen = {name: variants for name, variants in made.items() if variants}
    if not chosen:
        raise OptionError("neither --velocities nor --shapes are given: name at least one number")
    return chosen


def own_variant(case: str, options: argparse.Namespace) -> Variant:
    """The variant that the case's own options describe."""
    if case == "rod":
        return Variant(options.velocity, options.length / options.diameter)
    return Variant(options.velocity, options.thickness / (2.0 * options.projectile_radius))


def case_options(case: str, variant: Variant, given: Sequence[str], folder: Path) -> argparse.Namespace:
    """The case's options for a variant; the mesh is refined so that elements keep their size."""
    parse = CASES[case].parser().parse_args
    base = parse(list(given))
    scale = variant.shape / own_variant(case, base).shape
    arguments = [*given, "--velocity", repr(variant.velocity), "--output", str(folder), "--quiet", "--no-picture"]
    if case == "rod":
        across = max(4, 2 * round(base.elements_across / scale / 2))
        arguments += ["--diameter", repr(base.diameter / scale), "--elements-across", str(across)]
    else:
        through = max(4, round(base.elements_through * scale))
        arguments += ["--thickness", repr(base.thickness * scale), "--elements-through", str(through)]
    return parse(arguments)


def compute(case: ModuleType, options: argparse.Namespace, overwrite: bool) -> tuple[dict[str, Any], bool]:
    """The summary of a run, and whether it was there already. Raises OptionError where another run is in its place."""
    folder = Path(options.output)
    begun = folder / "options.json"
    options.overwrite = overwrite
    if begun.exists() and not overwrite:
        check_same(folder, options)
        if not has_material(folder, chosen_material(options)):
            raise OptionError(f"{folder} was computed with other numbers of its material: give another --output, "
                              "or --overwrite to compute it again")  # fmt: skip
        done = folder / "summary.json"
        if done.exists() and (summary := read_json(done)).get("end_time") == options.end_time:
            return summary, True
    options.restart = folder.is_dir() and not overwrite
    return run_case(options, case.build, case.finish), False


def run_all(case: str, variants: Sequence[Variant], given: Sequence[str], folder: Path,
            study: argparse.Namespace) -> tuple[dict[Variant, dict[str, Any]], dict[Variant, str]]:  # fmt: skip
    """Summaries of all variants, computed or found, but of those whose material failed the reason."""
    summaries: dict[Variant, dict[str, Any]] = {}
    failed: dict[Variant, str] = {}
    for number, variant in enumerate(variants):
        options = case_options(case, variant, given, folder / variant.name)
        try:
            summaries[variant], found = compute(CASES[case], options, study.overwrite)
            said = "found" if found else f"{summaries[variant]['wall_time']:.2f} s"
        except MaterialError as error:
            said = failed[variant] = one_line(error)
        if not study.quiet:
            print(f"{number + 1} of {len(variants)}: {variant.name}, {said}", file=sys.stderr, flush=True)
    return summaries, failed


def write_summary(path: Path, summaries: Mapping[Variant, Mapping[str, Any]]) -> None:
    """All numbers as CSV, a row a variant, whole or not at all, and their units beside it.

    Columns that no summary has are left out.
    """
    rows = [{"velocity": v.velocity, "shape": v.shape, **summary} for v, summary in summaries.items()]
    columns = [name for name in UNITS if any(name in row for row in rows)]
    lines = [columns, *([repr(row[name]) if name in row else "" for name in columns] for row in rows)]
    units = json.dumps({name: UNITS[name] for name in columns}, indent=2)
    replace_text(path.with_name("summary_units.json"), units + "\n")
    replace_text(path, "".join(",".join(line) + "\n" for line in lines))


def draw(path: Path, name: str, variants: Sequence[Variant], case: str, folder: Path, fields: Sequence[str]) -> None:
    """The contact sheet of a series: the last frame of each run on common colour scales."""
    runs = [open_run(folder / variant.name) for variant in variants]
    cuts = [run.cut(len(run.frames) - 1, fields) for run in runs]
    ratio = "length / diameter" if case == "rod" else "thickness / projectile diameter"
    if name == "velocity":
        captions, constant = [f"{v.velocity:g} m/s" for v in variants], f"{ratio} {variants[0].shape:.4g}"
    else:
        captions, constant = [f"{ratio} {v.shape:.4g}" for v in variants], f"{variants[0].velocity:g} m/s"
    what = runs[0].title.rpartition(",")[0]
    save(sheet(cuts, fields, f"{what}, {constant}, {runs[0].frames[-1][0] * 1e6:.3g} µs", captions), path)


def check_fields(names: Sequence[str], law: Law) -> None:
    """Raise OptionError for a name that is no field of one component of the law's runs."""
    fields = cell_fields(law, np.eye(3)[None], np.zeros((1, 6)), law.initial_state(1))
    scalars = [name for name, values in fields.items() if values.ndim == 1]
    for name in names:
        if name not in scalars:
            raise OptionError(f"--fields {name}: no field of one component; there are {', '.join(scalars)}")


@user_errors
def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, then draw and list everything."""
    study, given = parser().parse_known_args(arguments)
    base = CASES[study.case].parser().parse_args(given)
    if base.no_fields or base.restart:
        raise OptionError("a study draws its runs' frames and goes on by itself: leave --no-fields and --restart out")
    check_fields(study.fields, chosen_material(base).law)
    folder = Path(study.output or f"runs/{study.case}_study")
    if (folder / MARK).exists():
        raise OptionError(f"{folder} is the folder of a run: name another --output for the study")
    sheets = series(study, own_variant(study.case, base))
    variants = list(dict.fromkeys(variant for row in sheets.values() for variant in row))
    summaries, failed = run_all(study.case, variants, given, folder, study)
    if summaries:
        write_summary(folder / "summary.csv", summaries)
    for name, row in sheets.items():
        if done := [variant for variant in row if variant in summaries]:
            draw(folder / f"{name}.png", name, done, study.case, folder, study.fields)
    if failed:
        variant, reason = next(iter(failed.items()))
        raise OptionError(f"{len(failed)} of {len(variants)} runs failed and are left out; {variant.name}: {reason}")
    if not study.quiet:
        print(f"{len(variants)} runs, summary.csv and {', '.join(f'{name}.png' for name in sheets)} in {folder}")


if __name__ == "__main__":
    main()
