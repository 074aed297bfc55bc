"""Plane waves in uniaxial strain: precursor, plastic wave, Hugoniot elastic limit; a standing wave converges."""

import numpy as np
import pytest

from constitutive.law import law_definition
from fem.contact import plane
from fem.elements import Controls
from fem.meshing import box
from fem.model import Model
from fem.run import Monitor, run

G, K, Y, H, RHO = 80e9, 160e9, 100e6, 40e9, 8000.0
M = K + 4 * G / 3


def gauge(element: int) -> Monitor:
    """Axial compression in an element, Pa."""
    return Monitor("Pa", lambda solver: -solver.elements.mean_values()[1][element, 2])


@pytest.mark.parametrize("element", ["hex8r", "hex8"])
def test_elastic_plastic_wave(element):
    """HEL = M Y / (2 G), precursor sqrt(M / rho), plastic wave sqrt((K + 4/3 G H / (H + 3 G)) / rho)."""
    law = law_definition("j2").build(
        {"density": RHO, "shear_modulus": G, "bulk_modulus": K, "yield_stress": Y, "hardening_modulus": H}
    )
    cells, length = 400, 0.1
    mesh = box((length / cells, length / cells, length), (1, 1, cells))
    model = Model(mesh, law, element, Controls(linear_viscosity=0.06)).fix(None, "xy")
    model.initial_velocity((0, 0, -12.0)).contact(plane(), nodes="z_min")
    places = (100, 240)  # gauges at 25 and 60 mm
    centres = mesh.points[mesh.hexes].mean(axis=1)[:, 2]
    result = run(model, 16e-6, monitors={f"gauge_{k}": gauge(k) for k in places}, records=1500)
    time = result.history.column("time")
    limit = M * Y / (2 * G)
    speed_elastic, speed_plastic = np.sqrt(M / RHO), np.sqrt((K + 4 / 3 * G * H / (H + 3 * G)) / RHO)
    final = limit + RHO * speed_plastic * (12.0 - limit / (RHO * speed_elastic))
    records = [result.history.column(f"gauge_{k}") for k in places]

    def arrival(record, level):
        return np.interp(level, np.maximum.accumulate(record), time)

    distance = centres[places[1]] - centres[places[0]]
    for level, speed in ((0.5 * limit, speed_elastic), (0.5 * (limit + final), speed_plastic)):
        found = distance / (arrival(records[1], level) - arrival(records[0], level))
        assert found == pytest.approx(speed, rel=0.02)
    between = (time > arrival(records[1], 0.5 * limit) + 1e-6) & (
        time < arrival(records[1], 0.5 * (limit + final)) - 1e-6
    )
    assert np.median(records[1][between]) == pytest.approx(limit, rel=0.02)
    assert records[0][-1] == pytest.approx(final, rel=0.02)
    assert result.summary["max_energy_error"] < 1e-3


def half_period_error(element: str, cells: int, law) -> float:
    """Relative error of the first half period of a confined bar's fundamental mode, against L / c."""
    length = 0.1
    mesh = box((length / cells,) * 2 + (length,), (1, 1, cells))
    model = Model(mesh, law, element, Controls(linear_viscosity=0.0, quadratic_viscosity=0.0)).fix(None, "xy")
    model.velocity[:, 2] = 1e-3 * np.cos(np.pi * mesh.points[:, 2] / length)
    expected = length / law.wave_speed
    tip = Monitor("m", lambda solver: solver.displacement[0, 2])
    result = run(model, 1.1 * expected, monitors={"tip": tip}, records=20 * cells)
    time, u = result.history.column("time"), result.history.column("tip")
    k = int(np.flatnonzero((u[1:] <= 0.0) & (u[:-1] > 0.0))[0])
    zero = time[k] + (time[k + 1] - time[k]) * u[k] / (u[k] - u[k + 1])
    return abs(zero / expected - 1.0)


@pytest.mark.parametrize("element", ["hex8r", "hex8"])
def test_a_vibration_mode_converges_with_second_order(element, elastic):
    cells = np.array([8, 16, 32])
    errors = [half_period_error(element, int(n), elastic) for n in cells]
    order = -np.polyfit(np.log(cells), np.log(errors), 1)[0]
    assert errors[-1] < 1e-3
    assert order >= 1.8
