"""`python -m learning.study` from end to end, tiny: all its parts, going on where it was, and its arithmetic."""

import json
import tomllib
from dataclasses import asdict, replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from constitutive.material import load_material  # noqa: E402
from constitutive.tensor import full  # noqa: E402
from learning import dataset, fine_scale, study, study_plan  # noqa: E402
from learning.errors import deviator  # noqa: E402
from learning.judgement import share_paths  # noqa: E402
from learning.study_findings import findings  # noqa: E402
from learning.study_models import in_other_times, in_plane, reduction_errors  # noqa: E402
from learning.study_report import cost_lines, curve_table, learning_curve  # noqa: E402
from learning.training import Training  # noqa: E402
from learning.training import fine_scale as fine_scale_of  # noqa: E402

TINY = study_plan.Scale(
    points=8, steps=8, substeps=2, train=8, share=2, fixed_share=2, test=2, fine=1, modes=(2, 4), width=8, layers=1,
    epochs=4, batch=4, learning_rate=2e-3, iterations=2, voxels=4, walks=0,
)  # fmt: skip
ARGUMENTS = ["--scale", "tiny", "--workers", "1", "--quiet"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished study, and TINY as one of the scales."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(study_plan.SCALES, "tiny", TINY)
        patch.setattr(study, "FINE_STEPS", 40)
        patch.setattr(study, "STRIDES", (5, 1))
        made = tmp_path_factory.mktemp("study") / "tiny"
        study.main([*ARGUMENTS, "--output", str(made)])
        yield made


def numbers(tree):
    """All numbers of nested dictionaries and lists."""
    if isinstance(tree, dict | list):
        for branch in tree.values() if isinstance(tree, dict) else tree:
            yield from numbers(branch)
    elif isinstance(tree, int | float):
        yield tree


def test_all_of_the_study_is_there(folder):
    result = json.loads((folder / "study.json").read_text())
    assert result["units"].startswith("SI")
    assert all(np.isfinite(x) for x in numbers(result))
    assert [row["steps"] for row in result["resolution"]] == [8, 40]
    assert set(result["models"]) == {
        *(f"random_{n}" for n in (1, 2, 4, 8)), "random_2_modes", "fixed", "large", "rate", "taylor_fixed",
        "taylor_large", *(f"{kind}_{n}" for kind in ("taylor_random", "cut", "recurrent") for n in (4, 8)),
    }  # fmt: skip
    pairs = {(row["model"], row["test"]) for row in result["table"]}
    assert {(m, f"{t}_test") for m in ("random_4", "fixed") for t in ("random", "fixed")} <= pairs
    assert {(f"taylor_{m}", f"taylor_{t}_test") for m, t in (("random_4", "fixed"), ("fixed", "random"))} <= pairs
    assert {row["modes"] for row in result["table"] if row["kind"] == "pca_net"} == {2, 4}
    assert [result["sets"][name]["paths"] for name in ("random", "fixed", "large")] == [8, 4, 4]
    assert 0.0 < max(made.get("residual", 0.0) for made in result["sets"].values()) <= 1e-4
    page = (folder / "study.md").read_text()
    for picture in ("figure1.png", "figure2.png", "figure3.png"):
        assert picture in page and (folder / picture).stat().st_size > 10_000


def test_errors_of_the_table_are_those_of_the_networks(folder):
    """One row, with the norm written out: relative L2 over time and the nine components."""
    scale, result = TINY, json.loads((folder / "study.json").read_text())
    row = next(row for row in result["table"] if (row["model"], row["test"]) == ("random_8", "fixed_test"))
    model = next(model for model in study_plan.models(scale) if model.name == "random_8")
    data = dataset.load(folder / "fixed_test")
    stress, answer = data.stress.astype(float), study.predict(study.trained(folder, model, 1, True), data.time, data.U)
    for norm, part in (("total", lambda s: s), ("deviatoric", deviator), ("in_plane", in_plane)):
        wrong, size = ((part(s)[..., [0, 1, 2, 3, 3, 4, 4, 5, 5]] ** 2).sum(-1) for s in (answer - stress, stress))
        expected = np.sqrt(np.trapezoid(wrong, data.time, axis=1) / np.trapezoid(size, data.time, axis=1)).mean()
        assert row[norm] == pytest.approx(expected, rel=1e-9)


def test_tests_are_fresh_and_sets_differ_in_what_their_names_say(folder):
    found = {name: dataset.read_manifest(folder / name) for name in study.sets(folder)}
    for name in study_plan.SETS:
        assert found[name]["seed"] != found[f"{name}_test"]["seed"]
        assert not share_paths(found[name], found[f"{name}_test"])
        assert fine_scale_of(found[name], False) == fine_scale_of(found[f"{name}_test"], False)
        sampler = found[name]["sampler"]
        assert sampler == found[f"{name}_test"]["sampler"]
        assert sampler["u_max"] == (0.25 if "large" in name else 0.15), name
        assert sampler["random_intervals"] == ("fixed" not in name), name
        families = tomllib.loads(found[name]["material"])["slip"]
        if "taylor" not in name:
            assert {family["m"] for family in families} == {1.0 if name == "rate" else 0.5}, name
    assert not share_paths(found["random"], found["random_fine"])


def test_a_finished_study_computes_nothing_again(folder, monkeypatch):
    before = (folder / "study.json").read_text()

    def never(*arguments):
        raise AssertionError("computed again")

    monkeypatch.setattr(fine_scale, "_answers", never)
    monkeypatch.setattr(Training, "improve", never)
    monkeypatch.setattr(study, "judgement", never)
    monkeypatch.setattr(study, "drive", never)
    study.main([*ARGUMENTS, "--output", str(folder)])
    assert (folder / "study.json").read_text() == before


def test_the_fine_scale_kept_is_that_of_the_particular_paths(folder):
    """Shapes; tension by the polycrystal in a microsecond; uniaxial strain by the cell, in substeps."""
    t, fine = np.linspace(0.0, 1.0, 9), np.linspace(0.0, 1.0, 17)
    with np.load(folder / "answers.npz") as kept:
        U = study.study_paths.tension_paths(t)[0][:2]
        exact = study.drive(load_material("magnesium_liu2022").law, 1e-6 * t, full(U).swapaxes(0, 1)).stress
        np.testing.assert_allclose(kept["tension"][:2], exact.swapaxes(0, 1), rtol=1e-9, atol=1.0)
        U = next(iter(study.study_paths.common_paths(t).values()))
        between = np.stack([np.interp(fine, t, column) for column in U.T], axis=1)
        cell = study.Cell("fft2d", load_material("plane_crystal_liu2022").values, 8)
        exact = cell.follow(fine, full(between)).stress[::2]
        np.testing.assert_allclose(kept["common"][0], exact, rtol=1e-9, atol=1.0)
        assert kept["common"].shape == (3, 9, 6) and kept["held"].shape == (5, 9, 6) == kept["diverging"].shape
        assert np.all(kept["common"][:, 0] == 0.0) and np.ptp(kept["held"][:, 1], axis=0).max() == 0.0
        assert kept["tension"].shape == (12, 9, 6) and np.isfinite(kept["tension"]).all()


@pytest.mark.parametrize(("begun", "message"), [("small", "was begun with --scale small"), (None, "is not empty")])
def test_other_folders_are_refused(folder, tmp_path, capsys, begun, message):
    (tmp_path / ("scale" if begun else "notes")).write_text(begun or "mine")
    with pytest.raises(SystemExit) as caught:
        study.main([*ARGUMENTS, "--output", str(tmp_path)])
    assert caught.value.code == 2 and message in capsys.readouterr().err


def test_a_set_is_its_own_basis(folder):
    """Projection on as many modes as paths leaves nothing of the paths that made them; on fewer, it does."""
    data = dataset.load(folder / "random")
    assert reduction_errors(data, data, 8)["total"] < 1e-6 < 1e-3 < reduction_errors(data, data, 1)["total"]


def test_functions_in_other_times():
    grid, time = np.linspace(0.0, 1.0, 5), np.array([[0.0, 0.1, 1.0], [0.0, 0.6, 0.7]])
    values = np.stack([grid * k for k in range(12)], axis=1).reshape(5, 2, 6).swapaxes(0, 1)
    expected = time[..., None] * np.arange(12).reshape(2, 1, 6)
    assert in_other_times(grid, values, time) == pytest.approx(expected)


def test_the_deviator_in_the_plane_is_that_of_two_dimensions():
    stress = np.random.default_rng(0).normal(size=6)
    plane = np.array([[stress[0], stress[3]], [stress[3], stress[1]]])
    expected = plane - 0.5 * np.trace(plane) * np.eye(2)
    found = in_plane(stress)
    assert found[[0, 3, 3, 1]] == pytest.approx(expected.ravel()) and not found[[2, 4, 5]].any()


def test_a_power_law_is_carried_on():
    """Errors of 2 paths^-1/2 give 2 / sqrt(3200) = 3.54 %; measured at 3200, nothing is extrapolated."""

    def result(*sizes):
        models = {f"random_{n}": {"paths": n, "curve": [{"test_whole_total": 2.0 * n**-0.5}]} for n in sizes}
        return {"models": models}

    line = learning_curve(result(100, 200, 400))[0]
    assert "paths^-0.50" in line and line.count("3.54 %") == 2 and "not measurements" in line
    assert learning_curve(result(1600, 3200)) == []


def exact_answers():
    """Stresses on the particular paths, and networks that answer the same."""
    t = np.linspace(0.0, 1.0, 21)
    found = {
        "t": t,
        "common": np.ones((3, 21, 6)),
        "tension": np.zeros((12, 21, 6)),
        "tension_pca_net": np.ones((12, 21, 6)),
    }
    late = np.maximum(t - 0.5, 0.0)[None, :, None] * np.arange(1.0, 6.0)[:, None, None]
    found["diverging"] = 1.0 + late * np.ones(6)
    found["held"] = np.minimum(t, np.array(study.study_paths.STOPS)[:, None])[..., None] * np.ones(6)
    found["tension"][..., 0] = 1.0  # whatever the direction of tension
    for group in ("common", "diverging", "held"):
        found |= {f"{group}_{kind}": found[group] for kind in study.NETWORKS}
    return found


def test_checks_of_exact_networks_find_nothing():
    """With the fine scale's own answers for both networks: no errors, and paths together until they part."""
    checks = study.checks(exact_answers())
    for kind in study.NETWORKS:
        assert max(checks[f"common_{kind}"].values()) == 0.0
        assert checks[f"causality_{kind}"] == {"diverging": 0.0, "held": 0.0}
    assert list(checks["common_stress"].values()) == pytest.approx([3.0, 3.0, 3.0])  # of nine components
    assert checks["isotropy_tension"] > 0.1
    assert replace(TINY, train=80, share=4).others == 20


def test_checks_tell_by_how_much_networks_are_wrong():
    """One answers 10 % too much; in another, the last of five paths is elsewhere just before the paths part."""
    found = exact_answers()
    found |= {key: 1.1 * found[key] for key in ("common_cut", "diverging_cut", "held_cut")}
    found["common_recurrent"] = found["common"] + 0.3 * np.eye(6)[3]  # in shear, which counts twice in the norm of 3
    found["tension_pca_net"] = 1.1 * found["tension"]
    found["diverging_recurrent"], found["held_recurrent"] = found["diverging"].copy(), found["held"].copy()
    t, largest = found["t"], np.linalg.norm(found["diverging"][0], axis=-1).max()
    found["diverging_recurrent"][4, t == 0.5, 1] += 0.2
    found["held_recurrent"][3, np.isclose(t, 0.65), 1] += 0.3  # of the path that stops there
    checks = study.checks(found)
    assert list(checks["common_cut"].values()) == pytest.approx([0.1, 0.1, 0.1])
    assert list(checks["common_recurrent"].values()) == pytest.approx([0.1 * np.sqrt(2.0)] * 3)
    assert checks["causality_cut"] == pytest.approx({"diverging": 0.0, "held": 0.0})
    assert checks["causality_recurrent"]["diverging"] == pytest.approx(0.2 / largest)
    assert checks["causality_recurrent"]["held"] == pytest.approx(0.3 / np.linalg.norm(0.8 * np.ones(6)))
    assert checks["tension_pca_net"] == pytest.approx(0.1)
    axial = (
        1.5 * np.cos(study.study_paths.ANGLES) ** 2 - 0.5
    )  # of a stress of 1 along the first axis, whatever the pull
    assert checks["isotropy_tension"] == pytest.approx(axial.std() / np.abs(axial).mean())


def test_the_main_network_meets_larger_strains_at_every_scale(monkeypatch, tmp_path):
    monkeypatch.setattr(study, "errors", lambda *_: {})
    monkeypatch.setattr(dataset, "load", lambda folder: None)
    for scale in study_plan.SCALES.values():
        made = dict.fromkeys(model.name for model in study_plan.models(scale))
        pairs = {(row["model"], row["test"]) for row in study.table_rows(tmp_path, scale, made)}
        assert (f"random_{scale.train}", "large_test") in pairs and (f"random_{scale.fixed}", "fixed_test") in pairs


def test_findings_tell_each_number_beside_its_name():
    sizes = asdict(TINY)
    names = ("random_4", "random_8", "random_2_modes", "fixed", "large", "rate", "cut_8", "recurrent_8")
    table = [
        {"model": model, "test": f"{test}_test", "total": 0.01 * (10 * k + n), "deviatoric": 0.5, "in_plane": 0.7}
        for k, model in enumerate(names, 1)
        for n, test in enumerate(("random", "fixed", "large", "rate"), 1)
    ]
    models = {f"random_{n}": {"paths": n, "curve": [{"test_whole_total": 0.1 / n}]} for n in (2, 4)}
    steps = [{"steps": s, "errors": {"random_8": {"total": 0.001 * s}}} for s in (50, 100)]
    lines = findings({"sizes": sizes, "table": table, "models": models, "resolution": steps})
    told = dict(line.strip("| ").split(" | ") for line in lines[2:])
    assert told["error falls with training paths"] == "5, 2.5 with 2, 4 paths"
    assert told["error independent of resolution"] == "5, 10 with 50, 100 steps"
    assert told["error falls with PCA dimension, then saturates"] == "31, 21 with 2, 4 modes"
    assert told["random intervals serve other paths"] == "11 on random, 12 on fixed ones"
    assert told["fixed intervals do not"] == "42 on fixed, 41 on random ones"
    assert told["larger strains need more paths"] == "U_max 0.15: 11, 0.25: 53, at equal data"
    assert told["no influence of the rate exponent"] == "1/m = 2: 11, 1: 64, at equal data"
    assert told["(PCA-Net, 8 paths)"] == "21 total, 50 deviatoric, 70 in plane"
    assert told["(recurrent, the same paths)"].startswith("81 total")


def test_the_tables_have_epochs_and_microseconds():
    """Four epochs in eight iterations; 2 million pixel-steps a second are half a microsecond each."""
    curve = [{"iteration": k, "test_whole_total": 0.1 * k, "test_whole_deviatoric": 0.3} for k in (2, 4, 8)]
    rows = curve_table({"models": {"random_7": {"paths": 7, "curve": curve}}, "sizes": {"epochs": 4}})
    assert rows[-1] == "| 7 | 20 (1) | 40 (2) | 80 (4) | 30 |"
    made = {"paths": 3, "steps": 5, "sampler": 2, "law_failures": {"no": 1}, "residual": 2e-5}
    made["pixel_steps_per_second"] = 2e6
    lines = cost_lines({"sets": {"random": made, "taylor": {**made, "paths": 9, "residual": 3e-5}}})
    assert "On all 12 plane paths" in lines[0] and "at most 3e-05" in lines[0]
    assert "| random | 3 | 5 | 2 | no: 1 | 2e-05 | 0.5 |" in lines
