"""Elements against exact answers: patch test, rigid motions, forces from the energy, no volumetric locking."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from constitutive.law import law_definition
from constitutive.material import load_material
from constitutive.tensor import full, random_rotations, symmetric
from fem.elements import Controls
from fem.hex8 import HOURGLASS, gauss_gradients
from fem.hex8_fbar import Hex8
from fem.hex8r import Hex8r
from fem.mesh import Mesh
from fem.meshing import box
from fem.model import Model
from fem.nodes import assemble
from fem.output import cell_fields
from fem.run import run
from fem.solver import Solver

# MacNeal & Harder (1985): a unit cube of seven distorted elements, interior nodes
INNER = np.array(
    [[.249, .342, .192], [.826, .288, .288], [.850, .649, .263], [.273, .750, .230],
     [.320, .186, .643], [.677, .305, .683], [.788, .693, .644], [.165, .745, .702]]
)  # fmt: skip
OUTER = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]], float)
HEXES = np.array(
    [[8, 9, 10, 11, 12, 13, 14, 15],
     [0, 1, 2, 3, 8, 9, 10, 11], [12, 13, 14, 15, 4, 5, 6, 7],
     [0, 1, 9, 8, 4, 5, 13, 12], [11, 10, 2, 3, 15, 14, 6, 7],
     [0, 8, 11, 3, 4, 12, 15, 7], [9, 1, 2, 10, 13, 5, 6, 14]]
)  # fmt: skip
STRONG = Controls(linear_viscosity=0.0, quadratic_viscosity=0.0, hourglass_viscosity=0.0, hourglass_stiffness=1.0)

both = pytest.mark.parametrize("kind", [Hex8r, Hex8])


def patch() -> Mesh:
    return Mesh(np.vstack([OUTER, INNER]), HEXES)


def nodal_force(elements, mesh, displacement, dt=1.0, velocity=None) -> np.ndarray:
    """Internal forces (n, 3) after the elements were brought to a displacement."""
    velocity = displacement / dt if velocity is None else velocity
    elements.update(np.ascontiguousarray(displacement), np.ascontiguousarray(velocity), dt)
    force, links = np.zeros_like(mesh.points), elements.topology
    assemble(links.node_start, links.node_slots, elements.force, np.zeros_like(force), force)
    return -force


def stored_energy(elements, law) -> float:
    F = elements.point_values()[0].reshape(-1, 3, 3)
    stored, _ = law.energies(F, np.empty((len(F), 0)))
    return float(stored @ elements.point_volumes().ravel())


@both
@pytest.mark.parametrize("size", [1e-6, 0.1])
def test_patch(kind, size, elastic):
    mesh = patch()
    H = size * np.array([[1.0, 0.3, -0.2], [0.5, -0.4, 0.7], [0.1, 0.6, 0.8]])
    elements = kind(mesh, elastic, STRONG)
    force = nodal_force(elements, mesh, mesh.points @ H.T)
    F = np.eye(3) + H
    stress = np.zeros((1, 6))
    elastic.update(np.eye(3)[None], F[None], 1.0, stress, elastic.initial_state(1))
    found = elements.point_values()[1].reshape(-1, 6)
    assert np.abs(found - stress).max() <= 1e-10 * np.abs(stress).max() + 1e-15 * elastic.p_wave_modulus
    P = np.linalg.det(F) * full(stress[0]) @ np.linalg.inv(F).T
    assert np.abs(force[8:]).max() <= 1e-10 * np.abs(P).max()  # interior nodes are in balance
    assert np.einsum("ni,nj->ij", force, mesh.points) == pytest.approx(P, rel=1e-9, abs=1e-10 * np.abs(P).max())


@both
def test_no_stress_and_no_force_in_rigid_motion(kind, elastic):
    mesh = patch()
    for Q in random_rotations(np.random.default_rng(1), 3):
        elements = kind(mesh, elastic, STRONG)
        moved = mesh.points @ Q.T + np.array([1.0, -2.0, 3.0]) - mesh.points
        force = nodal_force(elements, mesh, moved, velocity=np.tile([5.0, 6.0, 7.0], (16, 1)))
        assert np.abs(elements.point_values()[1]).max() < 1e-10 * elastic.p_wave_modulus
        assert np.abs(force).max() < 1e-10 * elastic.p_wave_modulus


@both
def test_translation_is_exactly_free_of_strain(kind, elastic):
    mesh = patch()
    elements = kind(mesh, elastic, Controls())
    force = nodal_force(elements, mesh, np.tile([0.1, -0.7, 1.3], (16, 1)))
    assert (elements.point_values()[0] == np.eye(3)).all()
    assert (force == 0.0).all()


@both
def test_nodal_forces_are_the_derivative_of_the_energy(kind, elastic):
    mesh = patch()
    rng = np.random.default_rng(2)
    u = 0.05 * rng.normal(size=mesh.points.shape)

    def energy(displacement):
        elements = kind(mesh, elastic, Controls(0.0, 0.0, 0.0, 0.0))
        nodal_force(elements, mesh, displacement)
        return stored_energy(elements, elastic)

    force = nodal_force(kind(mesh, elastic, Controls(0.0, 0.0, 0.0, 0.0)), mesh, u)
    direction = rng.normal(size=u.shape)
    h = 1e-6
    slope = (energy(u + h * direction) - energy(u - h * direction)) / (2 * h)
    assert np.sum(force * direction) == pytest.approx(slope, rel=1e-7)


@both
def test_work_of_a_closed_small_step_is_the_energy(kind, elastic):
    """The trapezoidal work along many small steps is the stored energy of the end."""
    mesh = patch()
    elements = kind(mesh, elastic, Controls(0.0, 0.0, 0.0, 0.0))
    u = 0.02 * np.random.default_rng(3).normal(size=mesh.points.shape)
    steps = 100
    for k in range(steps):
        nodal_force(elements, mesh, u * (k + 1) / steps, velocity=u / steps)
    assert elements.work[:, 0].sum() == pytest.approx(stored_energy(elements, elastic), rel=1e-4)
    assert np.abs(elements.work[:, 1:]).max() <= 1e-12 * elements.work[:, 0].sum()


@both
def test_mean_stress_of_a_distorted_element_is_that_of_its_forces(kind, elastic):
    """sum_I f_I (x) X_I is the integral of the stress; the points of hex8 have different volumes."""
    mesh = Mesh(INNER, np.arange(8)[None])
    elements = kind(mesh, elastic, Controls(0.0, 0.0, 0.0, 0.0))
    force = nodal_force(elements, mesh, 1e-7 * np.random.default_rng(9).normal(size=(8, 3)))
    stress = full(elements.mean_values()[1][0])
    virial = force.T @ mesh.points / elements.point_volumes().sum()
    assert stress == pytest.approx(virial, abs=1e-5 * np.abs(virial).max())


def test_hourglass_patterns_resist_only_what_the_mean_gradient_cannot_see(elastic):
    mesh = box((1.0, 1.0, 1.0), (1, 1, 1))
    for pattern in HOURGLASS:
        u = np.zeros((8, 3))
        u[mesh.hexes[0], 2] = 1e-4 * pattern
        soft, stiff = (kind_force(mesh, elastic, u, Controls(0.0, 0.0, 0.0, k)) for k in (0.0, 1.0))
        assert np.abs(soft).max() < 1e-12 * elastic.shear_modulus
        assert np.sum(stiff * u) > 0.0
        ratio = stiff[mesh.hexes[0], 2] / pattern
        assert ratio == pytest.approx(ratio[0] * np.ones(8))


def kind_force(mesh, law, u, controls):
    return nodal_force(Hex8r(mesh, law, controls), mesh, u)


@both
def test_isochoric_flow_does_not_lock(kind):
    """A quadratic divergence-free displacement costs shear energy only, however large the bulk modulus.

    u = a (x y, -y^2 / 2, 0): its trilinear interpolant is not divergence-free pointwise, so 2x2x2 points without
    F-bar lock.
    """
    mesh = box((1.0, 1.0, 1.0), (8, 8, 8))
    x, y, _ = mesh.points.T
    a = 1e-3
    u = a * np.stack([x * y, -0.5 * y * y, 0 * x], axis=1)
    G = 1e9
    stiff = law_definition("neo_hookean").build({"density": 1e3, "shear_modulus": G, "bulk_modulus": 1e5 * G})
    elements = kind(mesh, stiff, Controls(0.0, 0.0, 0.0, 0.0))
    nodal_force(elements, mesh, u)
    found = stored_energy(elements, stiff)
    exact = G * a**2 * (2.0 / 3.0 + 0.5 / 3.0)  # G int (e_xx^2 + e_yy^2 + 2 e_xy^2) with e_xy = x / 2
    gradients, weight = gauss_gradients(mesh.points[mesh.hexes])  # the same points without F-bar
    F = np.eye(3) + np.einsum("mIi,mqIj->mqij", u[mesh.hexes], gradients)
    stored, _ = stiff.energies(F.reshape(-1, 3, 3), np.empty((F.size // 9, 0)))
    assert found < 1.3 * exact
    assert stored @ weight.ravel() > 50 * exact


def test_f_bar_has_the_mean_dilatation_or_the_element_fails(elastic):
    """A corner of a cube is pushed inwards, until the Gauss point beside it is flat and then inside out."""
    mesh, u = box((1.0, 1.0, 1.0), (1, 1, 1)), np.zeros((8, 3))
    gradients, weight = gauss_gradients(mesh.points[mesh.hexes])
    failed = []
    for depth in np.linspace(0.0, 1.6, 161):
        u[0] = depth
        elements = Hex8(mesh, elastic, Controls())
        nodal_force(elements, mesh, u)
        J = np.linalg.det(np.eye(3) + np.einsum("Ii,qIj->qij", u[mesh.hexes[0]], gradients[0]))
        failed.append(elements.failed_point() is not None)
        assert failed[-1] == (J.min() < (mean := J @ weight[0]) / 640.0)
        assert failed[-1] or np.linalg.det(elements.point_values()[0][0]) == pytest.approx(mean, rel=1e-10)
    assert J.min() < -mean and not failed[0] and sum(failed) > 60


def distorted_block() -> Mesh:
    mesh = box((1.0, 1.0, 1.0), (3, 3, 3))
    moved = 0.05 * np.random.default_rng(0).normal(size=mesh.points.shape)
    return Mesh(mesh.points + moved, mesh.hexes)


@pytest.mark.parametrize("element", ["hex8r", "hex8"])
def test_a_spinning_body_has_no_force_at_the_start(element, elastic):
    model = Model(distorted_block(), elastic, element)
    model.velocity[:] = np.cross([1.0, 2.0, 3.0], model.mesh.points)
    assert (Solver(model).force == 0.0).all()


def frequencies(kind, law, points) -> tuple[float, float]:
    """Highest frequency of an element with corners (8, 3) by brute force, and the bound of its stable step, 1/s."""
    mesh, still = Mesh(points, np.arange(8)[None]), Controls(0.0, 0.0, 0.0, 0.0)
    elements = kind(mesh, law, still)
    nodal_force(elements, mesh, np.zeros((8, 3)))
    K, h = np.empty((24, 24)), 1e-7
    for k in range(24):
        u = np.zeros(24)
        u[k] = h
        K[:, k] = nodal_force(kind(mesh, law, still), mesh, u.reshape(8, 3)).ravel() / h
    mass = elements.point_volumes().sum() * law.density / 8.0
    return np.sqrt(np.linalg.eigvalsh(0.5 * (K + K.T)).max() / mass), 2.0 / elements.stable_step()[0]


def random_corners(rng) -> np.ndarray:
    """Corners (8, 3) of a distorted box."""
    return OUTER * rng.uniform(0.3, 1.0, 3) + 0.08 * rng.normal(size=(8, 3))


@both
def test_frequency_bound_holds_and_is_close(kind, elastic):
    """The stable step from the bound against the highest eigenvalue of random elements, by brute force."""
    rng = np.random.default_rng(4)
    for _ in range(4):
        highest, bound = frequencies(kind, elastic, random_corners(rng))
        assert highest <= bound * (1 + 1e-6)
        assert bound < 1.4 * highest


@both
@pytest.mark.parametrize("nu", [-0.9, -0.3])
def test_frequency_bound_holds_for_solids_that_widen_when_stretched(kind, nu):
    """Poisson's ratio below 0, where Lame's first constant is negative."""
    auxetic = law_definition("neo_hookean").build({"density": 8e3, "youngs_modulus": 2e11, "poissons_ratio": nu})
    rng = np.random.default_rng(4)
    for _ in range(2):
        highest, bound = frequencies(kind, auxetic, random_corners(rng))
        assert highest <= bound * (1 + 1e-6)


@both
def test_the_bound_is_that_of_the_current_shape(kind, elastic):
    """A flattened and sheared element has the stable step of one that was made so."""
    points = OUTER + 0.08 * np.random.default_rng(8).normal(size=(8, 3))
    F = np.array([[1.3, 0.4, 0.0], [0.0, 1.1, -0.2], [0.1, 0.0, 0.3]])
    limits = []
    for start, u in ((points, points @ (F - np.eye(3)).T), (points @ F.T, np.zeros((8, 3)))):
        mesh = Mesh(start, np.arange(8)[None])
        elements = kind(mesh, elastic, Controls(0.0, 0.0, 0.0, 0.0))
        nodal_force(elements, mesh, u)
        limits.append(elements.stable_step()[0])
    assert limits[0] == pytest.approx(limits[1], rel=1e-10)


def pressed_cube(kind, law, height, rate, dt, b1, b2):
    """A unit cube brought to a height, m, at a rate, 1/s, in its last step dt, s: elements, force on its top, N."""
    mesh = box((1.0, 1.0, 1.0), (1, 1, 1))
    elements, u = kind(mesh, law, Controls(b1, b2, 0.0, 0.0)), np.zeros((8, 3))
    for z in (height * (1.0 - rate * dt), height):
        u[mesh.node_sets["z_max"], 2] = z - 1.0
        force = nodal_force(elements, mesh, u, dt)
    return elements, force[mesh.node_sets["z_max"], 2].sum()


@both
@pytest.mark.parametrize("height", [1.0, 0.5])
@pytest.mark.parametrize("rate", [-2e4, 2e4])
def test_bulk_viscosity_is_as_printed(kind, height, rate, elastic):
    """p_v = rho (b1 c L (-d) + (b2 L d)^2 [d < 0]) and the step 2 / omega (sqrt(1 + xi^2) - xi), L = 2 c / omega.

    xi = (b1 + b2^2 L / c max(-d, 0)) 8 c^2 tr Gh / omega^2.
    """
    b1, b2, dt = 0.06, 1.2, 1e-7
    damped, force = pressed_cube(kind, elastic, height, rate, dt, b1, b2)
    free, elastic_force = pressed_cube(kind, elastic, height, rate, dt, 0.0, 0.0)
    c = elastic.wave_speed
    L, squeeze = c * free.stable_step()[0], max(-rate, 0.0)
    p_v = elastic.density / height * (-b1 * c * L * rate + (b2 * L * squeeze) ** 2)
    assert damped.element_values(damped.pressure) == pytest.approx(p_v, rel=1e-6)
    assert elastic_force - force == pytest.approx(p_v, rel=1e-4)  # on 1 m2
    trace = 0.5 * (2.0 + 1.0 / height**2)  # of Gh
    xi = (b1 + b2**2 * L / c * squeeze) * 2.0 * L**2 * trace
    assert damped.stable_step()[0] == pytest.approx(L / c * (np.sqrt(1 + xi * xi) - xi), rel=1e-6)


@both
@pytest.mark.parametrize("nu", [0.0, 0.3])
@pytest.mark.parametrize("b1", [0.06, 0.5])
def test_a_breathing_cube_is_stable_up_to_the_bound_with_bulk_viscosity(kind, nu, b1):
    """Of `hex8r` and no further: the mode of a free cube that bulk viscosity damps most."""
    law = law_definition("neo_hookean").build({"density": 8000.0, "youngs_modulus": 2e11, "poissons_ratio": nu})
    mesh = box((1.0, 1.0, 1.0), (1, 1, 1))
    elements = kind(mesh, law, Controls(b1, 0.0, 0.0, 0.0))
    nodal_force(elements, mesh, np.zeros((8, 3)))
    limit = elements.stable_step()[0]
    for factor in (0.99, 1.01):
        dt, u, v = factor * limit, np.zeros((8, 3)), 1e-9 * (mesh.points - 0.5)
        elements = kind(mesh, law, Controls(b1, 0.0, 0.0, 0.0))
        for _ in range(1000):
            u += dt * v
            v -= dt * nodal_force(elements, mesh, u, dt, v) / (law.density / 8.0)
        stable = np.abs(v).max() < 1e-7
        assert stable == (factor < 1.0) or (kind is Hex8 and stable)


def hourglass_limit(elastic, viscosity, stiffness, side=1.0) -> float:
    """Stable step in s of a cube without bulk viscosity."""
    mesh = box((side, side, side), (1, 1, 1))
    elements = Hex8r(mesh, elastic, Controls(0.0, 0.0, viscosity, stiffness))
    nodal_force(elements, mesh, np.zeros((8, 3)))
    return elements.stable_step()[0]


@pytest.mark.parametrize(("viscosity", "stiffness"), [(0.3, 0.0), (0.0, 30.0), (0.3, 30.0)])
def test_hourglass_control_of_a_cube_is_stable_up_to_the_bound_and_no_further(viscosity, stiffness, elastic):
    """Central differences of m du/dt = -C v - K u with the velocity of half a step ago: v grows beyond the bound."""
    mesh, controls = box((1.0, 1.0, 1.0), (1, 1, 1)), Controls(0.0, 0.0, viscosity, stiffness)
    limit = hourglass_limit(elastic, viscosity, stiffness)
    for dt, stable in ((0.99 * limit, True), (1.01 * limit, False)):
        elements, u, v = Hex8r(mesh, elastic, controls), np.zeros((8, 3)), np.zeros((8, 3))
        v[mesh.hexes[0], 2] = 1e-9 * HOURGLASS[0]
        for _ in range(1000):
            u += dt * v
            v -= dt * nodal_force(elements, mesh, u, dt, v) / (elastic.density / 8.0)
        assert (np.abs(v).max() < 1e-7) == stable


@pytest.mark.parametrize("viscosity", [0.01, 0.1, 0.3])
@pytest.mark.parametrize("bend", [0.25, 0.5, 1.0])
def test_step_of_a_bent_cube_is_stable(bend, viscosity, elastic):
    """A cube bent into all patterns at once without stress: what bending adds to the damping shortens its step."""
    mesh, controls, rng = box((1.0, 1.0, 1.0), (1, 1, 1)), Controls(0.06, 0.0, viscosity, 0.0), np.random.default_rng(3)
    elements, bent = Hex8r(mesh, elastic, controls), np.zeros((8, 3))
    G = rng.normal(size=(4, 3))
    bent[mesh.hexes[0]] = 0.5 * bend * HOURGLASS.T @ (G / np.linalg.norm(G))
    for _ in range(2):  # get there, then rest
        nodal_force(elements, mesh, bent, velocity=np.zeros((8, 3)))
    dt, u, v = 0.99 * elements.stable_step()[0], bent.copy(), 1e-9 * rng.normal(size=(8, 3))
    for _ in range(1000):
        u += dt * v
        v -= dt * nodal_force(elements, mesh, u, dt, v) / (elastic.density / 8.0)
    assert np.abs(v).max() < 1e-8


def test_hourglass_control_is_as_printed():
    """Full stiffness is that of a cube of nu = 1/4 in bending; viscous forces are a gammadot; the step is as L0."""
    law = law_definition("neo_hookean").build({"density": 8e3, "youngs_modulus": 2e11, "poissons_ratio": 0.25})
    side, dt, coefficient = 0.01, 1e-7, 0.3
    mesh, u = box((side,) * 3, (1, 1, 1)), np.zeros((8, 3))
    pattern = u[mesh.hexes[0], 2] = HOURGLASS[0]  # eta zeta
    u *= 1e-7 * side
    gradients, weight = gauss_gradients(mesh.points[mesh.hexes])
    H = np.einsum("Ii,qIj->qij", u[mesh.hexes[0]], gradients[0])
    strain, G = 0.5 * (H + H.swapaxes(1, 2)), law.shear_modulus
    trace = np.trace(strain, axis1=1, axis2=2)
    energy = weight[0] @ (0.5 * (law.p_wave_modulus - 2.0 * G) * trace**2 + G * np.sum(strain**2, axis=(1, 2)))
    stiff = nodal_force(Hex8r(mesh, law, STRONG), mesh, u, velocity=0.0 * u)
    assert 0.5 * np.sum(stiff * u) == pytest.approx(energy, rel=1e-6)
    viscous = nodal_force(Hex8r(mesh, law, Controls(0.0, 0.0, coefficient, 0.0)), mesh, u, dt)
    a = coefficient * law.density * law.wave_speed * side**2 / 4.0
    assert viscous[mesh.hexes[0], 2] == pytest.approx(a * 8.0 * 1e-7 * side / dt * pattern, rel=1e-6)
    for control in ((0.3, 0.0), (0.0, 30.0)):
        assert hourglass_limit(law, *control, side) == pytest.approx(side * hourglass_limit(law, *control), rel=1e-9)


def test_little_hourglass_control_costs_no_steps(elastic):
    free = hourglass_limit(elastic, 0.0, 0.0)
    assert hourglass_limit(elastic, 0.01, 0.0) == hourglass_limit(elastic, 0.0, 0.004) == free


def test_much_hourglass_viscosity_damps(elastic):
    """Random velocities of many elements, as much damping as thirty times the default's."""
    model = Model(box((1.0, 1.0, 1.0), (3, 3, 3)), elastic, controls=Controls(hourglass_viscosity=0.3))
    model.velocity[:] = np.random.default_rng(7).normal(size=model.velocity.shape)
    result = run(model, 5e-3)
    assert result.summary["kinetic_energy"] < result.solver.initial_energy


