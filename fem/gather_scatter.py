"""From nodes to the elements of a block, and back: what all element types begin and end a step with.

Indices are unsigned: that Python's may be negative would cost a third of the time.
"""

import numpy as np

from constitutive.jit import njit


@njit
def gather(start, block_nodes, corners, lanes, displacement, velocity, w):
    """Nodal displacements and velocities relative to the element's first node, component-major, into scratch."""
    for p in range(lanes):
        first = np.uint64(block_nodes[np.uint64(start + corners[p])])
        u0, u1, u2 = displacement[first, 0], displacement[first, 1], displacement[first, 2]
        v0, v1, v2 = velocity[first, 0], velocity[first, 1], velocity[first, 2]
        for corner in range(8):
            node = np.uint64(block_nodes[np.uint64(start + corners[corner * lanes + p])])
            u, v = 3 * corner * lanes + p, (24 + 3 * corner) * lanes + p
            w[u] = displacement[node, 0] - u0
            w[u + lanes] = displacement[node, 1] - u1
            w[u + 2 * lanes] = displacement[node, 2] - u2
            w[v] = velocity[node, 0] - v0
            w[v + lanes] = velocity[node, 1] - v1
            w[v + 2 * lanes] = velocity[node, 2] - v2


@njit
def scatter(start, end, corners, lanes, w, at, force):
    """Sum the element forces, component-major at w[at:], into the block's list of nodal forces."""
    force[start:end] = 0.0
    for p in range(lanes):
        for corner in range(8):
            place, f = np.uint64(start + corners[corner * lanes + p]), at + 3 * corner * lanes + p
            force[place, 0] += w[f]
            force[place, 1] += w[f + lanes]
            force[place, 2] += w[f + 2 * lanes]
