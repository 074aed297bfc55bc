"""Rigid surfaces: distances by brute force; no penetration, friction, account of impulse and energy."""

import numpy as np
import pytest

from constitutive.law import law_definition
from fem.contact import PENALTY_DAMPING, ContactError, cylinder, plane, signed_distance, sphere
from fem.elements import Controls
from fem.mesh import Mesh, surface_nodes
from fem.meshing import box
from fem.model import Model
from fem.run import run
from fem.solver import Solver

BODIES = {
    "plane": plane((0.1, 0.2, 0.3), (1, 2, 2)),
    "sphere": sphere((0.1, 0.0, -0.2), 0.7),
    "cylinder": cylinder((0, 0, 0.1), (1, 1, 3), 0.5, 1.2, 0.2),
    "sharp cylinder": cylinder((0, 0, 0), (0, 0, 1), 0.5, 1.0),
}


@pytest.fixture(scope="module")
def rubber():
    return law_definition("neo_hookean").build({"density": 1000.0, "youngs_modulus": 1e7, "poissons_ratio": 0.3})


@pytest.mark.parametrize("name", BODIES)
def test_distance_is_exact_and_the_gradient_its_derivative(name):
    body, h = BODIES[name], 1e-6
    for x in np.random.default_rng(0).uniform(-1.2, 1.6, (200, 3)):
        g, *normal = signed_distance(body.shape, body.numbers, *x)
        slope = [(body.distance(x + h * e) - body.distance(x - h * e))[0] / (2 * h) for e in np.eye(3)]
        if np.linalg.norm(slope) > 0.999:  # away from the ridges, where the nearest point jumps
            assert normal == pytest.approx(slope, abs=1e-5)
        if g > 0.0:
            assert body.distance(x - g * np.array(normal))[0] == pytest.approx(0.0, abs=1e-12)


def test_filleted_cylinder_against_sampled_surface():
    """Brute force: the solid is the union of balls of the fillet's radius around the shrunken cylinder."""
    body = cylinder((0, 0, 0), (0, 0, 1), 0.5, 1.0, 0.2)
    angle, r, z = np.meshgrid(np.linspace(0, 2 * np.pi, 181), np.linspace(0, 0.3, 61), np.linspace(0.2, 0.8, 121))
    core = np.stack([r * np.cos(angle), r * np.sin(angle), z], axis=-1).reshape(-1, 3)
    for x in np.random.default_rng(1).uniform(-1, 1.5, (40, 3)):
        brute = np.linalg.norm(core - x, axis=1).min() - 0.2
        if brute > 0.05:
            assert body.distance(x)[0] == pytest.approx(brute, abs=3e-3)


def test_bodies_that_make_no_sense_are_refused():
    for bad in (
        lambda: sphere((0, 0, 0), -1.0),
        lambda: cylinder((0, 0, 0), (0, 0, 1), 1.0, 1.0, 0.7),
        lambda: plane((0, 0, 0), (0, 0, 0)),
        lambda: plane(friction=-0.1),
        lambda: plane((0, 0, np.nan)),
        lambda: plane((0, 0)),
        lambda: sphere((0, 1), 0.1),
        lambda: sphere((0, 0, 0), np.inf),
        lambda: sphere((0, 0, 0), 0.1, velocity=(0, 1)),
        lambda: sphere((0, 0, 0), 0.1, velocity=(0, np.nan, 1)),
        lambda: plane(velocity=3.0),
    ):
        with pytest.raises(ContactError, match="rigid body"):
            bad()


@pytest.mark.parametrize("body", [sphere((0.05, 0.05, 0.25), 0.05, (0, 0, -20.0)),
                                  cylinder((0.05, 0.05, 0.2), (0, 0, 1), 0.04, 0.1, 0.01, (0, 0, -20.0))])  # fmt: skip
def test_moving_bodies_never_penetrate_and_their_work_is_accounted_for(body, rubber):
    mesh = box((0.1, 0.1, 0.2), (8, 8, 16))
    model = Model(mesh, rubber).fix("z_min", "xyz").contact(body)
    solver, surface = Solver(model), surface_nodes(mesh)
    touched = 0
    while solver.time < 1.5e-3:
        solver.step(solver.stable_step())
        inside = body.distance((mesh.points + solver.displacement)[surface], solver.time)
        assert inside.min() > -1e-12
        touched = max(touched, solver.accounts[0].touching)
    assert touched >= 4
    energies = solver.energies()
    assert energies["external"] > 0.0
    assert energies["contact"] >= 0.0
    assert abs(energies["error"]) < 2e-3


