"""A run and its folder: what is refused, what is kept, what a restart changes."""

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from constitutive.law import law_definition
from fem.boundary import BoundaryError
from fem.checkpoint import CheckpointError
from fem.folder import RunError, alone_in, read_json
from fem.history import History, read_history
from fem.meshing import box
from fem.model import Model
from fem.output import OutputError, frame_times, read_frame
from fem.run import ROUND_OFF, Case, Monitor, Settings, run

NUMBERS = {"density": 8960.0, "youngs_modulus": 1.2e11, "poissons_ratio": 0.34}
LAW = law_definition("j2").build(NUMBERS | {"yield_stress": 1e8, "hardening_modulus": 1e8})


def bar() -> Model:
    """Two elements, one end held, the other thrown."""
    mesh = box((1e-3, 1e-3, 2e-3), (1, 1, 2))
    model = Model(mesh, LAW).fix(np.flatnonzero(mesh.points[:, 2] == 0.0))
    return model.initial_velocity((0.0, 0.0, 50.0), np.flatnonzero(mesh.points[:, 2] > 1.5e-3))


@pytest.fixture
def folder(tmp_path):
    """A finished run's."""
    run(bar(), 2e-6, tmp_path / "run", frames=2, records=10)
    return tmp_path / "run"


def contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.glob("*.*")}


def test_nothing_is_overwritten_by_a_model_that_does_not_fit(folder):
    before, model = contents(folder), Model(box((1e-3, 1e-3, 2e-3), (1, 1, 2)), LAW, mirrored="x")
    with pytest.raises(BoundaryError, match="mirrored in x"):
        run(model, 2e-6, folder, overwrite=True)
    assert contents(folder) == before


def test_an_interrupted_overwrite_can_be_repeated(folder, monkeypatch):
    unlink = Path.unlink

    def interrupted(path, missing_ok=False):
        if path.name == "fields.pvd":
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(bar(), 2e-6, folder, overwrite=True)
    monkeypatch.undo()
    assert run(bar(), 2e-6, folder, overwrite=True).summary["completed"]


@pytest.mark.parametrize("option", ["restart", "overwrite"])
def test_a_folder_is_for_one_run_at_a_time(folder, option):
    before = (folder / "history.csv").read_bytes()
    with alone_in(folder), pytest.raises(RunError, match="another process is at work there"):
        run(bar(), 1e-6, folder, **{option: True})
    assert (folder / "history.csv").read_bytes() == before
    run(bar(), 2e-6, folder, **{option: True})


def test_a_disk_without_locks_serves(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EBADF, "Bad file descriptor")  # NFS, of a folder

    monkeypatch.setattr("fcntl.flock", refuse)
    assert run(bar(), 1e-7, tmp_path / "run").summary["completed"]


def remove_checkpoints(folder: Path) -> None:
    for file in folder.glob("checkpoint*"):
        file.unlink()


def test_results_without_a_checkpoint_are_not_begun_anew(folder):
    remove_checkpoints(folder)
    before = contents(folder)
    with pytest.raises(RunError, match="no checkpoint to go on from; --overwrite begins"):
        run(bar(), 2e-6, folder, restart=True)
    (folder / "summary.json").rename(folder / "mine.json")
    with pytest.raises(RunError, match="no checkpoint to go on from"):
        run(bar(), 2e-6, folder, restart=True)
    (folder / "mine.json").rename(folder / "summary.json")
    assert contents(folder) == before


def test_a_run_stopped_before_its_first_checkpoint_begins(folder):
    remove_checkpoints(folder)
    (folder / "summary.json").unlink()
    history = folder / "history.csv"
    history.write_text("".join(history.read_text().splitlines(keepends=True)[:2]))
    assert len(run(bar(), 2e-6, folder, frames=2, records=10, restart=True).history.rows) == 11


@pytest.mark.parametrize("option", ["restart", "overwrite"])
def test_what_no_run_wrote_is_not_replaced(tmp_path, option):
    (tmp_path / "summary.json").write_text("mine")
    with pytest.raises(RunError, match="was not written by a run"):
        run(bar(), 1e-7, tmp_path, **{option: True})
    assert (tmp_path / "summary.json").read_text() == "mine"


