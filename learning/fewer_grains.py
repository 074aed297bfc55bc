"""Chooses some of a polycrystal's grains that stand for all: python -m learning.fewer_grains --grains 64 ...

What a learned law has to be closer, or cheaper, than: the concurrent model itself of fewer grains. These are chosen and
weighted by empirical cubature (Hernandez, Caicedo & Ferrer 2017, Comput. Methods Appl. Mech. Engrg 313, 687-722). Under
Taylor's assumption a grain answers a strain path whatever the others do. So along random `impact` paths the deviators
of all grains are recorded, over the norm of their mean's along the path. Then grain after grain is taken whose stress
is most like what is missing from the mean; each time all weights are found anew by least squares, none negative. That
they sum up to one counts as much as all stresses together.

The error is told for paths that were not used to choose. The texture file serves the law `taylor`:

    python -m cases.taylor_anvil --law taylor --set texture_file=fewer_64.tex --elements-across 8
    python -m learning.evaluate taylor:magnesium_liu2022:texture_file=fewer_64.tex recurrent
"""

from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from cases.options import (
    OptionError,
    add_material_options,
    add_output,
    chosen_material,
    command_parser,
    count,
    natural,
    new_file,
    user_errors,
)
from cases.report import percent
from constitutive.crystal_state import grain_deviators, grain_weights, initial_texture
from constitutive.drive import drive
from constitutive.law import Law
from constitutive.tensor import full
from constitutive.texture import write_texture
from learning.errors import WEIGHTS, statistics
from learning.strain_paths import ImpactSampler, path

EXAMPLE = "python -m learning.fewer_grains --grains 64 --output fewer_64.tex"
STEPS, EVERY = 200, 5  # of a path, and of which a record is taken
OTHERS = 0.5  # paths to judge by, for each to choose by


def answers(law: Law, seed: int, indices: range) -> np.ndarray:
    """Deviators of all grains along paths, (paths, records * 6, grains), over the norm of their mean's. LawError."""
    return np.stack([_answer(law, seed, index) for index in indices])


def _answer(law: Law, seed: int, index: int) -> np.ndarray:
    drawn = path(ImpactSampler(), seed, index, STEPS)
    records = np.arange(EVERY, STEPS + 1, EVERY)
    F = full(drawn.U(drawn.times))
    history = drive(law, drawn.times, F[:, None], records)
    stress = np.sqrt(WEIGHTS) * grain_deviators(law, F[records], history.record[:, 0])
    stress = np.swapaxes(stress, 1, 2).reshape(-1, stress.shape[1])
    return stress / np.linalg.norm(stress @ grain_weights(law))


def choose(stress: np.ndarray, weights: np.ndarray, grains: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices (grains,) of the grains to keep, and their weights, of sum 1; `weights` are those of all of them.

    `stress` as of `answers`. Fewer come back where the others would have no weight.
    """
    wanted = np.sqrt(len(stress))  # the norm of all mean stresses together
    rows = np.concatenate([*stress, np.full((1, len(weights)), wanted)])
    R = np.linalg.qr(np.column_stack([rows, rows @ weights])).R  # the same least squares in few rows
    A, b = R[:, :-1], R[:, -1]
    lengths = np.linalg.norm(A, axis=0)
    chosen: list[int] = []
    kept = np.zeros(0)
    for _ in range(grains):
        likeness = (b - A[:, chosen] @ kept) @ A / lengths
        likeness[chosen] = -np.inf
        chosen.append(int(np.argmax(likeness)))
        kept, _ = nnls(A[:, chosen], b)
    used = kept > 0.0
    return np.array(chosen)[used], kept[used] / kept.sum()


def errors(stress: np.ndarray, weights: np.ndarray, chosen: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Relative deviatoric error of the chosen grains' mean on each path, (paths,)."""
    return np.linalg.norm(stress[:, :, chosen] @ kept - stress @ weights, axis=1)


@user_errors
def main(arguments: list[str] | None = None) -> Path:
    """Choose, write the texture file, tell the error; the file's path."""
    parser = command_parser("fewer_grains", __doc__, EXAMPLE, package="learning")
    add_material_options(parser, "taylor")
    parser.add_argument("--grains", type=count, default=64, help="how many to keep")
    parser.add_argument("--paths", type=count, default=200, help="random paths to choose by")
    parser.add_argument("--seed", type=natural, default=7, help="of the paths")
    add_output(parser, "FILE.tex", "texture file to write")
    options = parser.parse_args(arguments)
    output, material = new_file(options.output, options.overwrite), chosen_material(options, "taylor")
    if material.law.name != "taylor":
        raise OptionError(f"law '{material.law.name}' has no grains to choose from: give --law taylor")
    R, weights = initial_texture(material.law), grain_weights(material.law)
    if options.grains > len(weights):
        raise OptionError(f"--grains {options.grains}: {material.path.stem} has {len(weights)}")
    chosen, kept = choose(answers(material.law, options.seed, range(options.paths)), weights, options.grains)
    others = range(options.paths, options.paths + max(1, round(OTHERS * options.paths)))
    error = statistics(errors(answers(material.law, options.seed, others), weights, chosen, kept))
    title = f"{len(chosen)} of the {len(weights)} grains of {material.path.stem}"
    told = f"deviatoric error {percent(error['mean'])} %, 95th percentile {percent(error['p95'])} %"
    write_texture(output, R[chosen], kept, f"{title}: {told} on {len(others)} other paths")
    if not options.quiet:
        print(f"{title}: {told} on {len(others)} other paths; {output}")
    return output


if __name__ == "__main__":
    main()
