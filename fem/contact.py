"""Rigid bodies with analytic surfaces, and frictional contact of nodes with them.

A surface is a signed distance g(x), positive outside, with its gradient n = grad g (the outward normal) from exact
distances, so that x - g n is the nearest point of the surface. Bodies move with a prescribed velocity and have
infinite mass.

Kinematic contact (default), a predictor-corrector as in ABAQUS/Explicit: a node whose predicted position x + v dt
lies inside is put on the surface, f = -m g n / (dt dt_mid); the force can only push, and there is no penetration at
the end of the step.
Penalty contact: f = -m (k g + 2 xi sqrt(k) dg/dt) n, never pulling, k = penalty / dt^2, xi damps the bounce.
Friction (Coulomb): the tangential relative velocity is braked by at most mu times the normal impulse.
Supports: a node that is held in a part of n moves along the rest, pushed by that part of the normal force only; what
the support takes is not in the force on the body. A node held in all of n, or in all but a tenth, is not pushed: it
would have to go aside ten times as far as the body comes near. Nor is it pushed out at once when it no longer is so
held: a node that is held in a part of n and begins a step inside a body is kept from going deeper.
Several bodies: a node that kinematic contact would push by more than one gets from each what it needs beside the
others, without friction whatever their order (fem/rigid_contact.py). Penalty contact goes before kinematic contact, and
damps by the velocity before all pushes.

Sources: Hallquist, LS-DYNA theory manual, ch. 26 and 29; Hart, "Sphere tracing" (1996), for rounded solids.
"""

from dataclasses import dataclass, field

import numpy as np

from constitutive.jit import inline, njit

PLANE, SPHERE, CYLINDER = 0, 1, 2
HELD = 0.01  # assumed: a node is not pushed where less than this is left of n.n in the directions that are free
ROUND_OFF = 1e-9  # of n.n: what is missing of 1 where no support takes part of the push
PENALTY_DAMPING = 0.3  # fraction of critical, assumed: quiets the bounce of light surface nodes


class ContactError(ValueError):
    """A rigid body that cannot be built as given."""


@dataclass(frozen=True)
class RigidBody:
    """A rigid surface that moves with `velocity` (3,) in m/s; friction is Coulomb's coefficient.

    `shape` and `numbers` are the surface for compiled code: reference point (3), axis or normal (3), then lengths.
    Force and impulse are reported along the axis: a plane's normal, a cylinder's axis, the line of a sphere's motion.
    """

    shape: int
    numbers: np.ndarray
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(3))
    friction: float = 0.0
    name: str = "rigid"

    def distance(self, x: np.ndarray, time: float = 0.0) -> np.ndarray:
        """Signed distance (n,) in m of points x (n, 3) at a time in s."""
        x = np.ascontiguousarray(np.atleast_2d(x), float) - self.velocity * time
        return _distances(self.shape, self.numbers, x)


def _body(shape: int, point, axis, lengths, velocity, friction, name) -> RigidBody:
    velocity = _vector(name, "velocity", velocity)
    point, axis = _vector(name, "place", point), _vector(name, "axis", axis)
    size = np.linalg.norm(axis)
    if size == 0.0:
        raise ContactError(f"rigid body '{name}': its axis is zero; give a direction")
    if not np.isfinite(lengths).all():
        raise ContactError(f"rigid body '{name}': its lengths are {lengths} m; they must be finite")
    if friction < 0.0 or not np.isfinite(friction):
        raise ContactError(f"rigid body '{name}': friction is {friction}; give a coefficient of 0 or more")
    return RigidBody(shape, np.concatenate([point, axis / size, lengths]), velocity, float(friction), name)


def _vector(name: str, what: str, given) -> np.ndarray:
    vector = np.asarray(given, float)
    if vector.shape != (3,) or not np.isfinite(vector).all():
        raise ContactError(f"rigid body '{name}': its {what} is {given}; give three finite numbers")
    return vector


def plane(point=(0, 0, 0), normal=(0, 0, 1), velocity=(0, 0, 0), friction=0.0, name="wall") -> RigidBody:
    """Half-space behind the plane through `point`; `normal` points to the deformable body."""
    return _body(PLANE, point, normal, (), velocity, friction, name)


