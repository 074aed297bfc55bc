"""What the impact cases share: their options, and running a model into a folder."""

import argparse
import hashlib
import json
import os
import sys
import warnings
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from cases.options import add_material_options, chosen_material, count, number_at_least, positive
from constitutive.law import LawError
from constitutive.material import Material, load_material
from fem.doubts import RunWarning
from fem.elements import Controls
from fem.folder import RunError, read_json
from fem.mesh import Mesh
from fem.model import CONTACTS, ELEMENTS, Model
from fem.output import cell_fields
from fem.picture import picture
from fem.run import MOST_THREADS, Case, Monitor, Result, Settings, run
from fem.solver import Solver

HOURGLASS: dict[str, dict[str, float]] = {
    "viscous": {},  # the default of Controls
    "stiffness": {"hourglass_viscosity": 0.0, "hourglass_stiffness": 0.004},
}
BESIDE_THE_LAW = {"hex8r": 1000, "hex8": 2500}  # bytes an element, about
# Options that may change when a run is continued: they do not decide the result.
FREE = ("threads", "quiet", "restart", "overwrite", "output", "no_picture", "checkpoint_seconds", "end_time")


def add_impact_options(parser: argparse.ArgumentParser, name: str) -> None:
    """The options that rod and plate have in common; `case` tells later which of them was run."""
    parser.set_defaults(case=name)
    add_material_options(parser)
    parser.add_argument("--velocity", type=positive, default=200.0, help="impact velocity, m/s")
    parser.add_argument("--end-time", type=positive, default=1e-6, help="time to compute to, s")
    parser.add_argument(
        "--element", choices=ELEMENTS, default="hex8r", help="hex8r: one point; hex8: 2x2x2 points, F-bar"
    )
    parser.add_argument("--hourglass", choices=HOURGLASS, default="viscous", help="hourglass control of hex8r")
    parser.add_argument("--contact", choices=CONTACTS, default="kinematic", help="contact method")
    parser.add_argument("--friction", type=number_at_least(0.0), default=0.0, help="Coulomb's coefficient, 1")
    parser.add_argument("--symmetry", choices=("full", "quarter"), default="full", help="part of the body to compute")
    parser.add_argument("--frames", type=count, default=20, help="field frames to write")
    parser.add_argument("--threads", type=count, default=MOST_THREADS, help="threads of the solver")
    parser.add_argument("--output", default=f"runs/{name}", help="run folder")
    parser.add_argument(
        "--restart", action="store_true", help="go on from the checkpoint in the run folder, also to a later --end-time"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the run that is in the run folder")
    parser.add_argument(
        "--checkpoint-seconds", type=number_at_least(0.0), default=30.0, help="wall time between checkpoints, s"
    )
    parser.add_argument("--no-fields", action="store_true", help="write no field frames")
    parser.add_argument("--no-picture", action="store_true", help="draw no picture")


def parse(parser: argparse.ArgumentParser, arguments: list[str] | None) -> argparse.Namespace:
    """Parse. For a restart the first run's options are the defaults; those that decide the result must agree."""
    options = parser.parse_args(arguments)
    if not options.restart:
        return options
    folder = Path(options.output)
    if not folder.is_dir():
        raise RunError(f"there is no run folder {folder} to restart; leave --restart out to begin one")
    if not (folder / "options.json").exists():
        return options  # stopped before it began: begin
    stored = read_json(folder / "options.json")
    own = ("case", "output", "restart", "overwrite", "set")
    parser.set_defaults(**{key: value for key, value in stored.items() if key not in own})
    options = parser.parse_args(arguments)
    options.set = options.set or stored.get("set", [])  # argparse would append to a default
    check_same(folder, options)
    return options


def check_same(folder: Path, wanted: argparse.Namespace, free: Collection[str] = FREE) -> None:
    """Raise RunError where the run in a folder was begun with other options than are wanted, but for the free ones."""
    for key, value in read_json(folder / "options.json").items():
        if key not in free and (new := getattr(wanted, key, value)) != value:
            raise RunError(
                f"{folder} was begun with --{key.replace('_', '-')} {value}, not {new}: give the same options, "
                "another --output, or --overwrite to begin anew"
            )


def has_material(folder: Path, material: Material) -> bool:
    """Whether the run in a folder was begun with these very numbers, whatever the material's files say by now."""
    file = folder / "material.toml"
    return file.exists() and file.read_text("utf-8") == _described(material)


def _described(material: Material) -> str:
    """The material file, and a hash of the numbers in it and in the files that it names."""
    digest = hashlib.sha256(np.concatenate([material.law.params, material.law.initial_state(1)[0]]).tobytes())
    return f"{material.to_toml()}# numbers: {digest.hexdigest()}\n"


Build = Callable[[argparse.Namespace, Material, Controls], tuple[Model, Mapping[str, Monitor]]]
Finish = Callable[[Solver], dict[str, float]]


def run_case(options: argparse.Namespace, build: Build, finish: Finish) -> dict[str, Any]:
    """Compute a case into its folder, draw its picture and print its numbers. Returns the summary."""
    result = compute(options, build, finish)
    if not options.no_picture:
        _draw(Path(options.output) / "picture.png", result, options)
    if not options.quiet:
        _report(result.summary, options.output)
    return result.summary


def compute(options: argparse.Namespace, build: Build, finish: Finish) -> Result:
    """Build a case and run it into its folder; `finish` gives the case's own keys of the summary."""
    material = _material(options)
    model, monitors = build(options, material, Controls(**HOURGLASS[options.hourglass]))
    _announce(model, options)
    settings = Settings(
        frames=options.frames,
        threads=options.threads,
        checkpoint_seconds=options.checkpoint_seconds,
        fields=not options.no_fields,
        quiet=options.quiet,
        restart=options.restart,
        overwrite=options.overwrite,
    )
    case = Case({"case": options.case, "material": material.name}, finish, _inputs(options, material))
    return run(model, options.end_time, options.output, monitors, case, settings)


def symmetric_model(mesh: Mesh, material: Material, options: argparse.Namespace, controls: Controls) -> Model:
    """The model of a body made whole or as a quarter, held in its planes of symmetry."""
    quarter = options.symmetry == "quarter"
    model = Model(mesh, material.law, options.element, controls, mirrored="xy" if quarter else "")
    return model.fix("symmetry_x", "x").fix("symmetry_y", "y") if quarter else model


def _material(options: argparse.Namespace) -> Material:
    """The chosen material; for a restart, the one that the run began with, whatever became of its file."""
    begun = Path(options.output) / "material.toml"
    if not (options.restart and begun.exists()):
        return chosen_material(options)
    with suppress(LawError):  # what is chosen may not be there any more
        if not has_material(begun.parent, chosen_material(options)):
            text = f"the material has changed since the run began, which goes on with {begun}; --overwrite begins anew"
            warnings.warn(text, RunWarning, stacklevel=2)
    return load_material(begun)


def _inputs(options: argparse.Namespace, material: Material) -> dict[str, str]:
    """The files that say what was run: options.json and material.toml."""
    stored = {key: value for key, value in vars(options).items() if key not in ("restart", "overwrite")}
    return {"options.json": json.dumps(stored, indent=2) + "\n", "material.toml": _described(material)}


def _announce(model: Model, options: argparse.Namespace) -> None:
    points = len(model.mesh.hexes) * (8 if options.element == "hex8" else 1)
    need = points * model.law.memory_per_point + BESIDE_THE_LAW[options.element] * len(model.mesh.hexes)
    have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if not options.quiet:
        size = f"{len(model.mesh.hexes)} {options.element} elements, {len(model.mesh.points)} nodes"
        print(f"{size}, law {model.law.name}, about {need / 1e6:.0f} MB", file=sys.stderr)
    if need > 0.9 * have:
        raise RunError(
            f"the run needs about {need / 1e9:.1f} GB and the machine has {have / 1e9:.1f} GB: "
            "use fewer elements, --symmetry quarter, or fewer grains (--set grains=...)"
        )


def _draw(path: Path, result: Result, options: argparse.Namespace) -> None:
    solver, model = result.solver, result.solver.model
    name, material = result.summary["case"].replace("_", " "), result.summary["material"]
    title = f"{name}, {material}, {options.velocity:g} m/s, {solver.time * 1e6:.3g} µs"
    bodies = [lambda x, body=contact.body: body.distance(x, solver.time) for contact in model.contacts]
    fields = cell_fields(model.law, *solver.elements.mean_values(model.law.shown))
    before, now = model.mesh.points, model.mesh.points + solver.displacement
    picture(path, before, now, model.mesh.hexes, fields, title, options.symmetry, bodies)


def _report(summary: dict[str, Any], folder: str) -> None:
    shown = ("final_length", "final_radius", "back_face_deflection", "contact_radius", "contact_impulse",
             "max_equivalent_plastic_strain", "max_von_mises", "energy_error", "hourglass_energy_ratio", "steps",
             "wall_time")  # fmt: skip
    for key in shown:
        if key in summary:
            print(f"{key:32s} {summary[key]:.6g}")
    print(f"{'files in':32s} {folder}")
