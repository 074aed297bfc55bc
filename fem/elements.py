"""What all element types share: their memory, the law at their points, assembly to nodes, the stable step."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from constitutive.law import BLOCK, Law, pack
from fem.blocks import element_order, topology
from fem.contact import RigidBody
from fem.mesh import Mesh


class MaterialError(RuntimeError):
    """A material point could not be updated; names element, place, time and the law's reason."""


class ControlsError(ValueError):
    """A number of the method that makes no sense."""


@dataclass(frozen=True)
class Controls:
    """Numbers of the method, all dimensionless.

    Bulk viscosity has the default coefficients of ABAQUS/Explicit. Hourglass control (hex8r): viscous in the manner
    of Flanagan & Belytschko (1981), stiffness as a fraction of the full elastic hourglass stiffness of a cube.
    `safety` scales the stable step; `penalty` is the stiffness of penalty contact in units of m / dt^2 of each node
    (1 costs a fifth of the step, where two bodies may push the same nodes a third). Raises ControlsError unless
    0 < safety <= 1 and the others are finite and not negative.
    """

    linear_viscosity: float = 0.06
    quadratic_viscosity: float = 1.2
    hourglass_viscosity: float = 0.01
    hourglass_stiffness: float = 0.0
    safety: float = 0.9
    penalty: float = 1.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0.0 <= value < np.inf:
                raise ControlsError(f"{name} is {value}; give a finite number of 0 or more")
        if not 0.0 < self.safety <= 1.0:
            raise ControlsError(f"safety is {self.safety}; give a part of the stable step, above 0 and at most 1")


