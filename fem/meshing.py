"""Meshes made here: the rod (`cylinder`), the plate (`plate`) and a block (`box`).

Gmsh meshes a quarter of the disc as an O-grid: a central square block with bulged edges, and rings around it.
(One square mapped onto the whole disc would degenerate at its four corners.) The quarter is made exactly
symmetric about its diagonal, turned three times by 90 degrees for the full disc, which is exact in floating
point, and extruded along z.

        r *----_
          |      `-_          0a, 0c   half width of the core along the axes, CORE_AXIS r
          |   ring  * .       b        its corner on the diagonal, at (CORE_CORNER r, CORE_CORNER r)
        c *--__   /    .      a-b, b-c arcs that leave the axes at right angles
          |    `b       .
          | core |      |
        0 *------a------* r
"""

import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from fem import transfinite
from fem.mesh import Mesh, MeshError

# Chosen by a search for well-shaped, evenly sized elements at any number of them: scaled Jacobian >= 0.85, shortest
# edge 0.83 and longest (at the rim) 1.57 of diameter / elements_across.
CORE_AXIS, CORE_CORNER = 0.47, 0.41
GROWTH = 1.15  # of the plate's elements from ring to ring, outside the fine zone


@dataclass(frozen=True)
class Ring:
    """Elements around the core out to `radius` (m): `layers` of them, each `growth` times as thick as the last."""

    radius: float
    layers: int
    growth: float = 1.0


