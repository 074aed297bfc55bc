"""The tables of an evaluation, from the numbers of evaluation.json alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from cases.off_line_cost import OffLineCost
from cases.report import number, percent, table, yes


def training_row(header: Mapping[str, Any], parameters: int | None, cost: OffLineCost | None) -> dict[str, Any] | None:
    """What an artefact's header says of its training, and what all of it has cost; None for a law not learned."""
    if not header:
        return None
    training = header.get("training", {})
    return {
        "kind": header.get("kind"),
        "paths": training.get("paths"),
        "steps": training.get("steps"),
        "sizes": header.get("sizes", {}),
        "parameters": parameters,
        "iterations": cost and cost.iterations,
        "seconds": cost and cost.training,
        "generation_seconds": cost and cost.generation,
        "isotropic": bool(training.get("isotropic") or training.get("data", {}).get("texture_per_path")),
        "errors": header.get("errors", {}),
        "command": header.get("command"),
    }


CHECKS = (  # column, name in evaluation.json, how it is shown
    ("causal", "identical_before", yes),
    ("spread over directions, %", "spread", percent),
    ("rise at rest, %", "hold_rise", percent),
    ("late change at rest, %", "hold_late", percent),
    ("growth over cycles, %", "cycle_growth", percent),
    ("least work of a cycle", "cycle_work", number),
    ("bounded", "bounded", yes),
    ("least plastic power", "least_plastic_power", number),
    ("least dissipation", "least_dissipation", number),
    ("energy unaccounted, %", "energy_imbalance", percent),
)


def markdown(result: Mapping[str, Any]) -> str:
    """evaluation.md."""
    lines = [
        "# Learned laws against the fine scale",
        "",
        f"Fine scale: {fine_scale(result['reference'])}. {result['created']}.",
        "",
        f"    {result['command']}",
        "",
        "Errors are relative L2 over time and components jointly, per path, in per cent.",
    ]
    for paths in result["sets"]:
        lines += ["", f"## Paths: {paths['name']} ({paths['paths']})", ""]
        lines += [f"Answered by {fine_scale(paths['fine_scale'])}.", ""] if "fine_scale" in paths else []
        lines += [f"Not fresh: learned from by {', '.join(paths['learned_by'])}.", ""] if paths["learned_by"] else []
        if paths["not_known"]:
            lines += [f"What {', '.join(paths['not_known'])} began with is not told: perhaps not fresh.", ""]
        lines += errors_table(result, paths["name"])
        lines += [f"- {reason}" for reason in refusals(result, paths["name"])]
        lines += [
            "",
            "Deviatoric error in each tenth of a path's duration, over the whole path's stress:",
        ]
        lines += ["", *growth_table(result, paths["name"])]
    if any(law["checks"] for law in result["laws"]):
        lines += ["", "## Checks", "", *check_tables(result)]
    if any(law["training"] for law in result["laws"]):
        lines += ["", "## Error against size of training", "", *training_table(result)]
    lines += ["", "![errors](errors.png)", "![growth](growth.png)", "![samples](samples.png)"]
    lines += ["![checks](checks.png)"] if any(law["checks"] for law in result["laws"]) else []
    lines += ["![learning curve](learning_curve.png)"] if any(law["training"] for law in result["laws"]) else []
    return "\n".join(lines) + "\n"


def fine_scale(found: Mapping[str, Any]) -> str:
    """A fine scale in words."""
    if "texture_file" in found:
        texture = f", texture {found['texture_file']}"
    else:
        texture = f", {found['grains']} grains, texture {found['texture_seed']}" if "grains" in found else ""
    return f"`{found['law']}`, {found['material']}{texture}"


def errors_table(result: Mapping[str, Any], name: str) -> list[str]:
    """Errors of all laws on a set, a row for each law and kind of path."""
    head = ["law", "kind", "paths", "refused", "dev. mean", "median", "95 %", "largest", "total mean", "95 %",
            "pressure mean", "largest", "outside", "worst path"]  # fmt: skip
    rows = []
    for law in result["laws"]:
        for kind, row in law["errors"][name].items():
            if kind in ("reasons", "growth"):
                continue
            cells = [law["label"], kind, f"{row['paths']}", f"{row['refused']}"]
            if "deviatoric" in row:
                cells += [percent(row["deviatoric"][key]) for key in ("mean", "median", "p95", "largest")]
                cells += [percent(row["total"][key]) for key in ("mean", "p95")]
                cells += [percent(row["pressure"][key]) for key in ("mean", "largest")]
                cells += [percent(row.get("outside_envelope")), f"{row['worst_path']['number']}"]
            rows.append(cells + ["-"] * (len(head) - len(cells)))
    return table(head, rows)


def refusals(result: Mapping[str, Any], name: str) -> list[str]:
    """Why laws refused paths of a set."""
    return [
        f"{law['label']} refused {times} of these paths: {reason}"
        for law in result["laws"]
        for reason, times in law["errors"][name]["reasons"].items()
    ]


def growth_table(result: Mapping[str, Any], name: str) -> list[str]:
    """Deviatoric error in each part of a path."""
    rows = [[law["label"], *map(percent, law["errors"][name]["growth"])] for law in result["laws"]]
    parts = max(len(row) for row in rows) - 1
    return table(["law", *(f"{k + 1}" for k in range(parts))], [row + ["-"] * (parts + 1 - len(row)) for row in rows])


