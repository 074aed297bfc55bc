"""What a cost comparison found, as JSON-able numbers (SI), Markdown tables and a plot of error over cost."""

import math
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from cases.cost_measurement import LOOP, PARTS, Measurement
from cases.off_line_cost import OffLineCost, break_even
from cases.report import number, percent, table
from fem.picture import save

ERRORS = {  # key: what tables and plot call it, the plot's marker
    "length": ("length", "<"),
    "radius": ("radius", "^"),
    "deflection": ("deflection", "v"),
    "impulse": ("impulse", "D"),
    "von_mises": ("von Mises field", "o"),
    "deviatoric_strain": ("e_d field", "s"),
}
LEAST_ERROR = 1e-5  # shown in the plot


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


def law_numbers(one: Measurement) -> dict[str, Any]:
    """What was measured of one law."""
    solver, summary = one.result.solver, one.result.summary
    return {
        "law": summary["law"],
        "material": summary["material"],
        "elements": summary["elements"],
        "steps": summary["steps"],
        "rounds": len(one.runs),
        "whole_time": one.whole,
        "spread": one.spread,
        "time_per_element_step": one.per_element_step(*LOOP),
        "per_element_step": {part: one.per_element_step(part) for part in PARTS},
        "memory_per_point": solver.model.law.memory_per_point,
        "solver_memory": solver.elements.memory,
        "outside_envelope_fraction": summary.get("outside_envelope_fraction"),
        "runs": one.runs,
    }


def relate(
    laws: Mapping[str, dict[str, Any]],
    off_line: Mapping[str, OffLineCost],
    empirical: str | None,
    concurrent: str | None,
    threads: int,
) -> None:
    """Add to each law its cost over the empirical law's, and the runs after which learning has paid."""
    for label, one in laws.items():
        if empirical:
            base = laws[empirical]
            one["ratio"] = one["time_per_element_step"] / base["time_per_element_step"]
            one["law_ratio"] = one["per_element_step"]["law_time"] / base["per_element_step"]["law_time"]
        spent = off_line[label].total if label in off_line else None
        if spent is not None and concurrent:
            runs = (threads * laws[name]["whole_time"] for name in (concurrent, label))
            one["break_even_runs"] = break_even(spent, *runs)


def scaled(one: Mapping[str, Any], elements: int) -> float:
    """Time loop, s, of the same body cut into so many elements: steps grow like the cube root. Not measured."""
    steps = one["steps"] * (elements / one["elements"]) ** (1.0 / 3.0)
    return one["time_per_element_step"] * elements * steps


def markdown(report: Mapping[str, Any]) -> str:
    """The whole report as Markdown."""
    parts = [_head(report)]
    for case, laws in report["cases"].items():
        size = next(iter(laws.values()))
        parts.append(f"### {case.capitalize()}: {size['elements']} elements, {size['steps']} steps")
        parts.append(_trade(laws, report["concurrent"]))
        parts.append("Time per element and step, ns, by what it went into:\n\n" + _split(laws))
    if report["off_line"]:
        parts.append("### Before the first run\n\n" + _off_line(report))
    parts.append(f"### Scaled, not measured: time loop at {report['scaled_elements']:,} elements\n\n" + _scaled(report))
    parts += [f"Left out: {line}" for line in report["left_out"]]
    return "\n\n".join(parts) + "\n"


def _head(report: Mapping[str, Any]) -> str:
    machine = report["environment"]
    versions = ", ".join(f"{name} {text}" for name, text in machine["versions"].items())
    return (
        f"`{report['command']}`: {machine['processor']}, {machine['cores']} cores (load {machine['load_average']:.1f} "
        f"at the start), {machine['threads']} thread{'s' if machine['threads'] > 1 else ''}, float64 (networks in "
        f"float32), {versions}. Medians over interleaved rounds after a warm-up; spread is longest over shortest. A "
        "whole run is mesh, set-up, time loop and output, without starting Python, compiling and drawing. Errors are "
        "those at the end against the concurrent run on the same mesh: of lengths over the concurrent run's change, of "
        "fields relative L2 over elements."
    )


def _trade(laws: Mapping[str, Any], concurrent: str | None) -> str:
    names = [name for name in ERRORS if any(name in one["error"] for one in laws.values())]
    head = ["law", "whole run, s", "spread (rounds)", "ns per element-step", "x empirical", "bytes per point",
            *(f"{ERRORS[name][0]} error, %" for name in names), "paid after, runs"]  # fmt: skip
    rows = []
    for label, one in laws.items():
        errors = [percent(one["error"].get(name)) for name in names]
        paid = one.get("break_even_runs", "-")
        rows.append([f"`{label}`", number(one["whole_time"]), f"{one['spread']:.2f} ({one['rounds']})",
                     f"{1e9 * one['time_per_element_step']:,.0f}", number(one.get("ratio")),
                     f"{one['memory_per_point']:,}",
                     *(["reference"] * len(names) if label == concurrent else errors),
                     "never" if paid is None else f"{paid}"])  # fmt: skip
    return "\n".join(table(head, rows))