def test_the_end_is_in_history_and_frames_of_a_run_that_goes_on(tmp_path):
    """Whose ends are no multiples of the intervals that it began with."""
    ends = (10.3e-6, 13.3e-6, 15.6e-6)
    step = run(bar(), 10e-6, tmp_path, frames=4, records=10).history.column("dt").max()
    for end in ends:
        run(bar(), end, tmp_path, restart=True)
    frames = np.array([time for time, _ in frame_times(tmp_path / "fields.pvd")])
    for times, interval in ((read_history(tmp_path / "history.csv")["time"], 1e-6), (frames, 2.5e-6)):
        assert set(ends) <= set(times) and len(times) == int(ends[-1] / interval) + 1 + len(ends)
        due = interval * np.arange(int(ends[-1] / interval) + 1)
        assert (times[np.searchsorted(times, due * (1.0 - 1e-9))] < due + step).all()


def test_options_go_before_settings():
    history = run(bar(), 1e-6, settings=Settings(records=5, frames=3), records=2).history
    assert len(history.rows) == 3


TIP = Monitor("m", lambda solver: float(solver.displacement[:, 2].max()))


@pytest.mark.parametrize("monitors", [{}, {"end": TIP}, {"tip": TIP, "end": TIP}])
def test_a_restart_has_the_monitors_of_the_run(tmp_path, monitors):
    run(bar(), 1e-6, tmp_path, {"tip": TIP})
    before = contents(tmp_path)
    with pytest.raises(RunError, match="was begun with other monitors: tip; give the same"):
        run(bar(), 2e-6, tmp_path, monitors, restart=True)
    assert contents(tmp_path) == before
    history = run(bar(), 2e-6, tmp_path, {"tip": TIP}, restart=True).history
    assert (np.diff(history.column("tip")) > 0.0).all() and history.column("time")[-1] == 2e-6


def test_a_monitor_has_a_name_of_its_own(tmp_path):
    for name in ("time", "tip, m", "two\nlines"):
        with pytest.raises(RunError, match=r"monitor '(time|tip, m|two\\nlines)'"):
            run(bar(), 1e-6, tmp_path / "run", {name: TIP})
    assert not (tmp_path / "run").exists()


def test_a_run_that_goes_on_is_not_complete(tmp_path):
    """Stopped on its way to a later end it has no summary and no picture of the earlier one."""

    def stop(solver):
        if solver.time > 3e-6:
            raise KeyboardInterrupt
        return 0.0

    monitors = {"stop": Monitor("1", stop)}
    run(bar(), 2e-6, tmp_path, monitors)
    (tmp_path / "picture.png").write_bytes(b"of the earlier end")
    run(bar(), 2e-6, tmp_path, monitors, restart=True)
    assert (tmp_path / "summary.json").exists() and (tmp_path / "picture.png").exists()
    with pytest.raises(KeyboardInterrupt):
        run(bar(), 4e-6, tmp_path, monitors, restart=True)
    assert not (tmp_path / "summary.json").exists() and not (tmp_path / "picture.png").exists()


def test_a_restart_does_not_go_back(folder):
    before = contents(folder)
    with pytest.raises(RunError, match="computed to 2e-06 s already"):
        run(bar(), 1e-6, folder, case=Case(files={"options.json": "{}"}), restart=True)
    assert contents(folder) == before


def test_the_summary_has_the_largest_values_of_the_last_frame(tmp_path):
    summary = run(bar(), 1e-6, tmp_path, frames=1).summary
    cells = read_frame(tmp_path / frame_times(tmp_path / "fields.pvd")[-1][1]).cell_data
    for name in ("von_mises", "deviatoric_strain", "equivalent_plastic_strain"):
        assert np.ptp(cells[name]) > 0.0
        assert summary[f"max_{name}"] == pytest.approx(cells[name][0].max(), rel=1e-6)


def test_the_summary_says_which_part_of_the_elements_left_the_envelope():
    model = bar()
    model.law = replace(LAW, fields=lambda F, state: {"outside_envelope": np.array([0.0, 0.2])})
    assert run(model, 1e-8).summary["outside_envelope_fraction"] == 0.5


def test_the_largest_energy_error_is_that_of_all_times():
    result = run(bar(), 5e-6, records=50)
    error = np.abs(result.history.column("error"))
    assert result.summary["max_energy_error"] == error.max() > error[-1] == abs(result.summary["energy_error"])


