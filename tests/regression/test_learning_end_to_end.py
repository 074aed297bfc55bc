"""From nothing to a learned law in a rod: generate, train, evaluate, run, compare. All small."""

import json

import pytest

pytest.importorskip("torch")

from cases import taylor_anvil, validation
from constitutive.artefact import load_artefact
from learning import evaluate, generate, train

GRAINS = 4


def generated(folder, seed: int, paths: int):
    generate.main(
        ["--material", "magnesium_liu2022", "--law", "taylor", "--set", f"grains={GRAINS}", "--paths", str(paths),
         "--steps", "40", "--strain", "0.5", "--seed", str(seed), "--workers", "1", "--output", str(folder), "--quiet"]
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def artefact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learned")
    data, test = generated(folder / "train", 1, 48), generated(folder / "test", 2, 8)
    return train.main(
        ["--data", str(data), "--test", str(test), "--output", str(folder / "law.npz"), "--tensors", "4", "--scalars",
         "2", "--channels", "8", "--width", "12", "--batch", "24", "--iterations", "60", "--every", "60", "--quiet"]
    )  # fmt: skip


def test_the_artefact_is_judged(artefact, tmp_path):
    """Better than an elastic law by far, exact in pressure, and the same on the test set as training has found it."""
    test = artefact.with_name("test")
    result = evaluate.main(
        [str(artefact), f"{artefact}:longest_step=1", "magnesium_empirical", "--data", str(test), "--samplers",
         "impact", "--paths", "8", "--steps", "40", "--workers", "1", "--no-checks", "--output",
         str(tmp_path / "evaluation"), "--quiet"]
    )  # fmt: skip
    (learned, in_one, _), fresh = result["laws"], result["laws"][0]["errors"]["impact"]["all"]
    assert result["reference"]["grains"] == GRAINS
    assert fresh["refused"] == 0 and fresh["deviatoric"]["mean"] < 0.8
    assert fresh["pressure"]["largest"] < 1e-6
    noted = load_artefact(artefact, "recurrent").header["errors"]["test"]["mean"]
    whole, parts = (law["errors"]["test"]["all"]["deviatoric"]["mean"] for law in (in_one, learned))
    assert parts == pytest.approx(noted, rel=0.03)  # training takes a step in two parts, the law in as many as it needs
    assert parts < whole


def test_the_artefact_runs_in_a_rod(artefact, tmp_path):
    folder = tmp_path / "rod"
    taylor_anvil.main(
        ["--material", str(artefact), "--elements-across", "4", "--symmetry", "quarter", "--no-picture", "--quiet",
         "--output", str(folder)]
    )  # fmt: skip
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["law"] == "recurrent" and summary["completed"]
    assert summary["max_energy_error"] < 0.01
    assert summary["final_length"] == pytest.approx(4.8e-3, rel=1e-3)  # the tail has flown on: no wave has reached it
    assert 0.5e-3 < summary["final_radius"] < 0.9e-3
    assert 0.0 <= summary["outside_envelope_fraction"] <= 1.0


def test_the_artefact_is_compared_in_situ(artefact, tmp_path):
    laws = [f"taylor:magnesium_liu2022:grains={GRAINS}", str(artefact)]
    result = validation.main(
        ["--cases", "rod", "--laws", *laws, "--elements-across", "4", "--frames", "5", "--output",
         str(tmp_path / "validation"), "--quiet"]
    )  # fmt: skip
    reference, learned = result["cases"]["rod"]["runs"]
    assert reference["radius_error"] == 0.0 and reference["fields"]["von_mises"]["all"] == 0.0
    assert learned["law"] == "recurrent" and abs(learned["radius_error"]) < 0.5
    assert 0.0 < learned["fields"]["deviatoric_strain"]["final"] < 0.3