@pytest.mark.parametrize("direction", [(1, 0, 0), (0, -1, 0), (0, 0, 1), (0, 3, 4)])
def test_a_sphere_reports_the_impulse_along_its_motion(direction, rubber):
    mesh, direction = box((0.1, 0.1, 0.1), (4, 4, 4)), np.array(direction) / np.linalg.norm(direction)
    start = np.full(3, 0.05) - direction * (0.05 * np.abs(direction).sum() + 0.1)
    result = run(Model(mesh, rubber).contact(sphere(start, 0.1, 20.0 * direction)), 5e-4)
    gained = result.solver.momentum() @ direction
    assert gained > 0.0
    assert result.summary["contact_impulse"] == pytest.approx(gained, rel=1e-9)
    time, force = result.history.column("time"), result.history.column("contact_force")
    assert np.sum(np.diff(time) * force[1:]) == pytest.approx(gained, rel=1e-9)
    (ball,) = result.summary["rigid_bodies"]
    assert ball["name"] == "sphere"
    assert ball["impulse"] == pytest.approx(-result.solver.momentum(), rel=1e-9)
    assert ball["work"] == pytest.approx(-20.0 * gained, rel=1e-9)


@pytest.mark.parametrize("method", ["kinematic", "penalty"])
def test_sliding_friction_is_mu_times_the_normal_impulse(method, rubber):
    mesh = box((0.1, 0.1, 0.05), (4, 4, 2))
    model = Model(mesh, rubber).initial_velocity((10.0, 0.0, -1.0)).contact(plane(friction=0.3), "z_min", method)
    result = run(model, 1e-3)
    impulse = result.solver.accounts[0].impulse
    assert -impulse[2] > 0.0
    assert impulse[0] / -impulse[2] == pytest.approx(0.3, rel=1e-3)
    assert abs(impulse[1] / impulse[2]) < 1e-9
    assert result.summary["max_energy_error"] < 1e-3


@pytest.mark.parametrize("method", ["kinematic", "penalty"])
def test_friction_is_mu_times_the_normal_force_where_a_support_takes_part_of_it(method, rubber):
    """n = (0.6, 0, 0.8) and x held: what is seen of the normal force N is 0.8 N."""
    oblique = plane(normal=(0.6, 0.0, 0.8), friction=0.3)
    model = Model(box((0.1, 0.1, 0.1), (1, 2, 2)), rubber).fix(None, "x")
    model.initial_velocity((0.0, 10.0, -1.0)).contact(oblique, [0, 2, 4], method)
    impulse = run(model, 1e-3).solver.accounts[0].impulse
    assert -impulse[2] > 0.0
    assert impulse[1] / (-impulse[2] / 0.8) == pytest.approx(0.3, rel=1e-3)


@pytest.mark.parametrize("method", ["kinematic", "penalty"])
def test_energy_is_balanced_where_two_bodies_touch_a_node(method, rubber):
    """A block thrown into the edge between two planes."""
    model = Model(box((0.1, 0.1, 0.1), (4, 4, 4)), rubber).initial_velocity((-5.0, 0.0, -10.0))
    model.contact(plane(), method=method).contact(plane((0, 0, 0), (2, 0, 1)), method=method)
    result = run(model, 5e-3)
    impulses = [account.impulse for account in result.solver.accounts]
    assert min(np.linalg.norm(impulse) for impulse in impulses) > 1.0
    assert np.sum(impulses, axis=0) == pytest.approx(1.0 * np.array([-5, 0, -10]) - result.solver.momentum(), abs=1e-9)
    assert result.summary["max_energy_error"] < 1e-2


@pytest.mark.parametrize("method", ["kinematic", "penalty"])
@pytest.mark.parametrize("opening", [170.0, 120.0])
def test_two_bodies_share_out_what_they_push_a_node(opening, method, rubber):
    """A block falls into a groove on its edge: it does not go aside, and walls at rest give no energy."""
    half, c = np.radians(opening / 2), np.sqrt(0.5)
    block = box((0.1, 0.1, 0.1), (4, 4, 4))
    mesh = Mesh(block.points @ np.array([[c, 0, c], [0, 1, 0], [-c, 0, c]]), block.hexes)
    model = Model(mesh, rubber).initial_velocity((0.0, 0.0, -10.0))
    for side in (1.0, -1.0):
        model.contact(plane((0, 0, 0), (side * np.cos(half), 0, np.sin(half))), method=method)
    result = run(model, 2e-3)
    left, right = (account.impulse for account in result.solver.accounts)
    assert left == pytest.approx(right * [-1, 1, 1], rel=1e-3, abs=1e-6)
    assert result.history.column("contact").min() > -1e-9
    assert result.summary["max_energy_error"] < 1e-2


