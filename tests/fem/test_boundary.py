"""Supports, prescribed motion, pressure: reactions and work against closed forms."""

import numpy as np
import pytest

from constitutive.law import law_definition
from constitutive.material import load_material
from fem.boundary import BoundaryError
from fem.contact import plane, sphere
from fem.elements import Controls
from fem.mesh import Mesh
from fem.meshing import box
from fem.model import Model
from fem.run import run
from fem.solver import Solver


@pytest.fixture(scope="module")
def law():
    return law_definition("neo_hookean").build({"density": 1000.0, "youngs_modulus": 1e9, "poissons_ratio": 0.25})


@pytest.mark.parametrize("element", ["hex8r", "hex8"])
def test_constant_pressure_accelerates_a_free_block_and_its_work_is_the_kinetic_energy(element, law):
    mesh = box((0.1, 0.1, 0.1), (3, 3, 3))
    model = Model(mesh, law, element).pressure("z_min", 1e5)
    result = run(model, 2e-3)
    momentum = result.solver.momentum()
    assert momentum[2] == pytest.approx(1e5 * 0.01 * 2e-3, rel=5e-3)
    assert np.abs(momentum[:2]).max() < 1e-6 * momentum[2]
    assert result.summary["max_energy_error"] < 1e-2


def test_a_quarter_reports_energies_and_momenta_of_the_whole(law):
    whole, quarter = box((0.1, 0.1, 0.1), (4, 4, 2)), box((0.05, 0.05, 0.1), (2, 2, 2))
    whole = Mesh(whole.points - [0.05, 0.05, 0.0], whole.hexes, whole.node_sets)
    quarter = Model(quarter, law, mirrored="xy").fix("x_min", "x").fix("y_min", "y")
    one, four = (run(model.pressure("z_min", 1e5), 1e-4).history for model in (Model(whole, law), quarter))
    for name in ("kinetic", "internal", "external", "momentum_z"):
        assert four.column(name)[-1] > 0.0
        assert four.column(name) == pytest.approx(one.column(name), rel=1e-9, abs=1e-12), name
    assert (four.column("momentum_x") == 0.0).all() and (four.column("momentum_y") == 0.0).all()


def test_growing_pressure_gives_its_impulse(law):
    """p = p0 t / T: momentum A p0 t^2 / (2 T) at the half step where it is known, to the square of a step."""
    solver = Solver(Model(box((0.1, 0.1, 0.1), (1, 1, 1)), law).pressure("z_min", lambda time: 1e5 * time / 1e-4))
    for _ in range(20):
        solver.step(1e-4 / 20)
    middle = solver.time - 0.5 * solver.dt
    assert solver.momentum()[2] == pytest.approx(0.01 * 1e5 * middle**2 / (2 * 1e-4), rel=2e-3)


def test_pressure_pushes_on_the_current_area(law):
    """The loaded face is drawn out to one and a half of its width while it is pressed."""
    model = Model(box((0.1, 0.1, 0.1), (1, 1, 1)), law).pressure("z_min", 1e5)
    solver = Solver(model.fix("x_min", "x").fix(None, "y").prescribe_velocity("x_max", "x", 50.0))
    for _ in range(100):
        solver.step(1e-5)
    assert solver.external.sum(axis=0)[2] == pytest.approx(1e5 * 0.1 * 0.15, rel=1e-9)


def test_prescribed_velocity_is_taken_in_the_middle_of_a_step(law):
    """v = a t moves by a t^2 / 2 exactly: the velocity of a step is that of its middle."""
    model = Model(box((0.1, 0.1, 0.1), (1, 1, 1)), law).prescribe_velocity("z_max", "z", lambda time: 1e4 * time)
    solver = Solver(model)
    for dt in (1e-6, 3e-6, 2e-6, 1e-6):
        solver.step(dt)
    moved = solver.displacement[model.nodes("z_max"), 2]
    assert moved == pytest.approx(0.5 * 1e4 * solver.time**2, rel=1e-12)


