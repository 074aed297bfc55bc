"""A law under judgement: the table of its errors, from answers that are known."""

import numpy as np
import pytest

from constitutive.artefact import save_artefact
from constitutive.drive import drive
from constitutive.material import load_material
from constitutive.tensor import full
from learning import evaluate, judgement
from learning.evaluation_report import errors_table
from learning.fresh_paths import Answer, PathSet, answer, drawn_set
from learning.judgement import Judged, judge, table_of, training_duration
from learning.strain_paths import ImpactSampler

FACTORS = np.array([1.2, 0.0, 0.6, 1.1, 1.3])  # of the stresses that are answered; the second path is refused
KINDS = np.array(["walk", "walk", "hold", "walk", "hold"])


@pytest.fixture
def judged(monkeypatch):
    """A law that answers with the fine scale's stresses times FACTORS, and the set of paths."""
    times = np.tile(np.linspace(0.0, 1e-6, 11), (5, 1))
    stress = (1e8 * times / 1e-6)[..., None] * [1.0, -1.0, 0.0, 0.5, 0.0, 0.0]
    paths = PathSet("five", {}, KINDS, times, np.zeros_like(stress), stress)
    work = np.array([[1.0, 9.0, 3.0, 2.0, 5.0]]).T * np.linspace(0.0, 1.0, 11)
    work[3, 6:] -= 0.7
    answered = FACTORS > 0.0
    told = Answer(
        stress * FACTORS[:, None, None], answered, {"no": 1}, work, np.array([False, True, True, False, False])
    )
    monkeypatch.setattr(judgement, "answer", lambda *_: told)
    law = Judged("law", load_material("copper_j2"), {})
    judge(law, paths)
    return law, paths


def test_the_table_of_known_errors(judged):
    """20, 40, 10 and 30 %, and a path that is refused."""
    law, paths = judged
    table = table_of(law, paths)
    row = table["all"]
    assert (row["paths"], row["refused"]) == (5, 1) and table["reasons"] == {"no": 1}
    for norm in ("total", "deviatoric"):
        assert row[norm]["mean"] == pytest.approx(0.25) and row[norm]["largest"] == pytest.approx(0.4)
        assert row[norm]["p95"] == pytest.approx(np.percentile([0.2, 0.4, 0.1, 0.3], 95))
    assert row["worst_path"] == {"number": 2, "kind": "hold"}
    assert row["outside_envelope"] == pytest.approx(1 / 4)
    assert row["least_plastic_rise"] == pytest.approx(0.2 - 0.7)
    assert [table[kind]["worst_path"]["number"] for kind in ("walk", "hold")] == [0, 2]
    assert [table[kind]["deviatoric"]["mean"] for kind in ("walk", "hold")] == pytest.approx([0.15, 0.35])
    assert len(table["growth"]) == 10
    assert np.mean(np.square(table["growth"])) == pytest.approx(0.25**2)  # the mean of errors that grow alike


def test_the_report_has_each_number_in_its_column():
    named = {norm: {key: 0.01 * (10 * n + k) for k, key in enumerate(("mean", "median", "p95", "largest"), 1)}
             for n, norm in enumerate(("deviatoric", "total", "pressure"), 1)}  # fmt: skip
    row = {"paths": 7, "refused": 2, "outside_envelope": 0.5, "worst_path": {"number": 3, "kind": "walk"}, **named}
    errors = {"five": {"all": row, "reasons": {}, "growth": []}}
    head, _, line = errors_table({"laws": [{"label": "law", "errors": errors}]}, "five")
    assert [cell.strip() for cell in head.strip("|").split("|")] == [
        "law", "kind", "paths", "refused", "dev. mean", "median", "95 %", "largest", "total mean", "95 %",
        "pressure mean", "largest", "outside", "worst path",
    ]  # fmt: skip
    assert line == "| law | all | 7 | 2 | 11 | 12 | 13 | 14 | 21 | 23 | 31 | 34 | 50 | 3 |"


