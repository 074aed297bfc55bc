"""Judge learned laws against the fine scale that they were learned from.

Each LAW is an artefact of learning.train (FILE.npz), a law, a material, or LAW:MATERIAL, with :KEY=VALUE behind it for
parameters: `johnson_cook` shows what an empirical law gives, `taylor:magnesium_liu2022:texture_seed=7` the fine scale's
own noise. The fine scale is the law and material in the first artefact, or --reference.

Laws are driven along fresh paths of both samplers (by a seed that no training has seen), or along those of data sets
(--data): relative L2 errors over time and components jointly, per path, of the stress, of its deviator and of the
pressure. Then each goes through checks: the same path in 50 to 20,000 steps, causality, isotropy, roughness over
directions, how alike errors on neighbouring paths are, drift over 20,000 steps, dissipation. Of several artefacts the
table of training sizes is a learning curve.

The output folder gets evaluation.json (all numbers), evaluation.md (the tables) and pictures.
"""

import argparse
import json
import os
import platform
import shlex
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cases.off_line_cost import off_line_cost
from cases.options import OptionError, command_parser, count, named_material, natural, positive, split_name, user_errors
from constitutive.artefact import read_artefact
from constitutive.law import LawError
from constitutive.material import Material, load_material
from constitutive.whole_file import replace_text
from learning import checks, evaluation_pictures, evaluation_report, neighbours
from learning.fine_scale import reason_of
from learning.fresh_paths import PathSet, drawn_set, stored_set
from learning.judgement import Judged, all_known, has_learned, judge, table_of, training_data, training_duration
from learning.strain_paths import SAMPLERS, Sampler, described, sampler_of

RESULT = "evaluation.json"
REPORT = "evaluation.md"
FINE_SCALE = "fine_scale.toml"
FILES = (RESULT, REPORT, FINE_SCALE, *evaluation_pictures.FILES)
PACKAGES = ("numpy", "scipy", "numba")
DURATION = 1e-6  # s, of the checks where no artefact says otherwise
RANDOM = ("impact", "paper")  # samplers that fresh paths can be drawn from


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    made = command_parser(
        "evaluate",
        __doc__,
        "python -m learning.evaluate recurrent johnson_cook taylor:magnesium_liu2022:texture_seed=7 --paths 400 "
        "--output runs/evaluation",
        package="learning",
    )
    made.add_argument("laws", nargs="+", metavar="LAW", help="FILE.npz, LAW, MATERIAL or LAW:MATERIAL[:KEY=VALUE...]")
    made.add_argument(
        "--reference",
        metavar="LAW",
        help="the fine scale, written like LAW: taylor:grains=4096:texture_seed=9 for the isotropic limit "
        "(default: that of the first artefact, else taylor)",
    )
    made.add_argument(
        "--samplers", nargs="*", choices=RANDOM, help=f"draw fresh paths of these (default: {', '.join(RANDOM)}; "
        "none with --data)",
    )  # fmt: skip
    made.add_argument("--data", nargs="*", default=[], metavar="FOLDER", help="data sets of learning.generate to use")
    made.add_argument("--paths", type=count, default=200, help="paths of each set")
    made.add_argument("--steps", type=count, default=200, help="steps of a fresh path")
    made.add_argument("--seed", type=natural, default=20260, help="seed of fresh paths and of the checks")
    made.add_argument(
        "--duration", type=positive, help=f"of the checks, s (default: the training's, else {DURATION:g})"
    )
    made.add_argument("--no-checks", action="store_true", help="errors along the paths only")
    made.add_argument("--workers", type=count, default=os.cpu_count(), help="processes for the fine scale")
    made.add_argument("--output", metavar="DIR", default="runs/evaluation", help="folder to write")
    made.add_argument("--overwrite", action="store_true", help="replace the evaluation that is in the output folder")
    made.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return made