@pytest.mark.parametrize("element", ["hex8r", "hex8"])
def test_energy_balances_to_round_off_and_each_part_is_its_own(element, elastic):
    """Random velocities, all kinds of damping, a constant step: nothing is lost, and stress has stored what it says."""
    controls = Controls(linear_viscosity=0.3, hourglass_viscosity=0.05, hourglass_stiffness=0.05)
    model = Model(box((1.0, 1.0, 1.0), (3, 3, 3)), elastic, element, controls)
    model.velocity[:] = 10.0 * np.random.default_rng(7).normal(size=model.velocity.shape)
    solver = Solver(model)
    dt = 0.2 * solver.stable_step()
    for _ in range(100):
        solver.step(dt)
        assert abs(solver.energies()["error"]) < 1e-13
    energies, (stored, _) = solver.energies(), solver.elements.law_energies()
    assert solver.elements.work[:, 0].sum() == pytest.approx(stored, rel=2e-3)
    assert energies["viscous"] > 0.1 * stored
    assert (energies["hourglass"] > stored) == (element == "hex8r")


def test_cauchy_stress_is_objective_through_the_element(elastic):
    mesh = patch()
    u = 0.05 * np.random.default_rng(5).normal(size=mesh.points.shape)
    Q = random_rotations(np.random.default_rng(6), 1)[0]
    first, second = Hex8r(mesh, elastic, STRONG), Hex8r(mesh, elastic, STRONG)
    force = nodal_force(first, mesh, u, velocity=np.zeros_like(u))
    turned = nodal_force(second, mesh, (mesh.points + u) @ Q.T - mesh.points, velocity=np.zeros_like(u))
    a, b = full(first.point_values()[1][:, 0]), full(second.point_values()[1][:, 0])
    assert symmetric(Q @ a @ Q.T) == pytest.approx(symmetric(b), abs=1e-10 * elastic.shear_modulus)
    assert turned == pytest.approx(force @ Q.T, abs=1e-8 * np.abs(force).max())