def test_a_quarter_reports_stored_energy_and_plastic_work_of_the_whole():
    """D = V (sigma_y p + H p^2 / 2) in each of the two elements; what is stored is the rest of the work on them."""
    quarter = bar()
    quarter.mirrored = "xy"
    one, four = (run(model, 1e-6) for model in (bar(), quarter))
    p = one.solver.elements.mean_values()[2][:, LAW.state_slice("equivalent_plastic_strain")]
    assert one.summary["plastic_work"] == pytest.approx(np.sum(1e-9 * (1e8 * p + 0.5e8 * p**2)), rel=1e-9)
    for key in ("stored_energy", "plastic_work"):
        assert four.summary[key] == pytest.approx(4.0 * one.summary[key], rel=1e-12) and one.summary[key] > 0.0


def test_hourglass_energy_of_a_body_without_internal_energy():
    """Related to what counts as none, a share of all energy: large, as it should be, but no number of 300 digits."""
    mesh = box((1e-3, 1e-3, 1e-3), (1, 1, 1))
    model = Model(mesh, LAW)
    for node, (x, y, _) in enumerate(np.sign(mesh.points - mesh.points.mean(axis=0))):
        model.initial_velocity((0.0, 0.0, 1e-3 * x * y), [node])
    summary = run(model, 1e-8).summary
    assert summary["internal_energy"] <= 0.0
    assert 1e3 < summary["hourglass_energy_ratio"] < 1.0 / ROUND_OFF


def test_a_checkpoint_that_cannot_be_written_is_named(folder, monkeypatch):
    """The one before stays, and nothing half written."""
    before = (folder / "checkpoint.npz").read_bytes()

    def full_disk(file, **arrays):
        file.write(before[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")  # as of the system: without a name

    monkeypatch.setattr("numpy.savez", full_disk)
    with pytest.raises(OSError, match="No space left") as caught:
        run(bar(), 4e-6, folder, restart=True)
    assert caught.value.filename == str(folder / "checkpoint.npz")
    assert (folder / "checkpoint.npz").read_bytes() == before
    assert {file.name for file in folder.glob("checkpoint*")} == {"checkpoint.npz", "checkpoint.previous.npz"}


def test_a_checkpoint_of_another_model_or_format_is_refused(folder, monkeypatch):
    before = contents(folder)
    with pytest.raises(CheckpointError, match="was written by another model"):
        run(bar().initial_velocity((0.0, 0.0, 1.0), [0]), 4e-6, folder, restart=True)
    monkeypatch.setattr("fem.checkpoint.FORMAT", 99)
    with pytest.raises(CheckpointError, match="this version reads 99: start anew"):
        run(bar(), 4e-6, folder, restart=True)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("of_the_central_directory", "byte"), [(6, 99), (8, 1), (10, 7)], ids=["version", "encrypted", "compression"]
)
def test_a_checkpoint_damaged_anywhere_falls_back(folder, of_the_central_directory, byte):
    damaged = bytearray((folder / "checkpoint.npz").read_bytes())
    damaged[damaged.index(b"PK\x01\x02") + of_the_central_directory] = byte
    (folder / "checkpoint.npz").write_bytes(damaged)
    assert run(bar(), 2e-6, folder, restart=True).summary["completed"]


def test_a_history_that_cannot_be_written_is_named(tmp_path):
    history = History(["time"], tmp_path, {})
    history.path = Path("/dev/full")
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        history.append({"time": 0.0})


def test_results_are_read_back(folder):
    assert read_json(folder / "summary.json")["completed"]
    assert read_history(folder / "history.csv")["time"][-1] == 2e-6


@pytest.mark.parametrize("text", ["", "{", "[]", '{"end_time": 1e-'])
def test_a_damaged_json_file_is_named(tmp_path, text):
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(RunError, match=r"summary.json is damaged \(.*\): begin the run anew with --overwrite"):
        read_json(tmp_path / "summary.json")


@pytest.mark.parametrize("text", ["time,dt\n0,1\n2", "time,dt\n0,x\n", "time\n0,1\n"])
def test_a_damaged_history_is_named(tmp_path, text):
    (tmp_path / "history.csv").write_text(text)
    with pytest.raises(OutputError, match=r"history\.csv is damaged"):
        read_history(tmp_path / "history.csv")


def test_the_end_may_be_a_number_of_numpy(tmp_path):
    assert run(bar(), np.float32(1e-6), tmp_path / "run").summary["end_time"] == pytest.approx(1e-6)


def test_no_records_are_those_of_start_and_end():
    assert run(bar(), 1e-6, records=0, frames=0).history.column("time").tolist() == [0.0, 1e-6]
