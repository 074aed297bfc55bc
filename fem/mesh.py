"""Hexahedral meshes: what the solver is given, and the checks that a mesh must pass.

Numbering of an element's nodes (VTK and Abaqus C3D8: the first face counter-clockwise seen from the second):

          7--------6
         /|       /|        corner  xi eta zeta
        4--------5 |          0     -   -   -
        | |      | |          1     +   -   -
        | 3------|-2          2     +   +   -
        |/       |/           3     -   +   -
        0--------1            4 .. 7 the same with zeta +

A mesh is in metres. Node sets name the nodes that supports, contact and reports refer to.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from fem.hex8 import GAUSS, shape_gradients

# The three neighbours of each corner, right-handed: the edges to them have a positive triple product when sound.
CORNER_NEIGHBOURS = np.array([[1, 3, 4], [2, 0, 5], [3, 1, 6], [0, 2, 7], [7, 5, 0], [4, 6, 1], [5, 7, 2], [6, 4, 3]])
# The corners of each face, counter-clockwise seen from outside.
FACES = np.array([[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]])

LARGEST_PLAUSIBLE_SIZE = 10.0  # m, assumed: an impact specimen larger than this is probably given in millimetres
COINCIDENCE = 2.0**-20  # nodes closer than this part of the mesh's size are probably unmerged copies


class MeshError(ValueError):
    """A mesh that cannot be used; the message says what is wrong, where, and what to do."""


class MeshWarning(UserWarning):
    """A mesh that can be used but is probably not what its author meant."""


@dataclass(frozen=True)
class Mesh:
    """A mesh of 8-node hexahedra.

    points (n, 3) float64, m; hexes (m, 8) int32, node indices from 0 in the order drawn above; node_sets: name ->
    sorted node indices (k,) int64. Sequences are converted, masks (n,) of bools too. Raises MeshError where the shapes
    are wrong; `check_mesh` looks deeper.
    """

    points: np.ndarray
    hexes: np.ndarray
    node_sets: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        points = np.ascontiguousarray(self.points, np.float64)
        hexes = np.ascontiguousarray(self.hexes, np.int32)
        if points.ndim != 2 or points.shape[1] != 3:
            raise MeshError(f"points have shape {points.shape}; give (n, 3) coordinates in metres")
        if hexes.ndim != 2 or hexes.shape[1] != 8 or len(hexes) == 0:
            raise MeshError(f"hexes have shape {hexes.shape}; give (m, 8) node indices, m > 0")
        sets = {name: as_nodes(nodes, len(points), f"nodes of set '{name}'") for name, nodes in self.node_sets.items()}
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "hexes", hexes)
        object.__setattr__(self, "node_sets", MappingProxyType(sets))

    @property
    def size(self) -> float:
        """Longest side of the box around it, m."""
        return float(np.ptp(self.points, axis=0).max())

    def nodes(self, name: str) -> np.ndarray:
        """Indices of the named node set; raises MeshError with the known names."""
        if name not in self.node_sets:
            known = ", ".join(sorted(self.node_sets)) or "none"
            raise MeshError(f"the mesh has no node set '{name}'; it has: {known}")
        return self.node_sets[name]


def as_nodes(given: Sequence[int] | Sequence[bool] | np.ndarray, count: int, what: str = "nodes") -> np.ndarray:
    """Sorted node indices (k,) int64 of a list of indices, or of a mask with a bool for each of `count` nodes."""
    nodes = np.atleast_1d(given)
    if nodes.dtype == bool and nodes.shape == (count,):
        return np.flatnonzero(nodes)
    if nodes.size and (nodes.ndim != 1 or nodes.dtype.kind not in "iu"):
        raise MeshError(
            f"{what} are {nodes.dtype} of shape {nodes.shape}; give node numbers, or a mask of {count} bools"
        )
    return np.unique(nodes.astype(np.int64))


def drop_unused_nodes(mesh: Mesh) -> Mesh:
    """The same mesh without the nodes that belong to no element (they would have no mass); sets are renumbered."""
    _check_indices(mesh)
    used = np.zeros(len(mesh.points), bool)
    used[mesh.hexes] = True
    if used.all():
        return mesh
    new_index = np.cumsum(used) - 1
    sets = {name: new_index[nodes[used[nodes]]] for name, nodes in mesh.node_sets.items()}
    return Mesh(mesh.points[used], new_index[mesh.hexes], sets)


def check_mesh(mesh: Mesh) -> None:
    """Raise MeshError where the solver could not work with the mesh; issue MeshWarning where it looks mistaken."""
    _check_indices(mesh)
    _check_nodes(mesh)
    _check_shapes(mesh)
    _check_neighbours(mesh)
    _warn_of_coincident_nodes(mesh)
    if mesh.size > LARGEST_PLAUSIBLE_SIZE:
        text = f"the mesh is {mesh.size:.4g} m long: if these are millimetres, read or build it with scale=1e-3"
        warnings.warn(text, MeshWarning, stacklevel=2)


def require_hexahedra(others: dict[str, int], found: bool) -> None:
    """Raise ValueError where a file has solid elements of another type (name -> count), or no hexahedra."""
    named = ", ".join(f"{count} of type {name}" for name, count in others.items() if count)
    if named:
        raise ValueError(f"it has solid elements that are not 8-node hexahedra ({named}): mesh with hexahedra only")
    if not found:
        raise ValueError("it has no hexahedra: the solver needs a mesh of 8-node hexahedra")


def scaled_jacobian(mesh: Mesh) -> np.ndarray:
    """Shape quality of each element (m,): 1 for a box, 0 or less where a corner is flat or inverted.

    The least, over the corners, of the triple product of the three edges there divided by their lengths.
    """
    worst = np.full(len(mesh.hexes), np.inf)
    for corner, neighbours in enumerate(CORNER_NEIGHBOURS):
        a, b, c = _edges(mesh, corner, neighbours)
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1) * np.linalg.norm(c, axis=1)
        np.minimum(worst, _triple(a, b, c) / np.maximum(lengths, 1e-300), out=worst)
    return worst


def surface_faces(mesh: Mesh) -> np.ndarray:
    """The faces that belong to one element only, (k, 4) node indices, counter-clockwise seen from outside."""
    faces = mesh.hexes[:, FACES].reshape(-1, 4)
    order, as_next = _equal_rows(np.sort(faces, axis=1))
    shared = as_next | np.insert(as_next[:-1], 0, False)
    return faces[np.sort(order[~shared])]


def surface_nodes(mesh: Mesh) -> np.ndarray:
    """Sorted indices (k,) of the nodes on the surface of the mesh."""
    on_surface = np.zeros(len(mesh.points), bool)
    on_surface[surface_faces(mesh)] = True
    return np.flatnonzero(on_surface)


def _check_indices(mesh: Mesh) -> None:
    n = len(mesh.points)
    outside = ((mesh.hexes < 0) | (mesh.hexes >= n)).any(axis=1)
    if outside.any():
        element = np.flatnonzero(outside)[0]
        nodes = mesh.hexes[element].tolist()
        raise MeshError(f"element {element} has nodes {nodes}, but the nodes are numbered 0 to {n - 1}")
    for name, nodes in mesh.node_sets.items():
        if len(nodes) and (nodes[0] < 0 or nodes[-1] >= n):
            bad = nodes[0] if nodes[0] < 0 else nodes[-1]
            raise MeshError(f"node set '{name}' has node {bad}, but the nodes are numbered 0 to {n - 1}")


def _check_nodes(mesh: Mesh) -> None:
    finite = np.isfinite(mesh.points).all(axis=1)
    if not finite.all():
        node = np.flatnonzero(~finite)[0]
        raise MeshError(f"node {node} has coordinates {mesh.points[node].tolist()}; they must be finite")
    ordered = np.sort(mesh.hexes, axis=1)
    repeated = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    if repeated.any():
        element = np.flatnonzero(repeated)[0]
        raise MeshError(
            f"element {element} at {_position(mesh, element)} uses a node twice, {mesh.hexes[element].tolist()}: "
            "degenerate hexahedra are not supported, mesh with true 8-node hexahedra"
        )
    used = np.zeros(len(mesh.points), bool)
    used[mesh.hexes] = True
    if not used.all():
        node = np.flatnonzero(~used)[0]
        raise MeshError(
            f"{np.count_nonzero(~used)} nodes belong to no element, the first is node {node}; "
            "remove them with fem.mesh.drop_unused_nodes"
        )


def _check_shapes(mesh: Mesh) -> None:
    quality = scaled_jacobian(mesh)
    volumes = _gauss_volumes(mesh)
    if (volumes < 0).all():
        raise MeshError(
            "every element is mirrored (negative volume): the file numbers the nodes in the opposite sense; "
            "write nodes 5 to 8 of each element first, then 1 to 4, as hexes[:, [4, 5, 6, 7, 0, 1, 2, 3]]"
        )
    bad = (quality <= 0) | (volumes <= 0).any(axis=1)
    if bad.any():
        element = np.flatnonzero(bad)[np.argmin(quality[bad])]
        raise MeshError(
            f"element {element} at {_position(mesh, element)} is tangled or flat (scaled Jacobian "
            f"{quality[element]:.3g}, {np.count_nonzero(volumes[element] <= 0)} of 8 Gauss points without volume; "
            f"{np.count_nonzero(bad)} such elements of {len(bad)}): "
            "mend the mesh"
        )


def _check_neighbours(mesh: Mesh) -> None:
    """No element may be there twice, and no face may belong to three: contact would take such faces for inner ones."""
    order, as_next = _equal_rows(np.sort(mesh.hexes, axis=1))
    if as_next.any():
        first, second = sorted(order[np.argmax(as_next) :][:2].tolist())
        raise MeshError(
            f"elements {first} and {second} at {_position(mesh, first)} have the same eight nodes "
            f"({np.count_nonzero(as_next)} such pairs): remove the doubles"
        )
    order, as_next = _equal_rows(np.sort(mesh.hexes[:, FACES].reshape(-1, 4), axis=1))
    thrice = as_next[:-1] & as_next[1:]
    if thrice.any():
        owners = sorted((order[np.argmax(thrice) :][:3] // len(FACES)).tolist())
        raise MeshError(
            f"elements {owners[0]}, {owners[1]} and {owners[2]} at {_position(mesh, owners[0])} share one face, "
            "which can join only two: mend the mesh"
        )


def _equal_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order (k,) that brings equal rows of node indices (k, even) together, and whether each is as the next in it."""
    pairs = rows[:, ::2].astype(np.int64) << 32 | rows[:, 1::2]
    order = np.lexsort(pairs.T)
    pairs = pairs[order]
    return order, np.append((pairs[1:] == pairs[:-1]).all(axis=1), False)


