"""Generate a data set: strain paths, and the stresses that a fine-scale law answers with.

The output folder holds manifest.json and shards of paths (learning/dataset.py). Path number i depends on the sampler
and (--seed, i) alone, whatever the workers and shards. Killed at any instant, the same command goes on where it was;
with more --paths it extends the set; with other options it is refused.

The time grids are equal or random from step to step (--grid). Between recorded times the law is told U at the ends
only, so the recorded path is all that it has seen; with --substeps it follows the smooth curve more closely. With
--set tolerance=1e-3 the stresses of crystals are within 0.2 % of a far finer drive on 95 of 100 paths (magnesium).

--unit-cell fft2d and fft3d solve a periodic polycrystal in equilibrium for each path, instead of the law at a point;
the paper's plane problem: --unit-cell fft2d --paths 6000 --steps 200 --substeps 5. Its paths walk in U11, U22 and U12;
U33 is 1 and U23 = U13 = 0 (plane strain); s33 is the reaction, s23 = s13 = 0. Each path keeps a process busy; with
--device cuda all paths of a shard go together on a GPU (torch; --shard-size 512 or so fills it), --device cpu checks
the same code without one.
"""

import argparse
import os
import platform
import shlex
import signal
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cases.options import (
    OptionError,
    add_material_options,
    chosen_material,
    command_parser,
    count,
    natural,
    positive,
    user_errors,
)
from constitutive.fft_cell import DIMENSIONS
from constitutive.jit import source_hash
from constitutive.material import Material
from constitutive.whole_file import TEMPORARY
from fem.folder import alone_in
from learning.dataset import (
    MANIFEST,
    read_manifest,
    read_report,
    shard_count,
    shard_indices,
    write_manifest,
    write_shard,
)
from learning.fine_scale import RESIDUAL, Task
from learning.strain_paths import (
    BY_NAME,
    GRIDS,
    SAMPLERS,
    ImpactSampler,
    PaperSampler,
    PlaneSampler,
    RecordedSampler,
    Sampler,
    described,
    load_histories,
)
from learning.workers import Progress, results

DEFAULT_LAW = "taylor"
CELL_MATERIALS = {"fft2d": "plane_crystal_liu2022", "fft3d": "magnesium_liu2022"}
CELL_POINTS = {"fft2d": 64, "fft3d": 16}
SHARD_SIZE = 64
IDENTITY = (
    "sampler",
    "seed",
    "steps",
    "substeps",
    "shard_size",
    "law",
    "material",
    "texture_per_path",
    "unit_cell",
    "points",
    "device",
)
UNITS = {"time": "s", "U": "1", "stress": "Pa, Cauchy stress for F = U, tension positive", "Z": "1"}


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    made = command_parser(
        "generate",
        __doc__,
        "python -m learning.generate --material magnesium_liu2022 --law taylor --set tolerance=1e-3 --sampler impact "
        "--paths 2000 --steps 200 --seed 1 --workers 2 --output data/impact",
        package="learning",
    )
    made.add_argument("--sampler", choices=SAMPLERS, help="strain paths (default: impact, fft2d: paper)")
    made.add_argument("--unit-cell", choices=DIMENSIONS, help="crystals in equilibrium (default: a law at a point)")
    made.add_argument("--points", type=count, help=f"pixels along an axis of the unit cell (default: {_points()})")
    made.add_argument(
        "--device", choices=("cpu", "cuda"), help="unit cells of a shard together, by torch (default: not)"
    )
    made.add_argument("--paths", type=count, default=2000, help="number of paths")
    made.add_argument("--steps", type=count, default=200, help="recorded steps of a path")
    made.add_argument("--seed", type=natural, default=1, help="seed of everything random")
    made.add_argument("--output", metavar="DIR", required=True, help="folder to write, or to go on with")
    made.add_argument("--workers", type=count, default=os.cpu_count(), help="processes, one thread each")
    made.add_argument("--dask", metavar="ADDRESS", help="run on this dask.distributed scheduler (tcp://host:8786)")
    made.add_argument("--substeps", type=count, default=1, help="steps of the law to a recorded step")
    made.add_argument("--grid", choices=GRIDS, help=f"recorded times (default: {_grids()})")
    made.add_argument(
        "--strain",
        type=positive,
        help=f"impact: largest equivalent log strain (default: {ImpactSampler.strain}); "
        f"paper: U_max (default: {PaperSampler.u_max})",
    )
    made.add_argument(
        "--end-time",
        type=positive,
        help=f"duration of a path, s; impact: a typical one (default: {ImpactSampler.duration:g}, fft2d: 1)",
    )
    made.add_argument(
        "--fixed-duration", action="store_true", help="impact: all paths last --end-time, as pca_net wants them"
    )
    made.add_argument(
        "--histories",
        metavar="FILE.npz",
        help="recorded: what learning.histories made from runs; dask's workers read it too",
    )
    made.add_argument("--fixed-intervals", action="store_true", help="paper: intervals of equal length")
    made.add_argument(
        "--texture-per-path", action="store_true", help="a fresh random texture for each path, for the isotropic limit"
    )
    made.add_argument("--shard-size", type=count, default=SHARD_SIZE, help="paths in a file, and in a task")
    add_material_options(made, DEFAULT_LAW)
    return made