def cylinder(diameter: float, length: float, elements_across: int, symmetry: str = "full") -> Mesh:
    """A rod along z in [0, length] (m), impact face at z = 0.

    `elements_across`, even and at least 4, counts elements along a diameter; the axial size is the mean size across.
    symmetry: "full", or "quarter" for x, y >= 0. Node sets: impact_face, rear_face, side, axis; for a quarter also
    symmetry_x (x = 0) and symmetry_y (y = 0). Raises MeshError.
    """
    _check_positive(diameter=diameter, length=length)
    across = _check_count("elements_across", elements_across, least=4)
    if across % 2:
        raise MeshError(f"elements_across is {across}; give an even number (the mesh is symmetric)")
    core = 2 * max(1, round(across / 4))
    xy, quads = _disc(core, [Ring(diameter / 2, (across - core) // 2)], symmetry)
    size = np.sqrt(_area(diameter / 2, symmetry) / len(quads))
    levels = np.linspace(0.0, length, max(1, round(length / size)) + 1)
    names = {"bottom": "impact_face", "top": "rear_face", "side": "side", "axis": "axis"}
    return _extrude(xy, quads, levels, diameter / 2, names, symmetry)


def plate(radius: float, thickness: float, fine_radius: float, elements_through: int, symmetry: str = "full") -> Mesh:
    """A round plate, z in [-thickness, 0] (m), impacted face at z = 0.

    Elements are about thickness / elements_through wide within `fine_radius` (the projectile's radius and a margin)
    and grow outside. Node sets: front_face (z = 0), back_face, rim, rim_back (where the rim meets the back face),
    axis, and those of `symmetry` as in `cylinder`. Raises MeshError.
    """
    _check_positive(radius=radius, thickness=thickness, fine_radius=fine_radius)
    through = _check_count("elements_through", elements_through, least=1)
    size = thickness / through
    fine_radius = min(fine_radius, radius)
    across = 2 * max(2, round(fine_radius / size))
    core = 2 * max(1, round(across / 4))
    rings = [Ring(fine_radius, (across - core) // 2)]
    if radius - fine_radius > size / 2:
        layers = np.log1p((radius - fine_radius) * (GROWTH - 1) / (size * GROWTH)) / np.log(GROWTH)
        rings.append(Ring(radius, max(1, round(layers)), GROWTH))
    else:
        rings[0] = Ring(radius, rings[0].layers)
    xy, quads = _disc(core, rings, symmetry)
    levels = np.linspace(-thickness, 0.0, through + 1)
    names = {"bottom": "back_face", "top": "front_face", "side": "rim", "axis": "axis"}
    mesh = _extrude(xy, quads, levels, radius, names, symmetry)
    rim_back = np.intersect1d(mesh.node_sets["rim"], mesh.node_sets["back_face"])
    return Mesh(mesh.points, mesh.hexes, {**mesh.node_sets, "rim_back": rim_back})


def box(lengths: Sequence[float], divisions: Sequence[int]) -> Mesh:
    """A block from the origin to `lengths` (m) of nx x ny x nz equal elements; node sets x_min, x_max, y_min .. z_max.

    Raises MeshError.
    """
    if len(lengths) != 3 or len(divisions) != 3:
        raise MeshError("box needs three lengths and three numbers of elements")
    for axis, (length, count) in enumerate(zip(lengths, divisions, strict=True)):
        _check_positive(**{f"lengths[{axis}]": length})
        _check_count(f"divisions[{axis}]", count, least=1)
    nx, ny, nz = divisions
    x, y, z = (np.linspace(0.0, length, n + 1) for length, n in zip(lengths, divisions, strict=True))
    xy = np.stack(np.meshgrid(x, y, indexing="xy"), axis=-1).reshape(-1, 2)
    corner = (np.arange(ny)[:, None] * (nx + 1) + np.arange(nx)).reshape(-1, 1)
    points, hexes = _sweep(xy, corner + np.array([0, 1, nx + 2, nx + 1]), z)
    index = np.arange(len(points)).reshape(nz + 1, ny + 1, nx + 1)
    sets = {"x_min": index[:, :, 0], "x_max": index[:, :, -1], "y_min": index[:, 0], "y_max": index[:, -1]}
    sets |= {"z_min": index[0], "z_max": index[-1]}
    return Mesh(points, hexes, {name: nodes.ravel() for name, nodes in sets.items()})


def _disc(core: int, rings: list[Ring], symmetry: str) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 2) and quads (m, 4) of a disc, or of its quarter x, y >= 0."""
    if symmetry not in ("full", "quarter"):
        raise MeshError(f"symmetry is '{symmetry}'; give 'full' or 'quarter'")
    xy, quads = _quarter_disc(core // 2, rings)
    xy = _symmetric_about_diagonal(xy, rings[-1].radius)
    if symmetry == "full":
        turns = [xy]
        for _ in range(3):
            turns.append(np.stack([-turns[-1][:, 1], turns[-1][:, 0]], axis=1))
        quads = np.concatenate([quads + k * len(xy) for k in range(4)])
        xy = np.concatenate(turns) + 0.0  # no -0.0: seam nodes of neighbouring quarters compare equal
    xy, index = np.unique(xy, axis=0, return_inverse=True)
    quads = index[quads]
    return xy, quads[np.argsort(quads.min(axis=1), kind="stable")]


@contextmanager
def gmsh_model(gmsh: Any) -> Iterator[None]:
    """Work in an empty Gmsh model of our own: quiet, removed at the end, leaving a user's own session alone."""
    ours = not gmsh.isInitialized()
    if ours:
        gmsh.initialize(readConfigFiles=False, interruptible=False)
    terminal = gmsh.option.getNumber("General.Terminal")
    gmsh.option.setNumber("General.Terminal", 0)
    gmsh.model.add("multiscale-impact")
    try:
        yield
    finally:
        gmsh.model.remove()
        gmsh.option.setNumber("General.Terminal", terminal)
        if ours:
            gmsh.finalize()


def _quarter_disc(core: int, rings: list[Ring]) -> tuple[np.ndarray, np.ndarray]:
    """Quarter disc with `core` x `core` elements in its core: points (n, 2) and counter-clockwise quads (m, 4)."""
    a, b = CORE_AXIS * rings[0].radius, CORE_CORNER * rings[0].radius
    bulge = (a * a - 2 * b * b) / (2 * (a - b))  # centre of the arc that leaves (a, 0) upright and meets (b, b)
    try:
        import gmsh
    except (ImportError, OSError):
        edge = transfinite.arc(bulge, a, (b, b), core)
        return transfinite.quarter_disc(edge, [(ring.radius, ring.layers, ring.growth) for ring in rings])
    with gmsh_model(gmsh):
        _quarter_geometry(gmsh.model.geo, core, [(a, 0.0), (b, b), (0.0, a)], bulge, rings)
        gmsh.model.geo.synchronize()
        gmsh.model.mesh.generate(2)
        tags, coordinates, _ = gmsh.model.mesh.getNodes()
        _, quads = gmsh.model.mesh.getElementsByType(3)
    used, quads = np.unique(quads, return_inverse=True)  # leaves the centres of the arcs out
    rows = np.searchsorted(tags, used, sorter=(order := np.argsort(tags)))
    return coordinates.reshape(-1, 3)[order[rows], :2], quads.reshape(-1, 4)


def _quarter_geometry(geo: Any, core: int, outline: list[tuple[float, float]], bulge: float, rings: list[Ring]) -> None:
    """The blocks of the sketch above: each outline has a point on the x axis, on the diagonal and on the y axis."""
    origin = geo.addPoint(0, 0, 0)
    centres = [geo.addPoint(bulge, 0, 0), geo.addPoint(0, bulge, 0)]
    inner = [geo.addPoint(x, y, 0) for x, y in outline]
    arcs = [geo.addCircleArc(inner[k], centres[k], inner[k + 1]) for k in range(2)]
    axes = [geo.addLine(origin, inner[0]), geo.addLine(inner[2], origin)]
    for curve in (*arcs, *axes):
        geo.mesh.setTransfiniteCurve(curve, core + 1)
    _add_block(geo, [axes[0], *arcs, axes[1]])
    for ring in rings:
        h = ring.radius * np.sqrt(0.5)
        outer = [geo.addPoint(x, y, 0) for x, y in ((ring.radius, 0), (h, h), (0, ring.radius))]
        rays = [geo.addLine(start, end) for start, end in zip(inner, outer, strict=True)]
        new_arcs = [geo.addCircleArc(outer[k], origin, outer[k + 1]) for k in range(2)]
        for ray in rays:
            geo.mesh.setTransfiniteCurve(ray, ring.layers + 1, "Progression", ring.growth)
        for k in range(2):
            geo.mesh.setTransfiniteCurve(new_arcs[k], core + 1)
            _add_block(geo, [rays[k], new_arcs[k], -rays[k + 1], -arcs[k]])
        inner, arcs = outer, new_arcs


def _add_block(geo, curves: list[int]) -> None:
    surface = geo.addPlaneSurface([geo.addCurveLoop(curves)])
    geo.mesh.setTransfiniteSurface(surface)
    geo.mesh.setRecombine(2, surface)


def _symmetric_about_diagonal(xy: np.ndarray, radius: float) -> np.ndarray:
    """Average each point with its mirror image in x = y, and put points on the axes exactly there.

    Symmetric bodies then stay symmetric to round-off through thousands of steps.
    """
    from scipy.spatial import cKDTree

    partner = cKDTree(xy).query(xy[:, ::-1])[1]
    xy = 0.5 * (xy + xy[partner][:, ::-1])
    xy[np.abs(xy) < 1e-9 * radius] = 0.0
    return xy


def _extrude(
    xy: np.ndarray, quads: np.ndarray, levels: np.ndarray, radius: float, names: dict[str, str], symmetry: str
) -> Mesh:
    """Sweep a disc along z; `names` gives the node sets their names."""
    points, hexes = _sweep(xy, quads, levels)
    r = np.hypot(points[:, 0], points[:, 1])
    sets = {
        names["bottom"]: points[:, 2] == levels[0],
        names["top"]: points[:, 2] == levels[-1],
        names["side"]: r > radius * (1 - 1e-9),
        names["axis"]: r == 0.0,
    }
    if symmetry == "quarter":
        sets |= {"symmetry_x": points[:, 0] == 0.0, "symmetry_y": points[:, 1] == 0.0}
    return Mesh(points, hexes, {name: np.flatnonzero(mask) for name, mask in sets.items()})


def _sweep(xy: np.ndarray, quads: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points and hexes of quads (m, 4), counter-clockwise seen from +z, repeated at increasing `levels`."""
    n, layers = len(xy), len(levels) - 1
    points = np.empty((layers + 1, n, 3))
    points[:, :, :2] = xy
    points[:, :, 2] = levels[:, None]
    first = (np.arange(layers, dtype=np.int32) * n)[:, None, None]
    columns = np.concatenate([quads, quads + n], axis=1).astype(np.int32)
    return points.reshape(-1, 3), (columns + first).reshape(-1, 8)


def _area(radius: float, symmetry: str) -> float:
    return np.pi * radius**2 * (0.25 if symmetry == "quarter" else 1.0)


def _check_positive(**lengths: float) -> None:
    for name, value in lengths.items():
        if not (np.isfinite(value) and value > 0):
            raise MeshError(f"{name} is {value}; give a positive length in metres")


def _check_count(name: str, value: int, least: int) -> int:
    try:
        count = operator.index(value)
    except TypeError:
        raise MeshError(f"{name} is {value!r}; give a whole number") from None
    if count < least:
        raise MeshError(f"{name} is {count}; give {least} or more")
    return count
