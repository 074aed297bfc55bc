"""A body cut open in the plane y = 0: the polygons in which the plane meets its hexahedra.

The plane cuts some of a hexahedron's twelve edges; the cut points, in order of their angle about their mean, are the
corners of a polygon of three to six sides. Lengths are in mm, as pictures show them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

EDGES = np.array([(0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7)])
ASIDE = 1e-4  # of the body's size: how far behind y = 0 the cut lies, so that it never runs along element faces
MARGIN = 0.06  # around the body, as a part of its longer side


@dataclass(frozen=True)
class AxialCut:
    """A cut: polygons (k, v, 2) of x and z in mm with repeated last corners, and fields (k,) by name, SI.

    `low` and `high` (2,) are the corners of the region to show. `distances`: signed distance (k,) in m of points (k, 3)
    from each rigid body, negative inside, such as `lambda x: body.distance(x, time)`.
    """

    polygons: np.ndarray
    fields: Mapping[str, np.ndarray]
    low: np.ndarray
    high: np.ndarray
    distances: Sequence[Callable[[np.ndarray], np.ndarray]]


def axial_cut(
    points: np.ndarray,
    hexes: np.ndarray,
    fields: Mapping[str, np.ndarray],
    symmetry: str = "full",
    distances: Sequence[Callable[[np.ndarray], np.ndarray]] = (),
) -> AxialCut:
    """Cut a body: points (n, 3) in m, hexes (m, 8), cell fields (m,); others, such as tensors, are left out.

    symmetry "quarter": x, y >= 0 was computed, the cut shows the whole. `distances`: see AxialCut.
    """
    points = 1e3 * np.asarray(points, float)
    low, high = points.min(axis=0), points.max(axis=0)
    level = max(low[1], 0.0) + ASIDE * max(high - low)
    cells, polygons = _sections(points, np.asarray(hexes), level)
    chosen = {name: np.asarray(values)[cells] for name, values in fields.items() if np.ndim(values) == 1}
    if symmetry == "quarter":
        polygons = np.concatenate([polygons, polygons * [-1.0, 1.0]])
        chosen = {name: np.tile(values, 2) for name, values in chosen.items()}
        low[0] = -high[0]
    low, high = low[[0, 2]], high[[0, 2]]
    margin = MARGIN * max(high - low)
    return AxialCut(polygons, chosen, low - margin, high + margin, distances)


def _sections(points: np.ndarray, hexes: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """The cells (k,) that the plane y = level meets, and their polygons (k, v, 2) of x and z."""
    y = points[:, 1][hexes] - level
    cells = np.flatnonzero((y.min(axis=1) < 0.0) & (y.max(axis=1) > 0.0))
    corners, y = points[hexes[cells]], y[cells]
    start, end = y[:, EDGES[:, 0]], y[:, EDGES[:, 1]]
    cut = start * end < 0.0
    share = np.where(cut, start / np.where(cut, start - end, 1.0), 0.0)[:, :, None]
    where = ((1.0 - share) * corners[:, EDGES[:, 0]] + share * corners[:, EDGES[:, 1]])[:, :, [0, 2]]
    count = cut.sum(axis=1)
    centre = (where * cut[:, :, None]).sum(axis=1) / np.maximum(count, 1)[:, None]
    offset = where - centre[:, None]
    angle = np.where(cut, np.arctan2(offset[:, :, 1], offset[:, :, 0]), np.inf)
    sides = min(int(count.max(initial=3)), len(EDGES))
    order = np.argsort(angle, axis=1)[:, :sides]
    last = np.minimum(np.arange(sides), count[:, None] - 1)
    order = np.take_along_axis(order, last, axis=1)
    return cells, np.take_along_axis(where, order[:, :, None], axis=1)
