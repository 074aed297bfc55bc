"""The command `python -m learning.generate` and its data sets: the same numbers however they were made."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import learning.fine_scale
import learning.workers
from constitutive.drive import drive
from constitutive.jit import ROOT
from constitutive.law import Law, LawDefinition, Parameter, compile_block
from constitutive.material import load_material
from constitutive.tensor import full, square_root, symmetric
from fem.folder import alone_in
from learning.dataset import DataSet, DataSetError, load, read_manifest
from learning.fine_scale import Task
from learning.generate import chosen_task, main, parser, summary
from learning.strain_paths import ImpactSampler, PaperSampler, path

SMALL = ("--set", "grains=8", "--paths", "20", "--steps", "30", "--quiet")
WEIGHTS = np.array([1, 1, 1, 2, 2, 2])


def run(folder: Path, *arguments: str, small: tuple[str, ...] = SMALL, workers: int = 1) -> DataSet:
    main([*small, "--workers", str(workers), "--output", str(folder), *arguments])
    return load(folder)


def fails(capsys, *arguments: str, small: tuple[str, ...] = SMALL) -> str:
    """The one line that the command leaves with, exit code 2."""
    with pytest.raises(SystemExit) as caught:
        main([*small, "--workers", "1", *arguments])
    assert caught.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def assert_same(a: DataSet, b: DataSet) -> None:
    """Bit for bit."""
    for name in ("index", "attempt", "time", "U", "stress", "Z", "texture_seed"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert a.scalars.keys() == b.scalars.keys()
    assert all(np.array_equal(a.scalars[name], b.scalars[name]) for name in a.scalars)


def deviator(stress: np.ndarray) -> np.ndarray:
    mean = stress[..., :3].mean(axis=-1, keepdims=True)
    return np.concatenate([stress[..., :3] - mean, stress[..., 3:]], axis=-1)


def norm(tensors: np.ndarray) -> float:
    return float(np.sqrt((WEIGHTS * tensors**2).sum()))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A folder with a small set of Taylor polycrystals, in shards of 8."""
    folder = tmp_path_factory.mktemp("sets") / "small"
    run(folder, "--shard-size", "8")
    return folder


def test_contents(small):
    data = load(small)
    assert len(data) == 20 and np.array_equal(data.index, np.arange(20))
    assert data.time.shape == (20, 31) and data.U.shape == data.stress.shape == data.Z.shape == (20, 31, 6)
    assert data.stress.dtype == np.float32 and data.U.dtype == data.Z.dtype == data.time.dtype == np.float64
    assert {"slip_basal", "slip_prismatic", "slip_pyramidal", "twin_fraction", "equivalent_plastic_strain"} <= set(
        data.scalars
    )
    assert all(values.shape == (20, 31) and np.all(np.isfinite(values)) for values in data.scalars.values())
    assert np.all(data.stress[:, 0] == 0.0) and np.all(data.U[:, 0] == [1, 1, 1, 0, 0, 0])
    assert data.Z[:, 0] == pytest.approx(np.tile([1, 1, 1, 0, 0, 0], (20, 1)), abs=1e-14)
    assert sorted(p.name for p in small.iterdir()) == ["manifest.json", *(f"shard_0000{i}.npz" for i in range(3))]
    for i in (0, 19):
        drawn = path(ImpactSampler(), 1, i, 30)
        assert np.array_equal(data.U[i], drawn.U(drawn.times)) and np.array_equal(data.time[i], drawn.times)


