"""Rod, plate and block: shape, volume, exact symmetry, node sets, errors, speed."""

import sys
import time

import numpy as np
import pytest
from scipy.spatial import cKDTree

from fem.mesh import MeshError, check_mesh, scaled_jacobian, surface_nodes
from fem.meshing import box, cylinder, plate

# Volume of hexahedra by three-point Gauss quadrature: an independent reference.
_GAUSS = np.array([-np.sqrt(0.6), 0.0, np.sqrt(0.6)]), np.array([5, 8, 5]) / 9
_CORNERS = np.array(
    [[-1, -1, -1], [1, -1, -1], [1, 1, -1], [-1, 1, -1], [-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]]
)


def volume(mesh) -> float:
    total = 0.0
    for i, xi in enumerate(_GAUSS[0]):
        for j, eta in enumerate(_GAUSS[0]):
            for k, zeta in enumerate(_GAUSS[0]):
                factors = 1 + _CORNERS * [xi, eta, zeta]
                gradient = np.empty((8, 3))
                for axis in range(3):
                    others = [other for other in range(3) if other != axis]
                    gradient[:, axis] = _CORNERS[:, axis] * factors[:, others].prod(axis=1) / 8
                jacobian = np.einsum("mai,aj->mij", mesh.points[mesh.hexes], gradient)
                total += np.linalg.det(jacobian).sum() * np.prod(_GAUSS[1][[i, j, k]])
    return total


def same_points(a, b, tolerance) -> bool:
    """Whether two clouds of points are one, in any order."""
    distance, partner = cKDTree(a).query(b)
    return len(a) == len(b) == len(np.unique(partner)) and distance.max() <= tolerance


@pytest.mark.parametrize("across", [4, 6, 8, 12, 22, 40])
def test_cylinder_has_well_shaped_elements(across):
    mesh = cylinder(1e-3, 2e-3, across)
    check_mesh(mesh)
    assert scaled_jacobian(mesh).min() > 0.8
    edges = np.linalg.norm(
        mesh.points[mesh.hexes[:, [1, 2, 3, 0, 4]]] - mesh.points[mesh.hexes[:, [0, 1, 2, 3, 0]]], axis=2
    )
    assert edges.min() * across / 1e-3 > 0.6
    assert edges.max() * across / 1e-3 < 1.6
    on_axis = (mesh.points[:, 1] == 0) & (mesh.points[:, 2] == 0)
    assert np.count_nonzero(on_axis) == across + 1


def test_volume_of_the_cylinder_converges_with_order_two():
    sizes = np.array([8, 16, 32])
    errors = [1 - volume(cylinder(1e-3, 1e-3, n)) / (np.pi * 0.25e-9) for n in sizes]
    sides = 4 * sizes / 2  # the mesh fills the prism over a regular polygon
    assert errors == pytest.approx(1 - sides / (2 * np.pi) * np.sin(2 * np.pi / sides), rel=1e-6)
    assert np.polyfit(np.log(1 / sizes), np.log(errors), 1)[0] == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("mesh", [cylinder(1e-3, 1e-3, 12), plate(8e-3, 1e-3, 2.5e-3, 4)], ids=["cylinder", "plate"])
