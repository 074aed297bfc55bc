"""Snapshots of a run: axial cuts at several times, one colour scale a field (figures 4 and 6 of the paper).

Shown are the frames nearest to the wanted times. Fields are those of the frames' cells: von_mises, deviatoric_strain
(e_d), volumetric_strain (e_v), pressure, and what the law adds.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from cases.options import command_parser, finite, new_file, user_errors
from cases.run_folder import open_run
from fem.picture import save, sheet

FIELDS = ("von_mises", "deviatoric_strain", "volumetric_strain")
SHOWN = 5  # times by default


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    made = command_parser("snapshots", __doc__, "python -m cases.snapshots runs/taylor_anvil --times 2e-7 6e-7 1e-6")
    made.add_argument("run", help="run folder with frames")
    made.add_argument(
        "--times", type=finite, nargs="+", metavar="T", help=f"times, s (default: {SHOWN}, evenly spread)"
    )
    add_view_options(made, "snapshots.png")
    return made


def add_view_options(made: argparse.ArgumentParser, file: str) -> None:
    """The options that snapshots and animation share."""
    made.add_argument("--fields", nargs="+", metavar="NAME", default=list(FIELDS), help="cell fields to show")
    made.add_argument("--no-edges", action="store_true", help="do not show the mesh")
    made.add_argument("--output", metavar="FILE", help=f"file to write (default: {file} in the run folder)")
    made.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    made.add_argument("--quiet", action="store_true", help="print nothing but errors")


def target(options: argparse.Namespace, file: str) -> Path:
    """The file to write, by default `file` in the run folder. Raises OptionError where it must not or cannot be."""
    return new_file(options.output or Path(options.run) / file, options.overwrite, Path(file).suffix)


@user_errors
def main(arguments: list[str] | None = None) -> None:
    """Draw the snapshots."""
    options = parser().parse_args(arguments)
    run = open_run(options.run)
    path = target(options, "snapshots.png")
    times = options.times or np.linspace(0.0, run.frames[-1][0], SHOWN + 1)[1:]
    chosen = sorted({run.nearest(time) for time in times})
    cuts = [run.cut(index, options.fields) for index in chosen]
    captions = [f"{run.frames[index][0] * 1e6:#.3g} µs" for index in chosen]
    save(sheet(cuts, options.fields, run.title, captions, not options.no_edges), path)
    if not options.quiet:
        print(f"{len(cuts)} snapshots of {', '.join(options.fields)} in {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