def test_manifest(small, tmp_path):
    manifest = read_manifest(small)
    assert manifest["complete"] and manifest["format"] == 1
    assert manifest["sampler"]["name"] == "impact" and manifest["sampler"]["strain"] == 1.0
    assert (manifest["seed"], manifest["paths"], manifest["steps"], manifest["law"]) == (1, 20, 30, "taylor")
    assert manifest["redraws"] == {"sampler": 0, "law_failures": {}, "rate": 0.0}
    assert manifest["throughput"]["paths_per_processor_second"] > 0.0
    session = manifest["sessions"][0]
    assert session["command"].startswith("python -m learning.generate --set grains=8") and session["paths"] == 20
    assert {"python", "numpy", "numba", "scipy"} <= set(session["versions"])
    file = tmp_path / "again.toml"
    file.write_text(manifest["material"])
    assert (
        load_material(file).law.params.tobytes()
        == load_material("magnesium_liu2022", overrides=["grains=8"]).law.params.tobytes()
    )


def test_every_array_of_a_shard_has_a_unit(small):
    with np.load(small / "shard_00000.npz") as file:
        arrays = set(file.files) - {"index", "attempt", "report"}
    assert arrays <= set(read_manifest(small)["units"])


def test_stress_is_that_of_the_metric(small):
    """sigma = G J^(-5/3) dev(F Z F^T) + 2 lambda_e (J - 1) I, to the rounding of float32."""
    data = load(small)
    G, lambda_e = 25e9, 24e9
    F = full(data.U)
    J = np.linalg.det(F)[..., None]
    expected = G * J ** (-5 / 3) * deviator(symmetric(F @ full(data.Z) @ F))
    expected[..., :3] += 2.0 * lambda_e * (J - 1.0)
    assert np.abs(data.stress - expected).max() < 1e-7 * np.abs(expected).max()


def test_recorded_stress_against_a_finer_drive(tmp_path):
    """The recorded path, straight in C = U^2 from record to record, in 20 times the steps: mean error, and each."""
    arguments = ("--set", "grains=24", "--set", "tolerance=1e-3", "--paths", "6", "--steps", "200", "--quiet")
    data = run(tmp_path / "set", "--seed", "9", small=arguments)
    law = load_material("magnesium_liu2022", overrides=["grains=24", "tolerance=1e-4"]).law
    parts = np.arange(200 * 20 + 1) / 20
    left = np.minimum(parts.astype(int), 199)
    weight = (parts - left)[:, None, None]
    errors = []
    for times, U, stress in zip(data.time, data.U, data.stress, strict=True):
        C = full(U) @ full(U)
        F = full(square_root((1.0 - weight) * C[left] + weight * C[left + 1]))
        fine = drive(law, np.interp(parts, np.arange(201), times), F[:, None]).stress[::20, 0]
        errors.append(norm(deviator(stress - fine)) / norm(deviator(fine)))
    assert np.mean(errors) < 0.002 and max(errors) < 0.005


def test_substeps_follow_the_smooth_path(tmp_path):
    arguments = ("--law", "neo_hookean", "--paths", "3", "--steps", "10", "--quiet")
    plain, fine = run(tmp_path / "a", small=arguments), run(tmp_path / "b", "--substeps", "4", small=arguments)
    np.testing.assert_allclose(fine.U, plain.U, rtol=1e-14)
    assert fine.stress == pytest.approx(plain.stress, rel=1e-5, abs=1e3)  # elastic: the way between does not matter


def test_workers_shards_and_starts_do_not_matter(small, tmp_path):
    folder = tmp_path / "other"
    run(folder, "--shard-size", "3", "--paths", "11", workers=2)
    with pytest.raises(DataSetError, match=r"not complete.*shard_00001\.npz"):
        (folder / "shard_00001.npz").unlink()
        load(folder)
    assert_same(run(folder, "--shard-size", "3", workers=2), load(small))
    sessions = read_manifest(folder)["sessions"]
    assert [s["paths"] for s in sessions] == [11, 14]  # all but shards 0 and 2: 1 was lost, 3 was short


