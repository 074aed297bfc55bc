"""Explicit dynamics by central differences (Belytschko, Liu & Moran, "Nonlinear finite elements", section 6.2).

Positions live at t_n, velocities at t_{n-1/2}; mass is lumped. One step, from t_n to t_{n+1} = t_n + dt:

    v_{n+1/2} = v_{n-1/2} + f_n / m (dt_old + dt) / 2       predict
    supports, prescribed motion, contact                    correct
    u_{n+1}   = u_n + dt v_{n+1/2}
    f_{n+1}   = f_ext - f_int(u_{n+1})                      the elements ask the law

Energies are balanced at t_{n-1/2}, where the velocities are. With a constant step the balance then closes to round-off,
so what it shows is the error of the changing step, and any mistake.
"""

import time
from typing import Any

import numpy as np

from fem.boundary import add_pressure, prescribe
from fem.elements import Elements, MaterialError
from fem.hex8 import lumped_mass
from fem.hex8_fbar import Hex8
from fem.hex8r import Hex8r
from fem.model import Model
from fem.nodes import accelerate, assemble, move
from fem.rigid_contact import RigidContact

ELEMENT_TYPES: dict[str, type[Elements]] = {kind.name: kind for kind in (Hex8r, Hex8)}
INSTANT = 1e-30  # s: the step in which the law is first asked, undeformed; laws that count time must not see it pass


