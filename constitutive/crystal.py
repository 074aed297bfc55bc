"""Slip and twin systems of a crystal, from one Miller or Miller-Bravais representative of each family.

A slip system is a plane normal m and a direction s, unit vectors in the orthonormal crystal frame; slip shears by
gamma s (x) m. A twin system shears by gamma_t s (x) m and mirrors the lattice in its plane, x -> (I - 2 m (x) m) x.

Crystal frame   cubic: the cell's edges; hcp: e1 along a1 = [2 -1 -1 0], e3 along c = [0 0 0 1], e2 along [0 1 -1 0]
                plane: two orthogonal axes of equal length in the plane of a plane problem, e3 normal to it
Directions      cubic [u v w]; plane [u v]; hcp [u v t w] = u a1 + v a2 + t a3 + w c, t = -(u + v)
Planes          cubic (h k l); plane (h k), a line; hcp (h k i l), i = -(h + k), normal h a1* + k a2* + l c* by
                reciprocal vectors
Equivalents     images of the pair (plane, direction) under the rotations of 432 (24) or 622 (12); inversion, the
                rest of the point group, leaves s (x) m as it is; plane: none, each system is listed

Source: Partridge 1967, The crystallography and deformation modes of hexagonal close-packed metals, Metall. Rev. 12.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np

from constitutive.law import LawError

LATTICES = ("cubic", "hcp", "plane")


@dataclass(frozen=True)
class Systems:
    """Systems of one family: unit directions s (n, 3) and unit plane normals m (n, 3) in the crystal frame."""

    s: np.ndarray
    m: np.ndarray

    @property
    def schmid(self) -> np.ndarray:
        """s (x) m, shape (n, 3, 3)."""
        return np.einsum("ni,nj->nij", self.s, self.m)


@dataclass(frozen=True)
class Lattice:
    """A crystal lattice: its kind ('cubic', 'hcp' or 'plane') and the axial ratio c/a (hcp only)."""

    kind: str
    c_over_a: float = 1.0

    def __post_init__(self):
        if self.kind not in LATTICES:
            raise LawError(f"lattice '{self.kind}' is not known; the lattices are {', '.join(LATTICES)}")
        if not self.c_over_a > 0.0:
            raise LawError(f"c_over_a must be positive, not {self.c_over_a}")

    @property
    def axes(self) -> np.ndarray:
        """Lattice vectors as columns, shape (3, 3), in units of a."""
        if self.kind != "hcp":
            return np.eye(3)
        return np.array([[1.0, -0.5, 0.0], [0.0, np.sqrt(0.75), 0.0], [0.0, 0.0, self.c_over_a]])

    def direction(self, indices: Sequence[float]) -> np.ndarray:
        """Unit vector along the lattice direction [u v w], [u v t w] or, in a plane, [u v], shape (3,)."""
        if self.kind == "plane":
            u, v, w = *self._check(indices, 2, "direction"), 0.0
        elif self.kind == "cubic":
            u, v, w = self._check(indices, 3, "direction")
        else:
            u4, v4, t4, w = self._check(indices, 4, "direction")
            u, v = u4 - t4, v4 - t4
        return _unit(self.axes @ [u, v, w])

    def normal(self, indices: Sequence[float]) -> np.ndarray:
        """Unit normal of the lattice plane (h k l), (h k i l) or, in a plane, (h k), shape (3,)."""
        if self.kind == "plane":
            h, k, l = *self._check(indices, 2, "plane"), 0.0  # noqa: E741 (Miller's letter)
        elif self.kind == "cubic":
            h, k, l = self._check(indices, 3, "plane")  # noqa: E741
        else:
            h, k, _, l = self._check(indices, 4, "plane")  # noqa: E741
        return _unit(np.linalg.inv(self.axes).T @ [h, k, l])

    def rotations(self) -> np.ndarray:
        """The lattice's proper rotations: 432 (24, 3, 3) for cubic, 622 (12, 3, 3) for hcp, the identity for plane."""
        if self.kind == "plane":
            return np.eye(3)[None]
        if self.kind == "cubic":
            signed = [
                np.diag(signs)[list(order)]
                for order in permutations(range(3))
                for signs in product((1.0, -1.0), repeat=3)
            ]
            return np.array([R for R in signed if np.linalg.det(R) > 0.0])
        turn = np.pi / 3.0 * np.arange(6)
        about_c = [[[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]] for a in turn]
        flip = np.diag([1.0, -1.0, -1.0])
        return np.concatenate([np.array(about_c), np.array(about_c) @ flip])

    def family(self, plane: Sequence[float], direction: Sequence[float], polar: bool = False) -> Systems:
        """All systems equivalent to (plane)[direction]; `polar` keeps both senses of shear apart, as twinning needs.

        Raises LawError when the direction does not lie in the plane or indices are wrong.
        """
        m, s = self.normal(plane), self.direction(direction)
        if abs(s @ m) > 1e-9:
            raise LawError(f"direction {list(direction)} does not lie in plane {list(plane)}")
        found: list[tuple[np.ndarray, np.ndarray]] = []
        for R in self.rotations():
            image = np.outer(R @ s, R @ m)
            known = [np.outer(a, b) for a, b in found]
            if any(np.allclose(image, k, atol=1e-9) for k in known):
                continue
            if not polar and any(np.allclose(image, -k, atol=1e-9) for k in known):
                continue
            found.append((R @ s, R @ m))
        return Systems(np.array([a for a, _ in found]), np.array([b for _, b in found]))

    def _check(self, indices: Sequence[float], count: int, what: str) -> Sequence[float]:
        """The indices, after a check of their number and, for four of them, of their redundancy."""
        if len(indices) != count:
            raise LawError(f"a {self.kind} {what} has {count} indices, not {list(indices)}")
        if count == 4 and abs(indices[0] + indices[1] + indices[2]) > 1e-9:
            raise LawError(f"the first three Miller-Bravais indices of {what} {list(indices)} do not sum to 0")
        if not any(indices):
            raise LawError(f"the indices of a {what} are all zero")
        return indices


def mirror(m: np.ndarray) -> np.ndarray:
    """Reflections I - 2 m (x) m in planes of unit normal m (..., 3), shape (..., 3, 3)."""
    return np.eye(3) - 2.0 * m[..., :, None] * m[..., None, :]


def mirrored(slip: Systems, twin: Systems) -> np.ndarray:
    """s_ab (x) m_ab: Schmid tensors of slip systems a in twins b, shape (twins, slips, 3, 3)."""
    Q = mirror(twin.m)
    return np.einsum("bij,ajk,blk->bail", Q, slip.schmid, Q)


def misorientation(lattice: Lattice, R: np.ndarray) -> float:
    """Smallest angle, rad, of a rotation R (3, 3) over the lattice's own symmetries."""
    traces = np.einsum("ij,nij->n", R, lattice.rotations())
    return float(np.arccos(np.clip((traces.max() - 1.0) / 2.0, -1.0, 1.0)))


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v)