@pytest.mark.parametrize("law", ["j2", "taylor"])
def test_blocks_do_not_matter(law, tmp_path):
    """Paths of equal times run together in blocks; each has the numbers it would have alone."""
    arguments = ("--law", law, "--sampler", "paper", "--paths", "70", "--steps", "12", "--quiet")
    arguments += ("--set", "grains=2") if law == "taylor" else ()
    together = run(tmp_path / "a", "--shard-size", "70", small=arguments)
    assert_same(together, run(tmp_path / "b", "--shard-size", "1", small=arguments))
    assert read_manifest(tmp_path / "a")["redraws"]["sampler"] == sum(
        path(PaperSampler(), 1, i, 12).redraws for i in range(70)
    )
    assert (together.Z is None) == (law == "j2")


def test_many_states_are_recorded_in_pieces(monkeypatch, small, tmp_path):
    arguments = ("--sampler", "paper", "--set", "grains=2", "--paths", "10", "--steps", "12", "--quiet")
    whole = run(tmp_path / "whole", small=arguments)
    monkeypatch.setattr(learning.fine_scale, "RECORD_BYTES", 1e5)  # three paths at a time
    assert_same(run(tmp_path / "groups", small=arguments), whole)
    monkeypatch.setattr(learning.fine_scale, "PIECE", 5)
    pieces = run(tmp_path / "pieces", small=arguments)
    assert np.array_equal(pieces.stress, whole.stress)
    np.testing.assert_allclose(pieces.Z, whole.Z, atol=1e-14)


def at_work(folder: Path, *more: str) -> subprocess.Popen:
    """The command as a process with two workers that has written its first shard."""
    command = [sys.executable, "-m", "learning.generate", *SMALL, "--workers", "2", "--output", str(folder), *more]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where tests run in the background
    )  # fmt: skip
    limit = time.monotonic() + 120.0
    while not list(folder.glob("shard_*.npz")) and time.monotonic() < limit:
        time.sleep(0.005)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal(tmp_path, number):
    process = at_work(tmp_path / "set", "--shard-size", "1", "--paths", "1000")
    process.send_signal(number)
    error = process.communicate(timeout=30.0)[1]
    assert process.returncode == 130
    assert error.splitlines()[-1].startswith("interrupted: what is in")
    assert "Traceback" not in error


def test_killed_and_started_again(small, tmp_path):
    folder, many = tmp_path / "set", ["--shard-size", "1", "--paths", "100"]
    process = at_work(folder, *many)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30.0)  # until the workers, which share the pipe, have left too
    there = {p: p.stat().st_mtime_ns for p in folder.glob("shard_*.npz")}
    assert 1 <= len(there) < 100
    part = load(folder, partial=True)
    assert part.index.tolist() == sorted(int(p.stem[-5:]) for p in there)
    assert part.manifest["paths"] == len(there) and part.manifest["throughput"]["processor_seconds"] > 0.0
    assert not read_manifest(folder)["complete"]
    (folder / "shard_00019.npz.tmp").write_bytes(b"cut short")
    whole, first = run(folder, *many), load(small)
    assert np.array_equal(whole.index, np.arange(100))
    assert np.array_equal(whole.stress[:20], first.stress) and np.array_equal(whole.Z[:20], first.Z)
    assert {p: p.stat().st_mtime_ns for p in there} == there  # none was computed twice
    assert not list(folder.glob("*.tmp")) and read_manifest(folder)["complete"]
    assert read_manifest(folder)["sessions"][-1]["paths"] == 100 - len(there)


def test_an_interrupted_extension_can_be_read_in_part(small, tmp_path):
    data = tmp_path / "set"
    shutil.copytree(small, data)
    begun = read_manifest(data) | {"paths": 100, "complete": False}  # killed before the short last shard was replaced
    (data / "manifest.json").write_text(json.dumps(begun))
    part = load(data, partial=True)
    assert part.index.tolist() == list(range(20)) and part.manifest["paths"] == 20
    with pytest.raises(DataSetError, match="run its command again"):
        load(data)
    whole = run(data, "--shard-size", "8", "--paths", "100", small=(*SMALL[:2], *SMALL[4:]))
    assert np.array_equal(whole.stress[:20], load(small).stress)