def open_folder(folder: Path, overwrite: bool) -> Path:
    """Make the output folder. Raises OptionError where it holds anything but an evaluation that may be replaced."""
    if folder.exists() and not folder.is_dir():
        raise OptionError(f"{folder} is a file: name another --output")
    if folder.is_dir() and any(path.name not in FILES for path in folder.iterdir()):
        raise OptionError(f"{folder} holds other files than an evaluation's: name another --output")
    if (folder / RESULT).exists() and not overwrite:
        raise OptionError(f"{folder} holds an evaluation: name another --output, or add --overwrite to replace it")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def judged_laws(words: list[str]) -> list[Judged]:
    """The laws to judge, with labels of their own. Raises LawError and OptionError."""
    laws: list[Judged] = []
    for word in words:
        material = named_material(word)
        header, parameters, cost, label = {}, None, None, word
        if "artefact" in material.values:
            artefact = read_artefact(material.values["artefact"])
            header, label = dict(artefact.header), " ".join([artefact.path.stem, *split_name(word)[2]])
            parameters = sum(array.size for array in artefact.arrays.values())
            with suppress(LawError):  # not every artefact tells
                cost = off_line_cost(artefact)
        same = sum(other.label.split(" #")[0] == label for other in laws)
        laws.append(Judged(f"{label} #{same + 1}" if same else label, material, header, parameters, cost))
    return laws


def chosen_reference(word: str | None, laws: list[Judged]) -> Material:
    """The fine scale: --reference, else that of the first artefact, else taylor."""
    learned = next((law for law in laws if law.header), None)
    if word is not None or learned is None:
        return named_material(word or "taylor")
    text = learned.header.get("material")
    if not isinstance(text, str):
        raise OptionError(f"{learned.material.values['artefact']} names no fine-scale material: give --reference")
    with TemporaryDirectory() as place:
        file = Path(place) / FINE_SCALE
        file.write_text(text, encoding="utf-8")
        return load_material(file)


def samplers_of(names: list[str], laws: list[Judged]) -> list[Sampler]:
    """The samplers to draw from: those that laws were trained on, by these names, else the default ones."""
    chosen: list[Sampler] = []
    for name in names:
        trained = [sampler_of(data["sampler"]) for data in map(training_data, laws) if "sampler" in data]
        of_name = [sampler for sampler in trained if sampler.name == name]
        chosen += [sampler for k, sampler in enumerate(of_name) if sampler not in of_name[:k]] or [SAMPLERS[name]()]
    return chosen


def check_freshness(sampler: Sampler, seed: int, laws: list[Judged]) -> None:
    """Raise OptionError where a law has been trained on the very paths that would be drawn."""
    for law in laws:
        if has_learned(law.header, {"sampler": described(sampler), "seed": seed}):
            raise OptionError(f"--seed {seed}: {law.label} was trained on these paths; give another seed")


def path_sets(options: argparse.Namespace, laws: list[Judged], reference: Material) -> list[PathSet]:
    """All sets of paths, with the fine scale's answers."""
    names = options.samplers if options.samplers is not None else [] if options.data else list(RANDOM)
    samplers = samplers_of(names, laws)
    for sampler in samplers:
        check_freshness(sampler, options.seed, laws)
    sets = [stored_set(Path(folder), options.paths) for folder in options.data]
    for sampler in samplers:
        begin = time.perf_counter()
        drawn = drawn_set(
            sampler, reference, options.paths, options.steps, options.seed, options.workers, options.quiet
        )
        say(options, f"fine scale, {options.paths} paths of '{sampler.name}'", begin)
        sets.append(drawn)
    for k, paths in enumerate(sets):
        same = sum(other.name.split(" #")[0] == paths.name for other in sets[:k])
        sets[k] = replace(paths, name=f"{paths.name} #{same + 1}") if same else paths
    if not sets:
        raise OptionError("there are no paths: name --samplers or --data")
    return sets


