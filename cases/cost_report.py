"""What a cost comparison found, as JSON-able numbers (SI), Markdown tables and a plot of error over cost."""

import math
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cases.cost_measurement import PARTS, Measurement
from cases.off_line_cost import OffLineCost, break_even

EMPIRICAL, CONCURRENT = "johnson_cook", "taylor"
LOOP = ("law_time", "element_time", "contact_time", "node_time")
ERRORS = {  # of a case's numbers and fields: what tables and plot call them, and the plot's marker
    "final_length": ("length", "v"),
    "final_radius": ("radius", "^"),
    "back_face_deflection": ("deflection", "v"),
    "von_mises": ("von Mises field", "o"),
    "deviatoric_strain": ("e_d field", "s"),
}
COLOURS = {EMPIRICAL: "#888888", "recurrent": "#0072b2", "pca_net": "#d55e00", CONCURRENT: "#000000"}


def environment(threads: int) -> dict[str, Any]:
    """Machine, versions and load: what timings depend on."""
    packages = ("numpy", "numba", "llvmlite")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load_average": os.getloadavg()[0],
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def case_numbers(
    found: Mapping[str, Measurement],
    errors: Mapping[str, Mapping[str, float]],
    off_line: Mapping[str, OffLineCost],
    threads: int,
) -> dict[str, Any]:
    """Numbers of one case by law; `errors` against the concurrent run, `off_line` of the learned laws."""
    numbers = {law: _law_numbers(one) for law, one in found.items()}
    for law, one in numbers.items():
        one["error"] = dict(errors.get(law, {}))
        if EMPIRICAL in numbers:
            for key in ("whole", "loop", "law"):
                one[f"{key}_ratio"] = _time(one, key) / _time(numbers[EMPIRICAL], key)
        if law in off_line and CONCURRENT in numbers:
            runs = [threads * _time(numbers[name], "whole") for name in (CONCURRENT, law)]
            one["break_even_runs"] = break_even(off_line[law].total, *runs)
    return numbers


def _time(numbers: Mapping[str, Any], key: str) -> float:
    """Whole run, s; or time per element and step, s, of the time loop or the law in it."""
    if key == "whole":
        return numbers["whole_time"]
    return numbers["per_element_step"]["law_time"] if key == "law" else numbers["time_per_element_step"]


def _law_numbers(one: Measurement) -> dict[str, Any]:
    solver, summary = one.result.solver, one.result.summary
    return {
        "material": summary["material"],
        "elements": summary["elements"],
        "steps": summary["steps"],
        "rounds": len(one.runs),
        "whole_time": one.median(),
        "spread": one.spread,
        "time_per_element_step": one.per_element_step(*LOOP),
        "per_element_step": {part: one.per_element_step(part) for part in PARTS},
        "memory_per_point": solver.model.law.memory_per_point,
        "memory": solver.elements.memory,
        "outside_envelope_fraction": summary.get("outside_envelope_fraction"),
        "runs": one.runs,
    }