def test_discs_have_the_eightfold_symmetry_of_a_square(mesh):
    for reflect in (
        [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
        [[0, 1, 0], [1, 0, 0], [0, 0, 1]],
        [[-1, 0, 0], [0, 1, 0], [0, 0, 1]],
    ):
        assert same_points(mesh.points, mesh.points @ np.array(reflect, float), 0.0)
        centres = mesh.points[mesh.hexes].mean(axis=1)
        assert same_points(centres, centres @ np.array(reflect, float), 1e-15)


def test_node_sets_of_the_cylinder():
    mesh = cylinder(2e-3, 3e-3, 8)
    x, y, z = mesh.points.T
    r = np.hypot(x, y)
    expected = {"impact_face": z == 0, "rear_face": z == 3e-3, "side": r > 1e-3 - 1e-12, "axis": r == 0}
    assert set(mesh.node_sets) == set(expected)
    for name, mask in expected.items():
        assert np.array_equal(mesh.nodes(name), np.flatnonzero(mask)) and mask.any()
    on_faces = np.concatenate([mesh.nodes(name) for name in ("impact_face", "rear_face", "side")])
    assert np.array_equal(np.unique(on_faces), surface_nodes(mesh))


@pytest.mark.parametrize("make", [lambda s: cylinder(1e-3, 5e-3, 12, s), lambda s: plate(8e-3, 1e-3, 2.5e-3, 8, s)])
def test_quarter_is_a_quarter_of_the_full_mesh(make):
    full, quarter = make("full"), make("quarter")
    assert len(full.hexes) == 4 * len(quarter.hexes)
    assert volume(full) == pytest.approx(4 * volume(quarter), rel=1e-12)
    first = (full.points[:, 0] >= 0) & (full.points[:, 1] >= 0)
    assert same_points(full.points[first], quarter.points, 0.0)
    assert (quarter.points[quarter.nodes("symmetry_x"), 0] == 0).all()
    assert (quarter.points[quarter.nodes("symmetry_y"), 1] == 0).all()
    assert len(quarter.nodes("symmetry_x")) == len(quarter.nodes("symmetry_y")) > 0


def test_plate_is_fine_under_the_projectile_and_coarse_at_the_rim():
    mesh = plate(8e-3, 1e-3, 2.5e-3, 8)
    check_mesh(mesh)
    assert scaled_jacobian(mesh).min() > 0.8
    assert mesh.points[:, 2].min() == -1e-3 and mesh.points[:, 2].max() == 0.0
    corners = mesh.points[mesh.hexes[:, :4]]
    size = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    radius = np.linalg.norm(corners.mean(axis=1)[:, :2], axis=1)
    assert size[radius < 2.5e-3].max() < 1.7 * 1e-3 / 8 < size[radius > 7e-3].max() / 3
    assert np.hypot(*mesh.points[mesh.nodes("rim"), :2].T) == pytest.approx(8e-3, rel=1e-12)
    assert np.array_equal(mesh.nodes("rim_back"), np.intersect1d(mesh.nodes("rim"), mesh.nodes("back_face")))
    assert {"front_face", "back_face", "rim", "rim_back", "axis"} == set(mesh.node_sets)
    assert (mesh.points[mesh.nodes("front_face"), 2] == 0.0).all()


@pytest.mark.parametrize("fine_radius", [1e-5, 7.95e-3, 8e-3, 1.0])
def test_plate_accepts_any_fine_radius(fine_radius):
    mesh = plate(8e-3, 1e-3, fine_radius, 2)
    check_mesh(mesh)
    assert np.hypot(*mesh.points[:, :2].T).max() == pytest.approx(8e-3, rel=1e-12)


def test_box_is_structured():
    mesh = box((1.0, 2.0, 4.0), (2, 3, 5))
    check_mesh(mesh)
    assert mesh.points.shape == (72, 3) and mesh.hexes.shape == (30, 8)
    assert volume(mesh) == pytest.approx(8.0, rel=1e-14)
    sizes = {name: len(nodes) for name, nodes in mesh.node_sets.items()}
    assert sizes == {"x_min": 24, "x_max": 24, "y_min": 18, "y_max": 18, "z_min": 12, "z_max": 12}
    for axis, letter in enumerate("xyz"):
        assert (mesh.points[mesh.nodes(f"{letter}_min"), axis] == 0.0).all()
        assert (mesh.points[mesh.nodes(f"{letter}_max"), axis] == [1.0, 2.0, 4.0][axis]).all()


def test_mesh_is_the_same_where_gmsh_cannot_be_loaded(monkeypatch):
    def make():
        return [cylinder(1e-3, 5e-3, 12), plate(8e-3, 1e-3, 2.5e-3, 8, "quarter")]

    with_gmsh = make()
    monkeypatch.setitem(sys.modules, "gmsh", None)
    for a, b in zip(with_gmsh, make(), strict=True):
        check_mesh(b)
        assert len(a.hexes) == len(b.hexes)
        assert same_points(a.points, b.points, 1e-9 * np.abs(a.points).max())
        assert {name: len(nodes) for name, nodes in a.node_sets.items()} == {n: len(s) for n, s in b.node_sets.items()}


def test_meshes_are_deterministic():
    first, second = cylinder(1e-3, 5e-3, 12), cylinder(1e-3, 5e-3, 12)
    assert np.array_equal(first.points, second.points) and np.array_equal(first.hexes, second.hexes)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cylinder(1e-3, 5e-3, 7), "elements_across is 7; give an even number"),
        (lambda: cylinder(1e-3, 5e-3, 2), "elements_across is 2; give 4 or more"),
        (lambda: cylinder(1e-3, 5e-3, 8.0), "elements_across is 8.0; give a whole number"),
        (lambda: cylinder(0.0, 5e-3, 8), "diameter is 0.0; give a positive length"),
        (lambda: cylinder(1e-3, float("nan"), 8), "length is nan"),
        (lambda: cylinder(1e-3, 5e-3, 8, "half"), "symmetry is 'half'; give 'full' or 'quarter'"),
        (lambda: plate(8e-3, -1e-3, 2e-3, 8), "thickness is -0.001"),
        (lambda: plate(8e-3, 1e-3, 2e-3, 0), "elements_through is 0; give 1 or more"),
        (lambda: box((1, 1), (1, 1)), "box needs three lengths"),
        (lambda: box((1, -1, 1), (1, 1, 1)), r"lengths\[1\] is -1"),
        (lambda: box((1, 1, 1), (1, 1, 0)), r"divisions\[2\] is 0"),
    ],
)
def test_errors_name_the_value(make, message):
    with pytest.raises(MeshError, match=message):
        make()


def test_meshing_is_quick():
    cylinder(1e-3, 5e-3, 12)  # loads Gmsh
    start = time.process_time()
    cylinder(1e-3, 5e-3, 12)
    plate(8e-3, 1e-3, 2.5e-3, 8)
    assert time.process_time() - start < 1.0
    start = time.process_time()
    assert len(box((1, 1, 1), (100, 100, 100)).hexes) == 1_000_000
    assert time.process_time() - start < 2.0
