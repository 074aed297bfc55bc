"""Contact of the nodes with all rigid bodies in a step, and the account of what each body has received.

What one body does is in fem/contact.py. Penalty contact goes first, then kinematic contact, so that no node ends the
step inside a body of the latter; nodes that several of those push have `_share`.
"""

import numpy as np

from fem.contact import PENALTY_DAMPING, kinematic_contact, penalty_contact
from fem.model import CONTACTS, Contact, Model
from fem.nodes import impulse_work

SWEEPS, SETTLED = 200, 1e-6  # over the bodies that push a node together; change of their pushes that is none


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


class RigidContact:
    """The rigid bodies of a model, and the nodes of masses (n,), kg, whose velocity (n, 3), m/s, they correct in place.

    displacement (n, 3), m, is that at the start of a step; `stiffness` is that of penalty contact over the mass, 1/s2.
    `loss` is the work, J, that the bodies have given and the nodes have not got.
    """

    def __init__(
        self, model: Model, mass: np.ndarray, displacement: np.ndarray, velocity: np.ndarray, stiffness: float
    ):
        self.points, self.mass, self.displacement, self.velocity = model.mesh.points, mass, displacement, velocity
        self.free = np.where(model.moved, 0.0, model.free)
        self.stiffness, self.loss = stiffness, 0.0
        self.accounts = [ContactAccount(contact) for contact in model.contacts]
        self.by_method = {name: [a for a in self.accounts if a.contact.method == name] for name in CONTACTS}
        bodies = {name: np.zeros(len(mass), int) for name in CONTACTS}  # that may touch each node
        for contact in model.contacts:
            bodies[contact.method][contact.nodes] += 1
        self.springs = int(bodies["penalty"].max())  # on one node, all in one direction at worst
        self.shared = np.flatnonzero(bodies["kinematic"] > 1)
        self.touchable = np.flatnonzero(sum(bodies.values()))
        self.predicted = velocity  # before any body has pushed

    def compile(self) -> None:
        """Compile the kernels on nothing, so that the time loop measures computing alone."""
        nothing = np.zeros(0, np.int64)
        impulse_work(nothing, self.mass, np.zeros((0, 3)), self.velocity, self.velocity)
        for account in self.accounts:
            self._touch(account, nothing, 0.0, 1.0, 1.0)

    def stable_step(self, step: float) -> float:
        """Largest stable time step in s with the springs of penalty contact, of what is stable without: `step`."""
        if self.springs == 0:
            return step
        omega = np.sqrt(4.0 / step**2 + self.springs * self.stiffness)
        xi = PENALTY_DAMPING * self.springs * np.sqrt(self.stiffness) / omega
        return 2.0 / omega * (np.sqrt(1.0 + xi * xi) - xi)

    def correct(self, time: float, dt: float, dt_mid: float, before: np.ndarray) -> None:
        """Correct the velocities of the step dt from `time` on; before (n, 3) are those before it, dt_mid ago.

        What the bodies give and the nodes do not get, known once all have pushed, is lost.
        """
        predicted = self.velocity.take(self.touchable, axis=0)
        self.predicted = self.velocity.copy() if self.springs > 1 else self.velocity
        for account in self.by_method["penalty"]:
            self._touch(account, account.contact.nodes, time, dt, dt_mid)
        pushes = []
        for account in self.by_method["kinematic"]:
            unpushed = self.velocity[self.shared]
            self._touch(account, account.contact.nodes, time, dt, dt_mid)
            pushes.append(self.velocity[self.shared] - unpushed)
        if len(self.shared):
            self._share(np.array(pushes), time, dt, dt_mid)
        for account in self.accounts:
            account.impulse += account.result[:3] * dt_mid
            account.work -= account.result[3]
            self.loss += account.result[3]
        self.loss -= impulse_work(self.touchable, self.mass, predicted, self.velocity, before)

    def _touch(self, account: ContactAccount, nodes: np.ndarray, time: float, dt: float, dt_mid: float) -> None:
        """Correct the velocities of the nodes that touch a body, and account for it."""
        body, result = account.contact.body, account.result
        result[:] = 0.0
        shared = (dt, dt_mid, nodes, self.free, self.points, self.displacement, self.mass, self.velocity, result)
        if account.contact.method == "kinematic":
            kinematic_contact(body.shape, body.numbers, body.velocity, body.friction, time + dt, *shared)
        else:
            penalty_contact(body.shape, body.numbers, body.velocity, body.friction, time, *shared, self.stiffness,
                            self.predicted)  # fmt: skip

    def _share(self, pushes: np.ndarray, time: float, dt: float, dt_mid: float) -> None:
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
                self._touch(account, mine[k], time, dt, dt_mid)
                account.result[:] = result
                pushes[k] = velocity[nodes] - free
            changes.append(np.abs(pushes - last).max(axis=(0, 2)))
            if changes[-1].max() <= SETTLED * np.abs(pushes).max():
                break
        pinched = changes[-1] > 0.5 * changes[0]
        velocity[nodes[pinched]], pushes[:, pinched] = before[pinched], first[:, pinched]
        for k, account in enumerate(accounts):
            force = self.mass[nodes] @ (pushes[k] - first[k]) / dt_mid  # more on the nodes than at first
            account.result[:3] -= force
            account.result[3] += force @ account.contact.body.velocity * dt_mid
            account.result[4] += np.sum(pushes[k].any(axis=1)) - np.sum(first[k].any(axis=1))
