"""Whole cases on coarse meshes: the contract of files and keys, physics, symmetry, threads, refused input."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cases import plate_impact, taylor_anvil
from fem.run import MOST_THREADS

ROOT = Path(__file__).resolve().parents[2]
KEYS = """\
case law material element elements nodes steps end_time completed wall_time time_per_element_step law_time
element_time contact_time node_time output_time startup_time peak_memory threads precision energy_error
max_energy_error hourglass_energy_ratio kinetic_energy internal_energy controlling_element
max_equivalent_plastic_strain max_deviatoric_strain max_von_mises versions contact_impulse
rigid_bodies inverted_elements"""
COPPER = ["--law", "johnson_cook", "--material", "ofhc_copper"]
LONG = ["--length", "32.4e-3", "--diameter", "6.4e-3", *COPPER]


def rod(folder, *more) -> dict:
    taylor_anvil.main(["--output", str(folder), "--quiet", "--no-picture", *map(str, more)])
    return json.loads((folder / "summary.json").read_text())


def plate(folder, *more) -> dict:
    plate_impact.main(["--output", str(folder), "--quiet", "--no-picture", *map(str, more)])
    return json.loads((folder / "summary.json").read_text())


@pytest.fixture(scope="module")
def small_rod(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("rod") / "run"
    taylor_anvil.main(["--output", str(folder), "--quiet", "--elements-across", "6", "--frames", "4", *COPPER])
    return folder


def test_the_run_folder_holds_what_is_promised(small_rod):
    summary = json.loads((small_rod / "summary.json").read_text())
    for key in (*KEYS.split(), "final_length", "final_radius"):
        assert key in summary, key
    for name in ("history.csv", "fields.pvd", "picture.png", "checkpoint.npz", "material.toml", "options.json"):
        assert (small_rod / name).exists(), name
    assert summary["completed"] is True
    assert summary["end_time"] == 1e-6
    assert summary["max_energy_error"] < 0.01


def test_the_time_loop_is_split_without_remainder(small_rod):
    summary = json.loads((small_rod / "summary.json").read_text())
    parts = [summary[key] for key in ("law_time", "element_time", "contact_time", "node_time")]
    assert min(parts) > 0.0
    assert sum(parts) == pytest.approx(summary["wall_time"], rel=1e-9)
    assert summary["output_time"] > 0.0


def test_128_grains_take_nearly_all_of_the_time(tmp_path):
    result = rod(tmp_path / "run", "--law", "taylor", "--elements-across", 6, "--symmetry", "quarter", "--end-time",
                 "2e-7", "--no-fields")  # fmt: skip
    assert result["law_time"] > 10.0 * result["element_time"]


def test_paraview_can_read_the_fields(small_rod):
    import pyvista

    reader = pyvista.get_reader(str(small_rod / "fields.pvd"))
    assert reader.time_values == pytest.approx(np.linspace(0, 1e-6, 5), abs=3e-8)
    lengths = []
    for time in reader.time_values:
        reader.set_active_time_value(time)
        block = reader.read()[0]
        lengths.append(block.bounds[5] - block.bounds[4])
    assert (np.diff(lengths) < 0.0).all()  # points move
    assert set(block.point_data) >= {"displacement", "velocity"}
    assert set(block.cell_data) >= {
        "stress", "von_mises", "pressure", "deviatoric_strain", "volumetric_strain", "equivalent_plastic_strain",
        "temperature",
    }  # fmt: skip


@pytest.mark.parametrize("element", ["hex8r", "hex8"])
@pytest.mark.parametrize("velocity", [200, 350])
def test_a_copper_rod_comes_to_rest_as_a_mushroom(tmp_path, element, velocity):
    result = rod(tmp_path / "run", *LONG, "--velocity", velocity, "--end-time", "120e-6", "--elements-across", 6,
                 "--element", element, "--symmetry", "quarter", "--no-fields", "--threads", 1)  # fmt: skip
    assert result["completed"]
    assert result["max_energy_error"] < 0.01
    assert result["hourglass_energy_ratio"] < 0.05
    assert result["kinetic_energy"] < 0.02 * 0.5 * 8960 * np.pi * 3.2e-3**2 * 32.4e-3 * velocity**2
    assert result["max_equivalent_plastic_strain"] > 1.0
    assert result["stored_energy"] + result["plastic_work"] == pytest.approx(result["internal_energy"], rel=0.01)
    assert result["final_radius"] > 1.3 * 3.2e-3


def test_both_elements_agree_on_a_coarse_rod(tmp_path):
    options = [*LONG, "--velocity", 200, "--end-time", "100e-6", "--elements-across", 8, "--symmetry", "quarter",
               "--no-fields", "--threads", 1]  # fmt: skip
    one, two = (rod(tmp_path / element, *options, "--element", element) for element in ("hex8r", "hex8"))
    assert one["final_length"] == pytest.approx(two["final_length"], rel=0.01)
    assert one["final_radius"] == pytest.approx(two["final_radius"], rel=0.02)


@pytest.mark.slow
def test_both_elements_agree_at_ten_thousand_elements(tmp_path):
    options = [*LONG, "--velocity", 227, "--end-time", "100e-6", "--elements-across", 14, "--symmetry", "quarter",
               "--no-fields", "--threads", 1]  # fmt: skip
    one, two = (rod(tmp_path / element, *options, "--element", element) for element in ("hex8r", "hex8"))
    assert one["elements"] * 4 > 10_000
    assert one["max_equivalent_plastic_strain"] > 2.0
    assert one["final_length"] == pytest.approx(two["final_length"], rel=0.01)
    assert one["final_radius"] == pytest.approx(two["final_radius"], rel=0.02)
    for result in (one, two):
        assert result["max_energy_error"] < 0.01
        assert result["hourglass_energy_ratio"] < 0.05


def test_a_quarter_is_the_whole(tmp_path):
    options = ["--elements-across", 6, *COPPER]
    whole, quarter = (rod(tmp_path / part, *options, "--symmetry", part) for part in ("full", "quarter"))
    for key in (
        "final_length",
        "final_radius",
        "contact_impulse",
        "internal_energy",
        "kinetic_energy",
        "max_von_mises",
    ):
        assert quarter[key] == pytest.approx(whole[key], rel=1e-6), key


@pytest.mark.skipif(MOST_THREADS < 2, reason="Numba has one thread")
def test_the_number_of_threads_changes_no_bit(tmp_path):
    options = ["--elements-across", 8, "--friction", 0.1, *COPPER]
    one, two = (rod(tmp_path / f"{n}", *options, "--threads", n) for n in (1, 2))
    assert (tmp_path / "1" / "history.csv").read_bytes() == (tmp_path / "2" / "history.csv").read_bytes()
    assert one["max_von_mises"] == two["max_von_mises"]


@pytest.mark.parametrize("element", ["hex8r", "hex8"])
def test_a_plate_is_dished(tmp_path, element):
    result = plate(tmp_path / "run", "--symmetry", "quarter", "--elements-through", 4, "--element", element, *COPPER)
    for key in (*KEYS.split(), "back_face_deflection", "contact_radius"):
        assert key in result, key
    assert result["max_energy_error"] < 0.01
    assert 1e-4 < result["back_face_deflection"] < 3e-4  # the projectile has come 0.2 mm
    assert 0.5e-3 < result["contact_radius"] < 2.5e-3


def test_penalty_contact_tends_to_kinematic_contact(tmp_path):
    """The contact spring gives way by a part of an element, so impulses agree to first order."""
    for across, tolerance in ((8, 0.12), (16, 0.06)):
        options = ["--elements-across", across, "--symmetry", "quarter", "--threads", 1, *COPPER]
        one, two = (rod(tmp_path / f"{how}{across}", *options, "--contact", how) for how in ("kinematic", "penalty"))
        assert two["final_length"] == pytest.approx(one["final_length"], rel=1e-3)
        assert two["contact_impulse"] == pytest.approx(one["contact_impulse"], rel=tolerance)
        assert two["max_energy_error"] < 0.01


def command(*arguments, cwd) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "cases.taylor_anvil", *map(str, arguments)],
        capture_output=True, text=True, cwd=cwd, env=environment, timeout=300,
    )  # fmt: skip


REFUSED = {
    "unknown option": (["--lenght", "1"], "lenght"),
    "negative length": (["--length", "-1"], "--length"),
    "not a number": (["--velocity", "nan"], "--velocity"),
    "infinite": (["--end-time", "inf"], "--end-time"),
    "odd number across": (["--elements-across", "7"], "even"),
    "unknown law": (["--law", "johnson_cok"], "did you mean 'johnson_cook'"),
    "unknown material": (["--material", "ofhc_coper"], "ofhc_copper"),
    "missing file": (["--material", "none.toml"], "none.toml"),
    "negative density": (["--set", "density=-1"], "density"),
    "density in g/cm3": (["--set", "density=8.96"], "density"),
    "unknown parameter": (["--set", "yeild=1"], "yeild"),
    "nothing to restart": (["--restart", "--output", "nowhere"], "nowhere"),
    "output is a file": (["--output", "file"], "file"),
    "existing folder": (["--output", "full"], "--overwrite"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, name):
    (tmp_path / "file").write_text("precious")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("precious")
    arguments, words = REFUSED[name]
    done = command("--quiet", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert (tmp_path / "file").read_text() == (tmp_path / "full" / "thesis.txt").read_text() == "precious"


def test_overwrite_removes_only_what_a_run_wrote(tmp_path):
    folder = tmp_path / "run"
    rod(folder, "--elements-across", 4, "--end-time", 1e-7, *COPPER)
    (folder / "thesis.txt").write_text("precious")
    rod(folder, "--elements-across", 4, "--end-time", 1e-7, "--overwrite", *COPPER)
    assert (folder / "thesis.txt").read_text() == "precious"


def test_overwrite_refuses_a_folder_that_no_run_wrote(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "history.csv").write_text("of Rome")
    with pytest.raises(SystemExit) as stop:
        rod(folder, "--elements-across", 4, "--end-time", 1e-7, "--overwrite", *COPPER)
    assert stop.value.code == 2
    assert (folder / "history.csv").read_text() == "of Rome"


def test_a_full_disk_is_one_line(tmp_path):
    """RLIMIT_FSIZE stands for the full disk: writing fails with an OSError."""
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)); "
        "from cases.taylor_anvil import main; main(sys.argv[1:])"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path / "kernels")}
    arguments = ["--quiet", "--no-picture", "--elements-across", "8", "--output", "run"]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, cwd=tmp_path,
                          env=environment, timeout=300)  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "too large" in done.stderr or "space" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/self/attr").exists(), reason="root writes everywhere")
def test_an_unwritable_folder_is_one_line(tmp_path):
    done = command("--quiet", "--output", "/proc/nothing/run", cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_material_that_fails_stops_with_element_and_time(tmp_path):
    """A rod shot at ten kilometres a second turns elements inside out."""
    options = ["--velocity", "20000", "--elements-across", "4", "--no-picture", "--output", "run", *COPPER]
    done = command("--quiet", *options, cwd=tmp_path)
    assert done.returncode == 2
    line = done.stderr.strip()
    assert len(line.splitlines()) == 1
    assert "element" in line and " s, step" in line and "the last good checkpoint" in line
