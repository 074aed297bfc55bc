"""The solver's accounts: of what is held, of parts of a body, across a checkpoint; and how it names elements."""

import re
from dataclasses import replace

import numpy as np
import pytest

from constitutive.law import compile_block, law_definition
from fem.contact import sphere
from fem.elements import MaterialError
from fem.mesh import Mesh
from fem.meshing import box
from fem.model import Model
from fem.run import run
from fem.solver import Solver

both = pytest.mark.parametrize("element", ["hex8r", "hex8"])


@pytest.fixture(scope="module")
def law():
    return law_definition("neo_hookean").build({"density": 1000.0, "youngs_modulus": 1e7, "poissons_ratio": 0.3})


@both
@pytest.mark.parametrize("method", ["kinematic", "penalty"])
def test_a_solver_that_is_loaded_goes_on_bit_for_bit(element, method, law):
    """With all that does work on the body: pressure, prescribed motion, friction on a moving body."""

    def begin() -> Solver:
        model = Model(box((0.1, 0.1, 0.1), (3, 3, 3)), law, element).pressure("z_max", 1e5)
        model.prescribe_velocity("z_min", "z", lambda time: 1e3 * time)
        ball = sphere((0.05, 0.05, 0.2), 0.1, (0.0, 5.0, -10.0), friction=0.2)
        return Solver(model.contact(ball, method=method))

    one, two = begin(), begin()
    for _ in range(10):
        one.step(one.stable_step())
    two.load({name: array.copy() for name, array in one.save().items()})
    for _ in range(10):
        assert (two.time, two.dt, two.steps) == (one.time, one.dt, one.steps)
        assert two.energies() == one.energies() and two.received() == one.received()
        assert np.array_equal(two.accounts[0].result, one.accounts[0].result)
        for solver in (one, two):
            solver.step(solver.stable_step())
    assert np.array_equal(two.displacement, one.displacement)
    assert one.received()[0]["work"] < 0.0 < one.energies()["contact"]


def test_a_quarter_reports_what_rigid_bodies_receive_of_the_whole(law):
    """A ball comes down on the middle of a block."""
    whole, quarter = box((0.1, 0.1, 0.05), (4, 4, 2)), box((0.05, 0.05, 0.05), (2, 2, 2))
    whole = Mesh(whole.points - [0.05, 0.05, 0.0], whole.hexes, whole.node_sets)
    ball = sphere((0.0, 0.0, 0.15), 0.1, (0.0, 0.0, -20.0))
    models = Model(whole, law), Model(quarter, law, mirrored="xy").fix("x_min", "x").fix("y_min", "y")
    one, four = (run(model.contact(ball), 5e-4) for model in models)
    (of_one,), (of_four,) = (result.summary["rigid_bodies"] for result in (one, four))
    assert of_one["work"] < 0.0 < of_one["impulse"][2]
    assert of_four["work"] == pytest.approx(of_one["work"], rel=1e-9)
    assert of_four["impulse"] == pytest.approx(of_one["impulse"], rel=1e-9, abs=1e-12)
    force = one.history.column("contact_force")
    assert four.history.column("contact_force") == pytest.approx(force, rel=1e-6, abs=1e-9 * force.max())


@both
def test_supports_take_the_momentum(element, law):
    """A bar flies off its support aslant, and a pressure pushes it back: change of momentum = reaction + pressure."""
    mesh = box((0.1, 0.1, 0.2), (2, 2, 4))
    model = Model(mesh, law, element).initial_velocity((1.0, 2.0, 5.0)).fix("z_min", "xz").pressure("z_max", 1e3)
    solver = Solver(model)
    for _ in range(20):
        before, last, dt = solver.momentum(), solver.dt, solver.stable_step()
        force = solver.reaction(model.nodes("z_min")) + solver.external.sum(axis=0)
        solver.step(dt)
        assert solver.momentum() - before == pytest.approx(force * 0.5 * (last + dt), abs=1e-9)
    assert force[1] == pytest.approx(0.0, abs=1e-9) and min(abs(force[0]), abs(force[2])) > 1.0


def test_what_is_held_has_no_energy_and_no_momentum_at_the_start(law):
    model = Model(box((0.1, 0.1, 0.1), (2, 2, 2)), law).initial_velocity((3.0, 4.0, 5.0)).fix(None, "xz")
    history = run(model, 1e-5).history
    assert history.column("kinetic")[0] == pytest.approx(0.5 * 1.0 * 4.0**2)
    assert (history.column("momentum_x") == 0.0).all()
    assert np.abs(history.column("error")).max() < 1e-12


def test_the_energy_error_is_relative_to_what_was_there_and_what_came_or_went(law):
    """A block that is slowed down by a motion of its face: the external work is negative."""
    model = Model(box((0.1, 0.1, 0.1), (2, 2, 2)), law).initial_velocity((0.0, 0.0, 10.0))
    history = run(model.prescribe_velocity("z_max", "z", lambda time: 10.0 - 2e3 * time), 4e-3).history
    total, external = history.column("total"), history.column("external")
    assert external.min() < -10.0
    expected = (total - total[0] - external) / (total[0] + np.abs(external))
    assert history.column("error") == pytest.approx(expected, abs=1e-15)


CORNERS = [(1.0, 0.0, 0.0), (0.0, 1.0, 1.0)]


def corner_element(mesh: Mesh, corner: tuple[float, ...]) -> tuple[int, int]:
    """The node in a corner of a box and the one element that has it."""
    node = int(np.flatnonzero((mesh.points == corner).all(axis=1))[0])
    return node, int(np.flatnonzero((mesh.hexes == node).any(axis=1))[0])


@both
@pytest.mark.parametrize("corner", CORNERS)
def test_an_element_that_fails_is_named_with_its_place(element, corner, law):
    """A corner of a body far away is pushed through its element."""
    mesh = box((1.0, 1.0, 1.0), (3, 3, 9))
    node, failing = corner_element(mesh, corner)
    solver = Solver(Model(mesh, law, element))
    solver.displacement[:] = (10.0, 20.0, 30.0)
    solver.velocity[node] = 1e6 * (0.5 - mesh.points[node]) * [2.0, 2.0, 1.0]
    place = (mesh.points + solver.displacement + 1e-6 * solver.velocity)[mesh.hexes[failing]].mean(axis=0)
    words = f"element {failing} at ({', '.join(f'{x:.4g}' for x in place)}) m failed at 1e-06 s, step 1: "
    with pytest.raises(MaterialError, match=re.escape(words)):
        solver.step(1e-6)


@both
def test_numbers_that_are_none_end_the_run_whatever_the_law_says(element, law):
    """Of a law that finds fault with nothing."""
    careless = replace(law, update_block=compile_block(lambda params, old, new, dt, stress, state, status: 0))
    model = Model(box((1.0, 1.0, 1.0), (1, 1, 2)), careless, element)
    model.prescribe_velocity("z_max", "z", lambda time: 1.0 if time < 1e-4 else np.nan)
    with pytest.raises(MaterialError, match=r"element 1 at .* is not finite, which the law has let pass"):
        run(model, 1e-2)


@both
@pytest.mark.parametrize("corner", CORNERS)
def test_the_element_that_controls_the_step_is_named(element, corner, law):
    """One that a corner was pushed into."""
    mesh = box((1.0, 1.0, 1.0), (3, 3, 9))
    node, smallest = corner_element(mesh, corner)
    points = mesh.points.copy()
    points[node] += 0.06 * np.sign(0.5 - points[node])
    assert Solver(Model(Mesh(points, mesh.hexes), law, element)).elements.stable_step()[1] == smallest
