"""The paper's particular strain paths, and Taylor's assumption where it holds exactly."""

import numpy as np
import pytest

from constitutive.tensor import full
from learning import study_paths
from learning.taylor_assumption import judgement

T = np.linspace(0.0, 1.0, 41)


def test_common_paths_keep_the_volume_and_begin_at_rest():
    for name, U in study_paths.common_paths(T).items():
        np.testing.assert_allclose(np.linalg.det(full(U)), 1.0, rtol=1e-12)
        assert np.array_equal(U[0], [1, 1, 1, 0, 0, 0]), name
    assert np.allclose(study_paths.common_paths(T)["load and unload"][-1], [1, 1, 1, 0, 0, 0])


def test_causality_paths_are_the_same_until_they_part():
    U = study_paths.diverging_paths(T, 5, 0.15)
    early = study_paths.DIVERGE >= T
    assert np.all(U[:, early] == U[0, early]) and np.all(np.linalg.eigvalsh(full(U)) > 0.3)
    assert all(np.abs(U[i, -1] - U[j, -1]).max() > 0.01 for i in range(5) for j in range(i))
    held = study_paths.held_paths(T)
    for stop, path in zip(study_paths.STOPS, held, strict=True):
        np.testing.assert_allclose(path[stop >= T], held[-1][stop >= T], rtol=1e-14)
        assert np.ptp(path[stop <= T], axis=0).max() < 1e-14


def test_tension_in_twelve_directions():
    U, n = study_paths.tension_paths(T)
    np.testing.assert_allclose(np.linalg.det(full(U)), 1.0, rtol=1e-12)
    stretch = np.einsum("ki,kmij,kj->km", n, full(U), n)
    np.testing.assert_allclose(stretch, np.tile(np.exp(study_paths.TENSION * T), (12, 1)), rtol=1e-12)
    stress = 3.0 * n[:, :, None] * n[:, None, :] + 5.0 * np.eye(3)  # uniaxial stress of 3 and a pressure
    six = stress[:, [0, 1, 2, 0, 1, 0], [0, 1, 2, 1, 2, 2]][:, None]
    assert study_paths.axial_stress(six, n) == pytest.approx(np.full((12, 1), 3.0))


def test_taylor_is_exact_for_one_grain():
    found = judgement(4, 1, 0.05, 1e-6, 1, 5, 1, lambda line: None)
    assert set(found) == {"tension", "compression", "shear", "walk 1"}
    for result in found.values():
        assert result["equal"] < 1e-9 and result["equal_strength"] == pytest.approx(1.0)
