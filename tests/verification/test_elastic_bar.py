"""Elastic bar on a rigid wall: duration of contact and force plateau against one-dimensional wave theory."""

import numpy as np
import pytest

from constitutive.law import law_definition
from fem.contact import plane
from fem.meshing import box
from fem.model import Model
from fem.run import run

LENGTH, SIDE, E, NU, RHO, V = 0.2, 0.02, 2e11, 0.3, 8000.0, 1.0  # at a speed that keeps it linear


def steel():
    return law_definition("neo_hookean").build({"density": RHO, "youngs_modulus": E, "poissons_ratio": NU})


def bar(element: str, confined: bool, divisions=(2, 2, 80), method="kinematic") -> Model:
    mesh = box((SIDE, SIDE, LENGTH), divisions)
    model = Model(mesh, steel(), element).initial_velocity((0, 0, -V))
    if confined:
        model.fix(None, "xy")
    return model.contact(plane(), nodes="z_min", method=method)


@pytest.mark.parametrize("element", ["hex8r", "hex8"])
@pytest.mark.parametrize("method", ["kinematic", "penalty"])
def test_confined_bar_leaves_after_two_transits_with_the_wave_force(element, method):
    result = run(bar(element, True, method=method), 90e-6, records=300)
    time, force = result.history.column("time"), result.history.column("contact_force")
    c = np.sqrt(E * (1 - NU) / ((1 + NU) * (1 - 2 * NU)) / RHO)
    plateau = RHO * c * V * SIDE**2
    touching = time[force > 0.5 * plateau]
    assert touching[-1] == pytest.approx(2 * LENGTH / c, rel=0.02)
    middle = (time > 0.3 * 2 * LENGTH / c) & (time < 0.9 * 2 * LENGTH / c)
    assert np.mean(force[middle]) == pytest.approx(plateau, rel=0.02)
    assert abs(result.summary["max_energy_error"]) < 1e-3
    assert result.history.column("contact_force")[-1] == 0.0  # it has left the wall


@pytest.mark.parametrize("element", ["hex8r", "hex8"])
def test_free_bar_travels_at_the_bar_speed(element):
    result = run(bar(element, False), 100e-6, records=400)
    time, force = result.history.column("time"), result.history.column("contact_force")
    c = np.sqrt(E / RHO)
    plateau = RHO * c * V * SIDE**2
    middle = (time > 20e-6) & (time < 70e-6)
    assert np.mean(force[middle]) == pytest.approx(plateau, rel=0.03)
    assert time[force > 0.5 * plateau][-1] == pytest.approx(2 * LENGTH / c, rel=0.04)


@pytest.mark.parametrize("element", ["hex8r", "hex8"])
@pytest.mark.parametrize("method", ["kinematic", "penalty"])
def test_impulse_is_change_of_momentum_and_rebound_is_not_faster(element, method):
    result = run(bar(element, False, method=method), 100e-6)
    solver = result.solver
    before = -RHO * SIDE**2 * LENGTH * V
    assert result.history.column("momentum_z")[0] == pytest.approx(before, rel=1e-12)
    change = solver.momentum()[2] - before
    assert result.summary["contact_impulse"] == pytest.approx(change, rel=1e-10)
    assert 0.5 * V < solver.momentum()[2] / (RHO * SIDE**2 * LENGTH) <= V
    assert result.summary["kinetic_energy"] <= 0.5 * RHO * SIDE**2 * LENGTH * V**2