@pytest.mark.parametrize("element", ["hex8r", "hex8"])
def test_slow_prescribed_stretch_gives_the_static_force_and_energy(element, law):
    mesh = box((0.01, 0.01, 0.1), (1, 1, 10))
    ramp, end = 2e-3, 4e-3

    def velocity(time):  # smooth start and stop; total stretch 1e-4
        return 1e-4 / ramp * (1 - np.cos(2 * np.pi * time / ramp)) if time < ramp else 0.0

    model = Model(mesh, law, element, Controls(linear_viscosity=0.5))
    model.fix("z_min", "z").fix([0], "xy").prescribe_velocity("z_max", "z", velocity)
    result = run(model, end)
    stretch = result.solver.displacement[mesh.node_sets["z_max"], 2]
    assert stretch == pytest.approx(1e-4 * np.ones(4), rel=1e-3)
    assert result.summary["internal_energy"] == pytest.approx(0.5 * 1e9 * 1e-4 / 0.1 * (1e-4) ** 2, rel=0.02)
    assert result.history.column("external")[-1] == pytest.approx(result.history.column("total")[-1], rel=2e-3)


def test_supports_hold_exactly(law):
    mesh = box((0.1, 0.1, 0.1), (2, 2, 2))
    model = Model(mesh, law).initial_velocity((1, 2, 3)).fix("x_min", "x").fix("z_min", "z")
    solver = run(model, 1e-4).solver
    assert (solver.displacement[mesh.node_sets["x_min"], 0] == 0.0).all()
    assert (solver.displacement[mesh.node_sets["z_min"], 2] == 0.0).all()
    assert np.abs(solver.displacement).max() > 0.0


def test_nodes_are_given_by_name_number_or_mask(law):
    mesh = box((1, 1, 1), (2, 2, 2))
    model, base = Model(mesh, law), mesh.nodes("z_min")
    mask = mesh.points[:, 2] == 0
    for given in ("z_min", base, base[::-1].tolist(), [*base, *base], mask, mask.tolist()):
        assert np.array_equal(model.nodes(given), base)
    assert np.array_equal(model.nodes(None), np.arange(27)) and model.nodes(5).tolist() == [5]


def test_every_change_of_a_load_changes_the_fingerprint(law):
    def fingerprint(change) -> str:
        return change(Model(box((1, 1, 1), (1, 1, 1)), law)).fingerprint()

    def table(time, end=1e-5):  # a user's table that ends
        if time > end:
            raise ValueError("beyond the table")
        return 5.0 * time

    changes = [
        lambda model: model,
        lambda model: model.prescribe_velocity("z_max", "z", 1.0),
        lambda model: model.prescribe_velocity("z_max", "z", 2.0),
        lambda model: model.prescribe_velocity("z_max", "x", 1.0),
        lambda model: model.prescribe_velocity("z_max", "z", lambda time: 1.0 if time < 1e-5 else 0.0),
        lambda model: model.prescribe_velocity("z_max", "z", lambda time: 1.0 if time < 2e-5 else 0.0),
        lambda model: model.pressure("z_max", 1.0),
        lambda model: model.pressure("z_max", 2.0),
        lambda model: model.pressure("z_max", table),
        lambda model: model.pressure("z_max", lambda time: table(time, 3e-5)),
    ]
    laws = [load_material(name, None, changed).law for name, changed in (
        ("copper_j2", {}), ("copper_j2", {"density": 8000.0}), ("ofhc_copper", {}),
        ("ofhc_copper", {"initial_temperature": 400.0}), ("magnesium_liu2022", {"grains": 2}),
        ("magnesium_liu2022", {"grains": 2, "texture_seed": 1}))]  # fmt: skip
    assert len({Model(box((1, 1, 1), (1, 1, 1)), law).fingerprint() for law in laws}) == len(laws)
    assert len({fingerprint(change) for change in changes}) == len(changes)
    assert all(fingerprint(change) == fingerprint(change) for change in changes)


