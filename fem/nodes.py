"""The loops over nodes: assembly of element forces, velocities, positions (central difference, lumped mass).

Only the assembly is worth threads: the others take 1 ns a node, less than starting threads for meshes below
10,000 nodes.
"""

from numba import prange

from constitutive.jit import njit


@njit(parallel=True)
def assemble(node_start, node_slots, block_force, external, force):
    """Nodal force (n, 3) = external - sum over the node's blocks of their forces (places, 3), in a fixed order."""
    for n in prange(len(force)):
        x, y, z = external[n, 0], external[n, 1], external[n, 2]
        for k in range(node_start[n], node_start[n + 1]):
            slot = node_slots[k]
            x -= block_force[slot, 0]
            y -= block_force[slot, 1]
            z -= block_force[slot, 2]
        force[n, 0], force[n, 1], force[n, 2] = x, y, z


@njit
def accelerate(force, inverse_mass, dt, velocity):
    """v += f / m dt, (n, 3)."""
    for n in range(len(force)):
        scale = inverse_mass[n] * dt
        velocity[n, 0] += force[n, 0] * scale
        velocity[n, 1] += force[n, 1] * scale
        velocity[n, 2] += force[n, 2] * scale


@njit
def move(velocity, dt, displacement):
    """u += v dt, (n, 3)."""
    for n in range(len(velocity)):
        displacement[n, 0] += velocity[n, 0] * dt
        displacement[n, 1] += velocity[n, 1] * dt
        displacement[n, 2] += velocity[n, 2] * dt


@njit
def impulse_work(nodes, mass, predicted, velocity, before):
    """Work in J of the impulses that brought `nodes` (k,) from predicted (k, 3) to velocity (n, 3), m/s.

    before (n, 3): the velocity half a step ago.
    """
    total = 0.0
    for k in range(len(nodes)):
        n = nodes[k]
        for i in range(3):
            total += mass[n] * (velocity[n, i] - predicted[k, i]) * 0.5 * (velocity[n, i] + before[n, i])
    return total