def test_penalty_contact_goes_before_kinematic_contact_in_whatever_order_they_are_given(rubber):
    """A block slides along a floor into a wall that leans over its lower edge and presses it down."""
    mesh = box((0.1, 0.1, 0.1), (4, 4, 4))
    edge = np.intersect1d(mesh.node_sets["x_min"], mesh.node_sets["z_min"])
    impulses = []
    for turn in (1, -1):
        model = Model(mesh, rubber).initial_velocity((-10.0, 0.0, -2.0))
        bodies = [(plane(), None, "kinematic"), (plane((0, 0, 0), (2, 0, -1)), edge, "penalty")]
        for body in bodies[::turn]:
            model.contact(*body)
        solver = Solver(model)
        while solver.time < 2e-3:
            solver.step(solver.stable_step())
            assert (mesh.points + solver.displacement)[:, 2].min() > -1e-12
        impulses.append([account.impulse for account in solver.accounts][::turn])
    assert np.array_equal(*impulses)
    assert min(impulses[0][0] @ [0, 0, -1], impulses[0][1] @ [-1, 0, 0]) > 1.0


def test_a_pinched_node_ends_on_the_last_body(rubber):
    """Two planes close on one layer of nodes, until they have passed each other: pushes stay finite."""
    mesh = box((0.1, 0.1, 0.1), (2, 2, 2))
    model = Model(mesh, rubber)
    model.contact(plane((0, 0, -1e-4), velocity=(0, 0, 1.0)), "z_min")
    model.contact(plane((0, 0, 1e-4), (0, 0, -1), velocity=(0, 0, -1.0)), "z_min")
    solver = Solver(model)
    while solver.time < 2e-4:
        solver.step(solver.stable_step())
    assert solver.displacement[model.nodes("z_min"), 2] == pytest.approx(1e-4 - solver.time, abs=1e-12)


def test_a_pinched_node_leaves_others_their_shares(rubber):
    """A block in a groove does not see that two planes close on a layer of nodes of another block."""
    block, c = box((0.1, 0.1, 0.1), (2, 2, 2)), np.sqrt(0.5)
    points = [block.points @ np.array([[c, 0, c], [0, 1, 0], [-c, 0, c]]), block.points + np.array([1.0, 0.0, 0.0])]
    n = len(block.points)
    mesh = Mesh(np.concatenate(points), np.concatenate([block.hexes, block.hexes + n]))
    fallen = []
    for speed in (0.0, 10.0):
        model = Model(mesh, rubber).initial_velocity((0.0, 0.0, -10.0), range(n))
        for side in (1.0, -1.0):
            model.contact(plane((0, 0, 0), (side, 0, 11.0)), range(n))
            model.contact(plane((0, 0, -1e-4 * side), (0, 0, side), (0, 0, side * speed)), n + block.nodes("z_min"))
        solver = Solver(model)
        for _ in range(50):
            solver.step(2e-6)
        fallen.append(solver.displacement[:n])
    assert np.array_equal(*fallen)


@pytest.mark.parametrize("method", ["kinematic", "penalty"])
def test_a_node_that_is_held_in_all_of_the_normal_is_not_pushed(method, rubber):
    model = Model(box((0.1, 0.1, 0.05), (4, 4, 2)), rubber).fix(None, "z").initial_velocity((10.0, 0.0, 0.0))
    solver = Solver(model.contact(plane(velocity=(0, 0, 5.0), friction=0.3), "z_min", method))
    for _ in range(20):
        solver.step(solver.stable_step())
    assert solver.velocity[:, 0] == pytest.approx(10.0, rel=1e-12)


@pytest.mark.parametrize("method", ["kinematic", "penalty"])
def test_a_node_that_is_held_in_nearly_all_of_the_normal_is_not_shot_aside(method, rubber):
    """A large slow ball comes down on a face that is held against it, beside its middle."""
    ball = sphere((0.0501, 0.0503, 0.4), 0.3, (0, 0, -1.0))
    model = Model(box((0.1, 0.1, 0.1), (4, 4, 4)), rubber).fix("z_max", "z").fix("z_min")
    solver = Solver(model.contact(ball, method=method))
    for _ in range(20):
        solver.step(solver.stable_step())
        assert np.abs(solver.velocity).max() < 10.0


