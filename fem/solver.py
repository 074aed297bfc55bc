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
from collections.abc import Sequence
from typing import Any

import numpy as np

from fem.boundary import add_pressure, prescribe
from fem.contact import PENALTY_DAMPING, kinematic_contact, penalty_contact
from fem.elements import Elements, MaterialError
from fem.hex8 import lumped_mass
from fem.hex8_fbar import Hex8
from fem.hex8r import Hex8r
from fem.model import CONTACTS, Contact, Model
from fem.nodes import accelerate, assemble, impulse_work, move

ELEMENT_TYPES = {"hex8r": Hex8r, "hex8": Hex8}
SWEEPS, SETTLED = 200, 1e-6  # over the bodies that push a node together; change of their pushes that is none
INSTANT = 1e-30  # s: the step in which the law is first asked, undeformed; laws that count time must not see it pass


class ContactAccount:
    """What a rigid body has received: force of the last step (3,), impulse (3,), work, touching nodes."""

    def __init__(self, contact: Contact):
        self.contact = contact
        self.result = np.zeros(5)
        self.impulse, self.work = np.zeros(3), 0.0

    @property
    def touching(self) -> int:
        """Number of nodes that touched in the last step."""
        return int(self.result[4])

    @property
    def axial_impulse(self) -> float:
        """Impulse received along the body's axis so far, N s."""
        return float(self.impulse @ self.contact.body.numbers[3:6])


