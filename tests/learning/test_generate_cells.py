"""`python -m learning.generate --unit-cell`: the same format and habits as for a law at a point."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

import constitutive.equilibrium
from constitutive.equilibrium import CellError
from constitutive.fft_cell import Cell
from constitutive.material import load_material
from constitutive.tensor import full
from learning.dataset import load, read_manifest
from learning.generate import main
from learning.strain_paths import PlaneSampler, path

SMALL = ("--unit-cell", "fft2d", "--points", "8", "--paths", "5", "--steps", "8", "--substeps", "3", "--quiet")


def run(folder, *arguments, workers=1):
    main([*SMALL, "--workers", str(workers), "--output", str(folder), *arguments])
    return load(folder)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells") / "small"
    run(folder, "--shard-size", "2")
    return folder


def test_a_plane_data_set(small):
    data, manifest = load(small), read_manifest(small)
    assert (manifest["unit_cell"], manifest["points"], manifest["law"]) == ("fft2d", 8, "taylor")
    assert manifest["sampler"]["name"] == "paper_plane" and manifest["sampler"]["duration"] == 1.0
    assert np.all(data.time[:, -1] == 1.0) and data.Z is None
    assert np.all(data.U[..., [2, 4, 5]] == [1.0, 0.0, 0.0]) and np.all(data.stress[..., 4:] == 0.0)
    assert np.all(np.ptp(data.U[..., [0, 1, 3]], axis=1) > 0.0) and np.all(data.stress[:, 1:, 2] != 0.0)
    assert 0.0 < data.scalars["equilibrium_residual"].max() <= 1e-4
    cost = manifest["throughput"]
    assert cost["pixel_steps_per_processor_second"] * cost["processor_seconds_per_step"] == pytest.approx(8 * 8)
    assert {"slip_first", "slip_second", "equivalent_plastic_strain", "plastic_work"} <= set(data.scalars)


def test_paths_are_those_of_the_sampler_and_stresses_those_of_the_cell(small):
    data = load(small)
    drawn = path(PlaneSampler(), 1, 3, 8)
    assert np.array_equal(drawn.U(drawn.times), data.U[3])
    fine = np.interp(np.arange(25) / 3, np.arange(9), drawn.times)
    history = Cell("fft2d", load_material("plane_crystal_liu2022").values, 8).follow(fine, full(drawn.U(fine)))
    assert np.array_equal(history.stress[::3].astype(np.float32), data.stress[3])


def test_workers_and_shards_do_not_matter(small, tmp_path):
    run(tmp_path / "a", "--shard-size", "3", "--paths", "2", workers=2)
    again, data = run(tmp_path / "a", "--shard-size", "3", workers=2), load(small)
    assert np.array_equal(again.stress, data.stress) and np.array_equal(again.U, data.U)
    assert all(np.array_equal(again.scalars[name], data.scalars[name]) for name in data.scalars)


def test_textures_of_their_own_and_space(tmp_path):
    data = run(tmp_path / "a", "--texture-per-path", "--paths", "2")
    assert len(set(data.texture_seed.tolist())) == 2
    space = ("--unit-cell", "fft3d", "--points", "4", "--set", "grains=4", "--paths", "1", "--steps", "4")
    data = run(tmp_path / "b", *space, "--end-time", "1e-7")
    assert np.ptp(data.U[0], axis=0).min() > 0.0 and "twin_fraction" in data.scalars
    assert read_manifest(tmp_path / "b")["sampler"]["name"] == "impact"


def test_failures_are_counted_and_drawn_again(monkeypatch, tmp_path):
    """A cell that finds no equilibrium above U11 = 1.04: those paths are drawn anew, the cause is in the manifest."""
    whole = Cell.follow

    def brittle(cell, times, F):
        monkeypatch.setattr(constitutive.equilibrium, "MAX_ITERATIONS", 1 if F[:, 0, 0].max() > 1.04 else 30)
        return whole(cell, times, F)

    monkeypatch.setattr(Cell, "follow", brittle)
    data = run(tmp_path / "a", "--strain", "0.05")
    assert sum(data.attempt) > 0 and data.U[..., 0].max() <= 1.04
    failures = read_manifest(tmp_path / "a")["redraws"]["law_failures"]
    assert failures == {"no equilibrium within 1 iterations": data.attempt.sum()}


@pytest.fixture
def fails(tmp_path, capsys):
    """The line with which the command refuses its arguments."""

    def refused(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([*arguments, "--quiet", "--output", str(tmp_path / "set")])
        assert caught.value.code == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        return line

    return refused


def test_mistakes_have_one_line(fails):
    assert "takes --sampler paper" in fails("--unit-cell", "fft2d", "--sampler", "impact")
    assert "take a multiple of 8" in fails("--unit-cell", "fft2d", "--points", "20")
    assert "needs crystals with lattice = 'plane'" in fails("--unit-cell", "fft2d", "--material", "magnesium")
    assert "takes a material of law taylor" in fails("--unit-cell", "fft3d", "--material", "copper_j2")
    assert "--points is an option of --unit-cell" in fails("--points", "8")
    assert "--device is an option of --unit-cell" in fails("--device", "cpu")
    assert "leave --texture-per-path out" in fails("--unit-cell", "fft2d", "--device", "cpu", "--texture-per-path")


def test_a_device_that_is_not_there(fails, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: False)))
    assert "torch finds no GPU here" in fails("--unit-cell", "fft2d", "--device", "cuda")
    monkeypatch.setitem(sys.modules, "torch", None)  # as where it is not installed
    assert "--device needs torch: pip install" in fails("--unit-cell", "fft2d", "--device", "cpu")


@pytest.mark.slow
def test_a_thousand_random_paths_in_equilibrium(tmp_path):
    """In 25 large steps each (ten minutes): residual within the bar at every step, failures counted by cause."""
    data = run(tmp_path / "a", "--points", "16", "--paths", "1000", "--steps", "25", "--substeps", "1")
    assert len(data) == 1000 and data.scalars["equilibrium_residual"].max() <= 1e-4
    assert sum(read_manifest(tmp_path / "a")["redraws"]["law_failures"].values()) == data.attempt.sum()


def test_cells_together_on_a_device(tmp_path, capsys):
    pytest.importorskip("torch")
    few = ("--paths", "3", "--steps", "3", "--substeps", "2", "--strain", "0.02", "--shard-size", "2")
    data, alone = run(tmp_path / "a", "--device", "cpu", *few), run(tmp_path / "b", *few)
    assert read_manifest(tmp_path / "a")["device"] == "cpu"
    assert np.array_equal(data.U, alone.U) and np.array_equal(data.time, alone.time)
    assert set(data.scalars) == set(alone.scalars) and data.stress.shape == alone.stress.shape
    for n in range(3):
        assert np.linalg.norm(data.stress[n] - alone.stress[n]) < 0.01 * np.linalg.norm(alone.stress[n])
    with pytest.raises(SystemExit):
        run(tmp_path / "a", *few)
    assert "was begun with another device (cpu, not None)" in capsys.readouterr().err


def test_paths_that_fail_together_are_drawn_again(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from learning.batch_cell import BatchCell

    follow, calls = BatchCell.follow, []

    def second_fails(self, times, F):
        calls.append(len(times))
        found = follow(self, times, F)
        return found if len(calls) > 1 else [found[0], CellError("in step 1 (det F = 1): the cause"), *found[2:]]

    monkeypatch.setattr(BatchCell, "follow", second_fails)
    data = run(tmp_path / "a", "--device", "cpu", "--paths", "3", "--steps", "2", "--strain", "0.02")
    assert calls == [3, 1] and data.attempt.tolist() == [0, 1, 0] and data.index.tolist() == [0, 1, 2]
    assert read_manifest(tmp_path / "a")["redraws"]["law_failures"] == {"the cause": 1}
