"""Pole figures: projection, density, twins; and the pictures of a material point."""

import numpy as np
import pytest

from cases import material_point
from cases.crystal_plots import STEPS, STRAIN, directions, equal_area, parts_of_grains, pole_density, poles
from constitutive.crystal import Lattice
from constitutive.crystal_state import initial_texture
from constitutive.drive import drive
from constitutive.material import load_material
from constitutive.tensor import random_rotations
from constitutive.texture import read_texture


def sphere(n=4000, seed=0):
    v = np.random.default_rng(seed).normal(size=(n, 3))
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def test_projection_keeps_area():
    """Uniform axes fill the disc uniformly: half of them lie within the radius sqrt(1/2)."""
    radius = np.linalg.norm(equal_area(sphere(20000)), axis=1)
    assert radius.max() <= 1.0 + 1e-12
    assert np.mean(radius < np.sqrt(0.5)) == pytest.approx(0.5, abs=0.012)


def test_density_is_in_multiples_of_random():
    everywhere = sphere()
    one_pole = pole_density(np.array([[0.6, 0.0, 0.8]]), np.array([2.0]), everywhere)
    assert one_pole.mean() == pytest.approx(1.0, rel=0.15)
    assert pole_density(sphere(4000, 1), np.ones(4000), everywhere[:50]) == pytest.approx(1.0, abs=0.35)


def test_poles_of_a_grain():
    R = random_rotations(np.random.default_rng(0), 3)
    lattice = Lattice("hcp", 1.624)
    vectors, weights = poles(R, np.array([0.5, 0.3, 0.2]), lattice.normal((0, 0, 0, 1)), lattice)
    assert weights.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(np.abs(np.einsum("gi,gpi->gp", R[:, :, 2], vectors.reshape(3, -1, 3))), 1.0)


def test_compression_turns_the_c_axes_towards_its_axis():
    """Tensile twinning of magnesium: after compression along x the basal poles lie near x."""
    law = load_material("magnesium_liu2022").law
    e = np.linspace(0.0, -0.15, 51)
    F = np.exp(e)[:, None, None] ** np.array([1.0, -0.5, -0.5]) * np.eye(3)
    history = drive(law, 1e-8 * np.arange(51), F[:, None])
    R, weights = parts_of_grains(law, F[-1], history.state[0])
    assert weights.sum() == pytest.approx(1.0)
    assert np.sum(weights * R[:, 0, 2] ** 2) > 0.6  # one third before


def test_pictures_of_a_material_point(tmp_path):
    output, folder = tmp_path / "point.csv", tmp_path / "pictures"
    arguments = ["--law", "taylor", "--set", "grains=8", "--steps", "10", "--strain", "0.05", "--quiet"]
    material_point.main([*arguments, "--output", str(output), "--pictures", str(folder)])
    pictures = ["activity.png", "pole_figures.png", "stress_strain.png"]
    assert sorted(p.name for p in folder.iterdir()) == [*pictures, "texture_after.tex", "texture_before.tex"]
    before, weights = read_texture(folder / "texture_before.tex")
    law = load_material("magnesium_liu2022", overrides={"grains": 8}).law
    np.testing.assert_allclose(before, initial_texture(law), atol=1e-8)
    np.testing.assert_allclose(weights, 1 / 8)
    after, weights = read_texture(folder / "texture_after.tex")  # of a law again, twins and all
    assert len(after) > 8 and weights.sum() == pytest.approx(1.0)
    with pytest.raises(SystemExit):
        material_point.main(["--law", "j2", "--output", str(tmp_path / "a.csv"), "--pictures", str(tmp_path / "b")])


def test_pole_figures_of_plane_crystals(tmp_path):
    words = ["--law", "taylor", "--material", "plane_crystal_liu2022", "--set", "grains=4", "--strain", "0.01"]
    words += ["--end-time", "1", "--steps", "10", "--quiet"]
    material_point.main([*words, "--output", str(tmp_path / "p.csv"), "--pictures", str(tmp_path / "pictures")])
    assert (tmp_path / "pictures" / "pole_figures.png").stat().st_size > 5000


def test_curves_strain_evenly_in_every_direction():
    """Equivalent strain int sqrt(2/3 D : D) dt, D the rate of deformation in the middle of a step."""
    for name, F in directions().items():
        L = np.diff(F, axis=0) @ np.linalg.inv(0.5 * (F[1:] + F[:-1]))
        D = 0.5 * (L + np.swapaxes(L, -1, -2))
        np.testing.assert_allclose(np.sqrt(2.0 / 3.0 * (D * D).sum(axis=(1, 2))), STRAIN / STEPS, rtol=1e-4)
        np.testing.assert_allclose(np.linalg.det(F), 1.0)
        if name != "shear xy":
            axis = F[-1, "xyz".index(name[-1]), "xyz".index(name[-1])]
            assert axis == pytest.approx(np.exp(STRAIN if name.startswith("tension") else -STRAIN))
