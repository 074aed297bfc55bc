"""A body cut open in the plane y = 0, or at its side nearest to that: the polygons in which it meets hexahedra.

The body is cut before it moved and its cut shown where it is now, seen along y, so that the same elements are cut at
all times. The plane cuts some of a hexahedron's twelve edges; the cut points, in order of their angle about their mean,
are the corners of a polygon of three to six sides. Lengths are in mm, as pictures show them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

EDGES = np.array([(0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7)])
ASIDE = 1e-4  # of the body's size: how far beside y = 0 the cut lies, so that it never runs along element faces
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
    before: np.ndarray,
    now: np.ndarray,
    hexes: np.ndarray,
    fields: Mapping[str, np.ndarray],
    symmetry: str = "full",
    distances: Sequence[Callable[[np.ndarray], np.ndarray]] = (),
) -> AxialCut:
    """Cut a body whose nodes were at `before` (n, 3) and are at `now` (n, 3), in m, and has hexes (m, 8).

    fields: cell fields (m,) by name; others, such as tensors, are left out. symmetry "quarter": x, y >= 0 was computed,
    the cut shows the whole. `distances`: see AxialCut.
    """
    before, now = 1e3 * np.asarray(before, float), 1e3 * np.asarray(now, float)
    cells, polygons = _sections(before, now, np.asarray(hexes))
    chosen = {name: np.asarray(values)[cells] for name, values in fields.items() if np.ndim(values) == 1}
    if symmetry == "quarter":
        polygons = np.concatenate([polygons, polygons * [-1.0, 1.0]])
        chosen = {name: np.tile(values, 2) for name, values in chosen.items()}
    low, high = now.min(axis=0)[[0, 2]], now.max(axis=0)[[0, 2]]
    low[0] = -high[0] if symmetry == "quarter" else low[0]
    margin = MARGIN * max(high - low)
    return AxialCut(polygons, chosen, low - margin, high + margin, distances)


def _sections(before: np.ndarray, now: np.ndarray, hexes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cells (k,) that are cut and their polygons (k, v, 2) of x and z."""
    low, high = before.min(axis=0), before.max(axis=0)
    aside = ASIDE * max(high - low)
    y = before[:, 1][hexes] - min(max(low[1], 0.0) + aside, high[1] - aside)
    cells = np.flatnonzero((y.min(axis=1) < 0.0) & (y.max(axis=1) > 0.0))
    corners, y = now[hexes[cells]], y[cells]
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
