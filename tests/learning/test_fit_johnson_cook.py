"""The empirical fit to the polycrystal finds known constants again, and the shipped material is as good as it says."""

import re

import numpy as np
import pytest

from constitutive.material import load_material
from learning.fit_johnson_cook import RATES, STEPS, STRAIN, fit, flow_stress, main, residual_table, strength


def test_known_constants_are_found_again():
    known, G = np.array([150.0, 400.0, 0.4, 0.05]), 25e9
    e = np.linspace(0.0, STRAIN, STEPS + 1)[:, None]
    stress = {}
    for rate in RATES:
        q = np.full((STEPS + 1, 3), 1e8)
        for _ in range(50):
            q = flow_stress(known, np.maximum(e - q / (3.0 * G), 0.0), rate) * np.ones(3)
        stress[rate] = q
    np.testing.assert_allclose(fit(stress, G), known, rtol=1e-3)


def test_shipped_fit_is_as_good_as_it_says():
    """Against 128 grains of another seed: the residual of the file's source text, within 2 points."""
    empirical, polycrystal = (
        load_material("magnesium_empirical"),
        load_material("magnesium_liu2022", None, {"grains": 128}),
    )
    assert empirical.law.density == polycrystal.law.density
    assert empirical.law.p_wave_modulus == pytest.approx(polycrystal.law.p_wave_modulus)
    rates = RATES[::2]
    reference, fitted = ({rate: strength(m.law, rate) for rate in rates} for m in (polycrystal, empirical))
    stated = float(re.search(r"all: ([\d.]+) %", empirical.source)[1])
    measured = float(re.search(r"all: ([\d.]+) %", residual_table(reference, fitted)[0])[1])
    assert measured < stated + 2.0


def test_command(tmp_path, capsys):
    main(["--grains", "8", "--output", str(tmp_path / "fit.toml")])
    assert "all:" in capsys.readouterr().out
    assert load_material(tmp_path / "fit.toml").law.name == "johnson_cook"


@pytest.mark.parametrize(
    "words, reason",
    [
        (["--material", "coper"], "copper"),
        (["--grains", "0"], "--grains"),
        (["--output", "there.toml"], "exists"),
        (["--grains", "1", "--output", "fit.npz"], "must end in .toml"),
    ],
)
def test_refusals(words, reason, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.toml").write_text("mine")
    with pytest.raises(SystemExit):
        main(["--output", "new.toml", *words])
    assert reason in capsys.readouterr().err
    assert (tmp_path / "there.toml").read_text() == "mine" and not (tmp_path / "new.toml").exists()