@pytest.mark.parametrize("method", ["kinematic", "penalty"])
@pytest.mark.parametrize("aside", [1e-3, 2e-3])
def test_a_node_that_could_not_be_pushed_is_not_shot_aside_later(method, aside, rubber):
    """A small ball goes down through a face that is held against it: the node beside its middle is soon held in less.

    Of what is left of the normal then, a tenth, it may go aside ten times as fast as the ball.
    """
    ball = sphere((0.05 + aside, 0.05, 0.13), 0.03, (0, 0, -10.0))
    model = Model(box((0.1, 0.1, 0.1), (4, 4, 4)), rubber).fix("z_max", "z").fix("z_min")
    solver = Solver(model.contact(ball, method=method))
    while solver.time < 4e-3:
        solver.step(solver.stable_step())
        assert np.abs(solver.velocity).max() < 110.0
    assert np.abs(solver.displacement).max() > aside


@pytest.mark.parametrize("method", ["kinematic", "penalty"])
def test_enough_friction_sticks(method, rubber):
    mesh = box((0.1, 0.1, 0.05), (4, 4, 2))
    model = Model(mesh, rubber).initial_velocity((0.05, 0.0, -1.0)).contact(plane(friction=5.0), "z_min", method)
    solver = Solver(model)
    while solver.time < 5e-4:
        solver.step(solver.stable_step())
    face = model.nodes("z_min")
    assert np.abs(solver.velocity[face, 0]).max() < 0.02


@pytest.mark.parametrize("method", ["kinematic", "penalty"])
def test_contact_is_the_same_whoever_moves(method, rubber):
    """A ball that hits a block at rest, with friction, and a block that is thrown at a ball at rest."""
    flight = np.array([3.0, 5.0, -20.0])
    solvers = []
    for of_ball, of_block in ((flight, 0.0 * flight), (0.0 * flight, -flight)):
        ball = sphere((0.05, 0.05, 0.2), 0.1, of_ball, friction=0.2)
        model = Model(box((0.1, 0.1, 0.1), (4, 4, 4)), rubber).initial_velocity(of_block)
        solvers.append(Solver(model.contact(ball, method=method)))
    one, two = solvers
    while one.time < 1.5e-3:
        dt = one.stable_step()
        for solver in solvers:
            solver.step(dt)
    assert two.accounts[0].impulse == pytest.approx(one.accounts[0].impulse, rel=1e-9)
    assert one.velocity - flight == pytest.approx(two.velocity, abs=1e-9)
    assert np.linalg.norm(one.accounts[0].impulse) > 1.0


@pytest.mark.parametrize("method", ["kinematic", "penalty"])
def test_contact_pushes_and_never_pulls(method, rubber):
    """Nor when a block leaves the wall again, in every step of impact and rebound."""
    solver = Solver(Model(box((0.1, 0.1, 0.1), (4, 4, 4)), rubber).initial_velocity((0.0, 0.0, -10.0))
                    .contact(plane(), "z_min", method))  # fmt: skip
    force = []
    while solver.time < 3e-3:
        solver.step(solver.stable_step())
        force.append(-solver.accounts[0].result[2])
    assert min(force) == 0.0 < max(force) and force[-1] == 0.0


@pytest.mark.parametrize("penalty", [0.5, 20.0])
def test_penalty_contact_is_as_printed(penalty, rubber):
    """f = -m (k g + 2 xi sqrt(k) dg/dt) n, k = penalty / dt^2 of the virgin mesh, of a block that is 1 mm too low."""
    model = Model(box((0.1, 0.1, 0.1), (2, 2, 2)), rubber, controls=Controls(penalty=penalty))
    solver, depth, speed = Solver(model.contact(plane(), "z_min", "penalty")), 1e-3, 2.0
    k = penalty / solver.elements.stable_step()[0] ** 2
    solver.displacement[:, 2], solver.velocity[:, 2] = -depth, -speed
    solver.step(1e-6)
    touching = model.nodes("z_min")
    expected = -solver.mass[touching].sum() * (k * depth + 2.0 * PENALTY_DAMPING * np.sqrt(k) * speed)
    assert solver.accounts[0].result == pytest.approx([0.0, 0.0, expected, 0.0, len(touching)], rel=1e-12)


