"""Pictures of cut bodies: the geometry of the cut, colour scales, and never in the way of a result."""

import matplotlib.image
import numpy as np
import pytest

from fem.axial_cut import axial_cut
from fem.contact import cylinder as solid_cylinder
from fem.meshing import box, cylinder, plate
from fem.picture import limits, picture, round_up, save, sheet


def body(symmetry, tall):
    mesh = cylinder(1e-3, 2e-3, 6, symmetry) if tall else plate(4e-3, 5e-4, 1e-3, 2, symmetry)
    centres = mesh.points[mesh.hexes].mean(axis=1)
    fields = {"von_mises": 1e8 + 1e11 * np.abs(centres[:, 2]), "deviatoric_strain": 1e3 * np.hypot(*centres[:, :2].T)}
    return mesh, fields


def wall(points):
    return points[:, 2] + 5e-4


def areas(cut) -> np.ndarray:
    """Area of each polygon of a cut, by the shoelace formula, mm2."""
    x, z = cut.polygons[:, :, 0], cut.polygons[:, :, 1]
    return 0.5 * np.abs(np.sum(x * np.roll(z, -1, axis=1) - z * np.roll(x, -1, axis=1), axis=1))


def test_areas_of_cuts_add_up_to_the_volume():
    """Cavalieri: the cuts of a turned block of skewed elements, integrated over their places, are its volume."""
    mesh = box((1.0, 1.0, 1.0), (3, 3, 3))
    rng = np.random.default_rng(0)
    inside = np.all((mesh.points > 0.01) & (mesh.points < 0.99), axis=1)
    points = mesh.points + 0.05 * inside[:, None] * rng.normal(size=mesh.points.shape)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    points = points @ (turn * np.sign(np.linalg.det(turn))).T
    low, high = points[:, 1].min(), points[:, 1].max()
    levels = low + (np.arange(200) + 0.5) / 200 * (high - low)
    places = [points - [0.0, y, 0.0] for y in levels]
    cuts = [areas(axial_cut(place, place, mesh.hexes, {})).sum() for place in places]
    assert np.mean(cuts) * (high - low) * 1e-6 == pytest.approx(1.0, rel=2e-3)


@pytest.mark.parametrize("symmetry", ["full", "quarter"])
def test_the_cut_of_a_rod_is_a_rectangle_and_cells_keep_their_values(symmetry):
    mesh, fields = body(symmetry, tall=True)
    cut = axial_cut(mesh.points, mesh.points, mesh.hexes, fields | {"stress": np.zeros((len(mesh.hexes), 6))}, symmetry)
    assert areas(cut).sum() == pytest.approx(2.0, rel=1e-3)
    assert set(cut.fields) == set(fields)
    heights = 1e-3 * cut.polygons[:, :, 1]
    middle = 0.5 * (heights.min(axis=1) + heights.max(axis=1))
    np.testing.assert_allclose(cut.fields["von_mises"], 1e8 + 1e11 * middle, rtol=1e-6)


def test_the_same_elements_are_cut_wherever_they_move():
    mesh, fields = body("full", tall=True)
    rng = np.random.default_rng(1)
    now = mesh.points * [1.1, 1.1, 1.0] + [2e-3, 1e-3, 0.0]
    now[:, 1] += 3e-5 * rng.normal(size=len(now))  # the plane y = 0 does not stay one
    cut = axial_cut(mesh.points, now, mesh.hexes, fields)
    assert len(cut.polygons) == len(axial_cut(mesh.points, mesh.points, mesh.hexes, fields).polygons)
    assert areas(cut).sum() == pytest.approx(2.0 * 1.1, rel=1e-3)
    assert cut.polygons[:, :, 0].mean() == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize("first", [-3.0, -1.0, -0.5, 0.0, 2.0])
