"""The command `python -m learning.taylor_assumption` on a cell of few voxels."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from constitutive.drive import drive
from constitutive.material import load_material
from constitutive.taylor import build_polycrystal
from constitutive.tensor import full, random_rotations
from learning import taylor_assumption
from learning.strain_paths import logarithm

SMALL = ["--points", "4", "--grains", "2", "--steps", "4", "--strain", "0.02", "--walks", "1", "--quiet"]


def test_a_file_with_the_numbers_and_their_units(tmp_path):
    file = tmp_path / "taylor.json"
    result = taylor_assumption.main([*SMALL, "--output", str(file)])
    stored = json.loads(file.read_text())
    assert stored["paths"] == result and list(result) == ["tension", "compression", "shear", "walk 1"]
    assert all(set(row) == set(stored["units"]) for row in result.values())
    assert stored["units"]["seconds"].startswith("s, ")
    with pytest.raises(SystemExit):
        taylor_assumption.main([*SMALL, "--output", str(file)])


def test_a_field_that_is_half_of_taylors_is_twice_as_weak():
    """Two grains of volumes 3 : 1 in a cell that answers with half of their Taylor stress, and a pressure."""
    values, grains = load_material("magnesium_liu2022", "taylor").values, random_rotations(np.random.default_rng(0), 2)
    equal, by_volume = (build_polycrystal("taylor", values, grains, np.array(w)) for w in ([0.5, 0.5], [0.75, 0.25]))
    U, times = taylor_assumption.paths(0.1, 1e-6, 0, 10, 1)["tension"], np.linspace(0.0, 1e-6, 11)
    exact = [drive(law, times, full(U(times))[:, None]).stress[:, 0] for law in (equal, by_volume)]
    history = SimpleNamespace(stress=0.5 * exact[1] + [7e9, 7e9, 7e9, 0, 0, 0], residual=np.array([1e-6, 3e-5, 2e-6]))
    cell = SimpleNamespace(orientations=grains, grain=np.array([[0, 0], [0, 1]]), follow=lambda *_: history)
    found = taylor_assumption.judge(cell, values, U, 1e-6, 10)
    assert found["volumes"] == pytest.approx(1.0) and found["volumes_strength"] == pytest.approx(2.0)
    assert abs(found["equal_strength"] - 2.0) > 1e-3 < abs(found["equal"] - 1.0)
    assert found["residual"] == 3e-5


def test_monotonic_paths_go_both_ways_along_the_third_axis_and_in_shear():
    U = {name: curve(np.array([1e-6]))[0] for name, curve in taylor_assumption.paths(0.2, 1e-6, 0, 4, 1).items()}
    assert logarithm(U["tension"]) == pytest.approx([-0.1, -0.1, 0.2, 0.0, 0.0, 0.0])
    assert logarithm(U["compression"]) == pytest.approx([0.1, 0.1, -0.2, 0.0, 0.0, 0.0])
    assert logarithm(U["shear"]) == pytest.approx([0.0, 0.0, 0.0, 0.1 * np.sqrt(3.0), 0.0, 0.0])
