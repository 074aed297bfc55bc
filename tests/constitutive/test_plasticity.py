"""j2 and johnson_cook against an independent integration of their differential equations with SciPy.

The reference advances b (isochoric elastic left Cauchy-Green, 3x3), p and T in continuous time:

    b' = L b + b L^T - 2/3 tr(L) b - a n + c I,   n = dev b / |dev b|

where a, c follow from the two statements that define the law: plastic flow keeps det b = 1, and the energy G/2 tr b
that it releases is q p'. Nothing of the laws' return mapping (trial state, closed forms, Newton) is used.
"""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from constitutive.drive import drive
from constitutive.law import law_definition
from constitutive.material import load_material
from constitutive.tensor import full, symmetric, von_mises

J2 = load_material("copper_j2")
JC = load_material("ofhc_copper")


def moduli(law):
    G = law.shear_modulus
    return G, law.p_wave_modulus - 4.0 / 3.0 * G


def rates(b: np.ndarray, L: np.ndarray, G: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Elastic b', plastic b' per p', n, and q."""
    elastic = L @ b + b @ L.T - 2.0 / 3.0 * np.trace(L) * b
    d = b - np.trace(b) / 3.0 * np.eye(3)
    size = np.linalg.norm(d)
    if size == 0.0:
        return elastic, np.zeros((3, 3)), d, 0.0
    n, q, inverse = d / size, np.sqrt(1.5) * G * size, np.linalg.inv(b)
    c = -2.0 * q / (3.0 * G)  # G/2 tr(c I) = -q
    a = c * np.trace(inverse) / np.sum(inverse * n)  # b^-1 : (-a n + c I) = 0
    return elastic, -a * n + c * np.eye(3), n, q


def stress_of(b: np.ndarray, F: np.ndarray, law) -> np.ndarray:
    G, K = moduli(law)
    J = np.linalg.det(F)
    return G / J * (b - np.trace(b) / 3.0 * np.eye(3)) + K * (J - 1.0) * np.eye(3)


def reference_j2(law, values, velocity_gradient, corners) -> list[np.ndarray]:
    """b and p (10,) at the corner times; velocity_gradient(t) jumps only there. Elastic and plastic phases in turn."""
    G, _ = moduli(law)
    Y, H = values["yield_stress"], values["hardening_modulus"]

    def loading(t, y, L):
        elastic, plastic, n, q = rates(y[:9].reshape(3, 3), L(t), G)
        pdot = np.sqrt(1.5) * G * np.sum(n * elastic) / (H - np.sqrt(1.5) * G * np.sum(n * plastic))
        return pdot, elastic, plastic, q

    y, result = np.append(np.eye(3).ravel(), 0.0), []
    for start, end in pairwise(corners):

        def L(t, middle=0.5 * (start + end)):
            return velocity_gradient(middle)

        def plastic_rate(t, y, L=L):
            pdot, elastic, plastic, _ = loading(t, y, L)
            return np.append((elastic + max(pdot, 0.0) * plastic).ravel(), max(pdot, 0.0))

        def elastic_rate(t, y, L=L):
            return np.append(loading(t, y, L)[1].ravel(), 0.0)

        def yields(t, y, L=L):
            return (loading(t, y, L)[3] - Y - H * y[9]) / Y + 1e-13

        def unloads(t, y, L=L):
            return loading(t, y, L)[0]

        yields.terminal = unloads.terminal = True
        yields.direction, unloads.direction = 1, -1
        t = start
        flowing = yields(t, y) >= -1e-9 and unloads(t, y) > -1e-6 * np.abs(L(t)).max()  # neutral loading flows
        while t < end:
            rate, event = (plastic_rate, unloads) if flowing else (elastic_rate, yields)
            longest = (end - start) / (20 if flowing else 2000)  # not to step over a yield point
            part = solve_ivp(rate, (t, end), y, "DOP853", rtol=1e-12, atol=1e-15, events=event, max_step=longest)
            t, y, flowing = part.t[-1], part.y[:, -1], not flowing
        result.append(y)
    return result


def path_of(velocity_gradient, corners, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Times and F of a piecewise constant velocity gradient, `steps` between corners, F exact at each."""
    times, F = [corners[0]], [np.eye(3)]
    for start, end in pairwise(corners):
        dt = (end - start) / steps
        step = expm(velocity_gradient(0.5 * (start + end)) * dt)
        for i in range(steps):
            times.append(start + (i + 1) * dt)
            F.append(step @ F[-1])
    return np.array(times), np.array(F)


UNIAXIAL = np.diag([1.0, -0.5, -0.5])
SHEAR = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
MIXED = np.array([[0.4, 0.3, -0.5], [-0.2, -0.7, 0.1], [0.6, 0.8, 0.2]])
PROGRAMMES = {
    "tension": [UNIAXIAL],
    "compression": [-UNIAXIAL],
    "uniaxial strain": [np.diag([-0.3, 0.0, 0.0])],
    "simple shear": [1.5 * SHEAR],
    "unload and reload": [UNIAXIAL, -0.02 * UNIAXIAL, UNIAXIAL],
    "reversal": [UNIAXIAL, -UNIAXIAL],
    "change of direction": [UNIAXIAL, SHEAR, MIXED],
}


def programme(name):
    """Velocity gradient (piecewise constant, 3x3, 1/s) and the times of its jumps."""
    if name == "rate jumps":
        parts, corners = [2e5 * UNIAXIAL, 2e3 * UNIAXIAL, 5e5 * UNIAXIAL], np.array([0.0, 1e-6, 11e-6, 12e-6])
    else:
        parts = [0.3e6 * part for part in PROGRAMMES[name]]
        corners = 1e-6 * np.arange(len(parts) + 1)
    return lambda t: parts[int(np.searchsorted(corners, t)) - 1], corners


def agrees(material, exact, velocity_gradient, corners, steps: int) -> None:
    """Stress and state at the corners: within 3e-5 at this many steps between them, 1e-6 in the first-order limit."""
    law = material.law
    runs = []
    for count in (steps, 2 * steps):
        times, F = path_of(velocity_gradient, corners, count)
        history = drive(law, times, F[:, None], record_steps=range(0, len(times), count))
        runs.append((history.stress[::count, 0], history.record[:, 0, 6:8]))
    for i, y in enumerate(exact, 1):
        expected = symmetric(stress_of(y[:9].reshape(3, 3), F[i * count], law))
        stresses, states = ([run[k][i] for run in runs] for k in (0, 1))
        for fine, limit, reference in (
            (stresses[1], 2.0 * stresses[1] - stresses[0], expected),
            (states[1], 2.0 * states[1] - states[0], y[9:]),
        ):
            assert np.allclose(fine, reference, rtol=3e-5, atol=3e-5 * np.abs(expected).max() * (reference is expected))
            assert np.allclose(
                limit, reference, rtol=1e-6, atol=1e-6 * np.abs(expected).max() * (reference is expected)
            )


@pytest.mark.parametrize("name", PROGRAMMES)
def test_j2_follows_its_differential_equation(name):
    velocity_gradient, corners = programme(name)
    exact = reference_j2(J2.law, J2.values, velocity_gradient, corners)
    agrees(J2, exact, velocity_gradient, corners, 10000)


def reference_jc(law, values, velocity_gradient, corners) -> list[np.ndarray]:
    """b, p and T (11,) at the corner times; the rate follows from the stress, p' = pdot_0 exp((q / Y_static - 1) / C).

    Below Y_static, where the law has no flow at all, this is less than pdot_0 = 1 1/s: nothing in a microsecond.
    """
    G, _ = moduli(law)
    v = values
    heat = v["taylor_quinney"] / (v["density"] * v["specific_heat"])

    def rate(t, y, L):
        elastic, plastic, _, q = rates(y[:9].reshape(3, 3), L, G)
        theta = (y[10] - v["reference_temperature"]) / (v["melting_temperature"] - v["reference_temperature"])
        static = (v["A"] + v["B"] * max(y[9], 0.0) ** v["n"]) * (1.0 - max(theta, 0.0) ** v["m"])
        pdot = v["reference_strain_rate"] * np.exp(min((q / static - 1.0) / v["C"], 50.0))
        return np.concatenate([(elastic + pdot * plastic).ravel(), [pdot, heat * q * pdot]])

    y, result = np.concatenate([np.eye(3).ravel(), [0.0, v["initial_temperature"]]]), []
    for start, end in pairwise(corners):
        L = velocity_gradient(0.5 * (start + end))
        part = solve_ivp(
            rate, (start, end), y, "Radau", args=(L,), rtol=1e-10, atol=1e-13, first_step=(end - start) * 1e-6
        )
        y = part.y[:, -1]
        result.append(y)
    return result


@pytest.mark.parametrize("name", [*PROGRAMMES, "rate jumps"])
def test_johnson_cook_follows_its_differential_equation(name):
    velocity_gradient, corners = programme(name)
    exact = reference_jc(JC.law, JC.values, velocity_gradient, corners)
    agrees(JC, exact, velocity_gradient, corners, 20000)


@pytest.mark.parametrize("name", ["elastic_steel", "copper_j2", "ofhc_copper"])
def test_stress_is_the_gradient_of_the_energy(name):
    """P : dF = dW by central differences: at large elastic strain, and on unloading after plastic flow."""
    law = load_material(name).law
    rng = np.random.default_rng(2)
    size = 0.3 if name == "elastic_steel" else 0.05
    F = np.eye(3) + size * rng.normal(size=(8, 3, 3))
    F *= np.sign(np.linalg.det(F))[:, None, None]
    _, first = advance(law, np.tile(np.eye(3), (8, 1, 1)), F, law.initial_state(8))
    strain = F - np.eye(3)
    unloaded = F - 2e-3 * strain / np.linalg.norm(strain, axis=(1, 2))[:, None, None]
    _, state = advance(law, F, unloaded, first)
    back = unloaded + 0.05 * (F - unloaded)
    stress, kept = advance(law, unloaded, back, state)
    assert law.state_size == 0 or np.array_equal(kept[:, 6], state[:, 6])
    P = np.linalg.det(back)[:, None, None] * full(stress) @ np.swapaxes(np.linalg.inv(back), 1, 2)
    for i in range(3):
        for j in range(3):
            h = 1e-6
            change = np.zeros((3, 3))
            change[i, j] = h
            energies = [law.energies(G, advance(law, back, G, kept)[1])[0] for G in (back + change, back - change)]
            assert np.allclose(
                (energies[0] - energies[1]) / (2 * h), P[:, i, j], rtol=1e-5, atol=1e-6 * np.abs(P).max()
            )


def test_work_on_a_strongly_hardening_solid_is_stored_or_plastic():
    """Hardening takes most of the work here: sigma_y p is 0.12, H p^2 / 2 is 0.22 GJ/m3."""
    law = law_definition("j2").build(J2.values | {"hardening_modulus": 5e9})
    times, F = path_of(lambda t: 0.3e6 * UNIAXIAL, [0.0, 1e-6], 2000)
    history = drive(law, times, F[:, None])
    P = np.linalg.det(F)[:, None, None] * full(history.stress[:, 0]) @ np.swapaxes(np.linalg.inv(F), 1, 2)
    work = np.sum(0.5 * (P[1:] + P[:-1]) * np.diff(F, axis=0))
    assert sum(law.energies(F[-1:], history.state))[0] == pytest.approx(work, rel=1e-4)


def advance(law, old, new, state):
    stress, state = np.zeros((len(new), 6)), state.copy()
    assert np.all(law.update(old, new, 1e-8, stress, state) == 0)
    return stress, state


@pytest.mark.parametrize("material", [J2, JC], ids=["j2", "johnson_cook"])
def test_elastic_metric_stays_isochoric_over_many_steps(material):
    rng = np.random.default_rng(4)
    steps, n = 20000, 4
    L = rng.normal(size=(n, 3, 3))
    F = np.empty((steps + 1, n, 3, 3))
    F[0] = np.eye(3)
    for k in range(steps):
        F[k + 1] = F[k] + 3e-4 * np.cos(k / 3000.0) * L @ F[k]
    F /= np.cbrt(np.linalg.det(F))[..., None, None]
    history = drive(material.law, np.arange(steps + 1) * 1e-9, F)
    b = full(history.state[:, :6])
    assert history.state[:, 6].min() > 1.0
    assert np.abs(np.linalg.det(b) - 1.0).max() < 1e-12
    assert np.linalg.eigvalsh(b).min() > 0.9


@settings(max_examples=300, deadline=None)
@given(
    p=st.one_of(st.just(0.0), st.floats(1e-12, 20.0)),
    T=st.floats(1.0, 3000.0),
    strain=st.floats(-3.0, 3.0),
    dt=st.floats(-30.0, 6.0).map(lambda x: 10.0**x),
    n=st.sampled_from([0.0, 0.05, 0.31, 1.0, 1.5]),
    m=st.sampled_from([0.5, 0.55, 1.09, 3.0]),
    B=st.sampled_from([0.0, 292e6, 5e9]),
)
@example(p=0.0, T=2.8671875, strain=3.0, dt=1000.0, n=1.5, m=3.0, B=5e9)
@example(p=0.0, T=2.8670149688426854, strain=3.0, dt=1000.0, n=1.5, m=3.0, B=5e9)
@example(p=2.0, T=1.0, strain=0.0625, dt=1e-20, n=0.31, m=0.5, B=5e9)
def test_johnson_cook_solves_every_step(p, T, strain, dt, n, m, B):
    """Whatever the state and the step: the stress is on the flow surface of the step's end, or elastic inside it."""
    values = JC.values | {"n": n, "m": m, "B": B}
    law = law_definition("johnson_cook").build(values)
    state = law.initial_state(1)
    state[0, 6:8] = p, T
    F = np.diag(np.exp(strain * np.array([1.0, -0.5, -0.5])))[None]
    stress, old = np.zeros((1, 6)), state.copy()
    assert law.update(np.eye(3)[None], F, dt, stress, state)[0] == 0
    q = von_mises(stress)[0]
    p_new, T, work = state[0, 6:9]
    trial = von_mises(symmetric(F @ np.swapaxes(F, 1, 2)))[0] * law.shear_modulus
    assert p_new >= p and old[0, 7] <= T
    # a small step is read from its work: p + dp - p has too few digits, and at such rates each of them is stress
    dp = work / q if q > 1e-6 * trial else p_new - p
    assert abs(dp - (p_new - p)) <= 1e-9 * dp + 1e-15 * p
    reference, melting = values["reference_temperature"], values["melting_temperature"]
    theta = np.clip((T - reference) / (melting - reference), 0.0, 1.0)
    hardening = B * max(p_new, 1e-200) ** n
    rate = 1.0 + values["C"] * np.log(max(dp / dt / values["reference_strain_rate"], 1.0))
    Y = (values["A"] + hardening) * rate * (1.0 - theta**m)
    # the round-off of a large trial is left in q and heats, and close to melting a kelvin is worth much stress
    heat = values["taylor_quinney"] / (values["density"] * values["specific_heat"])
    softening = (
        (values["A"] + hardening) * rate * m * theta ** (m - 1.0) / (melting - reference) if theta > 0.0 else 0.0
    )
    slack = 1e-9 * (trial + Y) + 8.0 * np.finfo(float).eps * trial * heat * dp * softening
    assert q <= Y + slack
    if dp > 0.0:
        assert q >= Y - slack


@pytest.mark.parametrize("m", [1e-3, 0.01, 1.09])
def test_a_cold_point_has_not_softened(m):
    law = law_definition("johnson_cook").build(JC.values | {"m": m, "C": 0.0, "taylor_quinney": 0.0})
    state, stress = law.initial_state(1), np.zeros((1, 6))
    assert law.update(np.eye(3)[None], np.diag([1.01, 0.995, 0.995])[None], 1e-8, stress, state)[0] == 0
    q = von_mises(stress)[0] * 1.01 * 0.995**2
    assert q == pytest.approx(JC.values["A"] + JC.values["B"] * state[0, 6] ** JC.values["n"], rel=1e-9)


def test_a_molten_point_has_no_strength():
    state = JC.law.initial_state(1)
    state[0, 7] = JC.values["melting_temperature"] + 1.0
    F = np.diag([1.1, 1.0 / 1.1, 1.0])[None]
    stress = np.zeros((1, 6))
    assert JC.law.update(np.eye(3)[None], F, 1e-8, stress, state)[0] == 0
    assert von_mises(stress)[0] < 1e-3