class Elements:
    """Base of the element types: arrays in blocks of 64 material points (see fem/blocks.py).

    A type sets `name` and `points` (material points per element) and defines `update` and `point_volumes`.
    """

    name: str
    points: int
    state_names: tuple[str, ...] = ("F", "stress", "state", "pressure", "force", "limit", "work")

    def __init__(self, mesh: Mesh, law: Law, controls: Controls, bodies: Sequence[RigidBody] = ()):
        self.law, self.count = law, len(mesh.hexes)
        self.per_block = BLOCK // self.points
        self.topology = topology(mesh, element_order(mesh, bodies), self.per_block)
        self.place = np.argsort(self.topology.order)  # of each element in the blocks
        blocks = self.blocks = len(self.topology.corners)
        self.numbers = np.array(
            [
                law.density,
                law.p_wave_modulus,
                law.shear_modulus,
                controls.linear_viscosity,
                controls.quadratic_viscosity,
                controls.hourglass_viscosity,
                controls.hourglass_stiffness,
            ]
        )
        points = blocks * BLOCK
        self.F = pack(np.tile(np.eye(3).ravel(), (points, 1)))
        self.stress = np.zeros((blocks, 6 * BLOCK))
        self.state = np.tile(law.pack_state(law.initial_state(BLOCK)), (blocks, 1))
        self.pressure = np.zeros((blocks, self.per_block))  # of bulk viscosity
        self.force = np.zeros((len(self.topology.block_nodes), 3))  # of each block on its nodes
        self.limit = np.zeros((blocks, self.per_block))  # stable step of each element
        self.work = np.zeros((blocks, 3))  # done so far on: stress, bulk viscosity, hourglass control
        self.times = np.zeros((blocks, 2))  # processor time so far, s: in the law, in all
        self.status = np.zeros((blocks, BLOCK + 1), np.int64)
        self.order = np.arange(blocks)

    def share_out(self, threads: int) -> None:
        """Deal the blocks to threads like cards, so that a busy region of the mesh is shared by all."""
        self.order = np.concatenate([np.arange(first, self.blocks, threads) for first in range(threads)])

    def update(self, displacement: np.ndarray, velocity: np.ndarray, dt: float) -> None:
        """Bring all points to displacement (n, 3), reached with velocity (n, 3) in a step dt; find the forces."""
        raise NotImplementedError

    def failed_point(self) -> tuple[int, str] | None:
        """Element and reason of the first failed update of the last step, or None."""
        if self.status[:, BLOCK].max() == 0:
            step, element = self.stable_step()
            return None if step > 0.0 else (element, "its deformation is not finite, which the law has let pass")
        block = int(np.argmax(self.status[:, BLOCK] > 0))
        point = int(np.argmax(self.status[block, :BLOCK] > 0))
        element = self.topology.order[block * self.per_block + point % self.per_block]
        return int(element), self.law.reason(int(self.status[block, point]))

    def stable_step(self) -> tuple[float, int]:
        """Stable time step in s, without safety factor, and the element that controls it."""
        lane = int(np.argmin(self.limit))
        return float(self.limit.ravel()[lane]), int(self.topology.order[lane])

    def law_share(self) -> float:
        """Part of the element work's processor time that the law took so far."""
        law, everything = self.times.sum(axis=0)
        return float(law / everything) if everything > 0.0 else 0.0

    def save(self) -> dict[str, np.ndarray]:
        """Everything that changes, by name, for a checkpoint."""
        return {name: getattr(self, name) for name in self.state_names}

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """Inverse of `save`."""
        for name in self.state_names:
            getattr(self, name)[:] = arrays[name]

    def _points(self, blocks: np.ndarray) -> np.ndarray:
        """Point arrays (n_blocks, c * 64) as (elements, points, c)."""
        return self.element_values(blocks).reshape(self.count, -1, self.points).swapaxes(1, 2)

    def _states(self, components: np.ndarray) -> np.ndarray:
        """States of all elements (m, points, k): some components at least, and zero elsewhere."""
        if self.law.point_major:
            every = self.state.reshape(self.blocks, self.points, self.per_block, -1)
            return every[self.place // self.per_block, :, self.place % self.per_block]
        some = self.state.reshape(self.blocks, self.law.state_size, BLOCK)[:, components].reshape(self.blocks, -1)
        states = np.zeros((self.law.state_size, self.count, self.points))
        states[components] = np.moveaxis(self._points(some), -1, 0)
        return np.moveaxis(states, 0, -1)

    def point_values(self, components: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """F (m, points, 3, 3), stress (m, points, 6) and state (m, points, k) of all elements.

        Of the state all components, or those that are asked for at least and zero elsewhere.
        """
        wanted = np.arange(self.law.state_size) if components is None else components
        F = self._points(self.F).reshape(self.count, self.points, 3, 3)
        return F, self._points(self.stress), self._states(wanted)

    def mean_values(self, components: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Volume means over the points of each element: F (m, 3, 3), stress (m, 6), state (m, k), as `point_values`.

        F is scaled so that det F is the mean of the points' determinants, the dilatation of the element: where points
        turn against each other, the determinant of their mean is smaller by far more than an elastic strain.
        """
        values = self.point_values(components)
        if self.points == 1:
            F, stress, state = values
            return F[:, 0], stress[:, 0], state[:, 0]
        weight = self.point_volumes() / self.point_volumes().sum(axis=1, keepdims=True)
        F, stress, state = (np.einsum("mp,mp...->m...", weight, value) for value in values)
        dilatation = np.einsum("mp,mp->m", weight, np.linalg.det(values[0]))
        return F * np.cbrt(dilatation / np.linalg.det(F))[:, None, None], stress, state

    def law_energies(self) -> tuple[float, float] | None:
        """Stored energy and plastic work of all points by the law's own account, J; None where the law has none."""
        if self.law.energies is None:
            return None
        F, _, state = self.point_values(self.law.energetic)
        by_component = np.moveaxis(state, -1, 0).reshape(self.law.state_size, self.count * self.points)
        stored, plastic = self.law.energies(F.reshape(-1, 3, 3), by_component.T)
        volume = self.point_volumes().ravel()
        return float(stored @ volume), float(plastic @ volume)

    def element_values(self, blocks: np.ndarray) -> np.ndarray:
        """Element arrays (n_blocks, c * per_block) as (elements, c)."""
        values = blocks.reshape(self.blocks, -1, self.per_block).transpose(0, 2, 1)
        return values[self.place // self.per_block, self.place % self.per_block]

    def point_volumes(self) -> np.ndarray:
        """Reference volume of each material point (m, points), m3."""
        raise NotImplementedError

    @property
    def memory(self) -> int:
        """Bytes of all arrays."""
        arrays = [*vars(self).values(), *vars(self.topology).values()]
        return sum(value.nbytes for value in arrays if isinstance(value, np.ndarray))