def test_a_file_that_has_changed_is_noticed(tmp_path, capsys):
    texture = tmp_path / "few.ori"
    texture.write_text("0 0 0\n10 20 30\n")
    few = ("--paths", "4", "--steps", "10", "--quiet", "--set", f"texture_file={texture}")
    run(tmp_path / "set", small=few)
    run(tmp_path / "set", small=few)
    texture.write_text("0 0 0\n40 50 60\n")
    assert "its content has changed" in fails(capsys, "--output", str(tmp_path / "set"), small=few)


def test_other_options_are_refused(small, capsys):
    again = ("--output", str(small), "--shard-size", "8")
    assert "another seed (1, not 2)" in fails(capsys, *again, "--seed", "2")
    assert "another sampler strain (1.0, not 0.5)" in fails(capsys, *again, "--strain", "0.5")
    assert "another material (grains = 8, not grains = 9)" in fails(capsys, *again, "--set", "grains=9")
    assert "another steps" in fails(capsys, *again, "--steps", "31")
    assert "begun with 20 paths, not 19" in fails(capsys, *again, "--paths", "19")
    load(small)
    with alone_in(small):
        assert "another process is at work" in fails(capsys, *again)


@pytest.mark.parametrize(
    ("option", "words"), [("fixed_duration", ()), ("random_intervals", ("--unit-cell", "fft2d", "--points", "8"))]
)
def test_a_set_begun_before_an_option_was_there_goes_on(tmp_path, option, words):
    common = ("--set", "grains=2", "--steps", "4", "--quiet", *words)
    before = run(tmp_path, small=("--paths", "2", *common)).manifest["sampler"][option]
    manifest = read_manifest(tmp_path)
    del manifest["sampler"][option]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    data = run(tmp_path, small=("--paths", "3", *common))
    assert len(data) == 3 and data.manifest["sampler"][option] == before


def test_a_set_begun_by_a_program_with_more_options_is_refused(tmp_path, capsys):
    words = ("--set", "grains=2", "--paths", "2", "--steps", "4", "--quiet")
    manifest = run(tmp_path, small=words).manifest
    manifest["sampler"]["younger"] = 1
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert "another sampler younger (1, not None)" in fails(capsys, "--output", str(tmp_path), small=words)


