"""Checks of a law's behaviour, on laws of which the answer is known."""

from types import SimpleNamespace

import numpy as np
import pytest

from constitutive.drive import drive
from constitutive.material import load_material
from constitutive.tensor import full
from learning import checks
from learning.checks import Response, dissipation, respond, stress_work

DURATION = 1e-6


@pytest.fixture(scope="module")
def elastic():
    return load_material("elastic_steel").law


@pytest.fixture(scope="module")
def plastic():
    return load_material("copper_j2").law


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Enough steps to tell, few enough to be quick."""
    monkeypatch.setattr(checks, "RESOLUTIONS", (50, 200, 1000))
    monkeypatch.setattr(checks, "LONG_STEPS", 4000)
    monkeypatch.setattr(checks, "CYCLES", 20)


def test_work_of_an_elastic_stress_is_its_energy(elastic):
    """Neo-Hooke's energy is the work done, to second order in the step."""
    walk = checks.smooth_walk(np.random.default_rng(0), DURATION)
    errors = []
    for steps in (200, 400):
        times = np.linspace(0.0, DURATION, steps + 1)
        F = full(walk(times))[:, None] * (1.0 + 0.02 * times / DURATION)[:, None, None, None]
        history = drive(elastic, times, F)
        energy = elastic.energies(F[-1], history.state)[0]
        errors.append(abs(float((stress_work(F, history.stress)[-1] / energy)[0]) - 1.0))
    assert errors[1] < 1e-3
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.1)


def test_elastic_law_passes_every_check(elastic):
    found = checks.resolution(elastic, DURATION, 0)
    assert found["steps"] == [50, 200, 1000]
    assert max(found["against_own_finest"]) < 1e-12
    assert found["least_plastic_power"] is None
    assert abs(found["least_dissipation"]) < 1e-5 and found["energy_imbalance"] < 1e-5
    assert checks.isotropy(elastic, DURATION)["spread"] < 1e-12
    drift = checks.drift(elastic, DURATION, 0)
    assert drift["bounded"] and drift["plastic_rise"] is None
    assert abs(drift["hold_rise"]) < 1e-12 and drift["hold_late"] < 1e-12 and abs(drift["cycle_growth"]) < 1e-9
    assert abs(drift["cycle_work"]) < 1e-6


def test_plastic_law_converges_and_dissipates(plastic):
    found = checks.resolution(plastic, DURATION, 0)
    coarse, fine, finest = found["against_own_finest"]
    assert coarse > 2.0 * fine > 0.0 and finest == 0.0
    assert found["against_fine_scale"] == found["against_own_finest"]  # its own finest is the truth by default
    assert found["least_dissipation"] > -1e-6
    drift = checks.drift(plastic, DURATION, 0)
    assert drift["bounded"] and 0.5 < drift["cycle_work"] <= 1.0


def test_truth_is_another_laws_answer(elastic, plastic):
    truth = checks.finest(plastic, DURATION, 0)
    assert min(checks.resolution(elastic, DURATION, 0, truth)["against_fine_scale"]) > 0.5
    assert checks.resolution(plastic, DURATION, 0, truth)["against_fine_scale"][-1] == 0.0


def test_a_single_crystal_is_not_isotropic():
    law = load_material("magnesium_liu2022", "taylor", {"grains": 1}).law
    assert checks.isotropy(law, DURATION)["spread"] > 0.1


def test_roughness_tells_jumps_from_smooth_answers(elastic):
    """Neo-Hooke's deviator turns with the strain, but for terms of second order; grains that twin or do not, jump."""
    smooth = checks.roughness(elastic, DURATION, 0)["rough"]
    assert smooth[-1] < 0.02 and smooth[1] == pytest.approx(0.1 * smooth[-1], rel=0.3)  # like the turn
    grains = load_material("magnesium_liu2022", "taylor", {"grains": 16}).law
    rough = checks.roughness(grains, DURATION, 0)["rough"]
    assert rough[-1] > 0.05 and rough[1] > 0.2 * rough[-1]  # like the turn's root


def test_causality_tells_answers_apart(plastic, monkeypatch):
    found = checks.causality(plastic, DURATION, 0)
    assert found["identical_before"] is True and found["apart_after"] > 0.1

    def clairvoyant(law, times, F):
        """Adds a trace of the path's end to every stress."""
        history = drive(law, times, F)
        return SimpleNamespace(stress=history.stress * (1.0 + 1e-12 * F[-1, :, 0, 0]))

    monkeypatch.setattr(checks, "drive", clairvoyant)
    assert checks.causality(plastic, DURATION, 0)["identical_before"] is False


def test_energy_from_nothing_is_seen():
    work = np.array([[0.0], [2.0], [4.0], [5.0]])
    stored = np.array([[0.0], [1.0], [3.5], [4.0]])
    found = dissipation(Response(np.zeros((4, 1, 6)), 1, work, None, stored, np.zeros((4, 1))))
    assert found["least_dissipation"] == pytest.approx(-0.5 / (5.0 / 3.0))
    assert found["energy_imbalance"] == pytest.approx(1.0 / 5.0)
    sinking = dissipation(Response(np.zeros((4, 1, 6)), 1, work, -work, None, None))
    assert sinking["least_plastic_power"] == pytest.approx(-2.0 / (5.0 / 3.0)) and sinking["least_dissipation"] is None


def test_pieces_do_not_matter(plastic, monkeypatch):
    times, curve = np.linspace(0.0, DURATION, 301), checks.smooth_walk(np.random.default_rng(0), DURATION)
    whole = respond(plastic, times, [curve])
    monkeypatch.setattr(checks, "RECORD_BYTES", 8 * plastic.state_size * 7)
    pieces = respond(plastic, times, [curve])
    for name in ("stress", "work", "stored", "dissipated"):
        assert np.array_equal(getattr(whole, name), getattr(pieces, name)), name
