"""Pictures of runs that are compared: cuts side by side in one colour scale, histories, errors over time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cases.comparison import FIELDS, Run, field_errors, mean_forces
from fem.axial_cut import axial_cut
from fem.picture import PANELS, save, sheet

NAMES = {
    "von_mises": "von Mises stress",
    "deviatoric_strain": "deviatoric strain e_d",
    "volumetric_strain": "volumetric strain e_v",
}
SHAPES = {"length": "length, mm", "radius": "radius of the impact face, mm", "deflection": "deflection, mm"}


def draw_cuts(path: Path, runs: Sequence[Run], symmetry: str, title: str) -> None:
    """Axial cuts at the end, a field a row and a run a column (the other way round for wide bodies)."""
    cuts = []
    for run in runs:
        fields = {name: values[-1] for name, values in run.fields.items()}
        cuts.append(axial_cut(run.before, run.points, run.hexes, fields, symmetry))
    tall = np.ptp(cuts[0].polygons[:, :, 1]) > np.ptp(cuts[0].polygons[:, :, 0])
    captions = [run.label.replace(":", ":\n") if tall else run.label for run in runs]
    save(sheet(cuts, PANELS, title, captions, edges=False), path)


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
    save(figure, path, 120)