def _split(laws: Mapping[str, Any]) -> str:
    head = ["law", "law", "x empirical", "element work", "contact", "nodes", "output", "set-up"]
    rows = []
    for label, one in laws.items():
        times = [f"{1e9 * one['per_element_step'][part]:,.0f}" for part in PARTS]
        rows.append([f"`{label}`", times[0], number(one.get("law_ratio")), *times[1:]])
    return "\n".join(table(head, rows))


def _off_line(report: Mapping[str, Any]) -> str:
    head = ["law", "paths x steps", "generation, processor s", "training, s", "on", "iterations", "sum, s"]
    rows = []
    for label, cost in report["off_line"].items():
        made, trained = cost["generation"], cost["training"]
        rows.append([f"`{label}`", f"{cost['paths']} x {cost['steps']}",
                     "not recorded" if made is None else f"{made:,.0f}", f"{trained:,.0f}", cost["device"],
                     f"{cost['iterations']}", "-" if made is None else f"{made + trained:,.0f}"])  # fmt: skip
    note = (
        "Paid after: (generation + training) / (processor time of a run with the concurrent law - of one with the "
        "learned law); a GPU's seconds are counted as they are."
    )
    return "\n".join([*table(head, rows), "", note])


def _scaled(report: Mapping[str, Any]) -> str:
    rows = []
    for label in _labels(report):
        times = [laws[label]["scaled_time"] if label in laws else None for laws in report["cases"].values()]
        rows.append([f"`{label}`", *("failed" if time is None else duration(time) for time in times)])
    return "\n".join(table(["law", *report["cases"]], rows))


def _labels(report: Mapping[str, Any]) -> list[str]:
    """All laws; one may have failed in a case, and is not among that case's."""
    return list(dict.fromkeys(label for laws in report["cases"].values() for label in laws))


def duration(seconds: float) -> str:
    """A time in the unit that reads best."""
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2.0 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def plot(path: Path, report: Mapping[str, Any]) -> None:
    """Error against the concurrent run over time per element and step, both logarithmic; one panel a case."""
    cases: Mapping[str, Mapping[str, Any]] = report["cases"]
    figure = Figure(figsize=(4.8 * len(cases) + 2.0, 4.6), layout="constrained")
    grid: Sequence[Any] = figure.subplots(1, len(cases), squeeze=False, sharey=True)[0]
    labels = _labels(report)
    colours = {label: f"C{k}" for k, label in enumerate(labels)}
    for axes, (case, laws) in zip(grid, cases.items(), strict=True):
        for label, one in laws.items():
            cost = 1e9 * one["time_per_element_step"]
            if label == report["concurrent"]:
                axes.axvline(cost, color=colours[label], linestyle="--")
            for name, error in one["error"].items():
                if name in ERRORS and abs(error) > LEAST_ERROR:
                    axes.plot(cost, 100 * abs(error), ERRORS[name][1], color=colours[label], markersize=8, alpha=0.8)
        axes.set(xscale="log", yscale="log", xlabel="time per element and step, ns", title=case)
        axes.grid(which="both", alpha=0.2)
    grid[0].set_ylabel("error against the concurrent run, %")
    for label in labels:
        style = {"linestyle": "--"} if label == report["concurrent"] else {"linewidth": 6}
        grid[0].plot([], [], color=colours[label], label=label, **style)
    for name in dict.fromkeys(name for laws in cases.values() for one in laws.values() for name in one["error"]):
        if name in ERRORS:
            grid[0].plot([], [], ERRORS[name][1], color="k", fillstyle="none", label=ERRORS[name][0])
    machine = report["environment"]
    figure.suptitle(f"{machine['processor']}, {machine['threads']} thread{'s' if machine['threads'] > 1 else ''}")
    figure.legend(loc="outside right upper", fontsize="small")
    save(figure, path, 130)


def has_errors(report: Mapping[str, Any]) -> bool:
    """Whether there is anything to plot."""
    errors = (error for laws in report["cases"].values() for one in laws.values() for error in one["error"].values())
    return any(math.isfinite(error) and abs(error) > LEAST_ERROR for error in errors)