def check_tables(result: Mapping[str, Any]) -> list[str]:
    """Resolution; roughness; neighbours; then all other checks, the fine scale's own beside."""
    every = [*((law["label"], law["checks"]) for law in result["laws"]), ("fine scale", result["reference"]["checks"])]
    asked = [(label, found) for label, found in every if found]
    head, rows = ["law", "against"], []
    for label, found in asked:
        part = found["resolution"]
        if "refused" in part:
            rows.append([label, f"refused: {part['refused']}"])
            continue
        head = ["law", "against", *(f"{steps}" for steps in part["steps"])]
        rows.append([label, "own finest", *map(percent, part["against_own_finest"])])
        if found is not result["reference"]["checks"]:
            rows.append([label, "fine scale", *map(percent, part["against_fine_scale"])])
    lines = ["The same smooth paths in as many steps, per cent of the deviator:", ""]
    lines += table(head, [row + ["-"] * (len(head) - len(row)) for row in rows])
    lines += ["", *roughness_table(asked), "", *neighbours_table(asked)]
    rows = []
    for label, found in asked:
        values = {name: value for part in found.values() for name, value in part.items()}
        rows.append([label, *(shown(values.get(name)) for _, name, shown in CHECKS)])
    lines += [
        "",
        "Rest: 18,000 steps at rest after loading in 2,000. Cycles: 40 closed ones in 20,000 steps.",
        "Powers are relative to the mean one, to and fro: passive where not negative. A dash: refused, or not known.",
        "",
    ]
    return lines + table(["law", *(title for title, _, _ in CHECKS)], rows)


def roughness_table(asked: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """By how much more than the direction of loading the answer turns."""
    told = [(label, found["roughness"]) for label, found in asked if "rough" in found["roughness"]]
    if not told:
        return []
    part = told[0][1]
    rows = [[label, *map(percent, found["rough"])] for label, found in told]
    return [
        f"Straight loading to a strain of {part['turn_strain']} whose direction turns: by how much more the deviator",
        "turns, per cent. Like the turn in a smooth law, like its root where grains jump:",
        "",
        *table(["law", *(f"{turn} rad" for turn in part["turns"])], rows),
    ]


def neighbours_table(asked: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """How alike errors are on walks and on the same walks moved aside."""
    told = [(label, found["neighbours"]) for label, found in asked if found.get("neighbours", {}).get("alike")]
    if not told:
        return []
    part = told[0][1]
    rows = [[label, percent(found["error"]), *map(number, found["alike"])] for label, found in told]
    return [
        "Walks moved aside by a part of another walk: correlation of the errors with those on the walks themselves.",
        "Where it is near 1, what is missing is a smooth function of the path. The fine scale's own stress differs by",
        f"{', '.join(map(percent, part['moved']))} per cent:",
        "",
        *table(["law", "error, %", *(f"{aside}" for aside in part["aside"])], rows),
    ]


def training_table(result: Mapping[str, Any]) -> list[str]:
    """Artefacts by kind and size of data and network: the learning curve in numbers."""
    names = [paths["name"] for paths in result["sets"]]
    head = [
        "law",
        "kind",
        "paths",
        "sizes",
        "numbers",
        "iterations",
        "training, s",
        "data, s",
        "train mean",
        "test mean",
    ]
    head += [f"here: {name} mean, 95 %" for name in names]
    rows = []
    for law in sorted((law for law in result["laws"] if law["training"]), key=training_order):
        row = law["training"]
        sizes = ", ".join(f"{key} {value}" for key, value in row["sizes"].items())
        cells = [law["label"], f"{row['kind']}{', isotropic' if row['isotropic'] else ''}", number(row["paths"]), sizes]
        cells += [number(row[key]) for key in ("parameters", "iterations", "seconds", "generation_seconds")]
        cells += [percent(noted_error(row["errors"].get(part, {}))) for part in ("train", "test")]
        for name in names:
            found = law["errors"][name]["all"].get("deviatoric")
            cells.append(f"{percent(found['mean'])}, {percent(found['p95'])}" if found else "-")
        rows.append(cells)
    return table(head, rows)


def noted_error(errors: Mapping[str, Any]) -> float | None:
    """The mean deviatoric error that a training noted, pca_net's as it answers on line."""
    return errors.get("on_line", {}).get("deviatoric", errors).get("mean")


def training_order(law: Mapping[str, Any]) -> tuple:
    """Sorts by kind, network, data."""
    row = law["training"]
    return f"{row['kind']}", row["isotropic"], row["parameters"] or 0, row["paths"] or 0


def terminal(result: Mapping[str, Any]) -> str:
    """A few lines for the terminal: deviatoric errors of all laws on all sets."""
    lines = [f"{'deviatoric error, %':32s} {'mean':>8s} {'median':>8s} {'95 %':>8s} {'refused':>8s}"]
    for paths in result["sets"]:
        by = f", answered by {fine_scale(paths['fine_scale'])}" if "fine_scale" in paths else ""
        lines.append(f"{paths['name']}, {paths['paths']} paths{by}")
        lines += [f"  not fresh: learned from by {', '.join(paths['learned_by'])}"] if paths["learned_by"] else []
        for law in result["laws"]:
            row = law["errors"][paths["name"]]["all"]
            values = [percent(row.get("deviatoric", {}).get(key)) for key in ("mean", "median", "p95")]
            lines.append(f"  {law['label'][:30]:30s} {' '.join(f'{v:>8s}' for v in values)} {row['refused']:8d}")
    return "\n".join(lines)