def test_mistakes_have_one_line(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    assert "not empty and not a data set" in fails(capsys, "--output", str(tmp_path / "mine"))
    output = ("--output", str(tmp_path / "set"))
    assert "--fixed-intervals is an option" in fails(capsys, *output, "--fixed-intervals")
    paper = ("--sampler", "paper", "--fixed-duration")
    assert "--fixed-duration is an option of --sampler impact" in fails(capsys, *output, *paper)
    copper = ("--material", "copper_j2", "--texture-per-path", *output)
    assert "no random texture" in fails(capsys, *copper, small=())
    assert "python -m learning.generate: argument --paths" in fails(capsys, *output, "--paths", "0")
    assert "make u_max (--strain) smaller" in fails(capsys, *output, "--sampler", "paper", "--strain", "9")


def test_damage_is_named(small, tmp_path):
    data = tmp_path / "set"
    data.mkdir()
    for source in small.iterdir():
        (data / source.name).write_bytes(source.read_bytes())
    shard = data / "shard_00001.npz"
    whole = bytearray(shard.read_bytes())
    for damaged in (whole[: len(whole) // 2], whole[:2000] + b"\x00\x01" + whole[2002:], b"PK"):
        shard.write_bytes(damaged)
        with pytest.raises(DataSetError, match=r"shard_00001\.npz is damaged"):
            load(data)
    shard.write_bytes((data / "shard_00000.npz").read_bytes())
    with pytest.raises(DataSetError, match=r"shard_00001\.npz does not hold the paths"):
        load(data)
    shard.unlink()
    with pytest.raises(DataSetError, match=r"not complete.*missing: shard_00001\.npz$"):
        load(data)
    manifest = json.loads((data / "manifest.json").read_text())
    (data / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(DataSetError, match="has format 99"):
        load(data)
    (data / "manifest.json").write_text(json.dumps({key: manifest[key] for key in manifest if key != "seed"}))
    with pytest.raises(DataSetError, match="does not tell seed"):
        load(data)
    (data / "manifest.json").write_text("[]")
    with pytest.raises(DataSetError, match="cannot be read as a manifest"):
        load(data)
    with pytest.raises(DataSetError, match="is not a data set"):
        load(tmp_path / "nowhere")


def test_a_texture_of_its_own_for_each_path(tmp_path):
    data = run(tmp_path / "a", "--texture-per-path", "--paths", "4")
    assert_same(data, run(tmp_path / "b", "--texture-per-path", "--paths", "4", "--shard-size", "1"))
    assert len(set(data.texture_seed.tolist())) == 4
    law = load_material("magnesium_liu2022", overrides={"grains": 8, "texture_seed": int(data.texture_seed[2])}).law
    history = drive(law, data.time[2], full(data.U[2])[:, None])
    assert np.array_equal(history.stress[:, 0].astype(np.float32), data.stress[2])


@compile_block
def _brittle(params, F_old, F_new, dt, stress, state, status):
    """Stress C11 - 1; fails above a stretch F11 of 1.02."""
    for p in range(64):
        stress[p] = F_new[p] - 1.0
        status[p] = 2 if F_new[p] > 1.02 else 0
    return status.max()


def test_paths_on_which_the_law_fails_are_drawn_again(monkeypatch, tmp_path):
    law = Law("brittle", 1.0, 1.0, 1.0, np.zeros(1), (), _brittle)
    definition = LawDefinition("brittle", (Parameter("density", "", ""),), lambda values: law)
    monkeypatch.setattr(learning.fine_scale, "law_definition", lambda name: definition)
    arguments = ("--law", "j2", "--sampler", "paper", "--paths", "40", "--steps", "10", "--quiet")
    data = run(tmp_path / "a", "--strain", "0.03", small=arguments)
    assert np.all(data.U[..., 0] <= 1.02) and data.attempt.max() > 0
    for i in (int(np.argmax(data.attempt)), int(np.argmin(data.attempt))):
        drawn = path(PaperSampler(u_max=0.03), 1, i, 10, int(data.attempt[i]))
        assert np.array_equal(drawn.U(drawn.times), data.U[i])
    failed = int(data.attempt.sum())
    redraws = read_manifest(tmp_path / "a")["redraws"]
    assert redraws["law_failures"] == {"the stress update did not converge": failed}
    assert redraws["rate"] == pytest.approx(1 - 40 / (40 + failed + redraws["sampler"]))
    assert_same(data, run(tmp_path / "b", "--strain", "0.03", "--shard-size", "7", small=arguments))


def test_an_index_on_which_every_path_fails(monkeypatch, tmp_path, capsys):
    law = Law("brittle", 1.0, 1.0, 1.0, np.zeros(1), (), _brittle)
    definition = LawDefinition("brittle", (), lambda values: law)
    monkeypatch.setattr(learning.fine_scale, "law_definition", lambda name: definition)
    monkeypatch.setattr(learning.fine_scale, "MOST_ATTEMPTS", 1)
    line = fails(capsys, "--law", "j2", "--sampler", "paper", "--output", str(tmp_path / "a"), small=())
    assert "fails on 1 paths of index" in line and "the stress update did not converge (" in line


def test_progress_in_plain_lines(tmp_path, capsys):
    arguments = ("--law", "neo_hookean", "--paths", "5", "--steps", "4", "--workers", "1", "--seed", "3")
    main([*arguments, "--output", str(tmp_path / "a")])
    shown = capsys.readouterr()
    assert shown.err.startswith("5 of 5 paths") and "ETA 0 s" in shown.err
    assert "5 paths of 4 steps" in shown.out and "paths per processor second" in shown.out


def test_the_time_left_is_told_from_what_this_start_has_made(capsys, monkeypatch):
    """Of 100 paths 40 were there; 20 more in 10 s leave 20 s for the last 40."""
    clock = iter([0.0, 10.0, 11.0])
    monkeypatch.setattr(learning.workers, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    progress = learning.workers.Progress(100, 40, quiet=False)
    progress.add(20)
    progress.add(1)  # a line every ten seconds only
    assert capsys.readouterr().err == "60 of 100 paths  2.0 per s  ETA 20 s\n"


def test_throughput_is_that_of_all_shards():
    """Two shards of 5 paths together, 7 steps of 3 parts, in 4 s; a unit cell of 6 pixels along each axis."""
    task = Task(ImpactSampler(), 1, 5, 7, 3, 3, "taylor", {})
    reports = {k: {"redraws": k, "failures": {"no": 1}, "processor_seconds": s} for k, s in enumerate((1.0, 3.0))}
    point, *cells = (summary(replace(task, unit_cell=cell, points=6), reports) for cell in (None, "fft2d", "fft3d"))
    assert point["throughput"] == pytest.approx(
        {"processor_seconds": 4.0, "paths_per_processor_second": 5 / 4, "processor_seconds_per_step": 4.0 / 105}
    )
    found = [cell["throughput"]["pixel_steps_per_processor_second"] for cell in cells]
    assert found == pytest.approx([36 * 105 / 4.0, 216 * 105 / 4.0])
    assert point["redraws"] == {"sampler": 1, "law_failures": {"no": 2}, "rate": pytest.approx(3 / 8)}


def test_options_are_in_the_sampler_and_the_task():
    def task(*given):
        return chosen_task(parser().parse_args(["--output", "a", "--set", "grains=2", *given]))[0]

    common = ("--grid", "random", "--end-time", "3e-6")
    assert task(*common, "--strain", "0.4").sampler == ImpactSampler(grid="random", duration=3e-6, strain=0.4)
    assert task("--end-time", "3e-6", "--fixed-duration").sampler == ImpactSampler(duration=3e-6, fixed_duration=True)
    paper = ("--sampler", "paper", "--strain", "0.1", "--fixed-intervals")
    assert task(*common, *paper).sampler == PaperSampler(0.1, 3e-6, random_intervals=False, grid="random")
    plain, cell = task("--seed", "4", "--steps", "9", "--substeps", "2"), task("--unit-cell", "fft3d", "--points", "4")
    assert (plain.seed, plain.steps, plain.substeps, plain.points) == (4, 9, 2, None)
    assert (cell.unit_cell, cell.points, task("--unit-cell", "fft3d").points) == ("fft3d", 4, 16)


def test_generating_needs_no_torch():
    code = "import sys, learning.generate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.slow
def test_on_a_local_dask_cluster(small, tmp_path, capsys, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="dask[distributed] is not installed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        data = run(tmp_path / "set", "--shard-size", "4", "--dask", cluster.scheduler_address)
        monkeypatch.chdir(tmp_path)  # workers do not follow
        np.savez("rod.npz", times=[[0.0, 1e-6]], U=[[[1.0, 1.0, 1.0, 0, 0, 0], [1.1, 0.95, 0.95, 0, 0, 0]]])
        recorded = run(tmp_path / "recorded", "--sampler", "recorded", "--histories", "rod.npz",
                       "--dask", cluster.scheduler_address)  # fmt: skip
    assert_same(data, load(small))
    assert len(recorded) == 20
    assert read_manifest(tmp_path / "set")["sessions"][0]["workers"].startswith("dask tcp://")
    assert "no scheduler answers" in fails(capsys, "--output", str(tmp_path / "b"), "--dask", "tcp://127.0.0.1:1")
