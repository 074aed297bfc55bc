"""The empirical fit to the polycrystal finds known constants again, and the shipped material is as good as it says."""

import re

import numpy as np
import pytest

from constitutive.material import SHIPPED, load_material
from learning.fit_johnson_cook import (
    RATES,
    STEPS,
    STRAIN,
    fit,
    flow_stress,
    main,
    material_text,
    paths,
    residual_table,
    strength,
)


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


def test_a_polycrystal_that_softens_has_no_hardening(tmp_path):
    e, file = np.linspace(0.0, STRAIN, STEPS + 1)[:, None], tmp_path / "fit.toml"
    constants = fit({rate: 1e8 * (1.0 - 0.2 * e) * np.ones(3) for rate in RATES}, 25e9)
    file.write_text(material_text(load_material("magnesium_liu2022", "taylor"), constants, 7, [], "command"))
    assert load_material(file).values["B"] == 0.0


def test_paths_strain_evenly_and_isochorically():
    """Equivalent strain int sqrt(2/3 D : D) dt, D the rate of deformation in the middle of a step."""
    names, F = paths()
    L = np.diff(F, axis=0) @ np.linalg.inv(0.5 * (F[1:] + F[:-1]))
    D = 0.5 * (L + np.swapaxes(L, -1, -2))
    rise = np.sqrt(2.0 / 3.0 * (D * D).sum(axis=(-1, -2)))
    np.testing.assert_allclose(rise, STRAIN / STEPS, rtol=1e-4)
    np.testing.assert_allclose(np.linalg.det(F), 1.0)
    longer = dict(zip(names, F[-1, :, 0, 0], strict=True))
    assert longer["compression"] < longer["shear"] == 1.0 < longer["tension"] and F[-1, 2, 0, 1] > 0.0


def test_residuals_are_told_by_mode_and_rate():
    stress = {rate: np.full((STEPS + 1, 3), 1e8) for rate in RATES}
    off = {rate: np.array([0.01, 0.02, 0.03]) * k for k, rate in enumerate(RATES, 1)}
    lines = residual_table(stress, {rate: q * (1.0 + off[rate]) for rate, q in stress.items()})
    assert lines[1:] == [f"{mode}: {', '.join(f'{percent * k:.1f}' for k in range(1, 6))} %"
                         for percent, mode in ((1.0, "tension"), (2.0, "compression"), (3.0, "shear"))]  # fmt: skip
    assert lines[0] == f"all: {np.sqrt(14 / 3 * 55 / 5):.1f} %"


def test_the_file_has_the_constants_that_were_fitted(tmp_path):
    source, file = load_material("magnesium_liu2022", "taylor"), tmp_path / "fit.toml"
    file.write_text(material_text(source, np.array([150.0, 400.0, 0.25, 0.05]), 7, [], "command"))
    found = load_material(file)
    assert [found.values[key] for key in "ABnC"] == pytest.approx([150e6, 400e6, 0.25, 0.05])
    assert found.law.p_wave_modulus == pytest.approx(source.law.p_wave_modulus)
    assert "Taylor polycrystal of 7 grains 'magnesium_liu2022'" in found.source


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


def test_names_with_quotes_and_backslashes(tmp_path):
    crystals, fit = tmp_path / 'c "1".toml', tmp_path / "fit.toml"
    crystals.write_text((SHIPPED / "copper_crystals.toml").read_text().replace("copper crystals", r"\"OFHC\" D:\\Cu"))
    main(["--material", str(crystals), "--grains", "2", "--output", str(fit)])
    assert load_material(fit).name == r'"OFHC" D:\Cu, empirical'
    assert "grains 'c \"1\"' by" in load_material(fit).source


def test_command(tmp_path, capsys):
    main(["--grains", "8", "--output", str(tmp_path / "fit.toml")])
    assert "all:" in capsys.readouterr().out
    fitted = load_material(tmp_path / "fit.toml")
    assert fitted.law.name == "johnson_cook"
    assert "Taylor polycrystal of 8 grains" in fitted.source


@pytest.mark.parametrize(
    "words, reason",
    [
        (["--material", "coper"], "copper"),
        (["--grains", "0"], "--grains"),
        (["--material", "magnesium_isotropic", "--grains", "8"], "texture file"),
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
