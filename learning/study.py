"""Remakes the paper's study of learning crystal plasticity (Liu et al. 2022, section 3): figures 1 to 3 and table 1.

Data sets of the plane unit cell (2DFFT) and of Taylor's polycrystal (3DTaylor), networks trained on them, and their
errors: against the number of paths and epochs, the resolution, the number of principal components; on uniaxial,
load-unload and cavity-expansion paths; causality; isotropy; random against fixed time intervals; beside PCA-Net a
recurrent surrogate (learning/cell_stress.py). Then Taylor's assumption against a full field in space.

--scale small takes a quarter of an hour, medium an hour, large two, paper the paper's sizes and days; --device cuda
solves the cells of many paths together. Interrupted, the same command goes on: data sets, trainings and answers that
are in the folder are not computed again. The folder then holds study.md, study.json and the pictures.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import learning.pytorch  # noqa: F401  # says what to do where it is missing
from cases.options import OptionError, command_parser, count, user_errors
from constitutive.drive import drive
from constitutive.fft_cell import Cell
from constitutive.material import load_material
from constitutive.tensor import full
from constitutive.whole_file import replace_text, replacing
from learning import dataset, generate, study_paths
from learning.errors import relative_error, root_mean_square
from learning.fine_scale import RESIDUAL
from learning.study_models import errors, predict, reduction_errors, summary, trained
from learning.study_pictures import draw_all
from learning.study_plan import SCALES, SETS, TAYLOR, Scale, models, paths_of
from learning.study_report import markdown
from learning.taylor_assumption import judgement
from learning.training import Training

PLANE, SPACE = "plane_crystal_liu2022", "magnesium_liu2022"
U_MAX = 0.15
FINE_STEPS, STRIDES = 1000, (20, 10, 5, 4, 2, 1)  # the set of the test of resolution: 50 to 1000 steps
TRAIN_SEED, TEST_SEED = "1", "2"
BATCH = 512  # paths of a shard that go together on a device
NETWORKS = {"pca_net": "random", "cut": "cut", "recurrent": "recurrent"}  # by the names of their models, with _paths


def make_sets(folder: Path, scale: Scale, workers: int, quiet: bool, device: str | None = None) -> None:
    """Generate what is missing of the data sets: NAME to train on, NAME_test, and random_fine.

    With a device, the cells of BATCH paths go together there.
    """
    batch = ("--device", device, "--shard-size", str(BATCH)) if device else ("--shard-size", "8")

    def make(name: str, options: tuple[str, ...], number: int, steps: int, substeps: int, seed: str) -> None:
        taylor = options[:2] == TAYLOR[:2]
        cell = ("--shard-size", "8") if taylor else ("--unit-cell", "fft2d", "--points", str(scale.points), *batch)
        sizes = ("--paths", str(number), "--steps", str(steps), "--substeps", str(substeps), "--seed", seed)
        if not quiet:
            print(f"data set {name}", flush=True)
        common = ("--workers", str(workers), "--quiet", "--output", str(folder / name))
        generate.main([*cell, *options, *sizes, *common])

    for name, options in SETS.items():
        make(name, options, paths_of(name, scale), scale.steps, scale.substeps, TRAIN_SEED)
        make(f"{name}_test", options, scale.test, scale.steps, scale.substeps, TEST_SEED)
    make("random_fine", (), scale.fine, FINE_STEPS, 1, TEST_SEED)


def table_rows(folder: Path, scale: Scale, made: Mapping[str, Training]) -> list[dict[str, Any]]:
    """The cases of the table: a network, the set it is tested on, and the errors."""
    few, most = scale.others, scale.modes[-1]
    as_fixed, plane, space = f"random_{scale.fixed}", f"random_{few}", f"taylor_random_{few}"
    tests = {
        plane: ("random_test",), as_fixed: ("random_test", "fixed_test"),
        f"random_{scale.train}": ("random_test", "fixed_test", "large_test"), "fixed": ("fixed_test", "random_test"),
        **{f"random_{m}_modes": ("random_test",) for m in scale.modes[:-1]},
        "large": ("large_test",), "rate": ("rate_test",),
        space: ("taylor_random_test", "taylor_fixed_test"), "taylor_fixed": ("taylor_fixed_test", "taylor_random_test"),
        "taylor_large": ("taylor_large_test",), f"taylor_random_{scale.train}": ("taylor_random_test",),
        f"cut_{few}": ("random_test",), f"cut_{scale.train}": ("random_test", "fixed_test", "large_test"),
        f"recurrent_{few}": ("random_test",),
        f"recurrent_{scale.train}": ("random_test", "fixed_test", "large_test"),
    }  # fmt: skip
    chosen = {model.name: model for model in models(scale)}
    rows = []
    for name, sets in tests.items():
        modes = next((m for m in scale.modes if name == f"random_{m}_modes"), most)
        for test in sets:
            row: dict[str, Any] = {"model": name, "kind": chosen[name].kind, "train": chosen[name].train, "test": test}
            row |= {"paths": chosen[name].paths, "modes": modes if chosen[name].kind == "pca_net" else None}
            rows.append(row | errors(made[name], dataset.load(folder / test)))
    return rows


def resolution(folder: Path, scale: Scale, made: Mapping[str, Training]) -> list[dict[str, Any]]:
    """Errors on the fine set, taken at every so many of its steps."""
    fine = dataset.load(folder / "random_fine")
    names = [f"random_{m}_modes" for m in scale.modes[:-1]] + [f"{k}_{scale.train}" for k in NETWORKS.values()]
    return [
        {"steps": FINE_STEPS // every, "errors": {name: errors(made[name], fine, every) for name in names}}
        for every in STRIDES
    ]


def answers(folder: Path, scale: Scale, made: Mapping[str, Training]) -> dict[str, np.ndarray]:
    """Stress of the fine scales (kept in answers.npz) and of the networks on the paper's particular paths."""
    t = np.linspace(0.0, 1.0, scale.steps + 1)
    groups = {
        "common": np.array(list(study_paths.common_paths(t).values())),
        "diverging": study_paths.diverging_paths(t, 5, U_MAX),
        "held": study_paths.held_paths(t),
    }
    tension = study_paths.tension_paths(t)[0]
    file = folder / "answers.npz"
    if not file.exists():
        cell = Cell("fft2d", load_material(PLANE).values, scale.points)
        fine = np.interp(np.arange(scale.steps * scale.substeps + 1) / scale.substeps, np.arange(len(t)), t)
        kept = {}
        for name, U in groups.items():
            between = np.array([[np.interp(fine, t, column) for column in u.T] for u in U]).swapaxes(1, 2)
            kept[name] = np.array([cell.follow(fine, full(u)).stress[:: scale.substeps] for u in between])
        kept["tension"] = drive(load_material(SPACE).law, 1e-6 * t, full(tension).swapaxes(0, 1)).stress.swapaxes(0, 1)
        with replacing(file) as written:
            np.savez(written, allow_pickle=False, **kept)  # type: ignore[arg-type]
    with np.load(file) as stored:
        result: dict[str, np.ndarray] = dict(stored)
    for name, U in groups.items():
        times = np.broadcast_to(t, (len(U), len(t)))
        for kind, model in NETWORKS.items():
            result[f"{name}_{kind}"] = predict(made[f"{model}_{scale.train}"], times, U)
        result[f"{name}_U"] = U
    times = np.broadcast_to(1e-6 * t, (len(tension), len(t)))
    result["tension_pca_net"] = predict(made[f"taylor_random_{scale.train}"], times, tension)
    return result | {"t": t}


