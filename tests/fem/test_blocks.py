"""In which order elements fill the blocks."""

import numpy as np

from fem.blocks import PATCH, element_order, morton_order, topology
from fem.contact import cylinder as solid_cylinder
from fem.contact import plane
from fem.meshing import box, cylinder, plate

LANES = 16  # that a law may work on together


def centres_of(mesh):
    return mesh.points[mesh.hexes].mean(axis=1)


def spread(values, order):
    """Mean range of values over LANES that follow each other."""
    listed = values[order][: len(order) // LANES * LANES].reshape(-1, LANES)
    return np.ptp(listed, axis=1).mean()


def test_every_element_has_its_place():
    mesh = plate(4e-3, 5e-4, 1e-3, 4)
    order = element_order(mesh, [plane(), solid_cylinder((0, 0, 0), (0, 0, 1), 2e-3, 4e-3)])
    np.testing.assert_array_equal(np.sort(order), np.arange(len(mesh.hexes)))


def test_without_rigid_bodies_neighbours_follow_each_other():
    mesh = box((1.0, 1.0, 1.0), (8, 8, 8))
    np.testing.assert_array_equal(element_order(mesh), morton_order(centres_of(mesh)))


def test_what_is_loaded_alike_comes_together():
    """Layers of a rod on a wall, rings of a plate below a projectile: fewer differences within LANES."""
    rod = cylinder(1e-3, 2e-3, 12, "quarter")
    height = centres_of(rod)[:, 2]
    assert spread(height, element_order(rod, [plane()])) < 0.35 * spread(height, element_order(rod))
    body = solid_cylinder((0, 0, 0), (0, 0, 1), 2e-3, 4e-3, 2e-4)
    struck = plate(8e-3, 1e-3, 2.4e-3, 8, "quarter")
    order, radius = element_order(struck, [body]), np.hypot(*centres_of(struck)[:, :2].T)
    assert spread(radius, order) < 0.7 * spread(radius, element_order(struck))
    assert spread(centres_of(struck)[:, 2], order) < 0.5 * spread(centres_of(struck)[:, 2], element_order(struck))


def test_large_meshes_stay_in_patches_with_few_nodes_of_their_own():
    mesh = box((1.0, 1.0, 1.0), (32, 32, 32))
    order = element_order(mesh, [plane()])
    neighbours = morton_order(centres_of(mesh))
    for begin in range(0, len(order), PATCH):
        assert set(order[begin : begin + PATCH]) == set(neighbours[begin : begin + PATCH])
    nodes = np.diff(topology(mesh, order, 64).block_start)
    assert nodes.mean() < 1.6 * 125  # 125: of a cube of 64 elements
