"""`python -m learning.study` from end to end, tiny: all its parts, going on where it was, and its arithmetic."""

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from learning import dataset, fine_scale, study, study_plan  # noqa: E402
from learning.errors import deviator  # noqa: E402
from learning.study_models import in_other_times, in_plane, reduction_errors  # noqa: E402
from learning.study_report import learning_curve  # noqa: E402
from learning.training import Training  # noqa: E402

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
    with np.load(folder / "answers.npz") as kept:
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


def test_checks_of_exact_networks_find_nothing():
    """With the fine scale's own answers for both networks: no errors, and paths together until they part."""
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
    checks = study.checks(found)
    for kind in study.NETWORKS:
        assert max(checks[f"common_{kind}"].values()) == 0.0
        assert checks[f"causality_{kind}"] == {"diverging": 0.0, "held": 0.0}
    assert list(checks["common_stress"].values()) == pytest.approx([3.0, 3.0, 3.0])  # of nine components
    assert checks["isotropy_tension"] > 0.1
    assert replace(TINY, train=80, share=4).others == 20