@both
def test_elements_turn_nothing(kind, elastic):
    """Whatever the shape and the velocities, and with every damping, the forces have no sum and no moment."""
    mesh, rng = patch(), np.random.default_rng(8)
    elements = kind(mesh, elastic, Controls(hourglass_viscosity=0.3, hourglass_stiffness=0.3))
    u = 0.05 * rng.normal(size=mesh.points.shape)
    force = nodal_force(elements, mesh, u, 1e-4, velocity=100.0 * rng.normal(size=u.shape))
    moments = np.cross(mesh.points + u, force)
    assert np.abs(force.sum(axis=0)).max() <= 1e-12 * np.abs(force).sum()
    assert np.abs(moments.sum(axis=0)).max() <= 1e-12 * np.abs(moments).sum()


@pytest.mark.parametrize("angle", [1e-3, 0.5, 2.0])
def test_a_bent_element_turns_freely(angle, elastic):
    """Hourglass control takes no work in a rigid rotation, however large in one step, and its forces turn along."""
    mesh, rng = patch(), np.random.default_rng(5)
    elements, dt = Hex8r(mesh, elastic, Controls(0.0, 0.0, 0.3, 0.3)), 1e-4
    u = 0.05 * rng.normal(size=mesh.points.shape)
    Q = Rotation.from_rotvec(angle * np.array([2.0, -1.0, 2.0]) / 3.0).as_matrix()
    turned = (mesh.points + u) @ Q.T - mesh.points
    nodal_force(elements, mesh, u, dt)
    force = nodal_force(elements, mesh, u, dt, velocity=np.zeros_like(u))
    before = elements.work.copy()
    assert before[:, 2].sum() > 0.0
    after = nodal_force(elements, mesh, turned, dt, velocity=(turned - u) / dt)
    assert after == pytest.approx(force @ Q.T, abs=1e-10 * np.abs(force).max())
    assert np.abs(elements.work - before)[:, 1:].max() <= 1e-10 * before[:, 2].sum()


