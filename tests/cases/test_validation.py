"""The command `python -m cases.validation`: comparison of runs by closed forms, and runs that are not run twice."""

import json
from pathlib import Path

import numpy as np
import pytest

from cases import comparison, taylor_anvil, validation
from cases.comparison import Run, compare, field_errors, fields_at, mean_forces, read_run
from cases.impact import has_material
from constitutive.material import load_material
from fem.hex8 import mean_gradient
from fem.meshing import box

LAWS = ("magnesium_empirical", "magnesium_empirical:A=300e6")
MESH = box((1.0, 1.0, 2.0), (1, 1, 2))


def made_run(label="run", factor=1.0, delay=0.0, length=0.9) -> Run:
    """Fields that grow linearly in time, `delay` later; the second element holds three times the first's volume."""
    times = np.array([0.0, 0.4, 1.0]) + delay
    field = factor * (times - delay)[:, None] * [1.0, 2.0]
    summary = {"law": "x", "material": "y", "final_length": length, "contact_impulse": 2.0 * factor, "elements": 2}
    history = {
        "time": np.array([0.0, 0.5, 1.0]),
        "contact_force": np.array([0.0, 2.0, 6.0]) * factor,
        "length": np.array([1.0, 0.95, length]),
    }
    fields = dict.fromkeys(comparison.FIELDS, field)
    return Run(label, summary, history, times, fields, MESH.points, MESH.points, MESH.hexes, np.array([1.0, 3.0]))


def test_errors_of_a_scaled_run():
    """Fields 20 % larger: 20 % at every frame but the first, which has no strain."""
    row = compare(made_run("other", 1.2, length=0.89), made_run())
    for name in comparison.FIELDS:
        assert row["fields"][name]["frames"][0] is None
        assert row["fields"][name]["frames"][1:] == pytest.approx([0.2, 0.2])
        assert row["fields"][name]["all"] == pytest.approx(0.2)
    assert row["impulse_error"] == pytest.approx(0.2)
    assert row["contact_force_error"] == pytest.approx(0.2)
    assert row["length_error"] == pytest.approx(-0.01 / 0.1)  # of the change, 0.1


def test_lengths_that_differ_by_round_off_do_not_differ():
    row = compare(made_run("other", length=0.9 * (1.0 + 1e-14)), made_run())
    assert row["final_length"] != 0.9 and row["length_error"] == 0.0


def test_radius_and_deflection_are_related_to_their_own_change():
    reference, other = made_run(), made_run("other")
    for run, radius, deflection in ((reference, 1.5, 0.4), (other, 1.6, 0.3)):
        run.history.update(radius=np.array([1.0, 1.2, radius]), deflection=np.array([0.0, 0.1, deflection]))
        run.summary.update(final_radius=radius, back_face_deflection=deflection)
    row = compare(other, reference)
    assert row["radius_error"] == pytest.approx(0.1 / 0.5) and row["deflection_error"] == pytest.approx(-0.1 / 0.4)
    assert (row["final_radius"], row["back_face_deflection"]) == (1.6, 0.3)


def test_errors_weigh_volumes():
    reference, other = made_run(), made_run()
    other.fields["von_mises"] = reference.fields["von_mises"] * [1.0, 1.5]
    assert field_errors(other, reference, "von_mises")["final"] == pytest.approx(np.sqrt(3.0 / (1.0 + 12.0)))


def test_frames_at_other_times_are_interpolated():
    """Fields linear in time are met exactly between frames."""
    run = made_run(delay=0.1)
    assert fields_at(run, "von_mises", np.array([0.2, 0.5, 0.9])) == pytest.approx(
        np.array([[0.1, 0.2], [0.4, 0.8], [0.8, 1.6]])
    )
    assert mean_forces(run, np.array([0.0, 0.25, 1.0])) == pytest.approx([2.0, (0.25 * 2.0 + 0.5 * 6.0) / 0.75])