def _points() -> str:
    return ", ".join(f"{kind} {points}" for kind, points in CELL_POINTS.items())


def _grids() -> str:
    return ", ".join(f"{name} {sampler().grid}" for name, sampler in SAMPLERS.items())


def chosen_sampler(options: argparse.Namespace) -> Sampler:
    """The sampler with its options. Raises OptionError."""
    given = {"grid": options.grid, "duration": options.end_time}
    plane = options.unit_cell == "fft2d"
    name = options.sampler or ("paper" if plane else "impact")
    if plane and name != "paper":
        raise OptionError(f"--sampler {name} strains out of the plane; --unit-cell fft2d takes --sampler paper")
    if plane:
        name = PlaneSampler.name
    if (name == "recorded") != bool(options.histories):
        raise OptionError("--sampler recorded and --histories FILE belong together")
    if name == "recorded":
        return _recorded(options)
    if name != "impact":
        if options.fixed_duration:
            raise OptionError("--fixed-duration is an option of --sampler impact: paper's paths all last --end-time")
        given |= {"u_max": options.strain, "random_intervals": False if options.fixed_intervals else None}
    else:
        if options.fixed_intervals:
            raise OptionError("--fixed-intervals is an option of --sampler paper")
        given |= {"strain": options.strain, "fixed_duration": options.fixed_duration}
    return replace(BY_NAME[name](), **{key: value for key, value in given.items() if value is not None})


def _recorded(options: argparse.Namespace) -> RecordedSampler:
    for option in ("end_time", "strain", "fixed_duration", "fixed_intervals"):
        if getattr(options, option):
            raise OptionError(f"--{option.replace('_', '-')} is no option of --sampler recorded: its runs say that")
    load_histories(options.histories)  # complains now
    return RecordedSampler(options.histories, **({"grid": options.grid} if options.grid else {}))


def check_device(options: argparse.Namespace) -> None:
    """Raise OptionError where cells cannot be solved together on the device that is asked for."""
    if options.device is None:
        return
    if options.unit_cell is None:
        raise OptionError("--device is an option of --unit-cell")
    if options.texture_per_path:
        raise OptionError("--device takes the paths of one texture together: leave --texture-per-path out")
    try:
        import torch
    except ImportError:
        raise OptionError("--device needs torch: pip install -e '.[train]'") from None
    if options.device == "cuda" and not torch.cuda.is_available():
        raise OptionError("--device cuda: torch finds no GPU here (torch.cuda.is_available() is False)")


