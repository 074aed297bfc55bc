"""The benchmark's table and file. Not the speed of anything."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from cases import benchmark
from constitutive.material import load_material

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


def test_times_are_per_element_and_step_without_the_warm_up(monkeypatch):
    """Batches that take 1, 2 and 9 s; every step takes 0.5 s in the elements, a quarter of it in the law."""
    monkeypatch.setattr(benchmark, "REPEATS", 3)

    class Steady:
        def __init__(self, model, threads):
            self.seconds = {"elements": 0.0}
            self.elements = SimpleNamespace(times=np.ones(3), law_share=lambda: 0.25, memory=77)

        def stable_step(self):
            return 1.0

        def step(self, dt):
            self.seconds["elements"] += 0.5

    clock = iter([0.0, 1.0, 10.0, 12.0, 20.0, 29.0])
    monkeypatch.setattr(benchmark, "Solver", Steady)
    monkeypatch.setattr(benchmark, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    model = benchmark.block(load_material("copper_j2").law, "hex8r", 24)
    found = benchmark.measure(model, 1)
    assert found["elements"] == len(model.mesh.hexes) == 24
    assert found["time_per_element_step"] == pytest.approx(2.0 / (100 * 24))  # a hundred steps a batch
    assert found["law"] == pytest.approx(0.25 * 0.5 / 24)
    assert found["spread"] == pytest.approx(9.0) and (found["memory"], found["threads"]) == (77, 1)


def test_elements_and_threads_are_those_that_were_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(benchmark, "MOST_THREADS", 2)
    monkeypatch.setattr(benchmark, "block", lambda law, element, size: (law.name, element, size))
    row = {"elements": 1, "threads": 1, "time_per_element_step": 1.0, "law": 1.0, "spread": 1.0, "memory": 1}
    monkeypatch.setattr(benchmark, "measure", lambda *given: asked.append(given) or row)
    benchmark.main(["--law", "j2", "--element", "hex8", "--elements", "24", "81", "--threads", "1", "4", "--quiet"])
    assert asked == [(("j2", "hex8", size), threads) for size in (24, 81) for threads in (1, 2)]
