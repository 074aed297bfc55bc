"""Strain histories of the elements of finished runs: to learn, or to be judged, where the law is used.

A history is the right stretch U = (F^T F)^(1/2) of an element at the frames of its run, F the volume average that the
solver's one-point element takes. A law's answer to F = R U is its answer to U, turned; so U says it all. From each run
are taken as many elements as wanted, drawn with a chance proportional to the largest equivalent strain that they saw.

    python -m cases.taylor_anvil --velocity 250 --frames 200 --output runs/rod
    python -m learning.histories runs/rod --output rod.npz
    python -m learning.generate --sampler recorded --histories rod.npz --output data/rod
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.interpolate import PchipInterpolator

from cases.options import OptionError, add_output, command_parser, count, natural, new_file, user_errors
from cases.run_folder import open_run
from constitutive.tensor import square_root
from constitutive.whole_file import replacing
from fem.hex8 import mean_gradient
from fem.output import read_frame
from learning.strain_paths import equivalent_strain

INSTANTS = 201  # that a history is kept at, evenly spread: between frames by pchip
FEWEST = 10  # frames to speak of a history
NEGLIGIBLE = 1e-4  # equivalent strain below which an element's history is none


def read_stretches(run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times (f,) in s and stretches U (m, f, 6) of all m elements at the frames of a run.

    Raises RunError where there are none, OutputError where one is damaged.
    """
    frames = open_run(run).frames
    first = read_frame(run / frames[0][1])
    hexes = first.cells[0].data
    start = first.points - first.point_data["displacement"]
    B, _ = mean_gradient(start[hexes])
    U = []
    for _, file in frames:
        x = read_frame(run / file).points
        F = np.einsum("mai,maj->mij", x[hexes], B)
        U.append(square_root(F.swapaxes(1, 2) @ F))
    return np.array([time for time, _ in frames]), np.stack(U, axis=1)


def drawn(U: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Up to `count` of the histories U (m, f, 6): those that strained most have the best chance, none comes twice."""
    strain = equivalent_strain(U).max(axis=1)
    strained = np.flatnonzero(strain > NEGLIGIBLE)
    chance = strain[strained] / strain[strained].sum()
    return np.sort(rng.choice(strained, min(count, len(strained)), replace=False, p=chance))


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    made = command_parser(
        "histories", __doc__, "python -m learning.histories runs/rod runs/plate --output histories.npz", "learning"
    )
    made.add_argument("runs", nargs="+", metavar="RUN", help="run folders, best made with --frames 200")
    made.add_argument("--elements", type=count, default=500, help="elements to take from each run")
    made.add_argument("--seed", type=natural, default=1, help="of the choice of elements")
    add_output(made, "FILE.npz", "file to write")
    made.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return made


@user_errors
def main(arguments: list[str] | None = None) -> None:
    """Write the histories."""
    options = parser().parse_args(arguments)
    path = new_file(options.output, options.overwrite, ".npz")
    rng = np.random.default_rng(options.seed)
    times: list[np.ndarray] = []
    U: list[np.ndarray] = []
    for run in options.runs:
        frames, stretches = read_stretches(Path(run))
        if len(frames) < FEWEST:
            raise OptionError(f"{run} has {len(frames)} frames, too few for a history: run it with --frames 200")
        if equivalent_strain(stretches).max() <= NEGLIGIBLE:
            raise OptionError(f"{run}: no element was strained beyond {NEGLIGIBLE:g}, so it has no histories")
        chosen = stretches[drawn(stretches, options.elements, rng)]
        t = np.linspace(0.0, frames[-1], INSTANTS)
        times.append(np.tile(t, (len(chosen), 1)))
        U.append(PchipInterpolator(frames, chosen, axis=1)(t).astype(np.float32))
        if not options.quiet:
            strain = equivalent_strain(chosen).max(axis=1)
            print(f"{run}: {len(chosen)} of {len(stretches)} elements, strained to {strain.max():.3g}", file=sys.stderr)
    with replacing(path) as file:
        np.savez_compressed(file, times=np.concatenate(times), U=np.concatenate(U), runs=np.array(options.runs))
    if not options.quiet:
        print(f"{sum(len(u) for u in U)} histories at {INSTANTS} instants in {path}")


if __name__ == "__main__":
    main()