def chosen_task(options: argparse.Namespace) -> tuple[Task, Material]:
    """What to compute. Raises OptionError and LawError."""
    if options.unit_cell is None and options.points is not None:
        raise OptionError("--points is an option of --unit-cell")
    check_device(options)
    if options.unit_cell is not None and not (options.material or options.law):
        options.material = CELL_MATERIALS[options.unit_cell]
    material = chosen_material(options, DEFAULT_LAW)
    if options.unit_cell is not None and material.law.name != "taylor":
        raise OptionError(f"--unit-cell {options.unit_cell} is made of crystals: it takes a material of law taylor")
    if options.texture_per_path and ("texture_seed" not in material.values or material.values.get("texture_file")):
        raise OptionError(
            f"--texture-per-path: '{material.name}' with law '{material.law.name}' has no random texture "
            "(texture_seed, and no texture_file)"
        )
    task = Task(
        sampler=chosen_sampler(options),
        seed=options.seed,
        paths=options.paths,
        steps=options.steps,
        substeps=options.substeps,
        shard_size=options.shard_size,
        law=material.law.name,
        values=dict(material.values),
        texture_per_path=options.texture_per_path,
        unit_cell=options.unit_cell,
        points=options.points or CELL_POINTS.get(options.unit_cell),
        device=options.device,
    )
    task.build()  # complains now of what would fail in every shard
    return task, material


def files_of(task: Task) -> list[str]:
    """The user's files that decide what the paths and the answers are."""
    files = [getattr(task.sampler, "histories", None), task.values.get("texture_file")]
    return [str(file) for file in files if file]


def new_manifest(task: Task, material: Material) -> dict[str, Any]:
    """The manifest of a set of which nothing is there yet."""
    return {
        "complete": False,
        "sampler": described(task.sampler),
        "seed": task.seed,
        "paths": task.paths,
        "steps": task.steps,
        "substeps": task.substeps,
        "shard_size": task.shard_size,
        "law": task.law,
        "material": material.to_toml(),
        "texture_per_path": task.texture_per_path,
        "unit_cell": task.unit_cell,
        "points": task.points,
        "device": task.device,
        "files": {file: sha256(Path(file).read_bytes()).hexdigest() for file in files_of(task)},
        "units": UNITS | material.law.units | ({RESIDUAL: "1"} if task.unit_cell else {}),
        "sessions": [],
    }