def test_every_change_of_a_model_changes_the_fingerprint(law):
    mesh = box((1, 1, 1), (1, 1, 1))
    models = [
        Model(mesh, law),
        Model(mesh, law, "hex8"),
        Model(mesh, law, controls=Controls(safety=0.8)),
        Model(mesh, law, mirrored="x"),
        Model(box((1, 1, 2), (1, 1, 1)), law),
        Model(box((1, 1, 1), (1, 1, 2)), law),
        Model(mesh, law).initial_velocity((0, 0, 1)),
        Model(mesh, law).initial_velocity((0, 0, 1), "z_min"),
        Model(mesh, law).fix("z_min", "z"),
        Model(mesh, law).fix("z_min", "x"),
    ]
    below = (0, 0, -1)
    bodies = [plane(), plane(below), plane(friction=0.1), plane(velocity=below), sphere(below, 0.5), sphere(below, 0.4)]
    models += [Model(mesh, law).contact(body) for body in bodies]
    models += [Model(mesh, law).contact(plane(), "z_min"), Model(mesh, law).contact(plane(), method="penalty")]
    assert len({model.fingerprint() for model in models}) == len(models)


def test_a_support_that_is_refused_holds_nothing(law):
    model = Model(box((1, 1, 1), (1, 1, 1)), law).prescribe_velocity("x_max", "y", 1.0)
    with pytest.raises(BoundaryError, match="moved twice in y"):
        model.fix("x_max", "xyz")
    assert np.all(model.free == 1.0)


def test_conditions_that_do_not_fit_are_refused(law):
    mesh = box((1, 1, 1), (2, 2, 2))
    model = Model(Mesh(mesh.points, mesh.hexes, dict(mesh.node_sets) | {"nothing": []}), law)
    for bad, words in (
        (lambda: model.fix("nowhere", "x"), "no node set 'nowhere'; it has: .*x_min"),
        (lambda: model.fix("x_min", "w"), "no direction is called 'w'"),
        (lambda: model.fix([99], "x"), "between 0 and 26"),
        (lambda: model.fix([-1], "x"), "between 0 and 26"),
        (lambda: model.fix(np.zeros(27, bool), "x"), "at least one"),
        (lambda: model.fix([True, False], "x"), r"bool of shape \(2,\); give node numbers, or a mask of 27 bools"),
        (lambda: model.fix([0.0, 1.0], "x"), r"float64 of shape \(2,\)"),
        (lambda: model.fix("nothing", "x"), "set 'nothing' is empty: no hexahedron uses its nodes"),
        (lambda: model.initial_velocity((1, np.nan, 0)), "finite"),
        (lambda: model.initial_velocity(5.0), "three finite numbers"),
        (lambda: model.initial_velocity(np.ones((3, 3)), [0, 1, 2]), "three finite numbers"),
        (lambda: model.fix("z_min").prescribe_velocity("x_min", "z", 1.0), "node 0 .* held or moved twice in z"),
        (
            lambda: model.prescribe_velocity("z_max", "x", 1.0).fix("x_max"),
            r"node 20 at \(1.0, 0.0, 1.0\) .* moved twice in x",
        ),
        (lambda: model.prescribe_velocity("z_max", "x", 2.0), "held or moved twice in x"),
        (lambda: model.prescribe_velocity("z_max", "z", np.nan), "velocity is nan; give a finite number"),
        (lambda: model.pressure("z_max", -np.inf), "pressure is -inf; give a finite number"),
        (lambda: Model(mesh, law, mirrored="yx"), "mirrored is 'yx'"),
        (
            lambda: Solver(Model(mesh, law, mirrored="xy").fix("x_min", "x")),
            "mirrored in y, but no node is held in y",
        ),
        (lambda: Model(mesh, load_material("copper_j2")), r"law is a Material; give a Law, such as .*\.law"),
        (lambda: model.pressure([0, 1], 1.0), "surface face"),
        (lambda: Model(box((1, 1, 1), (1, 1, 1)), law, "hex20"), "no element is called 'hex20'"),
    ):
        with pytest.raises(BoundaryError, match=words):
            bad()
