"""Stopping at any instant loses nothing: killed and resumed runs end bit for bit like the unbroken one."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from cases import taylor_anvil
from fem.doubts import RunWarning

ROOT = Path(__file__).resolve().parents[2]
TIMES = ("wall_time", "time_per_element_step", "law_time", "element_time", "contact_time", "node_time",
         "output_time", "startup_time", "peak_memory", "threads")  # fmt: skip
CASE = ["--elements-across", "6", "--end-time", "16e-6", "--frames", "12", "--no-picture", "--symmetry", "quarter",
        "--friction", "0.1", "--checkpoint-seconds", "0"]  # fmt: skip


def command(folder, *more) -> list[str]:
    return [sys.executable, "-m", "cases.taylor_anvil", *CASE, "--output", str(folder), *more]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


def start(folder, *more) -> subprocess.Popen:
    return subprocess.Popen(
        command(folder, *more), env=environment(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )


def same_results(a: Path, b: Path) -> None:
    first, second = (json.loads((folder / "summary.json").read_text()) for folder in (a, b))
    for key in TIMES:
        first.pop(key), second.pop(key)
    assert first == second
    assert (a / "history.csv").read_bytes() == (b / "history.csv").read_bytes()
    frames = sorted(path.name for path in (a / "fields").glob("*"))
    assert len(frames) == 13
    assert frames == sorted(path.name for path in (b / "fields").glob("*"))
    for name in frames:
        assert (a / "fields" / name).read_bytes() == (b / "fields" / name).read_bytes()
    assert (a / "fields.pvd").read_bytes() == (b / "fields.pvd").read_bytes()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "unbroken"
    subprocess.run(command(folder, "--threads", "1"), env=environment(), check=True, capture_output=True, timeout=300)
    return folder


def rows(folder: Path) -> int:
    """Rows that the history of a run has so far."""
    try:
        return (folder / "history.csv").read_text().count("\n") - 1
    except FileNotFoundError:
        return 0


def kill_after(process: subprocess.Popen, folder: Path, count: int, delay: float) -> None:
    """SIGKILL a run `delay` seconds after its history has reached so many rows."""
    deadline = time.monotonic() + 300
    while rows(folder) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.001)
    time.sleep(delay)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_killed_again_and_again(unbroken, tmp_path):
    """Six kills spread over the run at random instants, one of them during start-up, on one and two threads in turn."""
    folder, rng = tmp_path / "killed", random.Random(5)
    targets = [0, *sorted(rng.sample(range(5, 300), 5))]
    for attempt, target in enumerate(targets):
        more = ["--threads", str(1 + attempt % 2)] + (["--restart"] if folder.exists() else [])
        kill_after(start(folder, *more), folder, target, rng.uniform(0.0, 0.05))
    more = ["--restart"] if folder.exists() else []
    subprocess.run(command(folder, *more), env=environment(), check=True, capture_output=True, timeout=300)
    same_results(unbroken, folder)


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_leave_a_checkpoint(unbroken, tmp_path, number, code):
    folder = tmp_path / "stopped"
    process = start(folder, "--checkpoint-seconds", "1000")
    deadline = time.monotonic() + 120
    while not (folder / "history.csv").exists() or len((folder / "history.csv").read_text().splitlines()) < 20:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    error = process.communicate(timeout=60)[1].decode()
    assert process.returncode == code
    assert "--restart" in error
    done = subprocess.run(command(folder, "--restart", "--checkpoint-seconds", "1000"), env=environment(), timeout=300)
    assert done.returncode == 0
    same_results(unbroken, folder)


def test_a_killed_run_can_be_opened(unbroken, tmp_path):
    import pyvista

    folder = tmp_path / "killed"
    process = start(folder)
    while not (folder / "fields" / "frame_0003.vtu").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    reader = pyvista.get_reader(str(folder / "fields.pvd"))
    assert len(reader.time_values) >= 3
    reader.set_active_time_value(reader.time_values[-1])
    assert np.isfinite(reader.read()[0]["von_mises"]).all()


def test_restart_needs_the_same_run(unbroken):
    done = subprocess.run(
        command(unbroken, "--restart", "--velocity", "150"),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "--velocity" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_restart_goes_on_with_the_material_that_the_run_began_with(tmp_path):
    file, folder = tmp_path / "mine.toml", tmp_path / "run"
    text = (ROOT / "constitutive" / "materials" / "copper_j2.toml").read_text()
    file.write_text(text)
    options = ["--material", str(file), "--elements-across", "4", "--symmetry", "quarter", "--no-picture", "--quiet"]
    options += ["--no-fields", "--output", str(folder), "--end-time"]
    with warnings.catch_warnings(action="error"):
        taylor_anvil.main([*options, "1e-7"])
        taylor_anvil.main([*options, "2e-7", "--restart"])
    begun = (folder / "material.toml").read_text()
    file.write_text(text.replace("density = ", "density = 1"))
    with pytest.warns(RunWarning, match=r"the material has changed since the run began, which goes on with .*material"):
        taylor_anvil.main([*options, "3e-7", "--restart"])
    assert (folder / "material.toml").read_text() == begun
    assert json.loads((folder / "summary.json").read_text())["end_time"] == 3e-7


def test_a_finished_run_can_be_restarted_without_change(unbroken):
    before = (unbroken / "history.csv").read_bytes()
    subprocess.run(command(unbroken, "--restart"), env=environment(), check=True, capture_output=True, timeout=60)
    assert (unbroken / "history.csv").read_bytes() == before


def test_a_finished_run_goes_on_to_a_later_end(tmp_path):
    folder = tmp_path / "run"
    options = ["--checkpoint-seconds", "100", "--frames", "4", "--end-time"]
    subprocess.run(command(folder, *options, "2e-6"), env=environment(), check=True, capture_output=True, timeout=60)
    subprocess.run(
        command(folder, *options, "3e-6", "--restart"), env=environment(), check=True, capture_output=True, timeout=60
    )
    assert json.loads((folder / "summary.json").read_text())["end_time"] == 3e-6
    time = np.genfromtxt(folder / "history.csv", delimiter=",", names=True)["time"]
    assert time[-1] == 3e-6
    assert (np.diff(time) > 0.0).all()
    assert len(list((folder / "fields").glob("*.vtu"))) == 7  # the interval of the first run goes on


def test_damaged_checkpoint_falls_back_to_the_one_before(unbroken, tmp_path):
    import shutil

    folder = tmp_path / "damaged"
    shutil.copytree(unbroken, folder)
    data = (folder / "checkpoint.npz").read_bytes()
    (folder / "checkpoint.npz").write_bytes(data[: len(data) // 2])
    subprocess.run(
        command(folder, "--restart", "--threads", "1"), env=environment(), check=True, capture_output=True, timeout=60
    )
    same_results(unbroken, folder)


def test_history_has_the_promised_columns(unbroken):
    with open(unbroken / "history.csv") as file:
        names = next(csv.reader(file))
    promised = (
        "time dt kinetic internal hourglass viscous contact external total error momentum_x momentum_y momentum_z"
    )
    assert names == [*promised.split(), "contact_force", "length", "radius"]
