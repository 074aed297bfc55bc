"""Material point: a law taken along a path of the deformation gradient F, without any mesh.

Paths, for a strain e that grows linearly in time from zero to --strain (negative: compression):
  uniaxial         F = diag(exp(e), exp(-e/2), exp(-e/2)), isochoric stretch to the logarithmic strain e
  uniaxial-strain  F = diag(exp(e), 1, 1), no lateral strain, as behind a plane wave
  shear            F = I + e e1 (x) e2, simple shear
  FILE.csv         columns t,F11,F12,F13,F21,F22,F23,F31,F32,F33 (t in s); --strain, --end-time and --steps are not used

The output has the columns t,s11,s22,s33,s12,s23,s13 (s, Pa; Cauchy stress) and the law's scalar states; FILE.units.json
beside it names all units.
"""

import argparse
import csv
import io
import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from cases import crystal_plots
from cases.options import (
    OptionError,
    add_material_options,
    chosen_material,
    command_parser,
    finite,
    new_file,
    positive,
    user_errors,
)
from cases.path_file import read_path
from constitutive.drive import History, drive
from constitutive.law import did_you_mean
from constitutive.tensor import von_mises
from constitutive.whole_file import replace_text
from fem.output import field_units
from fem.picture import save

PATHS = ("uniaxial", "uniaxial-strain", "shear")
STRESSES = ("s11", "s22", "s33", "s12", "s23", "s13")
MOST_STEPS = 1_000_000
UNITS = ".units.json"  # ending of the file beside the output


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    made = command_parser(
        "material_point",
        __doc__,
        "python -m cases.material_point --law johnson_cook --material ofhc_copper --path uniaxial --strain -0.5 "
        "--end-time 1e-6 --output copper.csv --picture copper.png",
    )
    made.add_argument("--path", metavar="NAME|FILE.csv", default="uniaxial", help=f"{', '.join(PATHS)}, or a file")
    made.add_argument("--strain", type=finite, default=0.5, help="strain e at the end, 1")
    made.add_argument("--end-time", type=positive, default=1e-6, help="time at the end, s")
    made.add_argument("--steps", type=_steps, default=200, help="number of steps")
    made.add_argument("--output", metavar="FILE.csv", default="material_point.csv", help="file to write")
    made.add_argument("--picture", metavar="FILE.png", help="draw the stresses into this file as well")
    made.add_argument(
        "--pictures",
        metavar="FOLDER",
        help="crystals: stress-strain curves, slip and twin activity and pole figures into this folder as well",
    )
    made.add_argument("--overwrite", action="store_true", help="replace the output and the pictures where they exist")
    add_material_options(made)
    return made


def _steps(text: str) -> int:
    steps = int(text)
    if not 1 <= steps <= MOST_STEPS:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to {MOST_STEPS}")
    return steps


_steps.__name__ = "whole number"


def built_in_path(name: str, strain: float, end_time: float, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Times (m+1,) and F (m+1, 3, 3) of a named path."""
    e = np.linspace(0.0, strain, steps + 1)
    F = np.tile(np.eye(3), (steps + 1, 1, 1))
    if name == "shear":
        F[:, 0, 1] = e
    else:
        F[:, 0, 0] = np.exp(e)
    if name == "uniaxial":
        F[:, 1, 1] = F[:, 2, 2] = np.exp(-0.5 * e)
    return np.linspace(0.0, end_time, steps + 1), F


def chosen_path(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Times (m+1,) and F (m+1, 3, 3) of --path. Raises OptionError, PathError and OSError."""
    if options.path in PATHS:
        return built_in_path(options.path, options.strain, options.end_time, options.steps)
    if not Path(options.path).suffix and not Path(options.path).exists():
        hint = did_you_mean(options.path, list(PATHS))
        raise OptionError(f"--path {options.path}: no such path{hint}; it is {', '.join(PATHS)} or a CSV file")
    return read_path(Path(options.path))


def write(path: Path, history: History, fields: dict[str, np.ndarray]) -> None:
    """Write stresses and fields of the only path of `history` to a CSV file, and their units beside it."""
    table = np.column_stack([history.times, history.stress[:, 0], *fields.values()])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([["t", *STRESSES, *fields], *table.tolist()])
    named = field_units(history.law)
    units = {"t": "s"} | dict.fromkeys(STRESSES, "Pa, Cauchy stress, tension positive")
    units |= {name: named.get(name, "not named by the law") for name in fields}
    replace_text(path.with_suffix(UNITS), json.dumps(units, indent=2) + "\n")
    replace_text(path, text.getvalue())


def draw(path: Path, history: History, title: str) -> None:
    """Draw stress components and von Mises stress over time into a PNG file."""
    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    axes = figure.subplots()
    time = history.times * 1e6
    for name, values in zip(STRESSES, history.stress[:, 0].T, strict=True):
        if np.any(values != 0.0):
            axes.plot(time, values / 1e6, label=name, linewidth=1.0)
    axes.plot(time, von_mises(history.stress[:, 0]) / 1e6, "k", label="von Mises")
    axes.set(xlabel="time, microseconds", ylabel="Cauchy stress, MPa", title=title)
    axes.legend()
    save(figure, path, 120)


@user_errors
def main(arguments: list[str] | None = None) -> None:
    """Run the case from the command line."""
    options = parser().parse_args(arguments)
    output = new_file(options.output, options.overwrite)
    new_file(output.with_suffix(UNITS), options.overwrite)
    picture = new_file(options.picture, options.overwrite, ".png") if options.picture else None
    if picture and picture.resolve() == output.resolve():
        raise OptionError(f"--picture {picture} is the file of --output: name another")
    if options.pictures and Path(options.pictures).exists() and not options.overwrite:
        raise OptionError(f"{options.pictures} exists: name another folder, or add --overwrite to replace pictures")
    material = chosen_material(options)
    if options.pictures and not crystal_plots.is_crystal(material.law):
        raise OptionError(f"--pictures shows crystals, and law '{material.law.name}' has none: use --law taylor")
    times, F = chosen_path(options)
    if len(times) * material.law.state_size > 2e8:
        raise OptionError(f"{len(times)} steps of law '{material.law.name}' do not fit in memory: use fewer steps")
    history = drive(material.law, times, F[:, None], record_steps=range(len(times)))
    fields = {k: v for k, v in material.law.output_fields(F, history.record[:, 0]).items() if v.ndim == 1}
    write(output, history, fields)
    if picture:
        draw(picture, history, f"{material.name}, {material.law.name}, {options.path}")
    if options.pictures:
        crystal_plots.draw_all(Path(options.pictures), material, history)
    if not options.quiet:
        print(f"{len(times) - 1} steps to {times[-1]:g} s with law {material.law.name}, {material.name}")
        print(f"{'von Mises stress, largest':32s} {von_mises(history.stress[:, 0]).max():.6g} Pa")
        units = field_units(material.law)
        for name, values in fields.items():
            unit = units.get(name, "1")
            print(f"{name + ', at the end':32s} {values[-1]:.6g}{'' if unit == '1' else ' ' + unit}")
        print(f"{'written':32s} {output}")


if __name__ == "__main__":
    main()
