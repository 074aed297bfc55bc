"""The benchmark's table and file. Not the speed of anything."""

import json

import pytest

from cases import benchmark

FEW = ["--law", "j2", "--elements", "24", "--threads", "1"]


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    monkeypatch.setattr(benchmark, "REPEATS", 2)
    monkeypatch.setattr(benchmark, "WARM_UP", 1)


def test_the_table_and_the_file(tmp_path, capsys):
    file = tmp_path / "figures.json"
    benchmark.main([*FEW, "--json", str(file)])
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.startswith("hex8r, j2, float64") and len(lines) == 3 and lines[2].startswith("| 24 | 1 |")
    (row,) = json.loads(file.read_text())
    assert row["elements"] == 24 and 0.0 < row["law"] < row["time_per_element_step"] and row["spread"] >= 1.0
    file.write_text("mine")
    with pytest.raises(SystemExit):
        benchmark.main([*FEW, "--json", str(file)])
    assert "exists" in capsys.readouterr().err and file.read_text() == "mine"
    benchmark.main([*FEW, "--json", str(file), "--overwrite", "--quiet"])
    assert not capsys.readouterr().out and json.loads(file.read_text())[0]["elements"] == 24
