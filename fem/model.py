"""What is to be computed: a mesh, a material, supports, loads, rigid bodies. The user's first page."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from constitutive.law import Law
from fem.boundary import BoundaryError, PrescribedVelocity, Pressure, as_function, boundary_faces
from fem.contact import RigidBody
from fem.elements import Controls
from fem.mesh import Mesh, MeshError, as_nodes, check_mesh, surface_nodes

ELEMENTS = ("hex8r", "hex8")
CONTACTS = ("kinematic", "penalty")
MIRRORED = ("", "x", "y", "z", "xy", "xz", "yz", "xyz")  # normals of planes of symmetry
TOUCHING = 1e-7  # of the mesh's size: how deep in a rigid body a node may lie at the start, as float32 coordinates do
SAMPLES = [0.0, *np.geomspace(1e-9, 1e-1, 41).tolist()]  # s: times that tell one load from another


@dataclass(frozen=True)
class Contact:
    """A rigid body, the nodes (k,) that may touch it, and the method: kinematic or penalty."""

    body: RigidBody
    nodes: np.ndarray
    method: str = "kinematic"


class Model:
    """A deformable body: hexahedral mesh (metres) of one material law, in SI units.

    `element` is 'hex8r' (one point, hourglass control) or 'hex8' (2x2x2 points, F-bar). `mirrored` names the normals of
    the planes of symmetry of a part: "xy" for a quarter of a body; `fix` holds the planes. Energies, forces and momenta
    are reported for the whole. Raises MeshError for a bad mesh, BoundaryError for conditions that do not fit it.
    """

    def __init__(
        self, mesh: Mesh, law: Law, element: str = "hex8r", controls: Controls | None = None, mirrored: str = ""
    ):
        if element not in ELEMENTS:
            raise BoundaryError(f"no element is called '{element}'; choose one of {', '.join(ELEMENTS)}")
        if not isinstance(law, Law):
            raise BoundaryError(f"law is a {type(law).__name__}; give a Law, such as load_material('copper_j2').law")
        if mirrored not in MIRRORED:
            raise BoundaryError(f"mirrored is '{mirrored}'; give the normals of planes of symmetry, such as 'xy'")
        check_mesh(mesh)
        self.mesh, self.law, self.element, self.mirrored = mesh, law, element, mirrored
        self.controls = controls or Controls()
        self.velocity = np.zeros_like(mesh.points)
        self.free = np.ones_like(mesh.points)
        self.motions: list[PrescribedVelocity] = []
        self.pressures: list[Pressure] = []
        self.contacts: list[Contact] = []

    def nodes(self, which: str | Sequence[int] | Sequence[bool] | np.ndarray | None) -> np.ndarray:
        """Sorted node numbers (k,) of a set's name, a list of numbers, a mask of bools, or the whole mesh (None)."""
        last = len(self.mesh.points) - 1
        if which is None:
            return np.arange(last + 1)
        try:
            nodes = self.mesh.nodes(which) if isinstance(which, str) else as_nodes(which, last + 1)
        except MeshError as error:
            raise BoundaryError(str(error)) from None
        if isinstance(which, str) and nodes.size == 0:
            raise BoundaryError(f"the node set '{which}' is empty: no hexahedron uses its nodes; mend the mesh")
        if nodes.size == 0 or nodes[0] < 0 or nodes[-1] > last:
            raise BoundaryError(f"node numbers must lie between 0 and {last}, and be at least one")
        return nodes

    def initial_velocity(self, velocity: Sequence[float], nodes=None) -> "Model":
        """Give nodes a velocity (3,) in m/s at time 0."""
        if np.shape(velocity) != (3,) or not np.isfinite(velocity).all():
            raise BoundaryError(f"initial velocity {velocity} must be three finite numbers, m/s")
        self.velocity[self.nodes(nodes)] = velocity
        return self

    def fix(self, nodes, axes: str = "xyz") -> "Model":
        """Hold nodes in the named directions; a symmetry plane holds its normal: `fix('symmetry_x', 'x')`."""
        chosen, columns, moved = self.nodes(nodes), [self._axis(axis) for axis in axes], self.moved
        for axis, column in zip(axes, columns, strict=True):
            self._refuse_both(chosen[moved[chosen, column]], axis)
        self.free[chosen[:, None], columns] = 0.0
        return self

    def prescribe_velocity(self, nodes, axis: str, value: float | Callable[[float], float]) -> "Model":
        """Move nodes in a direction with a velocity in m/s: a number or a function of time in s."""
        chosen, column = self.nodes(nodes), self._axis(axis)
        self._refuse_both(chosen[(self.free[chosen, column] == 0.0) | self.moved[chosen, column]], axis)
        self.motions.append(PrescribedVelocity(chosen, column, _load("velocity", value)))
        return self

    @property
    def moved(self) -> np.ndarray:
        """Whether each node's velocity is prescribed in each direction, (n, 3) bool."""
        moved = np.zeros(self.free.shape, bool)
        for motion in self.motions:
            moved[motion.nodes, motion.axis] = True
        return moved

    def pressure(self, nodes, value: float | Callable[[float], float]) -> "Model":
        """Press on the surface faces of a node set with a pressure in Pa: a number or a function of time in s."""
        self.pressures.append(Pressure(boundary_faces(self.mesh, self.nodes(nodes)), _load("pressure", value)))
        return self

    def contact(self, body: RigidBody, nodes=None, method: str = "kinematic") -> "Model":
        """Let nodes (default: the whole surface) touch a rigid body, which none of them may lie in at the start.

        By default no node of the mesh may, or the body would begin inside it. A part's planes of symmetry are surface
        here: a body that gets past the outer nodes meets nodes there that are within the whole body.

        Supports and prescribed velocities go before contact, as in ABAQUS: a node is not pushed in a direction in which
        it is held or moved.
        """
        if method not in CONTACTS:
            raise BoundaryError(f"no contact method is called '{method}'; choose one of {', '.join(CONTACTS)}")
        given = self.nodes(nodes)
        inside = body.distance(self.mesh.points[given]) < -TOUCHING * self.mesh.size
        if inside.any():
            node = int(given[np.argmax(inside)])
            place = tuple(self.mesh.points[node].tolist())
            raise BoundaryError(
                f"node {node} at {place} lies inside the rigid body '{body.name}' at the start; move one of them"
            )
        self.contacts.append(Contact(body, surface_nodes(self.mesh) if nodes is None else given, method))
        return self

    @property
    def copies(self) -> int:
        """Parts that the whole body has, this one included."""
        return 2 ** len(self.mirrored)

    def check_symmetry(self) -> None:
        """Raise BoundaryError where a plane of symmetry is held nowhere."""
        for axis in self.mirrored:
            if self.free[:, self._axis(axis)].all():
                raise BoundaryError(
                    f"the body is mirrored in {axis}, but no node is held in {axis}: "
                    f"fix the plane of symmetry, fix('symmetry_{axis}', '{axis}')"
                )

    def fingerprint(self) -> str:
        """Hash of all that decides the result, so that a checkpoint is only resumed by the model that wrote it.

        Of a function of time, its values at SAMPLES.
        """
        law = self.law
        digest = hashlib.sha256(f"{law.name} {self.element} {self.controls} {self.mirrored} {law.density}".encode())
        arrays = [self.mesh.points, self.mesh.hexes, law.params, law.initial_state(1), self.velocity, self.free]
        for contact in self.contacts:
            digest.update(f"{contact.method} {contact.body.shape} {contact.body.friction}".encode())
            arrays += [contact.body.numbers, contact.body.velocity, contact.nodes]
        for condition in self.motions:
            arrays += [condition.nodes, np.array(condition.axis), _samples(condition.value)]
        for load in self.pressures:
            arrays += [load.faces, _samples(load.value)]
        for array in arrays:
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def _refuse_both(self, nodes: np.ndarray, axis: str) -> None:
        if len(nodes):
            place = tuple(self.mesh.points[nodes[0]].tolist())
            raise BoundaryError(
                f"node {nodes[0]} at {place} would be held or moved twice in {axis}; choose one of them"
            )

    @staticmethod
    def _axis(axis: str) -> int:
        if axis not in ("x", "y", "z"):
            raise BoundaryError(f"no direction is called '{axis}'; use x, y or z")
        return "xyz".index(axis)


def _load(name: str, value: float | Callable[[float], float]) -> Callable[[float], float]:
    if not callable(value) and not np.isfinite(value):
        raise BoundaryError(f"{name} is {value}; give a finite number or a function of time")
    return as_function(value)


def _samples(value: Callable[[float], float]) -> np.ndarray:
    """Values of a load at SAMPLES; not a number where it has none, beyond the end of a table, say."""
    values = np.full(len(SAMPLES), np.nan)
    for k, time in enumerate(SAMPLES):
        with suppress(Exception):
            values[k] = value(time)
    return values