def run(folder, *more, laws=LAWS):
    return validation.main(
        ["--cases", "rod", "plate", "--laws", *laws, "--elements-across", "4", "--elements-through", "1", "--end-time",
         "3e-7", "--frames", "2", "--output", str(folder), "--quiet", *more]
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("validation") / "runs"
    run(path)
    return path


def test_each_run_has_the_options_that_were_asked_for():
    given = ["--velocity", "123", "--end-time", "2e-7", "--element", "hex8", "--symmetry", "full", "--frames", "7",
             "--threads", "2", "--elements-across", "6", "--elements-through", "5"]  # fmt: skip
    for case, name, asked, quick in (("rod", "elements_across", 6, 6), ("plate", "elements_through", 5, 3)):
        for more, size in (([], asked), (["--quick"], quick)):
            wanted = validation.parser().parse_args([*given, *more])
            words = validation.case_options(case, "j2:copper_j2:yield_stress=1e8", Path("folder"), wanted)
            found = validation.CASES[case].parser().parse_args(words)
            assert (found.velocity, found.end_time, found.element, found.symmetry) == (123.0, 2e-7, "hex8", "full")
            assert (found.frames, found.threads, getattr(found, name), found.output) == (7, 2, size, "folder")
            assert (found.law, found.material, found.set) == ("j2", "copper_j2", ["yield_stress=1e8"])
    words = validation.case_options("rod", "j2", Path("folder"), validation.parser().parse_args([]))
    assert validation.CASES["rod"].parser().parse_args(words).symmetry == "quarter"  # which is not the case's default


def test_the_report_has_each_number_in_its_column():
    errors = {name: {"final": 0.1 * k, "all": 0.1 * k + 0.01} for k, name in enumerate(comparison.FIELDS, 1)}
    run = {"label": "a", "length_error": 0.01, "radius_error": -0.02, "impulse_error": 0.03,
           "contact_force_error": 0.04, "fields": errors, "max_energy_error": 0.05, "energy_error": 0.06,
           "outside_envelope_fraction": 0.07, "wall_time": 9.5, "law_time": 8.5}  # fmt: skip
    found = {"runs": [run, run | {"label": "b"}], "elements": 3, "element": "hex8r", "end_time": 1e-6, "threads": 1}
    lines = validation.markdown("rod", found, validation.parser().parse_args([]))
    head, first, second = ([cell.strip() for cell in line.strip("|").split("|")]
                           for line in lines if line.startswith("| ") and "---" not in line)  # fmt: skip
    assert head == ["law", "length, %", "radius, %", "impulse, %", "force history, %",
                    *(f"{name}, end, all frames, %" for name in ("von Mises", "e_d", "e_v")), "energy error, %",
                    "outside envelope, %", "loop, s"]  # fmt: skip
    assert second == ["b", "1", "-2", "3", "4", "10, 11", "20, 21", "30, 31", "5", "7", "9.50"]
    assert first == ["a (reference)", *["-"] * 7, "5", "7", "9.50"]


def test_report_and_pictures(folder):
    result = json.loads((folder / "validation.json").read_text())
    for case, keys in (("rod", ("length_error", "radius_error")), ("plate", ("deflection_error",))):
        first, second = result["cases"][case]["runs"]
        assert all(first[key] == 0.0 and key in second for key in (*keys, "impulse_error", "contact_force_error"))
        assert first["fields"]["von_mises"]["all"] == 0.0 < second["fields"]["von_mises"]["all"]
        assert len(result["cases"][case]["frame_times"]) == 3
        assert len(second["fields"]["deviatoric_strain"]["frames"]) == 3
        for picture in ("cuts", "histories", "fields"):
            assert (folder / f"{case}_{picture}.png").stat().st_size > 5000
    text = (folder / "validation.md").read_text()
    assert "magnesium_empirical (reference)" in text and "magnesium_empirical:A=300e6" in text


def test_read_back_volumes_and_frames(folder):
    found = read_run("x", folder / "rod" / "magnesium_empirical")
    faceted = 0.25 * 0.5 * 12 * np.sin(2 * np.pi / 12) * (0.5e-3) ** 2 * 5e-3
    assert found.volumes.sum() == pytest.approx(faceted, rel=0.06)
    assert np.ptp(found.before[:, 2]) == pytest.approx(5e-3, rel=1e-6)
    np.testing.assert_allclose(found.volumes, mean_gradient(found.before[found.hexes])[1])
    assert found.times[[0, -1]] == pytest.approx([0.0, 3e-7]) and len(found.fields["von_mises"]) == 3
    assert found.summary["final_length"] == pytest.approx(np.ptp(found.points[:, 2]), rel=1e-6)


def test_finished_runs_are_kept_and_interrupted_ones_go_on(folder):
    """A run whose summary is gone goes on from its checkpoint; the other one is not touched."""
    done, broken = (folder / "rod" / name for name in ("magnesium_empirical", "magnesium_empirical_A=300e6"))
    before, fields = (done / "summary.json").stat().st_mtime_ns, (broken / "fields/frame_0002.vtu").read_bytes()
    (broken / "summary.json").unlink()
    run(folder)
    assert (done / "summary.json").stat().st_mtime_ns == before
    assert (broken / "summary.json").exists() and (broken / "fields/frame_0002.vtu").read_bytes() == fields


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_material_file_that_has_changed_is_run_anew(tmp_path, interrupted):
    mine = tmp_path / "mine.toml"
    mine.write_text(load_material("magnesium_empirical").to_toml())
    laws, other = ("magnesium_empirical", str(mine)), tmp_path / "runs" / "rod" / "magnesium_empirical" / "summary.json"
    same = run(tmp_path / "runs", "--cases", "rod", laws=laws)["cases"]["rod"]["runs"][1]
    before = other.stat().st_mtime_ns
    mine.write_text(mine.read_text().replace("B = 492", "B = 984"))
    if interrupted:
        next((tmp_path / "runs" / "rod").glob("*mine*/summary.json")).unlink()
    stronger = run(tmp_path / "runs", "--cases", "rod", laws=laws)["cases"]["rod"]["runs"][1]
    assert same["fields"]["von_mises"]["final"] == 0.0 and stronger["fields"]["von_mises"]["final"] > 0.1
    assert other.stat().st_mtime_ns == before


def test_laws_that_tables_would_call_alike_are_refused(tmp_path, capsys):
    mine = tmp_path / "magnesium_empirical.toml"
    mine.write_text(load_material("magnesium_empirical").to_toml())
    with pytest.raises(SystemExit):
        run(tmp_path / "runs", laws=("magnesium_empirical", str(mine)))
    assert "two are called 'magnesium_empirical'" in capsys.readouterr().err


def test_files_that_a_material_names_are_looked_into(tmp_path):
    """The same material file, and another texture in the file that it names."""
    texture = tmp_path / "few.ori"
    texture.write_text("0 0 0\n10 20 30\n")
    word = ["taylor", {"texture_file": str(texture)}]
    folder = tmp_path / "rod"
    taylor_anvil.main(
        ["--law", "taylor", "--set", f"texture_file={texture}", "--elements-across", "4", "--symmetry", "quarter",
         "--end-time", "2e-8", "--output", str(folder), "--quiet", "--no-picture"]
    )  # fmt: skip
    assert has_material(folder, load_material("magnesium_liu2022", *word))
    texture.write_text("0 0 0\n40 50 60\n")
    assert not has_material(folder, load_material("magnesium_liu2022", *word))


def test_another_velocity_is_not_mixed_in(folder, capsys):
    with pytest.raises(SystemExit):
        run(folder, "--velocity", "100")
    assert "--velocity 200.0, not 100.0" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["options.json", "summary.json", "history.csv", "fields/frame_0001.vtu"])
def test_damaged_results_are_named(folder, capsys, name):
    file = folder / "rod" / "magnesium_empirical" / name
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SystemExit):
        run(folder)
    file.write_bytes(whole)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and f"{file} is damaged" in lines[0]


@pytest.mark.parametrize(
    ("laws", "message"), [(["magnesium_empirical"], "two laws"), (["magnesium_empirical", "magnesum"], "magnesum")]
)
def test_mistakes_have_one_line(tmp_path, capsys, laws, message):
    with pytest.raises(SystemExit):
        run(tmp_path, laws=laws)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message in lines[0]
