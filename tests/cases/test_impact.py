"""Rod and plate: every option is in the model that is run, and their own numbers are those of known shapes."""

from types import SimpleNamespace

import numpy as np
import pytest

from cases import impact, plate_impact, taylor_anvil
from constitutive.material import load_material
from fem.elements import Controls

COARSE = {taylor_anvil: ["--elements-across", "4"], plate_impact: ["--elements-through", "2"]}
LAW = ["--law", "j2", "--set", "yield_stress=1.25e8"]


@pytest.fixture
def started(monkeypatch, tmp_path):
    """A function that starts a case from its command line; what would have been run, but is not."""
    made = []

    def run(*given):
        made.append(given)
        return SimpleNamespace(summary={})

    def start(case, *more):
        case.main([*COARSE[case], *LAW, "--no-picture", "--output", str(tmp_path / "run"), *more])
        model, end_time, output, monitors, _, settings = made[-1]
        return model, SimpleNamespace(end_time=end_time, output=output, monitors=monitors, settings=settings)

    monkeypatch.setattr(impact, "run", run)
    return start


@pytest.mark.parametrize("case", COARSE)
def test_options_are_in_the_model(started, case):
    model, _ = started(case, "--quiet")
    (contact,) = model.contacts
    assert (model.element, model.mirrored, contact.method, contact.body.friction) == ("hex8r", "", "kinematic", 0.0)
    assert (model.controls.hourglass_viscosity, model.controls.hourglass_stiffness) == (0.01, 0.0)
    model, run = started(
        case, "--element", "hex8", "--hourglass", "stiffness", "--contact", "penalty", "--friction", "0.3",
        "--symmetry", "quarter", "--velocity", "123", "--end-time", "3e-7", "--frames", "7", "--no-fields",
        "--checkpoint-seconds", "5", "--threads", "1", "--quiet",
    )  # fmt: skip
    (contact,) = model.contacts
    assert (model.element, model.mirrored, contact.method, contact.body.friction) == ("hex8", "xy", "penalty", 0.3)
    assert (model.controls.hourglass_viscosity, model.controls.hourglass_stiffness) == (0.0, 0.004)
    assert model.law.name == "j2" and 1.25e8 in model.law.params
    settings = run.settings
    assert (settings.frames, settings.fields, settings.threads, settings.checkpoint_seconds) == (7, False, 1, 5.0)
    assert run.end_time == 3e-7 and (settings.quiet, settings.restart, settings.overwrite) == (True, False, False)
    moved = model.velocity[:, 2] if case is taylor_anvil else contact.body.velocity[2:]
    assert np.all(moved == -123.0)
    for axis, name in enumerate(("symmetry_x", "symmetry_y")):
        assert not model.free[model.nodes(name), axis].any()


@pytest.mark.parametrize(("element", "points", "beside"), [("hex8r", 1, 1000), ("hex8", 8, 2500)])
def test_the_memory_that_is_told_is_that_of_all_points(started, capsys, element, points, beside):
    model, _ = started(taylor_anvil, "--element", element, "--length", "50e-3")
    told = capsys.readouterr().err
    hexes = len(model.mesh.hexes)
    need = hexes * (points * model.law.memory_per_point + beside)
    assert f"{hexes} {element} elements, {len(model.mesh.points)} nodes, law j2, about {need / 1e6:.0f} MB" in told


def displaced(case, *more):
    """A stand-in for a solver of a coarse model, whose displacement is still to be set."""
    options = case.parser().parse_args([*COARSE[case], *more])
    model, _ = case.build(options, load_material("copper_j2"), Controls())
    accounts = [SimpleNamespace(contact=model.contacts[0])]
    zero = np.zeros_like(model.mesh.points)
    return SimpleNamespace(model=model, displacement=zero, time=1e-6, dt=1e-8, accounts=accounts)


def test_length_and_radius_of_a_rod_that_has_been_deformed():
    """Longer by a tenth and moved, turned by 0.1 radians, wider by 5 % at the impact face and by 25 % at the tail."""
    solver = displaced(taylor_anvil)
    x, y, z = solver.model.mesh.points.T
    wide, c, s = 1.05 + 0.2 * z / 5e-3, np.cos(0.1), np.sin(0.1)
    now = np.stack([wide * (c * x - s * y), wide * (s * x + c * y), 1.1 * z + 3e-4], axis=1)
    solver.displacement[:] = now - solver.model.mesh.points
    assert taylor_anvil.finish(solver) == pytest.approx({"final_length": 5.5e-3, "final_radius": 1.05 * 0.5e-3})


def test_deflection_and_contact_of_a_plate_that_has_been_deformed():
    """The projectile has come 0.2 mm; three rings of the front face lie 0, 3 and 6 um below it: 4 um are touching."""
    solver = displaced(plate_impact)
    mesh, u = solver.model.mesh, solver.displacement
    r = np.hypot(mesh.points[:, 0], mesh.points[:, 1])
    front, back = solver.model.nodes("front_face"), solver.model.nodes("back_face")
    u[:, 2] = -4e-4
    for below, ring in ((0.0, r < 0.9e-3), (3e-6, (r >= 0.9e-3) & (r < 1.4e-3)), (6e-6, (r >= 1.4e-3) & (r < 2e-3))):
        u[front[ring[front]], 2] = -2e-4 - below
    second = front[(r[front] >= 0.9e-3) & (r[front] < 1.4e-3)]
    u[front[r[front] < 1e-9], 2] = -2.5e-4
    u[back[r[back] < 1e-9], 2] = -1e-4
    assert len(second) and (r[front] >= 1.4e-3).any()
    assert plate_impact.finish(solver) == pytest.approx(
        {"back_face_deflection": 1e-4, "contact_radius": r[second].max(), "centre_gap": 5e-5}
    )


def test_the_plate_lies_on_its_rim_and_the_projectile_is_rounded():
    """Simply supported: the rim's back edge is free to slide and to turn. Fillet: 5 % of the radius, 2 mm."""
    solver = displaced(plate_impact)
    rim = solver.model.nodes("rim_back")
    assert np.array_equal(solver.model.free[rim], np.tile([1.0, 1.0, 0.0], (len(rim), 1)))
    assert solver.model.free.sum() == solver.model.free.size - len(rim)
    body = solver.accounts[0].contact.body
    assert body.distance([[2e-3, 0.0, 0.0]]) == pytest.approx(0.1e-3 * (np.sqrt(2.0) - 1.0))
    assert body.distance([[0.0, 2e-3, 1e-3], [0.0, 0.0, -2e-4]]) == pytest.approx([0.0, 2e-4], abs=1e-12)