def test_answers_are_those_of_each_path_alone(tmp_path, small_recurrent):
    """Stress, plastic work, and whether the envelope was left by the end of the path."""
    copper = load_material("copper_j2")
    learned = save_artefact(tmp_path / "law.npz", "recurrent", *small_recurrent(
        envelope={"elastic_strain": 0.05, "shape": 1.0, "plastic_strain": 0.3}))  # fmt: skip
    paths = drawn_set(ImpactSampler(), copper, 12, 10, 0, 1)
    for law in (copper.law, load_material(learned).law):
        found, states = answer(law, paths), {state.name for state in law.states}
        for i, (times, U) in enumerate(zip(paths.time, paths.U, strict=True)):
            alone = drive(law, times, full(U)[:, None], range(len(times)))
            np.testing.assert_allclose(found.stress[i], alone.stress[:, 0], rtol=1e-9, atol=1.0)
            if "plastic_work" in states:
                assert found.plastic_work[i] == pytest.approx(alone.recorded("plastic_work")[:, 0])
            if "outside_envelope" in states:
                assert found.outside[i] == (alone.recorded("outside_envelope")[-1, 0] > 0.0)
        assert (found.plastic_work is not None) == ("plastic_work" in states)
        assert (found.outside is not None) == ("outside_envelope" in states)
    assert 0 < found.outside.sum() < 12


def test_the_duration_that_a_law_was_trained_for():
    material = load_material("copper_j2")
    data = {"training": {"data": {"sampler": {"name": "impact", "duration": 3e-6}}}}
    assert training_duration(Judged("a", material, {"duration": 2e-6} | data)) == 2e-6
    assert training_duration(Judged("a", material, data)) == 3e-6
    assert training_duration(Judged("a", material, {})) is None


def test_checks_last_as_long_as_the_shortest_training(tmp_path, small_recurrent):
    words = []
    for k, duration in enumerate((3e-6, 2e-6)):
        training = {"data": {"sampler": {"name": "impact", "duration": duration}, "seed": 1}, "paths": 1}
        words.append(str(save_artefact(tmp_path / f"{k}.npz", "recurrent", *small_recurrent(training=training))))
    common = ["--reference", "copper_j2", "--samplers", "paper", "--paths", "2", "--steps", "4", "--workers", "1"]
    common += ["--no-checks", "--quiet", "--overwrite", "--output", str(tmp_path / "out")]
    assert evaluate.main([*words, *common])["duration_of_checks"] == 2e-6
    assert evaluate.main(["copper_j2", *common])["duration_of_checks"] == evaluate.DURATION
    assert evaluate.main([*words, *common, "--duration", "5e-6"])["duration_of_checks"] == 5e-6


def test_every_law_is_checked_by_the_given_seed_and_duration_against_the_fine_scale(tmp_path, monkeypatch):
    asked = []

    def every(law, duration, seed, truth):
        asked.append((law.shear_modulus, duration, seed, truth))
        return {}

    def alike(law, duration, seed, truth):
        asked.append((law.shear_modulus, duration, seed, truth))
        return {}

    monkeypatch.setattr(evaluate.checks, "all_checks", every)
    monkeypatch.setattr(evaluate.checks, "finest", lambda law, *key: ("finest", law.shear_modulus, *key))
    monkeypatch.setattr(evaluate.neighbours, "answer", lambda law, *key: ("walked", law.shear_modulus, *key))
    monkeypatch.setattr(evaluate.neighbours, "likeness", alike)
    monkeypatch.setattr(evaluate.evaluation_report, "markdown", lambda result: "")
    monkeypatch.setattr(evaluate.evaluation_pictures, "draw_all", lambda *_: None)
    steel = load_material("elastic_steel").law.shear_modulus
    evaluate.main(
        ["elastic_steel:shear_modulus=90e9", "--reference", "elastic_steel", "--samplers", "paper", "--paths", "2",
         "--steps", "4", "--workers", "1", "--seed", "9", "--duration", "4e-6", "--quiet", "--output", str(tmp_path)]
    )  # fmt: skip
    finest, walked = (("finest", steel, 4e-6, 9), ("walked", steel, 4e-6, 9))
    assert asked == [(steel, 4e-6, 9, finest), (90e9, 4e-6, 9, finest), (90e9, 4e-6, 9, walked)]