def sphere(center, radius: float, velocity=(0, 0, 0), friction=0.0, name="sphere") -> RigidBody:
    """Ball of `radius` in m. Its axis, along which force and impulse are reported, is that of its motion; z at rest."""
    if not radius > 0.0:
        raise ContactError(f"rigid body '{name}': radius is {radius} m; give a positive length")
    axis = velocity if np.any(velocity) else (0, 0, 1)
    return _body(SPHERE, center, axis, (radius,), velocity, friction, name)


def cylinder(
    face, axis, radius: float, length: float, fillet: float = 0.0, velocity=(0, 0, 0), friction=0.0, name="projectile"
) -> RigidBody:
    """Solid cylinder of `radius` and `length` in m; `face` is the centre of its front face, `axis` points from there
    into the solid; edges are rounded with radius `fillet`."""
    if not (radius > 0.0 and length > 0.0 and 0.0 <= fillet <= min(radius, length / 2)):
        raise ContactError(
            f"rigid body '{name}': radius {radius} m, length {length} m, fillet {fillet} m; lengths must be positive "
            "and the fillet at most the radius and half the length"
        )
    return _body(CYLINDER, face, axis, (radius, length, fillet), velocity, friction, name)


@inline
def _cylinder_distance(numbers, x, y, z):
    ax, ay, az = numbers[3], numbers[4], numbers[5]
    radius, length, fillet = numbers[6], numbers[7], numbers[8]
    along = x * ax + y * ay + z * az
    rx, ry, rz = x - along * ax, y - along * ay, z - along * az
    r = np.sqrt(rx * rx + ry * ry + rz * rz)
    side = 1.0 if along > 0.5 * length else -1.0
    # (a, b): distances beyond the side and the end of the core, the solid shrunk by the fillet
    a, b = r - radius + fillet, abs(along - 0.5 * length) - 0.5 * length + fillet
    if a > 0.0 and b > 0.0:
        outside = np.sqrt(a * a + b * b)
        g, na, nb = outside - fillet, a / outside, b / outside
    elif a > b:
        g, na, nb = a - fillet, 1.0, 0.0
    else:
        g, na, nb = b - fillet, 0.0, 1.0
    scale = na / max(r, 1e-300)
    nb *= side
    return g, scale * rx + nb * ax, scale * ry + nb * ay, scale * rz + nb * az


@njit
def signed_distance(shape, numbers, x, y, z):
    """Signed distance in m of a point and its unit gradient: (g, nx, ny, nz)."""
    x, y, z = x - numbers[0], y - numbers[1], z - numbers[2]
    if shape == PLANE:
        return x * numbers[3] + y * numbers[4] + z * numbers[5], numbers[3], numbers[4], numbers[5]
    if shape == SPHERE:
        r = np.sqrt(x * x + y * y + z * z)
        if r == 0.0:
            return -numbers[6], 0.0, 0.0, 1.0
        return r - numbers[6], x / r, y / r, z / r
    return _cylinder_distance(numbers, x, y, z)


@njit
def _distances(shape, numbers, x):
    """Signed distances (n,) in m of points x (n, 3)."""
    result = np.empty(len(x))
    for k in range(len(x)):
        result[k] = signed_distance(shape, numbers, x[k, 0], x[k, 1], x[k, 2])[0]
    return result


@inline
def _friction(mu, mass_over_dt, fn, nx, ny, nz, wx, wy, wz):
    """Tangential force that brakes the relative velocity w, at most mu times the normal force fn.

    n is the part of the normal in which the node is free.
    """
    wn = (wx * nx + wy * ny + wz * nz) / (nx * nx + ny * ny + nz * nz)
    tx, ty, tz = wx - wn * nx, wy - wn * ny, wz - wn * nz
    slip = np.sqrt(tx * tx + ty * ty + tz * tz)
    scale = min(mass_over_dt, mu * fn / slip) if slip > 0.0 else 0.0
    return -scale * tx, -scale * ty, -scale * tz