class Solver:
    """The state of a run and the step that advances it."""

    def __init__(self, model: Model, threads: int = 1):
        self.model = model
        model.check_symmetry()
        bodies = [contact.body for contact in model.contacts]
        self.elements: Elements = ELEMENT_TYPES[model.element](model.mesh, model.law, model.controls, bodies)
        self.elements.share_out(threads)
        points = model.mesh.points
        self.mass = lumped_mass(
            model.mesh.hexes, self.elements.point_volumes().sum(axis=1), model.law.density, len(points)
        )
        self.inverse_mass = 1.0 / self.mass
        self.held = np.flatnonzero(model.free.ravel() == 0.0)
        self.pushable = np.where(model.moved, 0.0, model.free)
        self.displacement = np.zeros_like(points)
        self.velocity = model.velocity * model.free
        self.before = np.zeros_like(points)
        self.external = np.zeros_like(points)
        self.force = np.zeros_like(points)
        self.accounts = [ContactAccount(contact) for contact in model.contacts]
        self.by_method = {name: [a for a in self.accounts if a.contact.method == name] for name in CONTACTS}
        pushes = {name: self._bodies_at_nodes(accounts) for name, accounts in self.by_method.items()}
        self.springs = int(pushes["penalty"].max())  # on one node, all in one direction at worst
        self.shared = np.flatnonzero(pushes["kinematic"] > 1)
        self.touchable = np.flatnonzero(sum(pushes.values()))
        self.predicted = self.velocity  # before any rigid body has pushed
        self.time, self.dt, self.steps = 0.0, 0.0, 0
        self.external_work, self.contact_loss = 0.0, 0.0
        self.seconds = {"elements": 0.0, "contact": 0.0}  # wall time of steps so far
        self.elements.update(self.displacement, np.zeros_like(points), INSTANT)  # viscosity begins with the first step
        self.elements.times[:] = 0.0
        self._assemble()
        self.penalty = model.controls.penalty / self.elements.stable_step()[0] ** 2
        self._compile()
        self.initial_energy = float(0.5 * np.sum(self.mass[:, None] * self.velocity**2))

    def _bodies_at_nodes(self, accounts: Sequence[ContactAccount]) -> np.ndarray:
        """Number (n,) of these rigid bodies that may touch each node."""
        count = np.zeros(len(self.mass), int)
        for account in accounts:
            count[account.contact.nodes] += 1
        return count

    def _compile(self) -> None:
        """Compile the kernels of a step on nothing, so that the time loop measures computing alone."""
        none = np.zeros((0, 3))
        accelerate(none, np.zeros(0), 0.0, none)
        move(none, 0.0, none)
        impulse_work(np.zeros(0, np.int64), self.mass, none, self.velocity, self.before)
        for account in self.accounts:
            _touch(account, np.zeros(0, np.int64), self, 1.0, 1.0)

    def stable_step(self) -> float:
        """Largest time step in s that the elements and penalty contact allow, times the safety factor."""
        step, _ = self.elements.stable_step()
        if self.springs:
            omega = np.sqrt(4.0 / step**2 + self.springs * self.penalty)
            xi = PENALTY_DAMPING * self.springs * np.sqrt(self.penalty) / omega
            step = 2.0 / omega * (np.sqrt(1.0 + xi * xi) - xi)
        return self.model.controls.safety * step

    def reaction(self, nodes: np.ndarray) -> np.ndarray:
        """Force (3,) in N by which supports hold nodes (k,) against stresses and pressures, in the part computed."""
        return -np.where(self.model.free[nodes] == 0.0, self.force[nodes], 0.0).sum(axis=0)

    def step(self, dt: float) -> None:
        """Advance by dt in s. Raises MaterialError where a point cannot be updated."""
        dt_mid = 0.5 * (self.dt + dt)
        np.copyto(self.before, self.velocity)
        accelerate(self.force, self.inverse_mass, dt_mid, self.velocity)
        self.velocity.ravel()[self.held] = 0.0
        self._prescribe(dt, dt_mid)
        begin = time.perf_counter()
        self._touch(dt, dt_mid)
        self.seconds["contact"] += time.perf_counter() - begin
        if self.model.pressures:
            self.external_work += float(np.sum(self.external * 0.5 * (self.before + self.velocity)) * dt_mid)
        move(self.velocity, dt, self.displacement)
        self.time, self.dt, self.steps = self.time + dt, dt, self.steps + 1
        begin = time.perf_counter()
        self.elements.update(self.displacement, self.velocity, dt)
        self.seconds["elements"] += time.perf_counter() - begin
        self._check()
        self._assemble()

    def _prescribe(self, dt: float, dt_mid: float) -> None:
        for condition in self.model.motions:
            self.external_work += prescribe(
                condition, self.time + 0.5 * dt, dt_mid, self.mass, self.before, self.velocity
            )

    def _touch(self, dt: float, dt_mid: float) -> None:
        """Contact of all bodies: springs first, then kinematic contact, so that no node ends inside one of those.

        What the bodies give and the nodes do not get, known once all have pushed, is lost.
        """
        predicted = self.velocity.take(self.touchable, axis=0)
        self.predicted = self.velocity.copy() if self.springs > 1 else self.velocity
        for account in self.by_method["penalty"]:
            _touch(account, account.contact.nodes, self, dt, dt_mid)
        pushes = []
        for account in self.by_method["kinematic"]:
            before = self.velocity[self.shared]
            _touch(account, account.contact.nodes, self, dt, dt_mid)
            pushes.append(self.velocity[self.shared] - before)
        if len(self.shared):
            self._share(np.array(pushes), dt, dt_mid)
        for account in self.accounts:
            account.impulse += account.result[:3] * dt_mid
            account.work -= account.result[3]
            self.external_work += account.result[3]
            self.contact_loss += account.result[3]
        self.contact_loss -= impulse_work(self.touchable, self.mass, predicted, self.velocity, self.before)

    def _share(self, pushes: np.ndarray, dt: float, dt_mid: float) -> None:
        """Share out what several bodies push a node by kinematic contact: none more than it needs beside the others.

        One after the other, the first would do nearly all where surfaces meet at a blunt angle, and throw the node off
        itself. So each takes its push back and pushes anew, until nothing changes (projected Gauss-Seidel). Nodes that
        are pinched, where that has no end, are left as they were. With friction the shares are not unique.
        pushes (bodies, shared, 3): changes of velocity by each body of kinematic contact, m/s.
        """
        contested = (pushes != 0.0).any(axis=2).sum(axis=0) > 1
        if not contested.any():
            return
        nodes, first = self.shared[contested], pushes[:, contested]
        pushes, before, velocity = first.copy(), self.velocity[nodes], self.velocity
        accounts = self.by_method["kinematic"]
        mine = [nodes[np.isin(nodes, account.contact.nodes)] for account in accounts]
        changes = []
        for _ in range(SWEEPS):
            last = pushes.copy()
            for k, account in enumerate(accounts):
                result = account.result.copy()
                velocity[nodes] = free = velocity[nodes] - pushes[k]
                _touch(account, mine[k], self, dt, dt_mid)
                account.result[:] = result
                pushes[k] = velocity[nodes] - free
            changes.append(np.abs(pushes - last).max())
            if changes[-1] <= SETTLED * np.abs(pushes).max():
                break
        if changes[-1] > 0.5 * changes[0]:
            velocity[nodes] = before
            return
        for k, account in enumerate(accounts):
            force = self.mass[nodes] @ (pushes[k] - first[k]) / dt_mid  # more on the nodes than at first
            account.result[:3] -= force
            account.result[3] += force @ account.contact.body.velocity * dt_mid
            account.result[4] += np.sum(pushes[k].any(axis=1)) - np.sum(first[k].any(axis=1))

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
        total = kinetic + internal + work[1] + work[2] + self.contact_loss
        scale = self.initial_energy + abs(self.external_work)
        error = (total - self.external_work - self.initial_energy) / scale if scale > 0.0 else 0.0
        parts = {
            "kinetic": kinetic,
            "internal": internal,
            "hourglass": work[2],
            "viscous": work[1],
            "contact": self.contact_loss,
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
        scalars = (self.time, self.dt, self.steps, self.external_work, self.contact_loss)
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
        self.time, self.dt, steps, self.external_work, self.contact_loss = (float(x) for x in arrays["scalars"])
        self.steps = int(steps)


def _touch(account: ContactAccount, nodes: np.ndarray, solver: Solver, dt: float, dt_mid: float) -> None:
    """Correct the velocities of the nodes that touch a body, and account for it."""
    body, result = account.contact.body, account.result
    result[:] = 0.0
    shared = (dt, dt_mid, nodes, solver.pushable, solver.model.mesh.points, solver.displacement, solver.mass,
              solver.velocity, result)  # fmt: skip
    if account.contact.method == "kinematic":
        kinematic_contact(body.shape, body.numbers, body.velocity, body.friction, solver.time + dt, *shared)
    else:
        penalty_contact(body.shape, body.numbers, body.velocity, body.friction, solver.time, *shared, solver.penalty,
                        solver.predicted)  # fmt: skip