def run_checks(every: Mapping[str, Callable[[], dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """What each check finds; one that the law refuses says why."""
    found = {}
    for name, check in every.items():
        try:
            found[name] = check()
        except LawError as error:
            found[name] = {"refused": reason_of(error)}
    return found


def result_of(
    options: argparse.Namespace,
    laws: list[Judged],
    sets: list[PathSet],
    reference: Material,
    fine: dict,
    duration: float,
) -> dict[str, Any]:
    """Everything that was found, as JSON knows it; stresses in Pa, times in s, errors relative."""
    return {
        "command": shlex.join(["python", "-m", "learning.evaluate", *options.arguments]),
        "created": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "seed": options.seed,
        "units": "SI: s, Pa, J/m3; errors relative L2 over time and components, per path",
        "reference": answered_by(reference.law.name, {**reference.values, "name": reference.name}) | {"checks": fine},
        "duration_of_checks": duration,
        "sets": [set_row(paths, laws) for paths in sets],
        "laws": [
            {
                "label": law.label,
                "law": law.material.law.name,
                "material": law.material.name,
                "training": evaluation_report.training_row(law.header, law.parameters, law.cost),
                "errors": {paths.name: table_of(law, paths) for paths in sets},
                "checks": law.checks,
            }
            for law in laws
        ],
    }  # fmt: skip


def answered_by(law: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """What a report says of a fine scale: its law or unit cell, material and texture."""
    known = {key: values[key] for key in ("grains", "texture_seed", "texture_file") if values.get(key) is not None}
    return {"law": law, "material": values.get("name"), **known}


def set_row(paths: PathSet, laws: list[Judged]) -> dict[str, Any]:
    """What is told of a set: where it comes from, who answered it, and which of the laws have learned from it."""
    source = dict(paths.source)
    row = {"name": paths.name, "paths": len(paths), "source": source}
    if "material" in source:
        values = tomllib.loads(source["material"])
        row["fine_scale"] = answered_by(source.get("unit_cell") or values["law"], values)
    row["not_known"] = [law.label for law in laws if not all_known(law.header)]
    return row | {"learned_by": [law.label for law in laws if has_learned(law.header, source)]}


def say(options: argparse.Namespace, what: str, begin: float) -> None:
    """Tell what has been done, and how long it took since `begin`."""
    if not options.quiet:
        print(f"{what}: {time.perf_counter() - begin:.1f} s", file=sys.stderr, flush=True)


@user_errors
def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run the command; returns what evaluation.json holds."""
    given = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(given)
    options.arguments = given
    laws = judged_laws(options.laws)
    folder = open_folder(Path(options.output), options.overwrite)
    reference = chosen_reference(options.reference, laws)
    sets = path_sets(options, laws, reference)
    for law in laws:
        begin = time.perf_counter()
        for paths in sets:
            judge(law, paths)
        say(options, f"paths, {law.label}", begin)
    duration = options.duration or min(filter(None, map(training_duration, laws)), default=DURATION)
    fine: dict[str, Any] = {}
    if not options.no_checks:
        begin = time.perf_counter()
        asked = (duration, options.seed)
        finest, walked = checks.finest(reference.law, *asked), neighbours.answer(reference.law, *asked)
        fine = run_checks(checks.all_checks(reference.law, *asked, finest))
        say(options, "checks, fine scale", begin)
        for law in laws:
            begin = time.perf_counter()
            every = checks.all_checks(law.material.law, *asked, finest)
            every["neighbours"] = partial(neighbours.likeness, law.material.law, *asked, walked)
            law.checks = run_checks(every)
            say(options, f"checks, {law.label}", begin)
    result = result_of(options, laws, sets, reference, fine, duration)
    replace_text(folder / FINE_SCALE, reference.to_toml())
    replace_text(folder / RESULT, json.dumps(result, indent=1) + "\n")
    text = evaluation_report.markdown(result)
    replace_text(folder / REPORT, text)
    evaluation_pictures.draw_all(folder, result, laws, sets)
    if not options.quiet:
        print(evaluation_report.terminal(result))
        print(f"{'written':32s} {folder}")
    return result


if __name__ == "__main__":
    main()
