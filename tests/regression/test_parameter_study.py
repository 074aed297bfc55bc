"""Parameter studies on coarse meshes: the physics that figures 5 and 7 of the paper show, and a study's bookkeeping."""

import csv
import json
from argparse import Namespace
from itertools import pairwise
from pathlib import Path

import meshio
import numpy as np
import pytest

from cases import parameter_study, taylor_anvil
from cases.parameter_study import Variant, case_options
from constitutive.material import load_material
from fem.elements import Controls
from fem.folder import MARK
from fem.output import frame_times
from fem.run import Monitor, run

LAW = load_material("magnesium_empirical").law
BULK_SPEED = np.sqrt((LAW.p_wave_modulus - 4.0 / 3.0 * LAW.shear_modulus) / LAW.density)
VELOCITIES = (100, 200, 300)


def study(case, folder, *more) -> Path:
    common = ["--law", LAW.name, "--symmetry", "quarter", "--output", str(folder), "--quiet"]
    parameter_study.main([case, *common, *map(str, more)])
    return folder


@pytest.fixture(scope="module")
def rods(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rod") / "study"
    return study("rod", folder, "--elements-across", 8, "--velocities", *VELOCITIES, "--shapes")


@pytest.fixture(scope="module")
def plates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plate") / "study"
    return study("plate", folder, "--elements-through", 4, "--velocities", *VELOCITIES, "--shapes", 0.125, 0.5,
                 "--frames", 4)  # fmt: skip


def summary(folder, name) -> dict:
    return json.loads((folder / name / "summary.json").read_text())


def frames(folder):
    """Time, reference centres (m, 3), corners (m, 8, 3) and cell fields of each frame of a run."""
    for time, file in frame_times(folder / "fields.pvd"):
        grid = meshio.read(folder / file)
        corners = (grid.points - grid.point_data["displacement"])[grid.cells[0].data]
        fields = {name: values[0].squeeze() for name, values in grid.cell_data.items()}
        yield Namespace(time=time, corners=corners, centres=corners.mean(axis=1), **fields)


def axial_front(frame) -> tuple[float, float, float]:
    """Where the elastic wave on the axis is steepest, its size behind, and the size of an element: m, Pa, m."""
    r = np.hypot(frame.centres[:, 0], frame.centres[:, 1])
    axis = np.flatnonzero(r < 1.01 * r.min())
    axis = axis[np.argsort(frame.centres[axis, 2])]
    z, pressed = frame.centres[axis, 2], -frame.stress[axis, 2]
    top = np.flatnonzero(pressed > 1e-3 * pressed.max())[-1]
    while pressed[top - 1] > pressed[top]:  # down to the crest of the first wave
        top -= 1
    slope = -np.diff(pressed[top:])
    k = int(np.argmax(slope))
    before, here, after = slope[k - 1 : k + 2]
    size = z[1] - z[0]
    steepest = z[top + k] + 0.5 * size + 0.5 * size * (before - after) / (before - 2 * here + after)
    return steepest, pressed[top], size


def test_the_elastic_front_runs_at_the_wave_speed_whatever_the_velocity(rods):
    """Within one element of c t, once the plastic wave has fallen behind; its intensity grows with the velocity."""
    behind, crest = {}, {}
    for velocity in VELOCITIES:
        late = [frame for frame in frames(rods / f"velocity_{velocity}_shape_5") if frame.time > 0.62e-6]
        found = [axial_front(frame) for frame in late]
        behind[velocity] = [(z - LAW.wave_speed * f.time) / h for (z, _, h), f in zip(found, late, strict=True)]
        crest[velocity] = found[0][1]
        assert np.abs(behind[velocity]).max() < 1.0
    assert abs(behind[300][-1] - behind[100][-1]) < 0.4
    assert crest[100] < crest[200] < crest[300]


def test_stress_and_plastic_work_grow_with_the_velocity_and_in_time(rods):
    found = [summary(rods, f"velocity_{velocity}_shape_5") for velocity in VELOCITIES]
    for key in ("max_von_mises", "max_deviatoric_strain", "plastic_work", "contact_impulse", "final_radius"):
        assert (np.diff([one[key] for one in found]) > 0.0).all(), key
    plastic = [frame.equivalent_plastic_strain for frame in frames(rods / "velocity_200_shape_5")]
    assert (np.diff([strain.sum() for strain in plastic]) > 0.0).all()
    assert all((after >= before).all() for before, after in pairwise(plastic))


@pytest.mark.parametrize(("diameter", "across"), [(1e-3, 8), (2e-3, 16)])
def test_the_release_from_the_side_reaches_the_axis_in_r_over_c(diameter, across):
    """Until then the impact face is in plane strain: pressed by rho c_b V + 2/3 Y, c_b the bulk wave speed."""
    options = taylor_anvil.parser().parse_args(
        ["--diameter", str(diameter), "--elements-across", str(across), "--symmetry", "quarter", "--length", "2e-3"]
    )
    model, _ = taylor_anvil.build(options, load_material("magnesium_empirical"), Controls())
    centres = model.mesh.points[model.mesh.hexes].mean(axis=1)
    element = int(np.argmin(np.linalg.norm(centres, axis=1)))
    gauge = Monitor("Pa", lambda solver: -solver.elements.mean_values()[1][element, 2])
    history = run(model, 0.45e-6, monitors={"pressed": gauge}, records=10_000).history
    time, pressed = history.column("time"), history.column("pressed")
    plateau = np.median(pressed[(time > 0.09e-6) & (time < 0.14e-6)])
    shock = LAW.density * BULK_SPEED * 200.0
    assert shock < plateau < 1.1 * shock
    later = np.flatnonzero((time > 0.1e-6) & (pressed < 0.93 * plateau))[0]
    released = np.interp(0.93 * plateau, pressed[[later, later - 1]], time[[later, later - 1]])
    radius, size = np.hypot(*centres[element, :2]), 2.0 * centres[element, 2]
    expected = (0.5 * diameter - radius) / LAW.wave_speed
    assert released == pytest.approx(expected, abs=size / LAW.wave_speed)


def radial_profile(folder) -> Namespace:
    """Radii and von Mises stress along x in the middle of the plate at the end, and the elements' sizes."""
    *_, last = frames(folder)
    z = last.centres[:, 2]
    levels = np.unique(np.round(z, 9))
    row = np.flatnonzero((last.corners[:, :, 1].min(axis=1) < 1e-9) & (np.abs(z - levels[len(levels) // 2]) < 1e-9))
    row = row[np.argsort(last.centres[row, 0])]
    size = np.ptp(last.corners[row, :, 0], axis=1)
    return Namespace(time=last.time, r=last.centres[row, 0], size=size, stress=last.von_mises[row])


TABLE = ["summary.csv", "summary_units.json"]
PLATES = [*(f"velocity_{velocity}_shape_0.25" for velocity in VELOCITIES), "velocity_200_shape_0.125",
          "velocity_200_shape_0.5"]  # fmt: skip


@pytest.mark.parametrize("name", PLATES)
def test_the_radial_front_in_a_plate_runs_at_the_wave_speed(plates, name):
    """From the projectile's edge, within one element: the outermost 10 MPa of a wave that nothing overtakes."""
    profile = radial_profile(plates / name)
    k = int(np.flatnonzero(profile.stress > 1e7)[-1])
    front = np.interp(-1e7, -profile.stress[k : k + 2], profile.r[k : k + 2])
    assert front == pytest.approx(2e-3 + LAW.wave_speed * profile.time, abs=profile.size[k + 1])


def test_radial_waves_grow_with_the_velocity_and_as_plates_get_thinner(plates):
    by_velocity = [radial_profile(plates / name) for name in PLATES[:3]]
    by_thickness = [radial_profile(plates / PLATES[k]) for k in (4, 1, 3)]
    for profiles in (by_velocity, by_thickness):
        assert (np.diff([np.interp(4.5e-3, p.r, p.stress) for p in profiles]) > 0.0).all()


def test_thin_plates_come_off_the_projectile_at_the_centre(plates):
    thin, middle, thick = (summary(plates, PLATES[k]) for k in (3, 1, 4))
    assert thin["centre_gap"] > 5e-5 > middle["centre_gap"] > thick["centre_gap"] >= 0.0
    assert thin["back_face_deflection"] > 1.2 * 200e-6 > thick["back_face_deflection"]  # the projectile's way
    assert thin["plastic_work"] < middle["plastic_work"] < thick["plastic_work"]


@pytest.mark.parametrize(("name", "bent"), [(PLATES[3], True), (PLATES[1], False), (PLATES[4], False)])
def test_only_thin_plates_bend_around_the_edge(plates, name, bent):
    """Radial stress just outside the edge: tension in front and compression behind, or compression all through."""
    *_, last = frames(plates / name)
    x, z = last.centres[:, 0], last.centres[:, 2]
    ring = (x > 2.15e-3) & (x < 2.6e-3) & (last.corners[:, :, 1].min(axis=1) < 1e-9)
    front, back = (last.stress[ring & np.isclose(z, end), 0].mean() for end in (z.max(), z.min()))
    assert back < -1e8
    assert front > 1e8 if bent else front < -1e8


def test_contact_is_found_at_every_velocity(plates):
    for velocity in VELOCITIES:
        assert 1.5e-3 < summary(plates, f"velocity_{velocity}_shape_0.25")["contact_radius"] < 2.1e-3


def test_a_study_leaves_a_table_and_sheets(plates):
    with open(plates / "summary.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(float(row["velocity"]), float(row["shape"])) for row in rows] == [
        (100, 0.25), (200, 0.25), (300, 0.25), (200, 0.125), (200, 0.5),
    ]  # fmt: skip
    first = summary(plates, PLATES[0])
    assert all(float(rows[0][key]) == first[key] for key in rows[0] if key not in ("velocity", "shape"))
    assert {path.name for path in plates.iterdir()} == {*PLATES, *TABLE, "velocity.png", "shape.png"}
    units = json.loads((plates / "summary_units.json").read_text())
    assert list(units) == list(rows[0])
    assert [units[key] for key in ("velocity", "back_face_deflection", "max_von_mises")] == ["m/s", "m", "Pa"]


def test_sheets_show_the_last_frame_of_each_run(plates, monkeypatch):
    drawn = []
    monkeypatch.setattr(parameter_study, "save", lambda figure, path: None)
    monkeypatch.setattr(parameter_study, "sheet", lambda *given: drawn.append(given))
    by_velocity, by_shape = [Variant(v, 0.25) for v in (100.0, 300.0)], [Variant(200.0, s) for s in (0.125, 0.5)]
    for name, variants in (("velocity", by_velocity), ("shape", by_shape)):
        parameter_study.draw(plates / "a.png", name, variants, "plate", plates, ["von_mises"])
    for (cuts, _, title, _), variants in zip(drawn, (by_velocity, by_shape), strict=True):
        for cut, variant in zip(cuts, variants, strict=True):
            *_, last = frames(plates / variant.name)
            assert 0.5 * last.von_mises.max() < cut.fields["von_mises"].max() <= last.von_mises.max()
        assert title.startswith("plate impact, magnesium") and title.endswith(", 1 µs")
    assert drawn[0][3] == ["100 m/s", "300 m/s"] and "thickness / projectile diameter 0.25" in drawn[0][2]
    ratios = [f"thickness / projectile diameter {ratio}" for ratio in (0.125, 0.5)]
    assert drawn[1][3] == ratios and "200 m/s" in drawn[1][2]


def test_a_study_goes_on_to_a_later_end(tmp_path):
    for end in ("5e-8", "1e-7"):
        folder = study("rod", tmp_path / "study", "--elements-across", 4, "--velocities", 200, "--shapes",
                       "--end-time", end)  # fmt: skip
        assert summary(folder, "velocity_200_shape_5")["end_time"] == float(end)


def test_a_study_goes_on_where_it_was_left(rods, capsys):
    arguments = ["--elements-across", "8", "--velocities", "100", "250", "--shapes"]
    kept = rods / "velocity_100_shape_5" / "history.csv"
    before = kept.stat().st_mtime_ns
    parameter_study.main(["rod", "--law", LAW.name, "--symmetry", "quarter", "--output", str(rods), *arguments])
    told = capsys.readouterr().err
    assert "1 of 2: velocity_100_shape_5, found" in told and "2 of 2: velocity_250_shape_5," in told
    assert kept.stat().st_mtime_ns == before
    with pytest.raises(SystemExit):
        study("rod", rods, "--friction", "0.1", *arguments)
    error = capsys.readouterr().err
    assert "velocity_100_shape_5 was begun with --friction 0.0, not 0.1" in error and len(error.splitlines()) == 1
    material = rods / "velocity_100_shape_5" / "material.toml"
    text = material.read_text()
    material.write_text(text.replace("density = ", "density = 1"))
    with pytest.raises(SystemExit):
        study("rod", rods, *arguments)
    material.write_text(text)
    assert "was computed with other numbers of its material" in capsys.readouterr().err


def test_a_run_that_fails_is_left_out(tmp_path, capsys):
    words = ["--elements-across", 4, "--end-time", "1e-7", "--velocities", 200, 1e5, "--shapes"]
    with pytest.raises(SystemExit):
        study("rod", tmp_path / "study", *words)
    error = capsys.readouterr().err
    assert "1 of 2 runs failed and are left out; velocity_100000_shape_5: " in error and len(error.splitlines()) == 1
    table = tmp_path / "study" / "summary.csv"
    with open(table) as file:
        assert [row["velocity"] for row in csv.DictReader(file)] == ["200.0"]
    assert (tmp_path / "study" / "velocity.png").exists()
    before = table.read_text()
    with pytest.raises(SystemExit):
        study("rod", tmp_path / "study", *words[:4], "--velocities", 1e5, "--shapes")
    assert "1 of 1 runs failed" in capsys.readouterr().err and table.read_text() == before


def test_shapes_keep_length_and_size_of_elements():
    options = case_options("rod", Variant(150.0, 10.0), ["--elements-across", "12"], Path("a"))
    assert (options.length, options.diameter, options.elements_across, options.velocity) == (5e-3, 0.5e-3, 6, 150.0)
    options = case_options("plate", Variant(200.0, 0.5), [], Path("a"))
    assert (options.thickness, options.elements_through, options.projectile_radius) == (2e-3, 16, 2e-3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cube"], "'cube'"),
        (["rod", "--velocities", "-1"], "-1"),
        (["rod", "--velocities", "--shapes"], "name at least one number"),
        (["rod", "--lenght", "1"], "--lenght"),
        (["rod", "--no-fields"], "leave --no-fields"),
        (["rod", "--fields", "von_mises", "stress"], "--fields stress: no field of one component; there are von_mises"),
        (["plate", "--output", "RUN"], "RUN is the folder of a run"),
        (["plate", "--law", "johnson_cok"], "did you mean 'johnson_cook'?"),
    ],
)
def test_mistakes_are_answered_in_one_line(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    Path("RUN").mkdir()
    Path("RUN", MARK).touch()
    with pytest.raises(SystemExit) as caught:
        parameter_study.main([arguments[0], "--output", "study", *arguments[1:]])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert words in error and len(error.splitlines()) == 1