def test_a_body_beside_the_plane_is_cut_at_its_near_side(first):
    mesh = box((1.0, 1.0, 1.0), (2, 2, 2))
    points = mesh.points - [0.0, -first, 0.0]
    cut = axial_cut(points, points, mesh.hexes, {"von_mises": points[mesh.hexes, 1].mean(axis=1)})
    assert areas(cut).sum() == pytest.approx(1e6)
    assert np.ptp(cut.fields["von_mises"]) == 0.0
    assert abs(cut.fields["von_mises"][0]) == pytest.approx({-3.0: 2.25, 2.0: 2.25}.get(first, 0.25))


def colourful(path) -> float:
    """Share of the picture's pixels that have a colour, which only the body and the colour bars do."""
    image = matplotlib.image.imread(path)[:, :, :3]
    return (np.ptp(image, axis=2) > 0.15).mean()


@pytest.mark.parametrize(("symmetry", "tall"), [("full", True), ("quarter", True), ("full", False)])
def test_picture_shows_the_body(tmp_path, symmetry, tall):
    mesh, fields = body(symmetry, tall)
    path = tmp_path / "picture.png"
    assert picture(path, mesh.points, mesh.points, mesh.hexes, fields, "a title", symmetry, [wall])
    assert colourful(path) > 0.05
    assert [found.name for found in tmp_path.iterdir()] == ["picture.png"]


def test_quarter_looks_like_the_whole(tmp_path):
    images = []
    for symmetry in ("full", "quarter"):
        mesh, fields = body(symmetry, tall=True)
        assert picture(tmp_path / f"{symmetry}.png", mesh.points, mesh.points, mesh.hexes, fields, "", symmetry)
        images.append(matplotlib.image.imread(tmp_path / f"{symmetry}.png"))
    assert np.abs(images[0] - images[1]).mean() < 0.005


def test_a_rigid_body_is_grey_where_it_is(tmp_path):
    mesh, fields = body("full", tall=False)
    ram = solid_cylinder((0, 0, 0), (0, 0, 1), 2e-3, 4e-3)
    pictures = []
    for k, distances in enumerate(([], [ram.distance])):
        save(
            sheet([axial_cut(mesh.points, mesh.points, mesh.hexes, fields, "full", distances)], ["von_mises"]),
            tmp_path / f"{k}.png",
        )
        image = matplotlib.image.imread(tmp_path / f"{k}.png")[:, :, :3]
        pictures.append(np.all(np.abs(image - 0xD0 / 255) < 0.01, axis=2).mean())
    assert pictures[0] < 0.001 and pictures[1] > 0.01


def test_colour_scales_are_common_round_and_not_stretched_by_one_cell():
    mesh, fields = body("full", tall=True)
    cuts = [axial_cut(mesh.points, mesh.points, mesh.hexes, {"von_mises": f * fields["von_mises"]}) for f in (1.0, 0.5)]
    assert limits(cuts, "von_mises") == limits(cuts[:1], "von_mises") == (0.0, 300.0)
    cuts[0].fields["von_mises"][0] = 1e12
    assert limits(cuts, "von_mises") == (0.0, 300.0)
    signed = [axial_cut(mesh.points, mesh.points, mesh.hexes, {"volumetric_strain": np.full(len(mesh.hexes), -0.03)})]
    assert limits(signed, "volumetric_strain") == (-0.03, 0.03)


@pytest.mark.parametrize(("value", "end"), [(680.0, 750.0), (0.73, 0.75), (1.0, 1.0), (1.01, 1.25), (0.0, 1e-12)])
def test_colour_bars_end_at_round_numbers(value, end):
    assert round_up(value) == pytest.approx(end)


def test_unwritable_place_and_missing_field_warn_and_return_false(tmp_path):
    mesh, fields = body("quarter", tall=True)
    with pytest.warns(UserWarning, match="no picture: .*No such file.*ParaView instead"):
        assert not picture(tmp_path / "nowhere/picture.png", mesh.points, mesh.points, mesh.hexes, fields)
    with pytest.warns(UserWarning, match="no picture: .*von_mises"):
        assert not picture(tmp_path / "picture.png", mesh.points, mesh.points, mesh.hexes, {})
    assert list(tmp_path.iterdir()) == []