def _warn_of_coincident_nodes(mesh: Mesh) -> None:
    """Cheap: nodes are compared on a grid, so a pair on either side of a grid plane is missed."""
    low, size = mesh.points.min(axis=0), max(mesh.size, 1e-300)
    grid = np.rint((mesh.points - low) / (size * COINCIDENCE)).astype(np.int64)
    keys = (grid[:, 0] << 42) | (grid[:, 1] << 21) | grid[:, 2]
    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero(keys[order][1:] == keys[order][:-1])
    if len(same):
        first, second = order[same[0]], order[same[0] + 1]
        text = (
            f"{len(same)} nodes lie on top of another, such as {first} and {second} at {_metres(mesh.points[first])}: "
            "the parts are not joined there; merge the nodes if they should be"
        )
        warnings.warn(text, MeshWarning, stacklevel=3)


def _edges(mesh: Mesh, corner: int, neighbours: np.ndarray) -> list[np.ndarray]:
    """The three edge vectors (m, 3) from one corner of each element."""
    start = mesh.points[mesh.hexes[:, corner]]
    return [mesh.points[mesh.hexes[:, end]] - start for end in neighbours]


def _triple(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a . (b x c) of vectors (m, 3)."""
    return (
        a[:, 0] * (b[:, 1] * c[:, 2] - b[:, 2] * c[:, 1])
        + a[:, 1] * (b[:, 2] * c[:, 0] - b[:, 0] * c[:, 2])
        + a[:, 2] * (b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0])
    )


def _gauss_volumes(mesh: Mesh) -> np.ndarray:
    """Volume at each of the 2x2x2 Gauss points of each element, (m, 8), m3: the determinant of dX/dxi."""
    corners = mesh.points[mesh.hexes.T].reshape(8, -1)
    jacobians = ((shape_gradients(xi).T @ corners).reshape(3, -1, 3) for xi in GAUSS)
    return np.stack([_triple(*rows) for rows in jacobians], axis=1)


def _position(mesh: Mesh, element: int) -> str:
    return _metres(mesh.points[mesh.hexes[element]].mean(axis=0))


def _metres(point: np.ndarray) -> str:
    return f"({point[0]:.4g}, {point[1]:.4g}, {point[2]:.4g}) m"
