"""Fewer grains that stand for all: the error that is told is that of the law which runs with them."""

import re

import numpy as np
import pytest

from constitutive.crystal_state import grain_deviators, grain_weights, initial_texture
from constitutive.drive import drive
from constitutive.material import load_material
from constitutive.tensor import full
from constitutive.texture import read_texture
from learning import fewer_grains
from learning.errors import WEIGHTS, deviator
from learning.strain_paths import ImpactSampler, path

GRAINS, KEPT, SEED = 32, 16, 7
CHOOSE_BY, OTHERS = range(30), range(30, 45)


@pytest.fixture(scope="module")
def law():
    return load_material("magnesium_liu2022", "taylor", {"grains": GRAINS}).law


@pytest.fixture(scope="module")
def stress(law):
    return fewer_grains.answers(law, SEED, range(45))


def own_errors(law, other, indices):
    """Deviatoric error of a law against another, root of the sum of squares at the records of `answers`."""
    found = []
    for index in indices:
        drawn = path(ImpactSampler(), SEED, index, fewer_grains.STEPS)
        F = full(drawn.U(drawn.times))[:, None]
        a, b = (deviator(drive(x, drawn.times, F).stress[fewer_grains.EVERY :: fewer_grains.EVERY, 0])
                for x in (law, other))  # fmt: skip
        found.append(np.linalg.norm((a - b) * np.sqrt(WEIGHTS)) / np.linalg.norm(b * np.sqrt(WEIGHTS)))
    return np.array(found)


def test_the_mean_over_grains_is_the_polycrystals_stress(law):
    drawn = path(ImpactSampler(), SEED, 0, 40)
    F = full(drawn.U(drawn.times))
    history = drive(law, drawn.times, F[:, None], range(41))
    mean = np.einsum("ngc,g->nc", grain_deviators(law, F, history.record[:, 0]), grain_weights(law))
    np.testing.assert_allclose(mean, deviator(history.stress[:, 0]), atol=1e-9 * np.abs(history.stress).max())


def test_all_grains_are_the_polycrystal(law, stress):
    chosen, kept = fewer_grains.choose(stress[CHOOSE_BY], grain_weights(law), GRAINS)
    assert sorted(chosen) == list(range(GRAINS))
    np.testing.assert_allclose(kept, 1.0 / GRAINS, rtol=1e-6)


def test_chosen_grains_are_better_than_others(law, stress):
    weights = grain_weights(law)
    chosen, kept = fewer_grains.choose(stress[CHOOSE_BY], weights, KEPT)
    told = fewer_grains.errors(stress[OTHERS], weights, chosen, kept).mean()
    rng = np.random.default_rng(0)
    equal = np.full(KEPT, 1.0 / KEPT)
    random = [fewer_grains.errors(stress[OTHERS], weights, rng.permutation(GRAINS)[:KEPT], equal).mean()
              for _ in range(50)]  # fmt: skip
    assert told < np.percentile(random, 20)


def test_the_file_holds_the_grains_whose_error_is_told(law, tmp_path, capsys):
    words = ["--set", f"grains={GRAINS}", "--grains", str(KEPT), "--paths", str(len(CHOOSE_BY)), "--seed", str(SEED)]
    file = fewer_grains.main([*words, "--output", str(tmp_path / "few.tex")])
    R, weights = read_texture(file)
    assert weights.sum() == pytest.approx(1.0)
    originals = initial_texture(law)
    assert len(R) == KEPT and all(np.abs(originals - one).max(axis=(1, 2)).min() < 1e-8 for one in R)
    few = load_material("magnesium_liu2022", "taylor", {"texture_file": str(file)}).law
    mean, p95 = map(float, re.findall(r"deviatoric error (\S+) %, 95th percentile (\S+) %", capsys.readouterr().out)[0])
    own = 100.0 * own_errors(few, law, OTHERS)
    assert own.mean() == pytest.approx(mean, rel=0.02)
    assert np.percentile(own, 95) == pytest.approx(p95, rel=0.1)  # nearly that of one path


@pytest.mark.parametrize(
    "words, reason",
    [
        (["--grains", "129"], "has 128"),
        (["--material", "magnesium_empirical"], "no grains to choose from"),
        (["--output", "there.tex"], "exists"),
    ],
)
def test_refusals(words, reason, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.tex").write_text("mine")
    with pytest.raises(SystemExit):
        fewer_grains.main(["--output", "new.tex", *words])
    assert reason in capsys.readouterr().err
    assert (tmp_path / "there.tex").read_text() == "mine" and not (tmp_path / "new.tex").exists()
