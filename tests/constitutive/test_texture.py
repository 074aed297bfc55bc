"""Orientations: Bunge angles, uniform sampling, texture files and their errors."""

import numpy as np
import pytest

from constitutive.crystal_state import grain_weights, initial_texture
from constitutive.law import LawError
from constitutive.material import load_material
from constitutive.tensor import random_rotations
from constitutive.texture import bunge_from_rotations, random_texture, read_texture, rotations_from_bunge


def turn(axis, degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    if axis == "z":
        return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def test_bunge_angles_are_three_turns():
    expected = turn("z", 30) @ turn("x", 50) @ turn("z", 70)
    np.testing.assert_allclose(rotations_from_bunge([30, 50, 70])[0], expected, atol=1e-15)


def test_bunge_angles_there_and_back():
    R = np.concatenate([random_rotations(np.random.default_rng(0), 200), [np.eye(3)], [np.diag([1.0, -1.0, -1.0])]])
    np.testing.assert_allclose(rotations_from_bunge(bunge_from_rotations(R)), R, atol=1e-12)


def test_random_texture_is_uniform_and_seeded():
    """Uniform on SO(3): the mean of R is zero, and of R_ij^2 one third, within three standard errors."""
    R, weights = random_texture(20000, 5)
    assert np.abs(R.mean(axis=0)).max() < 4.0 * np.sqrt(1.0 / 3.0 / 20000)
    assert np.abs((R**2).mean(axis=0) - 1.0 / 3.0).max() < 4.0 * 0.3 / np.sqrt(20000)
    assert weights.sum() == pytest.approx(1.0)
    np.testing.assert_array_equal(random_texture(8, 5)[0], R[:8])
    assert np.abs(random_texture(8, 6)[0] - R[:8]).max() > 0.1


def test_files(tmp_path):
    vpsc, plain = tmp_path / "a.tex", tmp_path / "b.ori"
    vpsc.write_text("text\ntext\ntext\nB   2\n 30.0 50.0 70.0  3.0\n 0 0 0 1\n")
    plain.write_text("\ufeff30, 50, 70\n# angles\n\n0 0 0\n", "utf-8")
    R, weights = read_texture(vpsc)
    np.testing.assert_allclose(weights, [0.75, 0.25])
    np.testing.assert_allclose(R, rotations_from_bunge([[30, 50, 70], [0, 0, 0]]))
    np.testing.assert_allclose(read_texture(plain)[0], R)
    np.testing.assert_allclose(read_texture(plain)[1], 0.5)
    law = load_material("magnesium_liu2022", overrides={"texture_file": str(vpsc)}).law
    np.testing.assert_allclose(initial_texture(law), R)
    np.testing.assert_allclose(grain_weights(law), [0.75, 0.25])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no orientations"),
        ("1 2\n", "line 1: expected"),
        ("1 2 x\n", "line 1: expected"),
        ("1 2 3 -1\n", "negative"),
        ("1 2 3 0\n", "sum to zero"),
        ("1 2 3 1e308\n4 5 6 1e308\n", "line 1: expected"),
        ("a\nb\nc\nB \u00b2\n1 2 3 4\n", "line 1: expected"),
        ("1 2 3\n1 2 3 4\n", "some orientations only"),
        ("a\nb\nc\nB 3\n1 2 3 4\n", "announces 3"),
        ("a\nb\nc\nR 1\n1 2 3 4\n", "Roe"),
    ],
)
def test_wrong_files(tmp_path, text, message):
    path = tmp_path / "wrong.tex"
    path.write_text(text, "utf-8")
    with pytest.raises(LawError, match=message):
        read_texture(path)


def test_missing_file(tmp_path):
    with pytest.raises(LawError, match="cannot be read"):
        read_texture(tmp_path / "none.tex")