def test_the_contact_force_is_that_of_all_bodies(rubber):
    """A block pressed between a wall, whose axis points to it, and a cylinder, whose axis points away from it."""
    stamp = cylinder((0.05, 0.05, 0.1), (0, 0, 1), 0.2, 0.1, velocity=(0, 0, -1.0))
    model = Model(box((0.1, 0.1, 0.1), (2, 2, 2)), rubber).contact(plane(), "z_min").contact(stamp, "z_max")
    result = run(model, 2e-3)
    time, force = result.history.column("time"), result.history.column("contact_force")
    received = [abs(body["impulse"][2]) for body in result.summary["rigid_bodies"]]
    assert min(received) > 0.1
    assert np.sum(np.diff(time) * force[1:]) == pytest.approx(sum(received), rel=1e-9)
    for name, impulse in zip(("contact_force_1", "contact_force_2"), received, strict=True):
        assert np.sum(np.diff(time) * result.history.column(name)[1:]) == pytest.approx(impulse, rel=1e-9)
    assert min(received) < 0.9 * max(received)  # or which is which would not be seen


@pytest.mark.parametrize("bodies", [1, 3])
def test_stiff_penalty_contact_gives_no_energy(bodies, rubber):
    """A block pressed on planes in one place: with a step too long for the damped springs it is thrown off."""
    model = Model(box((0.1, 0.1, 0.1), (2, 2, 2)), rubber, controls=Controls(penalty=100.0)).pressure("z_max", 1e4)
    for _ in range(bodies):
        model.contact(plane(), "z_min", "penalty")
    history = run(model, 2e-3).history
    lost, work = history.column("contact"), history.column("external").max()
    if bodies == 1:
        assert lost.min() >= 0.0 and lost[-1] > 0.0
    assert lost.min() > -0.005 * work  # several are damped by one velocity
    assert np.abs(history.column("error")).max() < 1e-3


def test_stiff_penalty_contact_shortens_the_step(rubber):
    model = Model(box((0.1, 0.1, 0.1), (4, 4, 4)), rubber, controls=Controls(penalty=10.0))
    result = run(model.initial_velocity((0.0, 0.0, -5.0)).contact(plane(), method="penalty"), 5e-3)
    before = 5.0 * 1.0  # kg m/s
    assert 0.0 < result.solver.momentum()[2] <= before
    assert result.summary["max_energy_error"] < 1e-2


def test_penalty_contact_is_stable_where_several_bodies_push_a_node(rubber):
    """Three planes in one place: the rebound is not faster than the impact."""
    model = Model(box((0.1, 0.1, 0.1), (4, 4, 4)), rubber, controls=Controls(penalty=100.0))
    model.initial_velocity((0.0, 0.0, -5.0))
    for _ in range(3):
        model.contact(plane(), method="penalty")
    result = run(model, 5e-3)
    assert 0.0 < result.solver.momentum()[2] <= 5.0
    assert result.summary["kinetic_energy"] < result.solver.initial_energy


def test_the_start_inside_a_body_is_refused(rubber):
    mesh = box((0.1, 0.1, 0.1), (2, 2, 2))
    with pytest.raises(ValueError, match="inside the rigid body 'wall'"):
        Model(mesh, rubber).contact(plane((0, 0, 0.01)))
    within = sphere((0.05, 0.05, 0.05), 0.01)
    with pytest.raises(ValueError, match=r"node 13 at \(0.05, 0.05, 0.05\) lies inside the rigid body 'sphere'"):
        Model(mesh, rubber).contact(within)
    Model(mesh, rubber).contact(within, nodes="z_max")  # the other nodes do not meet it


@pytest.mark.parametrize("size", [1e-6, 1.0])
def test_touching_at_the_start_is_a_part_of_the_size(size, rubber):
    """A face whose coordinates are rounded to single precision touches a plane, one much deeper is inside."""
    mesh = box((0.1 * size, 0.1 * size, 0.1 * size), (2, 2, 2))
    Model(mesh, rubber).contact(plane((0, 0, 0.05 * 1.2e-7 * size)))
    with pytest.raises(ValueError, match="inside the rigid body 'wall'"):
        Model(mesh, rubber).contact(plane((0, 0, 5e-7 * size)))


@pytest.mark.parametrize("method", ["kinematic", "penalty"])
def test_prescribed_motion_goes_before_contact_and_energy_balances(method, rubber):
    mesh = box((0.1, 0.1, 0.1), (4, 4, 4))
    through = Model(mesh, rubber).prescribe_velocity("z_min", "z", -10.0).contact(plane(), method=method)
    solver = (result := run(through, 2e-4)).solver
    assert solver.displacement[mesh.nodes("z_min"), 2] == pytest.approx(-2e-3, rel=0.01)
    assert result.summary["contact_impulse"] == 0.0
    assert result.summary["max_energy_error"] < 1e-10
    press = Model(mesh, rubber).prescribe_velocity("z_max", "z", -1.0).contact(plane(), method=method)
    result = run(press, 2e-3)
    assert result.summary["contact_impulse"] > 0.0
    assert result.summary["max_energy_error"] < 1e-2