def checks(found: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Numbers on causality and isotropy, and errors on the paper's particular paths, from `answers`; stress in Pa."""
    result: dict[str, Any] = {}
    t, common = found["t"], found["common"]
    times = np.broadcast_to(t, common.shape[:2])
    for kind in NETWORKS:
        wrong = relative_error(times, found[f"common_{kind}"], common)
        result[f"common_{kind}"] = dict(zip(study_paths.common_paths(t), wrong.tolist(), strict=True))
        early = found[f"diverging_{kind}"][:, t <= study_paths.DIVERGE]
        size = np.linalg.norm(found[f"diverging_{kind}"][0], axis=-1).max()
        held = found[f"held_{kind}"]
        apart = [
            np.linalg.norm((h - held[-1])[t <= stop], axis=-1).max()
            for h, stop in zip(held, study_paths.STOPS, strict=True)
        ]
        result[f"causality_{kind}"] = {
            "diverging": float(np.linalg.norm(early - early[:1], axis=-1).max() / size),
            "held": float(max(apart) / np.linalg.norm(held, axis=-1).max()),
        }
    stress = root_mean_square(times, common)
    result["common_stress"] = dict(zip(study_paths.common_paths(t), stress.tolist(), strict=True))
    directions = study_paths.tension_paths(t)[1]
    axial = {kind: study_paths.axial_stress(found[kind], directions) for kind in ("tension", "tension_pca_net")}
    for kind, values in axial.items():
        result[f"isotropy_{kind}"] = float((values.std(axis=0) / np.abs(values).mean(axis=0).max()).max())
    off = np.linalg.norm(axial["tension_pca_net"] - axial["tension"]) / np.linalg.norm(axial["tension"])
    return result | {"tension_pca_net": float(off)}


def taylor(folder: Path, scale: Scale, quiet: bool) -> dict[str, Any]:
    """Taylor's assumption against the full field, kept in taylor.json."""
    file = folder / "taylor.json"
    if not file.exists():
        found = judgement(scale.voxels, 128, 0.2, 1e-6, scale.walks, 50, 1, lambda s: None if quiet else print(s))
        replace_text(file, json.dumps(found, indent=2) + "\n")
    return json.loads(file.read_text())


def sets(folder: Path) -> dict[str, dict[str, Any]]:
    """What generating each set came across: paths, walks and failures drawn again, stress, worst residual, cost."""
    found = {}
    for name in (*SETS, *(f"{name}_test" for name in SETS), "random_fine"):
        data = dataset.load(folder / name)
        made: dict[str, Any] = {"paths": len(data), "steps": data.time.shape[1] - 1} | data.manifest["redraws"]
        made["stress"] = float(root_mean_square(data.time, data.stress.astype(float)).mean())
        if RESIDUAL in data.scalars:
            made["residual"] = float(data.scalars[RESIDUAL].max())
            made["pixel_steps_per_second"] = data.manifest["throughput"]["pixel_steps_per_processor_second"]
        found[name] = made
    return found


def study(folder: Path, name: str, workers: int, quiet: bool, device: str | None = None) -> dict[str, Any]:
    """All of it; the numbers of study.json."""
    scale = SCALES[name]
    make_sets(folder, scale, workers, quiet, device)
    made = {model.name: trained(folder, model, workers, quiet) for model in models(scale)}
    train, test = dataset.load(folder / "random"), dataset.load(folder / "random_test")
    found = answers(folder, scale, made)
    result = {
        "scale": name,
        "units": "SI: s, Pa; errors relative L2 over time and components, per path",
        "sizes": asdict(scale),
        "models": {model.name: summary(made[model.name], model) for model in models(scale)},
        "table": table_rows(folder, scale, made),
        "resolution": resolution(folder, scale, made),
        "reduction": {str(m): reduction_errors(train, test, m) for m in scale.modes},
        "checks": checks(found),
        "taylor": taylor(folder, scale, quiet),
        "sets": sets(folder),
    }
    samples = {
        key: (data, {k: predict(made[f"{m}_{scale.train}"], data.time[:1], data.U[:1]) for k, m in NETWORKS.items()})
        for key, data in (("train", train), ("test", test))
    }
    replace_text(folder / "study.json", json.dumps(result, indent=2) + "\n")
    replace_text(folder / "study.md", markdown(result))
    draw_all(folder, result, found, samples)
    return result


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    made = command_parser("study", __doc__, "python -m learning.study --scale small --output runs/study", "learning")
    made.add_argument("--scale", choices=SCALES, default="small", help="sizes of sets, grids and networks")
    made.add_argument("--output", metavar="DIR", default="runs/study", help="folder to write, or to go on with")
    made.add_argument("--workers", type=count, default=os.cpu_count(), help="processes, and threads of a training")
    made.add_argument("--device", choices=("cpu", "cuda"), help="solve the cells of many paths together, by torch")
    made.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return made


@user_errors
def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run the command."""
    options = parser().parse_args(arguments)
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    begun = folder / "scale"
    if not begun.exists():
        if any(folder.iterdir()):
            raise OptionError(f"{folder} is not empty and not a study: name another folder")
        replace_text(begun, options.scale)
    if begun.read_text() != options.scale:
        raise OptionError(f"{folder} was begun with --scale {begun.read_text()}: name another folder")
    try:
        result = study(folder, options.scale, options.workers, options.quiet, options.device)
    except KeyboardInterrupt:
        print(f"interrupted: what is in {folder} stays; the same command goes on from there", file=sys.stderr)
        sys.exit(130)
    if not options.quiet:
        print(f"{folder / 'study.md'}")
    return result


if __name__ == "__main__":
    main()
