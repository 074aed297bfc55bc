"""Snapshots and animation of a run folder: frames, bodies and fields read back, refused input."""

import shutil

import numpy as np
import pytest
from PIL import Image

from cases import animation, plate_impact, run_folder, snapshots, taylor_anvil
from cases.run_folder import open_run
from fem.picture import limits


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
    assert film.info["duration"] == 1500  # the last one stays
    assert np.abs(np.array(film.convert("RGB"), int) - first).mean() > 1.0  # it moves


def test_snapshots_are_those_of_the_wanted_times(plate_run, tmp_path, monkeypatch):
    """Of five frames, 0 to 1 microsecond; five times evenly spread where none are named."""
    drawn = []
    monkeypatch.setattr(snapshots, "save", lambda figure, path: None)
    monkeypatch.setattr(snapshots, "sheet", lambda *given: drawn.append(given))
    common = [str(plate_run), "--output", str(tmp_path / "a.png"), "--quiet"]
    snapshots.main([*common, "--times", "0.27e-6", "0.9e-6", "0.24e-6", "--no-edges", "--fields", "pressure"])
    snapshots.main(common)
    times = [time for time, _ in open_run(plate_run).frames]
    (cuts, fields, title, captions, edges), (all_cuts, _, _, all_captions, all_edges) = drawn
    assert fields == ["pressure"] and "200 m/s" in title and (edges, all_edges) == (False, True)
    assert captions == [f"{times[k] * 1e6:#.3g} µs" for k in (1, 4)] and captions[1] == "1.00 µs" and len(cuts) == 2
    assert all_captions == [f"{times[k] * 1e6:#.3g} µs" for k in (1, 2, 3, 4)] and len(all_cuts) == 4
    for cut, k in zip(cuts, (1, 4), strict=True):
        assert np.array_equal(cut.fields["pressure"], open_run(plate_run).cut(k, ["pressure"]).fields["pressure"])


def test_a_film_has_one_scale_and_tells_the_time(plate_run, monkeypatch):
    run = open_run(plate_run)
    cuts = [run.cut(k, ["von_mises"]) for k in range(5)]
    scales = []
    monkeypatch.setattr(animation, "draw_cut", lambda axis, cut, name, bounds, *_: scales.append(bounds))
    monkeypatch.setattr(animation, "_image", lambda figure, frame: figure.texts[0].get_text())
    told = list(animation.images(run, cuts, ["von_mises"], True))
    assert [float(text.split(", ")[-1].removesuffix(" µs")) for text in told] == pytest.approx(
        [1e6 * time for time, _ in run.frames], abs=1e-3
    )
    assert told[-1].endswith(", 1.000 µs")
    assert set(scales) == {limits(cuts, "von_mises")} != {limits(cuts[:2], "von_mises")}


def test_the_same_elements_are_cut_at_all_times(plate_run, monkeypatch):
    given = []
    monkeypatch.setattr(run_folder, "axial_cut", lambda before, now, *_: given.append((before, now)))
    run = open_run(plate_run)
    run.cut(0, ["von_mises"]), run.cut(4, ["von_mises"])
    (first, still), (last, moved) = given
    np.testing.assert_allclose(last, first, atol=1e-9)  # frames are in single precision
    assert np.array_equal(first, still) and np.abs(moved - last).max() > 1e-4


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