@both
def test_volumetric_strain_is_the_change_of_volume_where_points_turn_apart(kind, elastic):
    """A bar bent to a tenth of a radian an element: its pressure is -K e_v, with the law's e_v."""
    mesh = box((1.0, 1.0, 4.0), (1, 1, 4))
    x, angle = mesh.points, 0.1 * mesh.points[:, 2]
    bent = np.column_stack([(x[:, 0] + 10.0) * np.cos(angle) - 10.0, x[:, 1], (x[:, 0] + 10.0) * np.sin(angle)])
    elements = kind(mesh, elastic, STRONG)
    nodal_force(elements, mesh, bent - x)
    fields = cell_fields(elastic, *elements.mean_values())
    K = elastic.p_wave_modulus - 4.0 / 3.0 * elastic.shear_modulus
    assert fields["volumetric_strain"] == pytest.approx(-fields["pressure"] / K, abs=1e-6)


@both
@pytest.mark.parametrize("name", ["recurrent", "taylor", "j2"])
def test_fields_and_energies_need_no_more_of_the_state_than_the_law_says(kind, name):
    """Of the components that the law names they are those of the whole state, of block-wise and point-major laws."""
    law = load_material("copper_j2" if name == "j2" else "magnesium_liu2022", name).law
    mesh = box((1.0, 1.0, 1.0), (3, 2, 2))
    elements = kind(mesh, law, Controls())
    rng = np.random.default_rng(1)
    nodal_force(elements, mesh, 0.05 * rng.normal(size=mesh.points.shape) / 3.0, 1e-7)
    whole, shown = cell_fields(law, *elements.mean_values()), cell_fields(law, *elements.mean_values(law.shown))
    assert whole.keys() == shown.keys()
    assert all(np.array_equal(whole[field], shown[field]) for field in whole)
    F, _, state = elements.point_values()
    of_points = law.energies(F.reshape(-1, 3, 3), state.reshape(len(F) * elements.points, -1))
    volume = elements.point_volumes().ravel()
    assert elements.law_energies() == pytest.approx([values @ volume for values in of_points], rel=1e-14)
    assert max(len(law.shown), len(law.energetic)) < law.state_size or name != "recurrent"
    assert np.abs(shown["equivalent_plastic_strain"]).max() > 0.0
