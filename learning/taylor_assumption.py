"""How far is Taylor's polycrystal from one in equilibrium? Both answer the same paths; numbers in per cent.

The full field is the periodic unit cell (constitutive/fft_cell.py, fft3d) of magnesium_liu2022's 128 grains. Beside it
stand the law `taylor` with the same grains in equal parts, as the paper takes it, and with the volumes that the grains
have in the cell, which leaves nothing but the assumption itself. Errors are relative L2 of the deviator over a path
(learning/errors.py); `strength` is the ratio of the deviators' norms.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cases.options import command_parser, count, natural, new_file, positive, user_errors
from cases.report import percent, table
from constitutive.drive import drive
from constitutive.fft_cell import Cell
from constitutive.material import load_material
from constitutive.taylor import build_polycrystal
from constitutive.tensor import full
from constitutive.whole_file import replace_text
from learning.errors import deviator, relative_error, root_mean_square
from learning.strain_paths import Curve, ImpactSampler, monotonic, path

MATERIAL = "magnesium_liu2022"
UNITS = {
    "seconds": "s, processor time of the full field",
    "residual": "1, largest of equilibrium over the mean stress",
    **dict.fromkeys(("equal", "volumes"), "1, relative error of the deviator"),
    **dict.fromkeys(("equal_strength", "volumes_strength"), "1, ratio of the deviators' norms"),
}
DIRECTIONS = {"tension": [0, 1, 0, 0, 0], "compression": [0, -1, 0, 0, 0], "shear": [0, 0, 1, 0, 0]}


def paths(strain: float, duration: float, walks: int, steps: int, seed: int) -> dict[str, Curve]:
    """Monotonic paths along the third axis and in shear, and random walks; strain is equivalent log strain."""
    made: dict[str, Curve] = {
        name: monotonic(np.array(direction, float), strain, duration) for name, direction in DIRECTIONS.items()
    }
    sampler = ImpactSampler(strain=strain, duration=duration, walks=1.0, fixed_duration=True, grid="equal")
    for i in range(walks):
        made[f"walk {i + 1}"] = path(sampler, seed, i, steps).U
    return made


def judge(cell: Cell, values: Mapping[str, Any], U: Curve, duration: float, steps: int) -> dict[str, float]:
    """Errors of both Taylor polycrystals on one path, and what the full field cost."""
    times = np.linspace(0.0, duration, steps + 1)
    F = full(U(times))
    begin = time.process_time()
    history = cell.follow(times, F)
    seconds = time.process_time() - begin
    grains = len(cell.orientations)
    volumes = np.bincount(cell.grain.ravel(), minlength=grains) / cell.grain.size
    field = deviator(history.stress)[None]
    result = {"seconds": seconds, "residual": float(history.residual.max())}
    for name, weights in (("equal", np.full(grains, 1.0 / grains)), ("volumes", volumes)):
        law = build_polycrystal("taylor", values, cell.orientations, weights)
        stress = deviator(drive(law, times, F[:, None]).stress[:, 0])[None]
        result[name] = float(relative_error(times[None], stress, field)[0])
        result[f"{name}_strength"] = float(
            (root_mean_square(times[None], stress) / root_mean_square(times[None], field))[0]
        )
    return result


def judgement(
    points: int, grains: int, strain: float, duration: float, walks: int, steps: int, seed: int,
    say: Callable[[str], None],
) -> dict[str, dict[str, float]]:  # fmt: skip
    """`judge` for all paths, by name."""
    values = load_material(MATERIAL, overrides={"grains": grains}).values
    cell, result = Cell("fft3d", values, points), {}
    for name, U in paths(strain, duration, walks, steps, seed).items():
        result[name] = judge(cell, values, U, duration, steps)
        say(f"{name}: Taylor {percent(result[name]['equal'])} % from the full field")
    return result


def report(result: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Lines of a Markdown table."""
    head = ["path", "error, grains in equal parts", "strength", "error, the cell's volumes", "strength", "CPU s"]
    rows = [
        [
            name, percent(r["equal"]), f"{r['equal_strength']:.3f}", percent(r["volumes"]),
            f"{r['volumes_strength']:.3f}", f"{r['seconds']:.0f}",
        ]
        for name, r in result.items()
    ]  # fmt: skip
    return table(head, rows)


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    made = command_parser(
        "taylor_assumption",
        __doc__,
        "python -m learning.taylor_assumption --points 16 --walks 3 --output taylor.json",
        package="learning",
    )
    made.add_argument("--points", type=count, default=16, help="voxels along an axis of the cell")
    made.add_argument("--grains", type=count, default=128, help="number of grains")
    made.add_argument("--strain", type=positive, default=0.2, help="largest equivalent log strain")
    made.add_argument("--duration", type=positive, default=1e-6, help="of a path, s")
    made.add_argument("--steps", type=count, default=50, help="steps of a path")
    made.add_argument("--walks", type=natural, default=3, help="random walks beside the monotonic paths")
    made.add_argument("--seed", type=natural, default=1, help="of the walks")
    made.add_argument("--output", metavar="FILE.json", help="write the numbers there")
    made.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    made.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return made


@user_errors
def main(arguments: list[str] | None = None) -> dict[str, dict[str, float]]:
    """Run the command."""
    o = parser().parse_args(arguments)
    output = new_file(o.output, o.overwrite) if o.output else None

    def say(line: str) -> None:
        if not o.quiet:
            print(line, file=sys.stderr, flush=True)

    result = judgement(o.points, o.grains, o.strain, o.duration, o.walks, o.steps, o.seed, say)
    if output:
        replace_text(output, json.dumps({"units": UNITS, "paths": result}, indent=2) + "\n")
    if not o.quiet:
        print("\n".join(report(result)))
    return result


if __name__ == "__main__":
    main()