def open_folder(folder: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """The manifest to go on with; `wanted` where there are no shards yet. Raises OptionError, DataSetError, OSError."""
    others = [path for path in folder.iterdir() if path.name != MANIFEST and path.suffix != TEMPORARY]
    if not others:
        return wanted
    if not (folder / MANIFEST).exists():
        raise OptionError(f"{folder} is not empty and not a data set: name another folder")
    found = read_manifest(folder)
    found["sampler"] = _completed(found.get("sampler"))
    for key in IDENTITY:
        if found.get(key) != wanted[key]:
            raise OptionError(f"{folder} was begun with {_difference(key, found.get(key), wanted[key])}")
    for file, content in wanted["files"].items():
        if found.get("files", {}).get(file, content) != content:
            raise OptionError(f"{folder} was begun with another {file}: its content has changed; name another folder")
    if found["paths"] > wanted["paths"]:
        raise OptionError(f"{folder} was begun with {found['paths']} paths, not {wanted['paths']}; ask for as many")
    return found | {"paths": wanted["paths"], "complete": False}


def _completed(sampler: Any) -> Any:
    """A manifest's sampler with the defaults of options that are younger than the manifest."""
    known = BY_NAME.get(str(sampler.get("name"))) if isinstance(sampler, dict) else None
    return described(known()) | sampler if known else sampler


def _difference(key: str, found: Any, wanted: Any) -> str:
    """What differs between the options of two sessions, in a few words."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        part = next(k for k in wanted | found if found.get(k) != wanted.get(k))
        key, found, wanted = f"{key} {part}", found.get(part), wanted.get(part)
    elif isinstance(found, str) and "\n" in found:
        pairs = zip(found.splitlines(), str(wanted).splitlines(), strict=False)
        found, wanted = next(((a, b) for a, b in pairs if a != b), ("another", "this one"))
    return f"another {key} ({found}, not {wanted}): give the same options, or name another folder"


def session(options: argparse.Namespace, arguments: list[str]) -> dict[str, Any]:
    """The record of this start of the command."""
    packages = ("numpy", "scipy", "numba")
    return {
        "command": shlex.join(["python", "-m", "learning.generate", *arguments]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "workers": f"dask {options.dask}" if options.dask else options.workers,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        "source_hash": source_hash(),
    }


def summary(task: Task, reports: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """What the reports of all shards amount to, whichever sessions computed them."""
    failures: Counter = Counter()
    for report in reports.values():
        failures.update(report["failures"])
    redraws = sum(report["redraws"] for report in reports.values())
    seconds = sum(report["processor_seconds"] for report in reports.values())
    drawn = task.paths + redraws + sum(failures.values())
    steps = task.paths * task.steps * task.substeps
    throughput = {
        "processor_seconds": seconds,
        "paths_per_processor_second": task.paths / seconds,
        "processor_seconds_per_step": seconds / steps,
    }
    if task.unit_cell is not None and task.points is not None:
        pixels = task.points ** DIMENSIONS[task.unit_cell]
        throughput["pixel_steps_per_processor_second"] = pixels * steps / seconds
    return {
        "redraws": {"sampler": redraws, "law_failures": dict(failures), "rate": 1.0 - task.paths / drawn},
        "throughput": throughput,
    }


def generate(task: Task, manifest: dict[str, Any], folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Compute and write what is missing; the complete manifest."""
    indices = [shard_indices(n, task.paths, task.shard_size) for n in range(shard_count(task.paths, task.shard_size))]
    found = {number: read_report(folder, number, indices[number]) for number in range(len(indices))}
    reports = {number: report for number, report in found.items() if report is not None}
    missing = [number for number in found if number not in reports]
    for leftover in folder.glob(f"shard_*{TEMPORARY}"):
        leftover.unlink()
    write_manifest(folder, manifest)
    workers = 1 if task.device else options.workers  # one process feeds the device
    begin = time.monotonic()
    progress = Progress(task.paths, sum(len(indices[number]) for number in reports), options.quiet)
    try:
        for number, arrays, report in results(task, missing, workers, options.dask) if missing else ():
            write_shard(folder, number, arrays, report)
            reports[number] = report
            progress.add(len(indices[number]))
    finally:
        progress.close()
    manifest["sessions"][-1] |= {
        "paths": sum(len(indices[number]) for number in missing),
        "wall_seconds": time.monotonic() - begin,
    }
    manifest |= {"complete": True} | summary(task, reports)
    write_manifest(folder, manifest)
    return manifest


@user_errors
def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(arguments)
    task, material = chosen_task(options)
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with alone_in(folder):
            manifest = open_folder(folder, new_manifest(task, material))
            manifest["sessions"].append(session(options, arguments))
            manifest = generate(task, manifest, folder, options)
    except KeyboardInterrupt:
        print(f"interrupted: what is in {folder} stays; the same command goes on from there", file=sys.stderr)
        sys.exit(130)
    finally:
        signal.signal(signal.SIGTERM, before)
    if not options.quiet:
        here, all_of_it = manifest["sessions"][-1], manifest["throughput"]
        print(f"{task.paths} paths of {task.steps} steps in {folder}, {here['paths']} of them made now")
        print(f"{'wall time':32s} {here['wall_seconds']:.1f} s")
        print(f"{'paths per processor second':32s} {all_of_it['paths_per_processor_second']:.3g}")
        if "pixel_steps_per_processor_second" in all_of_it:
            print(f"{'pixel-steps per processor second':32s} {all_of_it['pixel_steps_per_processor_second']:.3g}")
        print(f"{'drawn again':32s} {100 * manifest['redraws']['rate']:.2g} % of all draws")


if __name__ == "__main__":
    main()
