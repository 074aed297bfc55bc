"""Strain histories of a run's elements: what the run itself says of them, and paths and data sets made of them."""

import meshio
import numpy as np
import pytest

from cases import taylor_anvil
from constitutive.tensor import full
from learning import generate, histories
from learning.dataset import load
from learning.fresh_paths import stored_set
from learning.judgement import has_learned
from learning.strain_paths import RecordedSampler, load_histories, path

FRAMES = 12
RUN = ["--law", "johnson_cook", "--elements-across", "4", "--symmetry", "quarter", "--no-picture", "--quiet"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "rod"
    taylor_anvil.main([*RUN, "--threads", "1", "--frames", str(FRAMES), "--output", str(folder)])
    return folder


@pytest.fixture(scope="module")
def recorded(run):
    file = run.with_name("rod.npz")
    histories.main([str(run), "--elements", "20", "--output", str(file), "--quiet"])
    return file


def test_stretches_are_those_of_the_run(run):
    times, U = histories.read_stretches(run)
    last = meshio.read(run / "fields" / f"frame_{FRAMES:04d}.vtu")
    C = full(U[:, -1]) @ full(U[:, -1])
    J = np.linalg.det(full(U[:, -1]))
    e_d = 0.5 * np.linalg.norm(C / np.cbrt(J * J)[:, None, None] - np.eye(3), axis=(1, 2))
    assert len(times) == FRAMES + 1 and times[-1] == pytest.approx(1e-6)
    np.testing.assert_allclose(e_d, last.cell_data["deviatoric_strain"][0].ravel(), atol=2e-6)
    assert e_d.max() > 0.05


def test_the_most_strained_elements_have_the_best_chance(run, recorded):
    _, U = histories.read_stretches(run)
    found = load_histories(str(recorded))
    strain = histories.equivalent_strain
    assert found.U.shape == (20, histories.INSTANTS, 6)
    assert strain(found.U).max(axis=1).mean() > 1.5 * strain(U).max(axis=1).mean()
    assert strain(found.U).max(axis=1).min() > histories.NEGLIGIBLE


def test_the_chance_of_an_element_is_in_proportion_to_its_strain():
    """Three elements strained to 0.1, 0.2 and 0.6 at some time, and one that is not: one of them, drawn 2,000 times."""
    peak = np.array([0.1, 0.0, 0.2, 0.6])
    e = peak[:, None] * [0.0, 1.0, 0.5]
    U = np.stack([np.exp(e), np.exp(-0.5 * e), np.exp(-0.5 * e), 0.0 * e, 0.0 * e, 0.0 * e], axis=2)
    rng = np.random.default_rng(0)
    times = np.bincount([histories.drawn(U, 1, rng)[0] for _ in range(2000)], minlength=4) / 2000
    assert times == pytest.approx(peak / peak.sum(), abs=0.04)  # 3.5 standard deviations
    assert histories.drawn(U, 9, rng).tolist() == [0, 2, 3]


def test_another_seed_takes_other_elements(run, tmp_path):
    drawn = []
    for seed in ("1", "1", "2"):
        file = tmp_path / "some.npz"
        histories.main([str(run), "--elements", "5", "--seed", seed, "--output", str(file), "--overwrite", "--quiet"])
        with np.load(file) as found:
            drawn.append(found["U"])
    assert np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[0], drawn[2])


def test_paths_follow_the_recorded_frames(recorded):
    found = load_histories(str(recorded))
    whole = 0
    for index in range(20):
        drawn = path(RecordedSampler(str(recorded), grid="equal"), seed=3, index=index, steps=50)
        ends = drawn.times[-1] / found.times[0, -1]
        assert 0.2 <= ends <= 1.0
        whole += ends == 1.0
        distance = np.abs(found.U - drawn.U(found.times[0])).max(axis=(1, 2))
        assert distance.min() < 1e-12
    assert 4 <= whole <= 16


def test_a_data_set_of_them(recorded, tmp_path):
    common = ["--law", "taylor", "--set", "grains=4", "--paths", "4", "--steps", "20", "--workers", "1", "--quiet"]
    command = [*common, "--sampler", "recorded", "--histories", str(recorded), "--output", str(tmp_path)]
    generate.main(command)
    generate.main(command)  # goes on where nothing is left to do
    data = load(tmp_path)
    assert data.manifest["sampler"] == {"name": "recorded", "histories": str(recorded), "shortest": 0.2,
                                        "grid": "mixed"}  # fmt: skip
    assert np.abs(data.stress).max() > 1e7


def test_a_stored_set_is_read_without_its_histories(recorded, tmp_path, capsys):
    own = tmp_path / "own.npz"
    own.write_bytes(recorded.read_bytes())
    command = ["--law", "taylor", "--set", "grains=4", "--paths", "2", "--steps", "8", "--workers", "1", "--quiet",
               "--sampler", "recorded", "--histories", str(own), "--output", str(tmp_path / "set")]  # fmt: skip
    generate.main(command)
    with np.load(own) as file:
        np.savez(own, **(dict(file) | {"times": 2.0 * file["times"]}))
    with pytest.raises(SystemExit):
        generate.main(command)
    assert "its content has changed" in capsys.readouterr().err
    own.unlink()
    assert stored_set(tmp_path / "set", None).kinds.tolist() == ["recorded", "recorded"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sampler", "recorded"], "belong together"),
        (["--histories", "FILE"], "belong together"),
        (["--sampler", "recorded", "--histories", "none.npz"], "no such file"),
        (["--sampler", "recorded", "--histories", "FILE", "--strain", "1"], "--strain is no option"),
    ],
)
def test_mistakes_have_one_line(recorded, tmp_path, capsys, options, message):
    options = [str(recorded) if option == "FILE" else option for option in options]
    with pytest.raises(SystemExit):
        generate.main([*options, "--output", str(tmp_path / "set")])
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_run_in_which_nothing_is_strained_has_no_histories(tmp_path, capsys):
    folder = tmp_path / "still"
    taylor_anvil.main([*RUN, "--frames", str(FRAMES), "--velocity", "1e-3", "--output", str(folder)])
    with pytest.raises(SystemExit):
        histories.main([str(folder), "--output", str(tmp_path / "still.npz")])
    assert "no element was strained beyond 0.0001" in capsys.readouterr().err


def test_sets_of_the_same_histories_share_paths(recorded, tmp_path):
    """Whatever their seeds, and wherever the file of histories lies."""
    common = ["--law", "taylor", "--set", "grains=4", "--paths", "2", "--steps", "8", "--workers", "1", "--quiet"]
    moved, other = tmp_path / "moved.npz", tmp_path / "other.npz"
    moved.write_bytes(recorded.read_bytes())
    with np.load(recorded) as file:
        np.savez(other, **(dict(file) | {"times": 2.0 * file["times"]}))
    found = []
    for seed, file in enumerate((recorded, moved, other)):
        folder = tmp_path / f"{seed}"
        generate.main([*common, "--sampler", "recorded", "--histories", str(file), "--seed", str(seed), "--output",
                       str(folder)])  # fmt: skip
        found.append({"training": {"data": load(folder).manifest}})
    same, elsewhere, others = (stored_set(tmp_path / f"{seed}", None).source for seed in range(3))
    assert has_learned(found[0], same) and has_learned(found[0], elsewhere)
    assert not has_learned(found[0], others)


def test_nothing_is_overwritten(run, recorded, capsys):
    before = recorded.read_bytes()
    with pytest.raises(SystemExit):
        histories.main([str(run), "--output", str(recorded)])
    assert "--overwrite" in capsys.readouterr().err
    assert recorded.read_bytes() == before
