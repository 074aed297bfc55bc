"""Errors on neighbouring paths: alike where a law lacks something smooth, unlike where the fine scale jumps."""

import numpy as np
import pytest

from constitutive.material import load_material
from learning import neighbours

DURATION = 1e-6


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Enough walks to tell, few enough to be quick."""
    monkeypatch.setattr(neighbours, "WALKS", 6)
    monkeypatch.setattr(neighbours, "STEPS", 60)


@pytest.fixture(scope="module")
def elastic():
    return load_material("elastic_steel").law


def test_neighbours_lie_as_far_aside_as_they_say():
    """Log strains of the two walks superpose, and nothing has happened at the start."""
    times = np.linspace(0.0, DURATION, 11)
    E = np.array([neighbours.logarithm(path(times)) for path in neighbours.paths(DURATION, 3)])
    walks, *aside = E.reshape(-1, neighbours.WALKS, *E.shape[1:])
    first = (aside[0] - walks) / neighbours.ASIDE[0]
    for part, moved in zip(neighbours.ASIDE, aside, strict=True):
        np.testing.assert_allclose(moved - walks, part * first, atol=1e-12)
    np.testing.assert_allclose(E[:, 0], 0.0, atol=1e-12)
    sizes = np.linalg.norm(first, axis=-1).max(axis=1) / np.linalg.norm(walks, axis=-1).max(axis=1)
    assert sizes.min() > 0.5 and sizes.max() < 2.0  # walks of the same strain


def test_a_wrong_modulus_errs_alike(elastic):
    stiffer = load_material("elastic_steel", None, {"shear_modulus": 1.1 * elastic.shear_modulus}).law
    truth = neighbours.answer(elastic, DURATION, 0)
    found = neighbours.likeness(stiffer, DURATION, 0, truth)
    assert found["error"] == pytest.approx(0.1, rel=1e-6)
    assert found["alike"][0] > 0.999 and found["alike"][-1] > 0.8
    assert found["moved"] == pytest.approx(neighbours.likeness(elastic, DURATION, 0, truth)["moved"])


def test_the_fine_scale_has_no_errors_to_compare(elastic):
    found = neighbours.likeness(elastic, DURATION, 0, neighbours.answer(elastic, DURATION, 0))
    assert found["error"] == 0.0 and found["alike"] is None


def test_grains_that_jump_are_told_from_what_is_smooth():
    """Sixteen grains judge sixteen others, and Johnson-Cook, which is smooth."""
    truth = neighbours.answer(load_material("magnesium_liu2022", "taylor", {"grains": 16}).law, DURATION, 0)
    other = load_material("magnesium_liu2022", "taylor", {"grains": 16, "texture_seed": 7}).law
    alike = neighbours.likeness(other, DURATION, 0, truth)["alike"]
    empirical = neighbours.likeness(load_material("magnesium_empirical").law, DURATION, 0, truth)["alike"]
    assert alike[2] < empirical[2] and alike[2] < 0.85 < alike[0]
