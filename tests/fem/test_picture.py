"""The picture of a cut body: drawn by VTK or, where that cannot, by Matplotlib; never in the way of a result."""

import subprocess

import matplotlib.image
import numpy as np
import pytest

from fem.meshing import cylinder, plate
from fem.picture import picture


def body(symmetry, tall):
    mesh = cylinder(1e-3, 2e-3, 6, symmetry) if tall else plate(4e-3, 5e-4, 1e-3, 2, symmetry)
    centres = mesh.points[mesh.hexes].mean(axis=1)
    fields = {"von_mises": 1e8 + 1e11 * np.abs(centres[:, 2]), "deviatoric_strain": 1e3 * np.hypot(*centres[:, :2].T)}
    return mesh, fields


def wall(points):
    return points[:, 2] + 5e-4


def colourful(path) -> float:
    """Share of the picture's pixels that have a colour, which only the body and the colour bars do."""
    image = matplotlib.image.imread(path)[:, :, :3]
    return (np.ptp(image, axis=2) > 0.15).mean()


@pytest.mark.parametrize(("symmetry", "tall"), [("full", True), ("quarter", True), ("full", False)])
def test_picture_shows_the_body(tmp_path, symmetry, tall):
    mesh, fields = body(symmetry, tall)
    path = tmp_path / "picture.png"
    assert picture(path, mesh.points, mesh.hexes, fields, "a title", symmetry, [wall])
    assert colourful(path) > 0.05
    assert [found.name for found in tmp_path.iterdir()] == ["picture.png"]


@pytest.fixture
def no_opengl(monkeypatch):
    def crash(command, **_):
        return subprocess.CompletedProcess(command, -11)

    monkeypatch.setattr("subprocess.run", crash)


@pytest.mark.parametrize(("symmetry", "tall"), [("full", True), ("quarter", True), ("quarter", False)])
def test_matplotlib_draws_where_vtk_crashes(tmp_path, no_opengl, symmetry, tall):
    mesh, fields = body(symmetry, tall)
    path = tmp_path / "picture.png"
    assert picture(path, mesh.points, mesh.hexes, fields, "a title", symmetry, [wall])
    assert colourful(path) > 0.05


def test_quarter_looks_like_the_whole(tmp_path, no_opengl):
    images = []
    for symmetry in ("full", "quarter"):
        mesh, fields = body(symmetry, tall=True)
        assert picture(tmp_path / f"{symmetry}.png", mesh.points, mesh.hexes, fields, "", symmetry)
        images.append(matplotlib.image.imread(tmp_path / f"{symmetry}.png"))
    assert np.abs(images[0] - images[1]).mean() < 0.005


def test_unwritable_place_and_missing_field_warn_and_return_false(tmp_path):
    mesh, fields = body("quarter", tall=True)
    with pytest.warns(UserWarning, match="no picture: .*No such file.*ParaView instead"):
        assert not picture(tmp_path / "nowhere/picture.png", mesh.points, mesh.hexes, fields)
    with pytest.warns(UserWarning, match="no picture: .*von_mises"):
        assert not picture(tmp_path / "picture.png", mesh.points, mesh.hexes, {})
    assert list(tmp_path.iterdir()) == []
