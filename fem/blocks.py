"""Elements in blocks of 64 material points: the memory layout that the kernels and the laws share.

An array over points is stored as (n_blocks, components * 64), component c of point p of block b at [b, c * 64 + p] (see
constitutive/law.py). `hex8r` has 64 elements a block; `hex8` has 8 elements of 8 Gauss points, point p = 8 q + e. The last block is
filled up with elements of no volume and no gradient: they see F = I and give no force.
"""

import numpy as np

from constitutive.law import BLOCK


def element_blocks(values: np.ndarray, per_block: int = BLOCK) -> np.ndarray:
    """Values per element (m, ...) as (n_blocks, components * per_block), component-major, filled up with zeros."""
    m = len(values)
    flat = values.reshape(m, -1)
    blocks = -(-m // per_block)
    padded = np.zeros((blocks * per_block, flat.shape[1]), values.dtype)
    padded[:m] = flat
    return np.ascontiguousarray(padded.reshape(blocks, per_block, -1).transpose(0, 2, 1)).reshape(blocks, -1)


def element_values(blocks: np.ndarray, elements: int, per_block: int = BLOCK) -> np.ndarray:
    """Inverse of `element_blocks`: (elements, components)."""
    n_blocks = len(blocks)
    return blocks.reshape(n_blocks, -1, per_block).transpose(0, 2, 1).reshape(n_blocks * per_block, -1)[:elements]


def force_slots(hexes: np.ndarray, nodes: int, per_block: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each node finds its element forces: a compressed list over nodes.

    Element forces lie in a flat array (n_blocks, 24 * per_block), component 3 I + i of element e; returns `start` (nodes + 1,) and
    `slots`: the position of component i = 0 for each corner that meets the node; i = 1, 2 follow at + per_block.
    Summing in this fixed order makes the assembly independent of the number of threads.
    """
    m = len(hexes)
    element, corner = np.repeat(np.arange(m), 8), np.tile(np.arange(8), m)
    block, lane = np.divmod(element, per_block)
    slots = block * (24 * per_block) + 3 * corner * per_block + lane
    order = np.argsort(hexes.ravel(), kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(hexes.ravel(), minlength=nodes))])
    return start.astype(np.int64), slots[order].astype(np.int64)
