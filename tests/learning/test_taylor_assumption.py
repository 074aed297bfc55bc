"""The command `python -m learning.taylor_assumption` on a cell of few voxels."""

import json

import pytest

from learning import taylor_assumption

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