class Solver:
    """The state of a run and the step that advances it."""

    def __init__(self, model: Model, threads: int = 1):
        self.model = model
        model.check_symmetry()
        bodies = [contact.body for contact in model.contacts]
        self.elements = ELEMENT_TYPES[model.element](model.mesh, model.law, model.controls, bodies)
        self.elements.share_out(threads)
        points = model.mesh.points
        self.mass = lumped_mass(
            model.mesh.hexes, self.elements.point_volumes().sum(axis=1), model.law.density, len(points)
        )
        self.inverse_mass = 1.0 / self.mass
        self.held = np.flatnonzero(model.free.ravel() == 0.0)
        self.displacement = np.zeros_like(points)
        self.velocity = model.velocity * model.free
        self.before = np.zeros_like(points)
        self.external = np.zeros_like(points)
        self.force = np.zeros_like(points)
        self.time, self.dt, self.steps = 0.0, 0.0, 0
        self.external_work = 0.0
        self.seconds = {"elements": 0.0, "contact": 0.0}  # wall time of steps so far
        self.elements.update(self.displacement, np.zeros_like(points), INSTANT)  # viscosity begins with the first step
        self.elements.times[:] = 0.0
        self._assemble()
        stiffness = model.controls.penalty / self.elements.stable_step()[0] ** 2
        self.contact = RigidContact(model, self.mass, self.displacement, self.velocity, stiffness)
        self.accounts = self.contact.accounts
        self._compile()
        self.initial_energy = float(0.5 * np.sum(self.mass[:, None] * self.velocity**2))

    def _compile(self) -> None:
        """Compile the kernels of a step on nothing, so that the time loop measures computing alone."""
        none = np.zeros((0, 3))
        accelerate(none, np.zeros(0), 0.0, none)
        move(none, 0.0, none)
        self.contact.compile()

    def stable_step(self) -> float:
        """Largest time step in s that the elements and penalty contact allow, times the safety factor."""
        return self.model.controls.safety * self.contact.stable_step(self.elements.stable_step()[0])

    def reaction(self, nodes: np.ndarray) -> np.ndarray:
        """Force (3,) in N by which supports hold nodes (k,) against stresses and pressures, in the part computed."""
        return -np.where(self.model.free[nodes] == 0.0, self.force[nodes], 0.0).sum(axis=0)

    def step(self, dt: float) -> None:
        """Advance by dt in s. Raises MaterialError where a point cannot be updated."""
        dt_mid = 0.5 * (self.dt + dt)
        np.copyto(self.before, self.velocity)
        accelerate(self.force, self.inverse_mass, dt_mid, self.velocity)
        self.velocity.ravel()[self.held] = 0.0
        for motion in self.model.motions:
            middle = self.time + 0.5 * dt
            self.external_work += prescribe(motion, middle, dt_mid, self.mass, self.before, self.velocity)
        begin = time.perf_counter()
        self.contact.correct(self.time, dt, dt_mid, self.before)
        self.seconds["contact"] += time.perf_counter() - begin
        for account in self.accounts:
            self.external_work += account.result[3]
        if self.model.pressures:
            self.external_work += float(np.sum(self.external * 0.5 * (self.before + self.velocity)) * dt_mid)
        move(self.velocity, dt, self.displacement)
        self.time, self.dt, self.steps = self.time + dt, dt, self.steps + 1
        begin = time.perf_counter()
        self.elements.update(self.displacement, self.velocity, dt)
        self.seconds["elements"] += time.perf_counter() - begin
        self._check()
        self._assemble()

    def _assemble(self) -> None:
        if self.model.pressures:
            self.external[:] = 0.0
        for load in self.model.pressures:
            add_pressure(load.faces, load.value(self.time), self.model.mesh.points, self.displacement, self.external)
        links = self.elements.topology
        assemble(links.node_start, links.node_slots, self.elements.force, self.external, self.force)

    def _check(self) -> None:
        failure = self.elements.failed_point()
        if failure is not None:
            element, reason = failure
            nodes = self.model.mesh.hexes[element]
            place = (self.model.mesh.points + self.displacement)[nodes].mean(axis=0)
            raise MaterialError(
                f"element {element} at ({', '.join(f'{x:.4g}' for x in place)}) m failed at {self.time:.6g} s, step "
                f"{self.steps}: {reason} (law '{self.model.law.name}'); end the run before, or mesh otherwise there"
            )

    def energies(self) -> dict[str, float]:
        """Energies of the whole body in J (copies included), balanced at t - dt/2, and the relative error."""
        work = self.elements.work.sum(axis=0)
        half_step = 0.5 * self.dt * float(np.sum((self.external - self.force) * self.velocity))
        kinetic = float(0.5 * np.sum(self.mass[:, None] * self.velocity**2))
        internal = work[0] - half_step
        total = kinetic + internal + work[1] + work[2] + self.contact.loss
        scale = self.initial_energy + abs(self.external_work)
        error = (total - self.external_work - self.initial_energy) / scale if scale > 0.0 else 0.0
        parts = {
            "kinetic": kinetic,
            "internal": internal,
            "hourglass": work[2],
            "viscous": work[1],
            "contact": self.contact.loss,
            "external": self.external_work,
            "total": total,
        }
        return {name: float(value) * self.model.copies for name, value in parts.items()} | {"error": float(error)}

    def momentum(self) -> np.ndarray:
        """Momentum (3,) of the whole body in kg m/s; copies included, which cancel where they are mirrored."""
        return self._of_the_whole(self.mass @ self.velocity)

    def received(self) -> list[dict[str, Any]]:
        """Impulse (N s) and work (J) that each rigid body has received so far, by name.

        Of a mirrored body, both are those from all copies: impulses cancel in mirrored directions, work does not.
        """
        return [
            {
                "name": account.contact.body.name,
                "impulse": self._of_the_whole(account.impulse).tolist(),
                "work": float(account.work) * self.model.copies,
            }
            for account in self.accounts
        ]

    def _of_the_whole(self, vector: np.ndarray) -> np.ndarray:
        """The sum of a vector (3,) over all copies, which cancel where they are mirrored."""
        total = self.model.copies * vector
        total[["xyz".index(axis) for axis in self.model.mirrored]] = 0.0
        return total

    def save(self) -> dict[str, Any]:
        """Everything that changes, for a checkpoint."""
        state = {name: getattr(self, name) for name in ("displacement", "velocity", "external", "force")}
        scalars = (self.time, self.dt, self.steps, self.external_work, self.contact.loss)
        contacts = {f"contact_{k}": np.array([*a.result, *a.impulse, a.work]) for k, a in enumerate(self.accounts)}
        elements = {f"elements_{name}": value for name, value in self.elements.save().items()}
        return state | contacts | elements | {"scalars": np.array(scalars)}

    def load(self, arrays: dict[str, Any]) -> None:
        """Inverse of `save`."""
        for name in ("displacement", "velocity", "external", "force"):
            getattr(self, name)[:] = arrays[name]
        for k, account in enumerate(self.accounts):
            account.result[:], account.impulse[:], (account.work,) = np.split(arrays[f"contact_{k}"], [5, 8])
        prefix = "elements_"
        self.elements.load({n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)})
        self.time, self.dt, steps, self.external_work, self.contact.loss = (float(x) for x in arrays["scalars"])
        self.steps = int(steps)