def scaled(numbers: Mapping[str, Any], elements: int) -> float:
    """Time loop, s, of the same body cut into so many elements: steps grow like the cube root. Not measured."""
    steps = numbers["steps"] * (elements / numbers["elements"]) ** (1.0 / 3.0)
    return numbers["time_per_element_step"] * elements * steps


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, aligned so that it reads well on a terminal too."""
    cells = [list(header), *[list(row) for row in rows]]
    width = [max(len(row[k]) for row in cells) for k in range(len(header))]
    lines = ["| " + " | ".join(text.ljust(w) for text, w in zip(row, width, strict=True)) + " |" for row in cells]
    return "\n".join([lines[0], "| " + " | ".join("-" * w for w in width) + " |", *lines[1:]])


def markdown(report: Mapping[str, Any]) -> str:
    """The whole report as Markdown."""
    parts = [_head(report)]
    for case, laws in report["cases"].items():
        any_law = next(iter(laws.values()))
        parts.append(f"### {case.capitalize()}: {any_law['elements']} elements, {any_law['steps']} steps")
        parts.append(_trade(laws))
        parts.append("Time per element and step, ns, by what it went into:\n\n" + _split(laws))
    if report["off_line"]:
        parts.append("### Before the first run\n\n" + _off_line(report))
    parts.append(f"### Scaled, not measured: time loop at {report['scaled_elements']:,} elements\n\n" + _scaled(report))
    parts += [f"Left out: {line}" for line in report["left_out"]]
    return "\n\n".join(parts) + "\n"


def _head(report: Mapping[str, Any]) -> str:
    machine = report["environment"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (
        f"`{report['command']}`, {machine['processor']}, {machine['cores']} cores (load {machine['load_average']:.1f} "
        f"at the start), {machine['threads']} thread{'s' if machine['threads'] > 1 else ''}, float64 with float32 "
        f"networks, {versions}. Medians over interleaved rounds after a warm-up; spread is longest over shortest. A "
        "whole run is mesh, set-up, time loop and output, without starting Python, compiling and drawing. Errors "
        f"are against `{CONCURRENT}` on the same mesh: of lengths relative to their change, of fields relative L2."
    )


def _trade(laws: Mapping[str, Any]) -> str:
    names = [name for name in ERRORS if any(name in one["error"] for one in laws.values())]
    header = ["law", "whole run, s", "spread", "ns per element-step", "x empirical", "bytes per point",
              *(f"error of {ERRORS[name][0]}, %" for name in names), "break-even, runs"]  # fmt: skip
    rows = []
    for law, one in laws.items():
        errors = [f"{100 * one['error'][name]:.2g}" if name in one["error"] else "" for name in names]
        if law == CONCURRENT:
            errors = ["reference"] * len(names)
        paid = one.get("break_even_runs", "")
        rows.append([f"`{law}`", f"{one['whole_time']:.3g}", f"{one['spread']:.2f} of {one['rounds']}",
                     f"{1e9 * one['time_per_element_step']:.4g}", _ratio(one, "loop"), f"{one['memory_per_point']}",
                     *errors, "never" if paid is None else f"{paid}"])  # fmt: skip
    return table(header, rows)


def _ratio(one: Mapping[str, Any], key: str) -> str:
    return f"{one[f'{key}_ratio']:.3g}" if f"{key}_ratio" in one else ""


def _split(laws: Mapping[str, Any]) -> str:
    header = ["law", "law", "x empirical", "element work", "contact", "nodes", "output", "set-up"]
    rows = []
    for law, one in laws.items():
        times = {part: f"{1e9 * seconds:.3g}" for part, seconds in one["per_element_step"].items()}
        rows.append([f"`{law}`", times["law_time"], _ratio(one, "law"), *(times[part] for part in PARTS[1:])])
    return table(header, rows)


def _off_line(report: Mapping[str, Any]) -> str:
    header = ["law", "paths x steps", "generation, processor s", "training, s", "on", "iterations", "sum, s"]
    rows = []
    for law, cost in report["off_line"].items():
        rows.append([f"`{law}`", f"{cost['paths']} x {cost['steps']}", f"{cost['generation']:.4g}",
                     f"{cost['training']:.4g}", cost["device"], f"{cost['iterations']}",
                     f"{cost['generation'] + cost['training']:.4g}"])  # fmt: skip
    note = (
        f"Break-even: (generation + training) / (whole run with `{CONCURRENT}` - whole run with the learned law), in "
        "processor seconds of this machine per run; seconds of a GPU counted as they are."
    )
    return table(header, rows) + "\n\n" + note


def _scaled(report: Mapping[str, Any]) -> str:
    laws = list(dict.fromkeys(law for numbers in report["cases"].values() for law in numbers))
    rows = []
    for law in laws:
        times = [numbers[law]["scaled_time"] if law in numbers else math.nan for numbers in report["cases"].values()]
        rows.append([f"`{law}`", *map(duration, times)])
    return table(["law", *report["cases"]], rows)


def duration(seconds: float) -> str:
    """A time in the unit that reads best."""
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2.0 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def plot(path: Path, report: Mapping[str, Any]) -> None:
    """Error against the concurrent run over time per element and step, both logarithmic; one panel a case."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5 * len(report["cases"]), 4.6), layout="constrained")
    grid = figure.subplots(1, len(report["cases"]), squeeze=False)[0]
    for axes, (case, laws) in zip(grid, report["cases"].items(), strict=True):
        for law, one in laws.items():
            cost, colour = 1e9 * one["time_per_element_step"], COLOURS.get(law, "#009e73")
            if law == CONCURRENT:
                axes.axvline(cost, color=colour, linestyle="--", label=f"{law}: the reference")
            for name, error in one["error"].items():
                axes.plot(cost, 100 * error, ERRORS[name][1], color=colour, markersize=8)
            if law != CONCURRENT:
                axes.plot([], [], color=colour, linewidth=6, label=law)
        for name in dict.fromkeys(name for one in laws.values() for name in one["error"]):
            axes.plot([], [], ERRORS[name][1], color="k", fillstyle="none", label=f"error of {ERRORS[name][0]}")
        axes.set(xscale="log", yscale="log", xlabel="time per element and step, ns", title=case)
        axes.set_ylabel("error against the concurrent run, %")
        axes.grid(which="both", alpha=0.2)
        axes.legend(fontsize="small")
    machine = report["environment"]
    figure.suptitle(f"Cost and error of laws, {machine['processor']}, {machine['threads']} thread(s)", fontsize=11)
    figure.savefig(path, dpi=130)
