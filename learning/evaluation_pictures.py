"""The pictures of an evaluation, drawn with Matplotlib without a display."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from constitutive.tensor import full
from fem.picture import save
from learning.errors import deviator
from learning.fresh_paths import PathSet
from learning.judgement import Judged, kinds_in
from learning.strain_paths import logarithm

FILES = ("errors.png", "growth.png", "samples.png", "checks.png", "learning_curve.png")
FINE: dict[str, Any] = {"color": "k", "linewidth": 1.6, "label": "fine scale"}
LEAST = 1e-8  # smallest error that is shown
COLUMNS = 4  # of sample paths


def draw_all(folder: Path, result: Mapping[str, Any], laws: Sequence[Judged], sets: Sequence[PathSet]) -> None:
    """Draw all that there is to draw into `folder`, and remove pictures of an evaluation before."""
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
    draw_errors(folder / "errors.png", laws, sets)
    draw_growth(folder / "growth.png", laws, sets)
    draw_samples(folder / "samples.png", laws, sets)
    if any(law.checks for law in laws):
        draw_checks(folder / "checks.png", result)
    if any(law.header for law in laws):
        draw_learning_curve(folder / "learning_curve.png", result)


def save_under_one_legend(figure: Figure, path: Path) -> None:
    """Write a figure under one legend for all its panels."""
    known: dict[str, Any] = {}
    for axes in figure.axes:
        known = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True)) | known
    if known:
        figure.legend(known.values(), known, loc="outside lower center", ncols=min(4, len(known)), fontsize="small")
    save(figure, path, 120)


def shown(errors: Any) -> np.ndarray:
    """Errors in per cent, bounded from below for logarithmic axes."""
    return 100.0 * np.maximum(errors, LEAST)


def plain_numbers(axes: Axes) -> None:
    """Numbers without powers, two at least, on a logarithmic ordinate that may span less than a decade."""
    lowest, highest = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)) if highest > 5.0 * lowest else MaxNLocator(5))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def draw_errors(path: Path, laws: Sequence[Judged], sets: Sequence[PathSet]) -> None:
    """Deviatoric errors of each kind of path: boxes of quartiles, whiskers from 5 to 95 per cent."""
    figure = Figure(figsize=(11.0, 3.8 * len(sets)), layout="constrained")
    for axes, paths in zip(figure.subplots(len(sets), 1, squeeze=False)[:, 0], sets, strict=True):
        kinds = kinds_in(paths)
        width = 0.8 / len(laws)
        for k, law in enumerate(laws):
            errors = shown(law.errors[paths.name]["deviatoric"])
            values = [errors[mask & law.answers[paths.name].answered] for mask in kinds.values()]
            places = np.arange(len(kinds)) - 0.4 + width * (k + 0.5)
            colour = f"C{k % 10}"
            axes.boxplot(values, positions=places, widths=0.85 * width, whis=(5, 95), showfliers=False,
                         manage_ticks=False, patch_artist=True, boxprops={"facecolor": colour, "alpha": 0.5},
                         medianprops={"color": "k"})  # fmt: skip
            axes.plot([], [], "s", color=colour, alpha=0.5, label=law.label)
        labels = [f"{kind} ({mask.sum()})" for kind, mask in kinds.items()]
        axes.set_xticks(np.arange(len(kinds)), labels)
        axes.set(yscale="log", ylabel="deviatoric error, %", title=f"paths: {paths.name} (number of paths)")
        plain_numbers(axes)
        axes.grid(alpha=0.3, axis="y", which="both")
    save_under_one_legend(figure, path)


def draw_growth(path: Path, laws: Sequence[Judged], sets: Sequence[PathSet]) -> None:
    """Deviatoric error along the path."""
    figure = Figure(figsize=(5.5 * len(sets), 4.0), layout="constrained")
    for axes, paths in zip(figure.subplots(1, len(sets), squeeze=False)[0], sets, strict=True):
        for k, law in enumerate(laws):
            if paths.name in law.growth:
                values = 100.0 * law.growth[paths.name]
                axes.plot(
                    (np.arange(len(values)) + 0.5) / len(values), values, "o-", color=f"C{k % 10}", label=law.label
                )
        axes.set(xlabel="time over the path's duration", ylabel="deviatoric error, % of the path's stress")
        axes.set(title=f"paths: {paths.name}", ylim=(0.0, None), xlim=(0.0, 1.0))
        axes.grid(alpha=0.3)
    save_under_one_legend(figure, path)


def sample_paths(law: Judged, paths: PathSet) -> dict[str, int]:
    """The path of median error of each kind, and the worst of all, by a law's deviatoric error."""
    errors = np.where(law.answers[paths.name].answered, law.errors[paths.name]["deviatoric"], -1.0)
    chosen = {}
    for kind, mask in kinds_in(paths).items():
        where = np.flatnonzero(mask & (errors >= 0.0))
        if where.size:
            name, place = ("worst", -1) if kind == "all" else (f"typical {kind}", len(where) // 2)
            chosen[name] = int(where[np.argsort(errors[where], kind="stable")[place]])
            if kind == "all" and len(kinds_in(paths)) == 1:
                chosen["typical"] = int(where[np.argsort(errors[where], kind="stable")[len(where) // 2]])
    return chosen


def projections(U: np.ndarray, stresses: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Equivalent log strain and stresses along the direction of a path's largest strain: signed scalars (m+1,).

    U (m+1, 6), stresses (m+1, 6) in Pa: sqrt(2/3) e : d and sqrt(3/2) s : d, with |d| = 1.
    """
    log = full(deviator(logarithm(U)))
    sizes = np.linalg.norm(log, axis=(1, 2))
    direction = log[sizes.argmax()] / max(sizes.max(), 1e-300)
    along = [np.sqrt(1.5) * np.einsum("tij,ij->t", full(deviator(stress)), direction) for stress in stresses]
    return np.sqrt(2.0 / 3.0) * np.einsum("tij,ij->t", log, direction), along


def draw_samples(path: Path, laws: Sequence[Judged], sets: Sequence[PathSet]) -> None:
    """Stress-strain curves of typical paths and of the worst of each set, chosen by the first law that answered."""
    chosen = []
    for paths in sets:
        judge = next((law for law in laws if law.answers[paths.name].answered.any()), laws[0])
        chosen += [(paths, name, i) for name, i in sample_paths(judge, paths).items()]
    rows = max(1, -(-len(chosen) // COLUMNS))
    figure = Figure(figsize=(3.75 * COLUMNS, 3.8 * rows), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in grid[len(chosen) :]:
        axes.set_axis_off()
    for axes, (paths, name, i) in zip(grid, chosen, strict=False):
        draw_sample(axes, laws, paths, i)
        kind = "" if str(paths.kinds[i]) in name else f", {paths.kinds[i]}"
        axes.set_title(f"{paths.name}: {name}{kind}, {1e6 * np.ptp(paths.time[i]):.3g} µs", fontsize="medium")
    figure.suptitle("deviatoric stress, MPa, over equivalent log strain, along the direction of its largest; errors")
    key = grid[0]
    key.plot([], [], **FINE)
    for k, law in enumerate(laws):
        key.plot([], [], color=f"C{k % 10}", label=law.label)
    save_under_one_legend(figure, path)


def draw_sample(axes: Axes, laws: Sequence[Judged], paths: PathSet, i: int) -> None:
    """The fine scale's stress-strain curve of path i, and those of the laws that answered it."""
    shown = [law for law in laws if law.answers[paths.name].answered[i]]
    stresses = [paths.stress[i], *(law.answers[paths.name].stress[i] for law in shown)]
    strain, along = projections(paths.U[i], stresses)
    axes.plot(strain, along[0] / 1e6, color=FINE["color"], linewidth=FINE["linewidth"])
    lines, errors = [], []
    for law, stress in zip(shown, along[1:], strict=True):
        error = f"{100.0 * law.errors[paths.name]['deviatoric'][i]:.3g} %"
        lines += axes.plot(strain, stress / 1e6, linewidth=1.0, color=f"C{laws.index(law) % 10}")
        errors.append(error)
    margin = 0.5 * float(np.ptp(along[0])) / 1e6
    axes.set_ylim(along[0].min() / 1e6 - margin, along[0].max() / 1e6 + margin)
    axes.add_artist(axes.legend(lines, errors, fontsize="x-small"))


def draw_checks(path: Path, result: Mapping[str, Any]) -> None:
    """Resolution, isotropy, rest and cycles of all laws and the fine scale."""
    figure = Figure(figsize=(16.0, 8.5), layout="constrained")
    grid = figure.add_gridspec(2, 6)
    places = (grid[0, :3], grid[0, 3:], grid[1, :2], grid[1, 2:4], grid[1, 4:])
    own, against, rest, cycles = (figure.add_subplot(place) for place in (places[0], places[1], places[3], places[4]))
    polar = figure.add_subplot(places[2], projection="polar")
    fine = ("fine scale", result["reference"]["checks"], FINE)
    every = [(law["label"], law["checks"], {"color": f"C{k % 10}", "label": law["label"]})
             for k, law in enumerate(result["laws"])] + [fine]  # fmt: skip
    for _, found, style in every:
        if "steps" in found["resolution"]:
            part = found["resolution"]
            own.plot(part["steps"][:-1], shown(part["against_own_finest"][:-1]), "o-", **style)
            if found is not fine[1]:
                against.plot(part["steps"], shown(part["against_fine_scale"]), "o-", **style)
        if "tension" in found["isotropy"]:
            draw_directions(polar, found["isotropy"], style)
        if "held_von_mises" in found["drift"]:
            held, peaks = (np.array(found["drift"][key]) / 1e6 for key in ("held_von_mises", "cycle_peaks"))
            rest.plot(np.linspace(0.0, found["drift"]["steps"], len(held)), held, **style)
            cycles.plot(np.arange(1, len(peaks) + 1), peaks, **style)
    own.set(title="the same path in so many steps, against 20,000", xlabel="steps", ylabel="difference of deviator, %")
    against.set(title="against the fine scale in 20,000 steps", xlabel="steps", ylabel="difference of deviator, %")
    for axes in (own, against):
        axes.set(xscale="log", yscale="log")
        plain_numbers(axes)
    polar.set_title("von Mises stress, MPa, over direction\ntension, dashed: compression", fontsize="medium")
    rest.set(title="loading, then rest", xlabel="steps", ylabel="von Mises stress, MPa", ylim=(0.0, None))
    cycles.set(title="closed cycles of strain", xlabel="cycle", ylabel="peak von Mises stress, MPa", ylim=(0.0, None))
    rest.xaxis.set_major_locator(MaxNLocator(5))
    for axes in (own, against, rest, cycles):
        axes.grid(alpha=0.3)
    save_under_one_legend(figure, path)


def draw_directions(axes: Axes, found: Mapping[str, Any], style: Mapping[str, Any]) -> None:
    """Von Mises stress over the direction of loading; an axis and its opposite are the same."""
    angles = np.array(found["angles"])
    around = np.concatenate([angles, angles + np.pi, [2.0 * np.pi]])
    for mode, line in (("tension", "-"), ("compression", "--")):
        values = np.array(found[mode]) / 1e6
        axes.plot(around, np.concatenate([values, values, values[:1]]), line, color=style["color"], linewidth=1.2)
    axes.set_ylim(0.0, None)
    axes.yaxis.set_major_locator(MaxNLocator(4))


def draw_learning_curve(path: Path, result: Mapping[str, Any]) -> None:
    """Deviatoric error on the first set over training paths, a line for each network; error over its numbers beside."""
    figure = Figure(figsize=(11.0, 4.2), layout="constrained")
    by_data, by_size = figure.subplots(1, 2, sharey=True)
    name = result["sets"][0]["name"]
    lines: dict[tuple, list] = {}
    for law in result["laws"]:
        row, found = law["training"], law["errors"][name]["all"].get("deviatoric")
        if row and found and row["paths"] and row["parameters"]:
            sizes = ", ".join(f"{key} {value}" for key, value in row["sizes"].items())
            point = (row["paths"], row["parameters"], 100.0 * found["mean"], 100.0 * found["p95"])
            lines.setdefault((f"{row['kind']}, {sizes}", row["parameters"]), []).append(point)
    for (label, _), points in sorted(lines.items()):
        paths, numbers, mean, p95 = np.array(sorted(points)).T
        drawn = by_data.plot(paths, mean, "o-", label=label)[0]
        by_data.plot(paths, p95, "^:", color=drawn.get_color())
        by_size.plot(numbers, mean, "o", color=drawn.get_color(), label=label)
        by_size.plot(numbers, p95, "^", color=drawn.get_color())
    by_data.set(xlabel="training paths", ylabel="deviatoric error, %")
    by_size.set(xlabel="trained numbers")
    for axes in (by_data, by_size):
        axes.set(xscale="log", yscale="log")
        plain_numbers(axes)
        axes.grid(alpha=0.3, which="both")
        if lines:
            axes.legend(fontsize="small")
    figure.suptitle(f"paths: {name}; circles: mean, triangles: 95th percentile")
    save(figure, path, 120)
