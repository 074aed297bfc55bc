"""The command `python -m learning.evaluate`: errors that are known in closed form, its files, refusals."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure

import learning.fresh_paths
from constitutive.artefact import TRAINED, read_artefact, save_artefact
from constitutive.drive import drive
from constitutive.law import LawError
from constitutive.material import load_material
from learning import checks, evaluate, generate
from learning.evaluation_pictures import plain_numbers
from learning.evaluation_report import markdown, terminal
from learning.fresh_paths import answer, drawn_set, kinds_of, stored_set
from learning.judgement import all_known, learned_from, share_paths
from learning.strain_paths import ImpactSampler, PaperSampler, described, path

SMALL = ("--paths", "24", "--steps", "20", "--workers", "1", "--quiet")
STEEL = "neo_hookean:elastic_steel"
STIFFER = f"{STEEL}:shear_modulus=90.42e9"  # ten per cent


def run(folder, *arguments):
    return evaluate.main([*SMALL, "--output", str(folder), *arguments])


@pytest.fixture
def few_steps(monkeypatch):
    monkeypatch.setattr(checks, "RESOLUTIONS", (10, 20))
    monkeypatch.setattr(checks, "LONG_STEPS", 400)
    monkeypatch.setattr(checks, "CYCLES", 10)


def test_a_stiffer_law_is_off_by_its_stiffness(tmp_path, few_steps):
    """Deviators of neo-Hooke are proportional to G: 10 % more G is an error of 10 % on every path, none in pressure."""
    result = run(tmp_path / "a", STIFFER, STEEL, "--reference", STEEL)
    stiffer, same = result["laws"]
    for name in ("impact", "paper"):
        found = stiffer["errors"][name]["all"]
        assert found["paths"] == 24 and found["refused"] == 0
        for key in ("mean", "median", "p95", "largest"):
            assert found["deviatoric"][key] == pytest.approx(0.1, rel=1e-9)
            assert found["pressure"][key] < 1e-9
            assert 0.0 < found["total"][key] < 0.1
            assert same["errors"][name]["all"]["total"][key] < 1e-14
    assert stiffer["checks"]["resolution"]["against_fine_scale"] == pytest.approx([0.1, 0.1], rel=1e-9)
    kinds = stiffer["errors"]["impact"]
    assert sum(row["paths"] for kind, row in kinds.items() if kind not in ("all", "reasons", "growth")) == 24
    assert result["reference"]["checks"]["causality"]["identical_before"]


def test_a_learned_law_is_named_by_its_artefact_and_what_was_set():
    words = ["recurrent", "recurrent:magnesium_liu2022:longest_step=0.004", "recurrent", STIFFER]
    labels = [law.label for law in evaluate.judged_laws(words)]
    name = "recurrent_magnesium_liu2022"
    assert labels == [name, f"{name} longest_step=0.004", f"{name} #2", STIFFER]


def test_files_and_their_protection(tmp_path, capsys, few_steps):
    folder = tmp_path / "a"
    result = run(folder, STIFFER, "--reference", STEEL, "--samplers", "impact")
    stored = json.loads((folder / "evaluation.json").read_text())
    assert stored == json.loads(json.dumps(result))
    assert stored["seed"] == 20260 and "numpy" in stored["versions"]
    assert (folder / "evaluation.md").read_text() == markdown(stored)
    assert {path.name for path in folder.iterdir()} == set(evaluate.FILES) - {"learning_curve.png"}
    with pytest.raises(SystemExit):
        run(folder, STIFFER, "--reference", STEEL)
    assert "--overwrite" in capsys.readouterr().err
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(SystemExit):
        run(folder, STIFFER, "--reference", STIFFER, "--data", "nowhere", "--overwrite")
    assert "nowhere" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    run(folder, STIFFER, "--reference", STEEL, "--samplers", "impact", "--no-checks", "--overwrite")
    assert not (folder / "checks.png").exists()
    (folder / "thesis.txt").write_text("precious")
    with pytest.raises(SystemExit):
        run(folder, STIFFER, "--reference", STEEL, "--overwrite")
    assert "other files" in capsys.readouterr().err


@pytest.mark.parametrize("limits", [(9.5, 19.5), (5.1, 7.9), (3.0, 60.0)])
def test_a_logarithmic_ordinate_has_two_numbers_at_least(limits):
    axes = Figure().subplots()
    axes.set(yscale="log", ylim=limits)
    plain_numbers(axes)
    assert sum(limits[0] <= tick <= limits[1] for tick in axes.yaxis.get_major_locator()()) >= 2


def test_stored_paths_give_the_errors_of_fresh_ones(tmp_path):
    """A data set of the same seed holds the same paths, its stresses rounded to single precision."""
    data = tmp_path / "data"
    generate.main(["--law", "neo_hookean", "--paths", "24", "--steps", "20", "--seed", "5", "--workers", "1", "--quiet",
                   "--output", str(data)])  # fmt: skip
    sampler = ImpactSampler()
    fresh = drawn_set(sampler, load_material("elastic_steel"), 24, 20, 5, 1)
    stored = stored_set(data, None)
    assert np.array_equal(fresh.U, stored.U) and np.array_equal(fresh.kinds, stored.kinds)
    assert np.abs(fresh.stress - stored.stress).max() < 1e-6 * np.abs(fresh.stress).max()
    assert set(kinds_of(ImpactSampler(walks=0.0), 5, np.arange(30), np.zeros(30), 20)) == set(sampler.programmes)
    result = run(tmp_path / "a", STIFFER, "--reference", STEEL, "--data", str(data), "--paths", "8", "--no-checks")
    assert [paths["name"] for paths in result["sets"]] == ["data"]
    assert result["laws"][0]["errors"]["data"]["all"]["paths"] == 8
    assert result["laws"][0]["errors"]["data"]["all"]["deviatoric"]["mean"] == pytest.approx(0.1, rel=1e-5)


def test_paths_that_a_law_refuses_are_counted(monkeypatch):
    """A law that knows no times beyond 1 microsecond, as pca_net beyond its window."""

    def short_lived(law, times, F, record_steps):
        if times[-1] > 1e-6:
            raise LawError("law 'x' failed on path 0 in step 3, at time 2e-06 s (det F = 1): time is up")
        return drive(law, times, F, record_steps)

    monkeypatch.setattr(learning.fresh_paths, "drive", short_lived)
    law = load_material("copper_j2").law
    paths = drawn_set(ImpactSampler(), load_material("elastic_steel"), 20, 10, 0, 1)
    found = answer(law, paths)
    assert np.array_equal(found.answered, paths.time[:, -1] <= 1e-6)
    assert 0 < found.answered.sum() < 20
    assert found.reasons == {"time is up": 20 - found.answered.sum()}
    equal = drawn_set(PaperSampler(duration=2e-6), load_material("elastic_steel"), 20, 10, 0, 1)
    assert answer(law, equal).reasons == {"time is up": 20}


def test_training_paths_are_not_fresh(tmp_path, capsys, small_recurrent):
    """An artefact trained on seed 7 of a sampler is not judged on that seed; its fine scale is the reference."""
    material = load_material("magnesium_liu2022", "taylor", {"grains": 2})
    header, arrays = small_recurrent(
        material=material.to_toml(),
        elastic={key: material.values[key] for key in ("shear_modulus", "lambda_e", "density")},
        training={
            "paths": 100,
            "data": {"seed": 7, "sampler": {"name": "impact", "strain": 0.4}},
            "also": [{"seed": 9, "sampler": {"name": "impact", "strain": 0.4}}],
            "begun_with": {"learned_from": [{"seed": 11, "sampler": {"name": "impact", "strain": 0.4}}]},
        },
        errors={"test": {"mean": 0.5}},
    )
    artefact = str(save_artefact(tmp_path / "law.npz", "recurrent", header, arrays))
    for seed in ("7", "9", "11"):
        with pytest.raises(SystemExit):
            run(tmp_path / "a", artefact, "--seed", seed, "--samplers", "impact")
        assert "trained on these paths" in capsys.readouterr().err
    result = run(tmp_path / "a", artefact, "--seed", "8", "--samplers", "impact", "--no-checks")
    assert result["reference"]["law"] == "taylor" and result["reference"]["grains"] == 2
    assert result["sets"][0]["source"]["sampler"]["strain"] == 0.4
    assert result["laws"][0]["training"]["paths"] == 100
    assert result["laws"][0]["errors"]["impact"]["all"]["pressure"]["largest"] < 1e-6
    assert (
        "| law | recurrent | 100 | tensors 3, scalars 2, channels 5, width 11 |"
        in (tmp_path / "a" / "evaluation.md").read_text()
    )
    assert (tmp_path / "a" / "learning_curve.png").exists()
    data = tmp_path / "learned"
    generate.main(["--law", "taylor", "--set", "grains=3", "--paths", "4", "--steps", "8", "--strain", "0.4", "--seed",
                   "9", "--workers", "1", "--quiet", "--output", str(data)])  # fmt: skip
    result = run(tmp_path / "b", artefact, "--data", str(data), "--no-checks")
    page = (tmp_path / "b" / "evaluation.md").read_text()
    assert "Answered by `taylor`, magnesium (Liu et al. 2022), 3 grains, texture 2022." in page
    assert "Not fresh: learned from by law." in page
    told = terminal(result).splitlines()[1:3]
    assert told[0] == "learned, 4 paths, answered by `taylor`, magnesium (Liu et al. 2022), 3 grains, texture 2022"
    assert told[1] == "  not fresh: learned from by law"


def test_answers_of_a_unit_cell_are_called_so(tmp_path):
    data = tmp_path / "cell"
    generate.main(["--unit-cell", "fft2d", "--points", "8", "--paths", "1", "--steps", "4", "--workers", "1", "--quiet",
                   "--strain", "0.01", "--output", str(data)])  # fmt: skip
    run(tmp_path / "a", STEEL, "--data", str(data), "--no-checks")
    page = (tmp_path / "a" / "evaluation.md").read_text()
    assert "Answered by `fft2d`, plane crystal (Liu et al. 2022), 16 grains" in page


def test_options_of_a_sampler_do_not_make_its_paths_fresh():
    """Of two grids, half of the paths are the same, bit for bit."""
    samplers = [ImpactSampler(grid=grid) for grid in ("mixed", "random")]
    drawn = [[path(sampler, 7, index, 10) for index in range(20)] for sampler in samplers]
    same = [np.array_equal(one.U(one.times), other.U(other.times)) for one, other in zip(*drawn, strict=True)]
    assert 5 < sum(same) < 15
    mixed, random = ({"sampler": described(sampler), "seed": 7} for sampler in samplers)
    assert share_paths(mixed, random)
    assert not share_paths(mixed, random | {"seed": 8})
    assert not share_paths(mixed, {"sampler": described(PaperSampler()), "seed": 7})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no_such_law"], "no material is called 'no_such_law'"),
        (["a:b:c"], "LAW:MATERIAL"),
        (["nowhere.npz"], "nowhere.npz"),
        ([STEEL, "--reference", STEEL, "--samplers"], "no paths"),
        ([STEEL, "--data", "nowhere"], "nowhere is not a data set"),
        ([STEEL, "--paths", "0"], "at least 1"),
    ],
)
def test_mistakes_have_one_line(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        run(tmp_path / "a", *arguments)
    assert stop.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message in lines[0]


def test_what_ships_tells_all_that_it_has_learned_from():
    for file in TRAINED.glob("*.npz"):
        header = read_artefact(file).header
        assert all_known(header) and learned_from(header), file
