"""Checks of a law's behaviour, on laws of which the answer is known."""

from types import SimpleNamespace

import numpy as np
import pytest

from constitutive.drive import drive
from constitutive.material import load_material
from constitutive.tensor import full
from learning import checks
from learning.checks import Response, dissipation, respond, stress_work
from learning.strain_paths import equivalent_strain

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


def test_smooth_walks_are_as_strained_as_they_say():
    """The mean square of the equivalent strain is strain^2 (1 - cos(2 pi waves t / T)), averaged over waves and t."""
    rng, times = np.random.default_rng(0), np.linspace(0.0, DURATION, 21)
    strains = np.array([equivalent_strain(checks.smooth_walk(rng, DURATION, 0.2)(times)) for _ in range(400)])
    waves = np.linspace(0.2, checks.MOST_WAVES, 1001)[:, None]
    expected = 0.2**2 * (1.0 - np.cos(2.0 * np.pi * waves * times / DURATION)).mean(axis=0)
    np.testing.assert_allclose((strains**2).mean(axis=0), expected, atol=0.1 * expected.max())


def test_another_seed_is_another_check(plastic):
    one, same, other = (checks.finest(plastic, DURATION, seed) for seed in (1, 1, 2))
    assert np.array_equal(one, same) and checks.apart(one, other) > 0.1
    every, others = (checks.all_checks(plastic, DURATION, seed, one) for seed in (1, 2))
    assert others["resolution"]()["against_fine_scale"][-1] > 0.1
    for name in ("causality", "drift"):
        assert every[name]() == every[name]() != others[name](), name
    grains = load_material("magnesium_liu2022", "taylor", {"grains": 2}).law
    rough = [checks.all_checks(grains, DURATION, seed, None)["roughness"]() for seed in (1, 1, 2)]
    assert rough[0] == rough[1] != rough[2]


def sheared(size):
    """Stresses (..., 6) of a shear that is so large."""
    return np.asarray(size)[..., None] * [0.0, 0.0, 0.0, 1.0, 0.0, 0.0]


def test_drift_of_known_responses(monkeypatch):
    """At rest one path creeps down from 2 to 1, one rises from 1 to 1.5; the peaks of cycles grow from the fifth on."""
    begin, cycle = 400, checks.LONG_STEPS // checks.CYCLES
    t = np.linspace(0.0, 1.0, checks.LONG_STEPS - begin + 1)
    up = np.linspace(0.0, 1.0, begin, endpoint=False)
    held = np.stack([np.concatenate([2.0 * up, 2.0 - t]), np.concatenate([up, 1.0 + 0.5 * t])], axis=1)
    peaks = np.concatenate([[2.0, 2.0, 2.0, 2.0], np.linspace(1.0, 1.3, checks.CYCLES - 4)])
    angle = np.linspace(0.0, 2.0 * np.pi, cycle + 1)[1:]
    cycled = np.concatenate([[0.0], (peaks[:, None] * np.sin(angle)).ravel()])[:, None] * np.ones(2)
    forth, back = np.full(cycle // 2, 3.0), np.full(cycle - cycle // 2, -1.0)
    gained = np.tile(np.concatenate([forth, back]), checks.CYCLES)
    gained[:cycle] = np.concatenate([back, 0.5 * forth])  # the first cycle yields the least: 0.5 of 2.5
    work = np.concatenate([[0.0], np.cumsum(gained)])[:, None] * np.ones(2)

    scale = np.abs(np.diff(work, axis=0)).mean()
    rising = 2.0 * scale * np.arange(len(held))[:, None] * np.ones(2)
    slower = rising - scale * (np.arange(len(held))[:, None] >= 100)  # one record rises by half as much
    answers = iter([Response(sheared(held), 1, work, slower, None, None),
                    Response(sheared(cycled), 1, work, rising, None, None)])  # fmt: skip
    monkeypatch.setattr(checks, "respond", lambda *_: next(answers))
    found = checks.drift(None, DURATION, 0)
    assert found["hold_rise"] == pytest.approx(0.5)  # of the path that rises
    middle = t[checks.LONG_STEPS // 2 - begin]
    assert found["hold_late"] == pytest.approx(0.5 * (1.0 - middle))  # the same share in both
    assert found["cycle_growth"] == pytest.approx(0.3, rel=1e-3)
    assert found["cycle_work"] == pytest.approx(0.5 / 2.5)
    assert found["plastic_rise"] == pytest.approx(1.0)
    assert found["bounded"]


def test_a_stress_that_grows_tenfold_at_rest_is_not_bounded(monkeypatch):
    size = np.concatenate([np.linspace(0.0, 1.0, 401), np.linspace(1.0, 11.0, 3600)])[:, None]
    work = np.arange(len(size), dtype=float)[:, None]
    for factor, bounded in ((1.0, False), (0.5, True)):  # of what comes after loading
        stress = sheared(np.where(size > 1.0, factor * size, size))
        monkeypatch.setattr(checks, "respond", lambda *_, s=stress: Response(s, 1, work, None, None, None))
        assert checks.drift(None, DURATION, 0)["bounded"] is bounded


def test_the_worse_of_tension_and_compression_counts(monkeypatch):
    """Von Mises stresses from 1 to 1 + spread over the directions: a spread over the mean."""
    spreads = iter([0.1, 0.4])

    def made(law, times, curves):
        q = 1.0 + next(spreads) * np.linspace(0.0, 1.0, len(curves))
        return SimpleNamespace(stress=sheared(q / np.sqrt(3.0))[None])

    monkeypatch.setattr(checks, "respond", made)
    assert checks.isotropy(None, DURATION)["spread"] == pytest.approx(0.4 / 1.2)
