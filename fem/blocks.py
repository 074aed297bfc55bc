"""Elements in blocks of 64 material points: the memory layout that the kernels and the laws share.

An array over points is stored as (n_blocks, components * 64), component c of point p of block b at [b, c * 64 + p]
(see constitutive/law.py). `hex8r` has 64 elements a block; `hex8` has 8 elements of 8 Gauss points, point p = 8 q + e.
The last block is filled up with elements of no volume and no gradient: they see F = I and give no force.

Elements are sorted along a Morton curve, so that a block has few nodes of its own, and a PATCH of them at a time then
in layers by their distance from the rigid bodies, layers by the distance from a body's reference point: what is loaded
alike comes together, because laws work on many points at once and wait for the one that needs most. Each block sums
its elements' forces into a list of its nodes; each node then gathers its share from every block that it belongs to.
All sums have a fixed order, so results do not depend on the number of threads, and element forces never travel through
memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from constitutive.law import BLOCK
from fem.contact import RigidBody
from fem.mesh import Mesh

PATCH = 1024  # elements


def element_blocks(values: np.ndarray, per_block: int = BLOCK) -> np.ndarray:
    """Values per element (m, ...) as (n_blocks, components * per_block), component-major, filled up with zeros."""
    m = len(values)
    flat = values.reshape(m, -1)
    blocks = -(-m // per_block)
    padded = np.zeros((blocks * per_block, flat.shape[1]), values.dtype)
    padded[:m] = flat
    return np.ascontiguousarray(padded.reshape(blocks, per_block, -1).transpose(0, 2, 1)).reshape(blocks, -1)


def morton_order(centres: np.ndarray) -> np.ndarray:
    """Order of points (m, 3) along the Morton (Z) curve, so that neighbours in the list are neighbours in space."""
    low = centres.min(axis=0)
    cells = (1 << 20) / max(float((centres.max(axis=0) - low).max()), 1e-300)
    grid = np.minimum((centres - low) * cells, (1 << 20) - 1).astype(np.uint64)
    return np.argsort(sum(_spread(grid[:, axis]) << np.uint64(axis) for axis in range(3)), kind="stable")


def _spread(bits: np.ndarray) -> np.ndarray:
    """Move bit k of each 20-bit number to bit 3 k."""
    for shift, mask in (
        (32, 0x1F00000000FFFF),
        (16, 0x1F0000FF0000FF),
        (8, 0x100F00F00F00F00F),
        (4, 0x10C30C30C30C30C3),
        (2, 0x1249249249249249),
    ):
        bits = (bits | bits << np.uint64(shift)) & np.uint64(mask)
    return bits


def element_order(mesh: Mesh, bodies: Sequence[RigidBody] = ()) -> np.ndarray:
    """The elements (m,) in the order in which they fill the blocks; see the head of this file."""
    corners = mesh.points[mesh.hexes]
    centres = corners.mean(axis=1)
    order = morton_order(centres)
    if not bodies:
        return order
    thickness = np.ptp(corners, axis=1).min(axis=1)
    distances = np.array([body.distance(centres) for body in bodies])
    nearest = distances.argmin(axis=0)
    layer = np.floor(distances.min(axis=0) / np.median(thickness))
    points = np.array([body.numbers[:3] for body in bodies])
    radius = np.linalg.norm(centres - points[nearest], axis=1)
    patch = np.arange(len(order)) // PATCH
    return order[np.lexsort((radius[order], layer[order], patch))]


@dataclass(frozen=True)
class Topology:
    """Which elements make up the blocks, and which nodes the blocks share.

    order (m,): the elements in the order of the blocks' lanes. Block b has the nodes
    block_nodes[block_start[b]:block_start[b + 1]];
    corners (n_blocks, 8 * per_block) are places in that list, corner-major. Node n belongs to blocks at the places
    node_slots[node_start[n]:node_start[n + 1]] of block_nodes.
    """

    order: np.ndarray
    block_start: np.ndarray
    block_nodes: np.ndarray
    corners: np.ndarray
    node_start: np.ndarray
    node_slots: np.ndarray


def topology(mesh: Mesh, order: np.ndarray, per_block: int) -> Topology:
    """Cut a mesh into blocks of `per_block` elements, which fill them in `order`."""
    nodes = len(mesh.points)
    block = np.repeat(np.arange(len(order)) // per_block, 8)
    pairs, place = np.unique(block * nodes + mesh.hexes[order].ravel(), return_inverse=True)
    pair_block, block_nodes = np.divmod(pairs, nodes)
    block_start = np.searchsorted(pair_block, np.arange(block[-1] + 2))
    local = (place - block_start[block]).astype(np.uint16).reshape(-1, 8)
    slots = np.argsort(block_nodes, kind="stable")
    node_start = np.searchsorted(block_nodes[slots], np.arange(nodes + 1))
    return Topology(
        order,
        block_start.astype(np.int64),
        block_nodes.astype(np.int32),
        element_blocks(local, per_block),
        node_start.astype(np.int64),
        slots.astype(np.int32),
    )
