"""The picture of `fem.picture` with Matplotlib alone, for machines where VTK finds no OpenGL to draw with.

Each cell on the cut is drawn as its face nearest to the plane y = 0, which is the cut itself where element faces lie in
that plane, as in the meshes of `fem.meshing`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fem.mesh import FACES


def faces_on_cut(points: np.ndarray, hexes: np.ndarray) -> np.ndarray:
    """Of each cell (m, 8) the face nearest to the plane y = 0, as polygons in x and z (m, 4, 2)."""
    faces = hexes[:, FACES]
    nearest = points[:, 1][faces].mean(axis=2).argmin(axis=1)
    return points[faces[np.arange(len(faces)), nearest]][:, :, [0, 2]]


def draw(
    scene: Mapping[str, np.ndarray],
    panels: Sequence[tuple[str, str, float, str]],
    limits: Sequence[float],
    target: Path,
) -> None:
    """Draw a scene of `fem.picture` into the PNG `target`; limits: the upper end of each panel's colour bar."""
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure

    low, high = scene["low"], scene["high"]
    tall = high[2] - low[2] > high[0] - low[0]
    figure = Figure(figsize=(11, 8) if tall else (12, 7), layout="constrained")
    figure.suptitle(str(scene["title"]))
    polygons = faces_on_cut(scene["points"], scene["hexes"])
    shape = (1, 2) if tall else (2, 1)
    axes = figure.subplots(*shape).ravel()
    for axis, (name, label, _, colours), top in zip(axes, panels, limits, strict=True):
        for distance in scene["rigid"]:
            axis.contourf(scene["x"], scene["z"], distance.T, levels=[-np.inf, 0.0], colors="#d0d0d0")
        sides = [1.0, -1.0] if scene["mirrored"] else [1.0]
        for side in sides:
            cells = PolyCollection(
                list(polygons * [side, 1.0]), cmap=colours, edgecolors=(0, 0, 0, 0.2), linewidths=0.5
            )
            cells.set_array(scene[name])
            cells.set_clim(0.0, top)
            axis.add_collection(cells)
        axis.set(xlim=(low[0], high[0]), ylim=(low[2], high[2]), aspect="equal", xlabel="x, mm", ylabel="z, mm")
        figure.colorbar(cells, ax=axis, label=label, shrink=0.8)
    figure.savefig(target, dpi=130, format="png")
