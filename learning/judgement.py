"""A law under judgement: what it answered to each set of paths, how far from the fine scale, and the table of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cases.off_line_cost import OffLineCost
from constitutive.material import Material
from learning.errors import NORMS, growth, path_errors, statistics
from learning.fresh_paths import Answer, PathSet, answer
from learning.strain_paths import sampler_of


@dataclass
class Judged:
    """A law under judgement: its label, material, artefact's header (empty for others), and what was found.

    `parameters` are numbers of the artefact's arrays, `cost` what it has cost, where it is one and tells;
    `answers` and `errors` {norm: (n,)} by set; `growth` (parts,) by set; `checks` by name.
    """

    label: str
    material: Material
    header: Mapping[str, Any]
    parameters: int | None = None
    cost: OffLineCost | None = None
    answers: dict[str, Answer] = field(default_factory=dict)
    errors: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    growth: dict[str, np.ndarray] = field(default_factory=dict)
    checks: dict[str, dict[str, Any]] = field(default_factory=dict)


def training_data(law: Judged) -> Mapping[str, Any]:
    """What the artefact's header says of the data it was trained on; empty where it does not."""
    data = law.header.get("training", {}).get("data", {})
    return data if isinstance(data, Mapping) else {}


def learned_from(header: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Sampler, seed and files of each set that an artefact has learned from, or one that its training began with."""
    training = header.get("training", {})
    sets = [training.get("data"), *training.get("also", []), *training.get("earlier", [])]
    told = ("sampler", "seed", "files")
    known = [{key: one[key] for key in told if key in one} for one in sets if one and "sampler" in one]
    return known + training.get("begun_with", {}).get("learned_from", [])


def all_known(header: Mapping[str, Any]) -> bool:
    """Whether an artefact tells all that it has learned from: older ones do not say what their beginning had."""
    begun = header.get("training", {}).get("begun_with")
    return begun is None or ("learned_from" in begun and begun.get("all_known", True))


def has_learned(header: Mapping[str, Any], paths: Mapping[str, Any]) -> bool:
    """Whether paths of a set, told by its manifest, are among those that an artefact has learned from."""
    return any(share_paths(one, paths) for one in learned_from(header))


def share_paths(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether sets share paths: drawn by samplers of one name from one seed, or recorded in the same histories.

    A sampler's options leave its random numbers as they are: with another grid, say, half of the paths are the same.
    """
    if one["sampler"]["name"] != other["sampler"]["name"]:
        return False
    histories = histories_of(one), histories_of(other)
    return one["seed"] == other["seed"] if None in histories else histories[0] == histories[1]


def histories_of(manifest: Mapping[str, Any]) -> str | None:
    """The hash of the histories that a set's paths are drawn from; None where there are none, or it is not told."""
    return manifest.get("files", {}).get(manifest["sampler"].get("histories"))


def training_duration(law: Judged) -> float | None:
    """The duration that a law was trained for, or that is typical of its training paths, s; None where unknown."""
    data = training_data(law)
    known = getattr(sampler_of(data["sampler"]), "duration", None) if "sampler" in data else None
    return law.header.get("duration", known)


def judge(law: Judged, paths: PathSet) -> None:
    """Drive a law along a set and note its errors, nan where it refused."""
    found = answer(law.material.law, paths)
    kept = found.answered
    law.answers[paths.name] = found
    law.errors[paths.name] = {norm: np.full(len(paths), np.nan) for norm in NORMS}
    if kept.any():
        arrays = paths.time[kept], found.stress[kept], paths.stress[kept]
        for norm, errors in path_errors(*arrays).items():
            law.errors[paths.name][norm][kept] = errors
        law.growth[paths.name] = growth(*arrays).mean(axis=0)


def kinds_in(paths: PathSet) -> dict[str, np.ndarray]:
    """Masks (n,) of all paths and of each kind, by name."""
    kinds = sorted(set(paths.kinds.tolist()), key=lambda kind: (kind != "walk", kind))
    masks = {"all": np.ones(len(paths), bool)}
    return masks | {kind: paths.kinds == kind for kind in kinds} if len(kinds) > 1 else masks


def table_of(law: Judged, paths: PathSet) -> dict[str, Any]:
    """Statistics of a law's errors on a set, for all paths and by kind."""
    found, errors, table = law.answers[paths.name], law.errors[paths.name], {}
    for kind, mask in kinds_in(paths).items():
        kept = mask & found.answered
        row: dict[str, Any] = {"paths": int(mask.sum()), "refused": int((mask & ~found.answered).sum())}
        if kept.any():
            row |= {norm: statistics(errors[norm][kept]) for norm in NORMS}
            worst = int(np.flatnonzero(kept)[errors["deviatoric"][kept].argmax()])
            row["worst_path"] = {"number": worst, "kind": str(paths.kinds[worst])}
            if found.outside is not None:
                row["outside_envelope"] = float(found.outside[kept].mean())
            if found.plastic_work is not None:
                row["least_plastic_rise"] = float(np.diff(found.plastic_work[kept], axis=1).min())
        table[kind] = row
    return table | {"reasons": dict(found.reasons), "growth": law.growth.get(paths.name, np.empty(0)).tolist()}
