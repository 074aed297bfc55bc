"""Snapshots and animation of a run folder: frames, bodies and fields read back, refused input."""

import shutil

import numpy as np
import pytest
from PIL import Image

from cases import animation, plate_impact, snapshots, taylor_anvil
from cases.run_folder import open_run


@pytest.fixture(scope="module")
def plate_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "plate"
    plate_impact.main(["--output", str(folder), "--quiet", "--no-picture", "--elements-through", "3", "--frames", "4",
                       "--symmetry", "quarter", "--law", "johnson_cook"])  # fmt: skip
    return folder


def test_a_run_folder_is_read_back(plate_run):
    run = open_run(plate_run)
    assert run.nearest(0.5e-6) == 2
    assert "200 m/s" in run.title and run.symmetry == "quarter"
    first, last = run.cut(0, ["von_mises"]), run.cut(4, ["von_mises"])
    assert first.fields["von_mises"].max() == 0.0 and last.fields["von_mises"].max() > 1e8
    tip = np.array([[0.0, 0.0, -0.2e-3]])  # of the projectile after a microsecond at 200 m/s
    assert first.distances[0](tip)[0] == pytest.approx(0.2e-3)
    assert last.distances[0](tip)[0] == pytest.approx(0.0, abs=1e-9)


def test_snapshots_and_animation(plate_run):
    snapshots.main([str(plate_run), "--times", "0.25e-6", "1e-6", "--quiet"])
    assert Image.open(plate_run / "snapshots.png").width > 500
    animation.main([str(plate_run), "--fields", "pressure", "--fps", "10", "--quiet"])
    film = Image.open(plate_run / "animation.gif")
    assert film.n_frames == 5 and film.info["duration"] == 100
    first = np.array(film.convert("RGB"), int)
    film.seek(4)
    assert np.abs(np.array(film.convert("RGB"), int) - first).mean() > 1.0  # it moves


def test_a_run_of_ones_own_has_no_options(plate_run, tmp_path):
    folder = tmp_path / "own"
    shutil.copytree(plate_run, folder)
    (folder / "options.json").unlink()
    run = open_run(folder)
    assert run.title == "own" and not run.bodies


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere holds no field frames"),
        (["RUN", "--fields", "von_misses"], "no field 'von_misses' of one component; it has von_mises"),
        (["RUN", "--fields", "stress"], "no field 'stress' of one component"),
        (["RUN", "--output", "a.pdf"], "must end in .png"),
        (["RUN", "--output", "nowhere/a.png"], "nowhere is not a folder"),
        (["RUN", "--times", "soon"], "soon"),
    ],
)
def test_mistakes_are_answered_in_one_line(plate_run, capsys, arguments, words):
    with pytest.raises(SystemExit) as caught:
        snapshots.main(["--overwrite", *(str(plate_run) if word == "RUN" else word for word in arguments)])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert words in error and len(error.splitlines()) == 1


def test_pictures_are_not_overwritten_unless_told(plate_run, capsys):
    (plate_run / "mine.png").write_text("mine")
    with pytest.raises(SystemExit):
        snapshots.main([str(plate_run), "--output", str(plate_run / "mine.png")])
    assert "--overwrite" in capsys.readouterr().err
    assert (plate_run / "mine.png").read_text() == "mine"


def test_damaged_options_are_named(plate_run, tmp_path, capsys):
    folder = tmp_path / "damaged"
    shutil.copytree(plate_run, folder)
    (folder / "options.json").write_text("{")
    with pytest.raises(SystemExit):
        snapshots.main([str(folder)])
    assert "options.json or material.toml is damaged" in capsys.readouterr().err


def test_a_damaged_frame_is_named(plate_run, tmp_path, capsys):
    folder = tmp_path / "damaged"
    shutil.copytree(plate_run, folder)
    frame = folder / "fields/frame_0002.vtu"
    frame.write_bytes(frame.read_bytes()[:1000])
    with pytest.raises(SystemExit):
        animation.main([str(folder), "--overwrite"])
    error = capsys.readouterr().err
    assert "frame_0002.vtu is damaged" in error and len(error.splitlines()) == 1


def test_a_restart_names_damaged_options(plate_run, tmp_path, capsys):
    folder = tmp_path / "damaged"
    shutil.copytree(plate_run, folder)
    (folder / "options.json").write_text("{")
    with pytest.raises(SystemExit) as stop:
        plate_impact.main(["--output", str(folder), "--restart"])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and "options.json is damaged" in error and len(error.splitlines()) == 1


def test_a_restart_of_the_other_case_is_told_so(plate_run, capsys):
    with pytest.raises(SystemExit):
        taylor_anvil.main(["--output", str(plate_run), "--restart"])
    assert "was begun with --case plate_impact, not taylor_anvil" in capsys.readouterr().err
