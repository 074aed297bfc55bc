"""Supports, prescribed motion and pressure on named node sets.

Supports and symmetry planes hold a direction: the velocity there is set to zero. Prescribed velocity sets it to a
value or a function of time. Pressure pushes on the element faces whose four nodes all belong to the set, following
their current area.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from constitutive.jit import njit
from fem.mesh import Mesh, surface_faces


class BoundaryError(ValueError):
    """A boundary condition that does not fit the mesh."""


@dataclass(frozen=True)
class PrescribedVelocity:
    """Velocity of `nodes` in direction `axis` (0, 1, 2), m/s: a function of time in s."""

    nodes: np.ndarray
    axis: int
    value: Callable[[float], float]


@dataclass(frozen=True)
class Pressure:
    """Pressure in Pa (a function of time in s) on `faces` (m, 4), nodes counted so that normals point outward."""

    faces: np.ndarray
    value: Callable[[float], float]


def as_function(value: float | Callable[[float], float]) -> Callable[[float], float]:
    """A constant or a function of time, as a function of time."""
    if callable(value):
        return value
    constant = float(value)
    return lambda time: constant


def boundary_faces(mesh: Mesh, nodes: np.ndarray) -> np.ndarray:
    """Outward faces (m, 4) of the mesh's surface whose nodes all lie in `nodes`."""
    faces = surface_faces(mesh)
    inside = np.zeros(len(mesh.points), bool)
    inside[nodes] = True
    chosen = faces[inside[faces].all(axis=1)]
    if len(chosen) == 0:
        raise BoundaryError("pressure needs a node set that holds all four nodes of at least one surface face")
    return chosen


@njit
def add_pressure(faces, pressure, position, displacement, force):
    """Add -p n A / 4 of each face in its current shape to its four nodes; n A = half the diagonals' cross product."""
    for k in range(len(faces)):
        a, b, c, d = faces[k, 0], faces[k, 1], faces[k, 2], faces[k, 3]
        p = position[c] + displacement[c] - position[a] - displacement[a]
        q = position[d] + displacement[d] - position[b] - displacement[b]
        scale = -pressure / 8.0
        fx = scale * (p[1] * q[2] - p[2] * q[1])
        fy = scale * (p[2] * q[0] - p[0] * q[2])
        fz = scale * (p[0] * q[1] - p[1] * q[0])
        for n in faces[k]:
            force[n, 0] += fx
            force[n, 1] += fy
            force[n, 2] += fz


def prescribe(condition: PrescribedVelocity, time: float, dt_mid: float, mass, before, velocity) -> float:
    """Set the velocities of a prescribed motion, in place; returns the work done on the body in the step, J."""
    nodes, axis = condition.nodes, condition.axis
    target = condition.value(time)
    reaction = mass[nodes] * (target - velocity[nodes, axis])  # impulse
    velocity[nodes, axis] = target
    return float(np.sum(reaction * 0.5 * (target + before[nodes, axis])))
