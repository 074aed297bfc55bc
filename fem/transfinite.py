"""The quarter disc of `fem.meshing` by hand: transfinite interpolation, as Gmsh does it.

For machines where Gmsh's library cannot be loaded, because it links to windowing libraries (libGLU, libXrender and
others) that bare systems lack. The two agree to 1e-9 of the radius (tested).
"""

from collections.abc import Iterable

import numpy as np


def arc(centre: float, start: float, end: tuple[float, float], count: int) -> np.ndarray:
    """Points (count + 1, 2) at equal angles from (start, 0) to `end` on a circle around (centre, 0)."""
    angles = np.linspace(0.0, np.arctan2(end[1], end[0] - centre), count + 1)
    return np.stack([centre + (start - centre) * np.cos(angles), (start - centre) * np.sin(angles)], axis=1)


def quarter_disc(edge: np.ndarray, rings: Iterable[tuple[float, int, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 2) and counter-clockwise quads (m, 4) of the quarter disc x, y >= 0; blocks share the nodes of a seam.

    edge (core + 1, 2): edge of the core from the x axis to the diagonal; rings: (radius, layers, growth), outwards.
    """
    core = len(edge) - 1
    t = np.linspace(0.0, 1.0, core + 1)
    u, v = t[:, None, None], t[None, :, None]
    a, b = edge[0, 0], edge[-1]
    bottom, left, top = t[:, None] * [a, 0.0], t[:, None] * [0.0, a], edge[:, ::-1]
    corners = u * (1 - v) * [a, 0.0] + (1 - u) * v * [0.0, a] + u * v * b
    blocks = [(1 - v) * bottom[:, None] + v * top[:, None] + (1 - u) * left + u * edge - corners]
    for radius, layers, growth in rings:
        outer = arc(0.0, radius, (np.sqrt(0.5), np.sqrt(0.5)), core)
        steps = np.concatenate([[0.0], np.cumsum(growth ** np.arange(layers))])
        s = (steps / steps[-1])[:, None, None]
        block = (1 - s) * edge + s * outer
        blocks += [block, block[..., ::-1].swapaxes(0, 1)]
        edge = outer
    points: list[np.ndarray] = []
    quads: list[np.ndarray] = []
    for block in blocks:
        rows, columns = block.shape[:2]
        first = sum(len(p) for p in points) + np.arange(rows * columns).reshape(rows, columns)
        square = (first[:-1, :-1], first[1:, :-1], first[1:, 1:], first[:-1, 1:])
        quads.append(np.stack(square, axis=-1).reshape(-1, 4))
        points.append(block.reshape(-1, 2))
    xy = np.concatenate(points)
    _, kept, index = np.unique(np.rint(xy / (1e-9 * radius)), axis=0, return_index=True, return_inverse=True)
    return xy[kept], index.reshape(-1)[np.concatenate(quads)]
