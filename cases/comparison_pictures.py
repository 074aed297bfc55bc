"""Pictures of runs that are compared: cuts side by side in one colour scale, histories, errors over time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from cases.comparison import FIELDS, Run, field_errors, mean_forces
from fem.picture import PANELS, on_cut
from fem.plain_picture import faces_on_cut

NAMES = {
    "von_mises": "von Mises stress",
    "deviatoric_strain": "deviatoric strain e_d",
    "volumetric_strain": "volumetric strain e_v",
}
SHAPES = {"length": "length, mm", "radius": "radius of the impact face, mm", "deflection": "deflection, mm"}


def draw_cuts(path: Path, runs: Sequence[Run], symmetry: str, title: str) -> None:
    """Axial cuts at the end, a field a row and a run a column (the other way round for wide bodies)."""
    low, high = (1e3 * pick([run.points for run in runs], axis=(0, 1)) for pick in (np.min, np.max))
    if symmetry == "quarter":
        low[0] = -high[0]
    tall = high[2] - low[2] > high[0] - low[0]
    cuts = {run.label: on_cut(run.points, run.hexes)[0] for run in runs}
    shape = (len(PANELS), len(runs)) if tall else (len(runs), len(PANELS))
    aspect = (high[2] - low[2]) / (high[0] - low[0])
    panel = (1.7, 1.7 * aspect + 0.3) if tall else (6.0, 6.0 * aspect + 0.5)
    figure = Figure(figsize=(panel[0] * shape[1] + 1.2, panel[1] * shape[0] + 1.0), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(*shape, squeeze=False, sharex=True, sharey=True)
    grid = grid if tall else grid.T
    for row, (name, label, factor, colours) in zip(grid, PANELS, strict=True):
        top = factor * max(float(np.percentile(run.fields[name][-1][cuts[run.label]], 99)) for run in runs)
        for axes, run in zip(row, runs, strict=True):
            kept = cuts[run.label]
            polygons = 1e3 * faces_on_cut(run.points, run.hexes[kept])
            for side in (1.0, -1.0) if symmetry == "quarter" else (1.0,):
                cells = PolyCollection(list(polygons * [side, 1.0]), cmap=colours, edgecolors="face", linewidths=0.2)
                cells.set_array(factor * run.fields[name][-1][kept])
                cells.set_clim(0.0, max(top, 1e-12))
                axes.add_collection(cells)
            axes.set(xlim=(low[0], high[0]), ylim=(low[2], high[2]), aspect="equal")
            axes.set_title(run.label.replace(":", ":\n") if tall else run.label, fontsize="x-small")
        figure.colorbar(cells, ax=row, label=label, location="right" if tall else "bottom", shrink=0.8)
    figure.supxlabel("x, mm")
    figure.supylabel("z, mm")
    figure.savefig(path, dpi=130)


def draw_histories(path: Path, runs: Sequence[Run], title: str) -> None:
    """Contact force, and what the case measures, over time."""
    shapes = [column for column in SHAPES if column in runs[0].history]
    figure = Figure(figsize=(5.0 * (1 + len(shapes)), 4.4), layout="constrained")
    grid = figure.subplots(1, 1 + len(shapes), squeeze=False)[0]
    for k, run in enumerate(runs):
        style: dict[str, Any] = {"color": "k" if k == 0 else f"C{k - 1}", "linewidth": 2.0 if k == 0 else 1.2}
        edges = np.linspace(0.0, runs[0].times[-1], len(runs[0].times))
        grid[0].stairs(mean_forces(run, edges), 1e6 * edges, label=run.label, baseline=None, **style)
        for axes, column in zip(grid[1:], shapes, strict=True):
            axes.plot(1e6 * run.history["time"], 1e3 * run.history[column], **style)
    grid[0].set(ylabel="contact force, N (means over intervals)", ylim=(0.0, None))
    for axes, column in zip(grid[1:], shapes, strict=True):
        axes.set(ylabel=SHAPES[column])
    _finish(figure, grid, path, title)


def draw_field_errors(path: Path, runs: Sequence[Run], title: str) -> None:
    """Relative L2 errors of the fields at each frame."""
    figure = Figure(figsize=(5.0 * len(FIELDS), 4.4), layout="constrained")
    grid = figure.subplots(1, len(FIELDS), squeeze=False)[0]
    for axes, name in zip(grid, FIELDS, strict=True):
        for k, run in enumerate(runs[1:]):
            errors = field_errors(run, runs[0], name)["frames"]
            shown = [np.nan if error is None else 100.0 * error for error in errors]
            axes.plot(1e6 * runs[0].times, shown, "o-", color=f"C{k}", markersize=3, label=run.label)
        axes.set(title=NAMES[name], ylabel="difference over elements, %", ylim=(0.0, None))
    _finish(figure, grid, path, title)


def _finish(figure: Figure, grid: Sequence[Any], path: Path, title: str) -> None:
    figure.suptitle(title)
    for axes in grid:
        axes.set(xlabel="time, microseconds")
        axes.grid(alpha=0.3)
    handles, labels = grid[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(handles)), fontsize="small")
    figure.savefig(path, dpi=120)