@njit
def kinematic_contact(shape, numbers, body_velocity, friction, time_new, dt, dt_mid, nodes, free, position,
                      displacement, mass, velocity, result):  # fmt: skip
    """Correct the velocities of `nodes` so that none ends the step inside the body.

    position (n, 3) reference, displacement (n, 3) at the start of the step, velocity (n, 3) predicted, corrected in
    place; free (n, 3) is 0 for directions that are held or moved. result (5,) receives the force on the body (3), the
    work of the body, the number of touching nodes.
    """
    bx, by, bz = body_velocity[0] * time_new, body_velocity[1] * time_new, body_velocity[2] * time_new
    for n in nodes:
        ux, uy, uz = velocity[n, 0], velocity[n, 1], velocity[n, 2]
        x = position[n, 0] + displacement[n, 0] - bx
        y = position[n, 1] + displacement[n, 1] - by
        z = position[n, 2] + displacement[n, 2] - bz
        vx, vy, vz = ux, uy, uz
        touched = False
        for sweep in range(3):  # friction or a support can move a node along a curved surface: look again
            g, nx, ny, nz = signed_distance(shape, numbers, x + vx * dt, y + vy * dt, z + vz * dt)
            if g >= 0.0:
                break
            touched = True
            nx, ny, nz = nx * free[n, 0], ny * free[n, 1], nz * free[n, 2]
            size2 = nx * nx + ny * ny + nz * nz  # below 1 where a support takes part of the push
            if size2 < HELD:
                break
            if size2 < 1.0 - ROUND_OFF:
                start = signed_distance(shape, numbers, x + body_velocity[0] * dt, y + body_velocity[1] * dt,
                                        z + body_velocity[2] * dt)[0]  # fmt: skip
                g = min(g - min(start, 0.0), 0.0)
            scale = -g / (dt * size2)
            vx, vy, vz = vx + scale * nx, vy + scale * ny, vz + scale * nz
            if friction > 0.0 and sweep == 0:
                wx, wy, wz = vx - body_velocity[0], vy - body_velocity[1], vz - body_velocity[2]
                tx, ty, tz = _friction(friction, 1.0, scale, nx, ny, nz, wx, wy, wz)
                vx, vy, vz = vx + tx * free[n, 0], vy + ty * free[n, 1], vz + tz * free[n, 2]
        if touched:
            scale = mass[n] / dt_mid
            fx, fy, fz = (vx - ux) * scale, (vy - uy) * scale, (vz - uz) * scale
            velocity[n, 0], velocity[n, 1], velocity[n, 2] = vx, vy, vz
            _account(result, dt_mid, body_velocity, fx, fy, fz)


@inline
def _account(result, dt_mid, body_velocity, fx, fy, fz):
    result[0] -= fx
    result[1] -= fy
    result[2] -= fz
    result[3] += (fx * body_velocity[0] + fy * body_velocity[1] + fz * body_velocity[2]) * dt_mid
    result[4] += 1.0


@njit
def penalty_contact(shape, numbers, body_velocity, friction, time, dt, dt_mid, nodes, free, position, displacement,
                    mass, velocity, result, stiffness, predicted):  # fmt: skip
    """Push penetrating nodes back by damped springs of `stiffness` (1/s^2) * mass; arguments: see kinematic_contact.

    The springs are damped by the velocity `predicted` (n, 3), before any body has pushed.
    """
    damping = 2.0 * PENALTY_DAMPING * np.sqrt(stiffness)
    bx, by, bz = body_velocity[0] * time, body_velocity[1] * time, body_velocity[2] * time
    for n in nodes:
        x = position[n, 0] + displacement[n, 0] - bx
        y = position[n, 1] + displacement[n, 1] - by
        z = position[n, 2] + displacement[n, 2] - bz
        g, nx, ny, nz = signed_distance(shape, numbers, x, y, z)
        if g < 0.0:
            wx = velocity[n, 0] - body_velocity[0]
            wy = velocity[n, 1] - body_velocity[1]
            wz = velocity[n, 2] - body_velocity[2]
            px = predicted[n, 0] - body_velocity[0]
            py = predicted[n, 1] - body_velocity[1]
            pz = predicted[n, 2] - body_velocity[2]
            scale = mass[n] * max(-stiffness * g - damping * (px * nx + py * ny + pz * nz), 0.0)
            nx, ny, nz = nx * free[n, 0], ny * free[n, 1], nz * free[n, 2]
            if nx * nx + ny * ny + nz * nz < HELD:
                continue
            fx, fy, fz = scale * nx, scale * ny, scale * nz
            if friction > 0.0:
                tx, ty, tz = _friction(friction, mass[n] / dt_mid, scale, nx, ny, nz, wx, wy, wz)
                fx, fy, fz = fx + tx * free[n, 0], fy + ty * free[n, 1], fz + tz * free[n, 2]
            scale = dt_mid / mass[n]
            velocity[n, 0] += fx * scale
            velocity[n, 1] += fy * scale
            velocity[n, 2] += fz * scale
            _account(result, dt_mid, body_velocity, fx, fy, fz)
