"""The learned law, with random weights: its equations against plain matrices, and what holds for any weights."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.linalg import expm, sqrtm

from constitutive.artefact import save_artefact
from constitutive.drive import drive
from constitutive.law import INVERTED, LawError
from constitutive.recurrent import LAW, LONGEST_STEP, MEMORY, OUTSIDE, PER_FLOW, STRAIN, WORK
from constitutive.recurrent_equations import ELASTIC_SCALE, ONSET, RATE_SCALE, TINY
from constitutive.tensor import COLUMN, ROW, full, random_rotations, von_mises

G, LAMBDA = 25e9, 24e9
BOUNDS = {"elastic_strain": 0.1, "shape": 3.0, "plastic_strain": 5.0}


@pytest.fixture(scope="module")
def parts(small_recurrent):
    return small_recurrent(envelope=BOUNDS)


@pytest.fixture(scope="module")
def law(parts, tmp_path_factory):
    return law_of(parts, tmp_path_factory.mktemp("law") / "a.npz")


def law_of(parts, path, longest_step=LONGEST_STEP):
    return LAW.build(
        {"artefact": save_artefact(path, "recurrent", *parts), "density": None, "longest_step": longest_step}
    )


def paths(count, steps, amplitude=0.15, seed=3):
    """F (steps+1, count, 3, 3): there and half the way back, along random directions, turning."""
    rng = np.random.default_rng(seed)
    H = rng.normal(size=(count, 3, 3)) / 3.0
    H -= 0.95 * np.trace(H, axis1=1, axis2=2)[:, None, None] / 3.0 * np.eye(3)
    t = np.linspace(0.0, 1.5, steps + 1)
    return np.array([[expm(amplitude * s * h) for h in H] for s in np.minimum(t, 2.0 - t)])


def times(steps, end=1e-6):
    return np.linspace(0.0, end, steps + 1)


def phi(x):
    return x / np.sqrt(1.0 + x * x)


def decay(x):
    return (1.0 + x / 2.0) / (1.0 + x + x * x / 2.0)


def dev(A):
    return A - np.trace(A) / 3.0 * np.eye(3)


def full5(v):
    """Matrix of a deviator's components 11, 22, 12, 23, 13."""
    return np.array([[v[0], v[2], v[4]], [v[2], v[1], v[3]], [v[4], v[3], -v[0] - v[1]]])


def reference(sizes, weights, t, F):
    """Stress (m+1, 6) along one path F (m+1, 3, 3), and p at its end: the equations with 3x3 matrices, float64."""
    K, S, J, _ = sizes.values()
    N, h, s, T, r, p = np.eye(3), np.zeros((K, 3, 3)), np.zeros(S), np.zeros((3, 3)), 0.0, 0.0
    h_change, s_change, before = np.zeros_like(h), np.zeros_like(s), np.inf
    stress = np.zeros((len(t), 6))
    for k, dt in enumerate(np.diff(t)):
        det = np.linalg.det(F[k + 1])
        old, new = F[k] / np.cbrt(np.linalg.det(F[k])), F[k + 1] / np.cbrt(det)
        e_old, e_trial = dev((old @ N).T @ (old @ N)), dev((new @ N).T @ (new @ N))

        def relax(T, x, e_old=e_old, e_trial=e_trial):
            return e_old - x * decay(x) * (e_old - T) + decay(x) * (e_trial - e_old)

        mean = 0.5 * (e_old + relax(T, r * dt)) / ELASTIC_SCALE
        shape = 3.0 * N.T @ N / np.trace(N.T @ N) - np.eye(3)
        half = 0.5 * min(dt / before, 1.0)
        told = np.concatenate([[mean, shape], h + half * h_change])
        v = np.einsum("jk,kab->jab", weights["mix_weight"], told) + np.array([full5(b) for b in weights["mix_bias"]])
        size = np.sum(v * v, axis=(1, 2))
        cube = 3.0 * np.trace(v @ v @ v, axis1=1, axis2=2)
        x = np.concatenate([np.sqrt(size + 1e-6), cube / np.sqrt(1.0 + size**2), s + half * s_change])
        x = np.append(x, np.sqrt(np.sum(mean * mean) + 1e-12))
        for name in ("first", "second"):
            x = phi(weights[f"{name}_weight"] @ x + weights[f"{name}_bias"])
        u, a, b, c, gate = np.split(
            weights["last_weight"] @ x + weights["last_bias"], [1, 1 + J, 1 + 2 * J, 1 + 2 * J + S]
        )
        squared = np.array([3.0 * dev(w @ w) for w in v]) * (b / np.sqrt(1.0 + size))[:, None, None]
        out = np.einsum("kj,jab->kab", weights["out_weight"], np.concatenate([a[:, None, None] * v, squared]))
        T = out[0] * ELASTIC_SCALE
        r = RATE_SCALE * (u[0] + np.sqrt(1.0 + u[0] ** 2)) ** 4
        e = relax(T, r * dt)
        e *= min(1.0, np.sqrt(np.sum(e_trial**2) / (np.sum(e**2) + TINY)))
        d = e_trial - e
        z = 0.5 * (d @ e_trial + e_trial @ d) - d
        z /= (1.0 + np.sum(z * z) ** 2) ** 0.25
        N = N @ (np.eye(3) + z / 2.0 - z @ z / 8.0)
        N *= (4.0 - np.linalg.det(N)) / 3.0
        flow, square = np.linalg.norm(z), np.sum(e_trial**2)
        y = weights["by_flow"] * flow + weights["by_rate"] * r * dt * square / (square + ONSET**2)
        y *= gate + np.sqrt(1.0 + gate**2)
        h_old, s_old, before = h.copy(), s, dt
        for i in range(K):
            w = out[1 + i] / np.sqrt(1.0 + np.sum(out[1 + i] ** 2))
            driven = weights["drive"][i] * (e_trial - e_old) / ELASTIC_SCALE
            h[i] = h[i] + decay(y[i]) * (driven + y[i] * (w - h[i]))
        s = s + decay(y[K:]) * y[K:] * (phi(c) - s)
        h_change, s_change = decay(y[:K])[:, None, None] * (h - h_old), decay(y[K:]) * (s - s_old)
        p += PER_FLOW * flow
        A = new @ N
        sigma = G / det * dev(A @ A.T) + 2.0 * LAMBDA * (det - 1.0) * np.eye(3)
        stress[k + 1] = sigma[ROW, COLUMN]
    return stress, p


def test_the_block_kernel_is_the_equations_of_its_head(parts, tmp_path):
    """Whole steps, of uneven lengths."""
    header, weights = parts
    F = paths(3, 80)
    t = 1e-6 * np.concatenate([[0.0], np.cumsum(np.random.default_rng(4).uniform(0.2, 1.8, 80) / 80)])
    history = drive(law_of(parts, tmp_path / "a.npz", 1.0), t, F)
    for path in range(3):
        stress, p = reference(header["sizes"], weights, t, F[:, path])
        assert np.abs(history.stress[:, path] - stress).max() < 2e-6 * von_mises(stress).max()
        assert history.state[path, STRAIN] == pytest.approx(p, rel=1e-5)
        assert p > 0.05  # it did flow


def test_networks_of_any_size(tmp_path, small_recurrent):
    """Sizes that are no multiples of the tile, and others that are, give what the equations of a whole step give."""
    sizes = {"tensors": 2, "scalars": 3, "channels": 8, "width": 12}
    header, weights = small_recurrent(sizes, 8)
    path = save_artefact(tmp_path / "a.npz", "recurrent", header, weights)
    F = paths(1, 20)
    history = drive(LAW.build({"artefact": path, "density": 1.0, "longest_step": 1.0}), times(20), F)
    stress, _ = reference(sizes, weights, times(20), F[:, 0])
    assert np.abs(history.stress[:, 0] - stress).max() < 2e-6 * von_mises(stress).max()


def test_without_a_texture_the_law_is_isotropic(tmp_path, small_recurrent):
    """The reference state turned: F Q^T has the stress of F."""
    path = save_artefact(tmp_path / "a.npz", "recurrent", *small_recurrent(texture=0.0))
    law, F = LAW.build({"artefact": path, "density": None, "longest_step": LONGEST_STEP}), paths(4, 60)
    plain = drive(law, times(60), F).stress
    for Q in random_rotations(np.random.default_rng(1), 3):
        turned = drive(law, times(60), F @ Q.T).stress
        assert np.abs(turned - plain).max() < 2e-5 * von_mises(plain).max()


@pytest.mark.parametrize("others", [0, 1])
def test_virgin_points_stay_as_they_are_bit_for_bit(law, others):
    """Alone, when their block is skipped, and beside a point that moves."""
    F = np.tile(np.eye(3), (51, 2 + others, 1, 1))
    F[:, 2:] = paths(1, 50)
    history = drive(law, times(50), F)
    assert np.all(history.stress[:, :2] == 0.0)
    assert np.array_equal(history.state[:2], law.initial_state(2))


def test_ahead_of_a_wave_the_law_is_elastic(law):
    """Strains below 1e-7, alone or beside a point that flows: exact elasticity, and no state changes."""
    F = np.tile(np.eye(3), (11, 2, 1, 1))
    F[:, 0] += np.linspace(0.0, 2e-8, 11)[:, None, None] * np.diag([1.0, -1.0, 0.3])
    for moving in (F[:, 1:], paths(1, 10)):
        history = drive(law, times(10), np.concatenate([F[:, :1], moving], axis=1))
        assert np.array_equal(history.state[0], law.initial_state(1)[0])
        strain = F[-1, 0] - np.eye(3)
        expected = 2.0 * G * dev(strain) + 2.0 * LAMBDA * np.trace(strain) * np.eye(3)
        assert full(history.stress[-1, 0]) == pytest.approx(expected, rel=1e-6, abs=1e-4)


def test_rotations_turn_the_stress_and_nothing_else(law):
    """Float32 inputs can round the other way after a rotation: 1e-7 of the stress."""
    F, rng = paths(4, 60), np.random.default_rng(5)
    plain = drive(law, times(60), F)
    for Q in (random_rotations(rng, 61 * 4).reshape(61, 4, 3, 3), np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])):
        turned = drive(law, times(60), np.broadcast_to(Q, F.shape) @ F)
        expected = Q @ full(plain.stress) @ np.swapaxes(Q, -1, -2)
        assert np.abs(full(turned.stress) - expected).max() < 2e-6 * von_mises(plain.stress).max()


def test_pressure_is_exact(law):
    F = paths(4, 30)
    pressure = -drive(law, times(30), F).stress[..., :3].mean(axis=-1)
    exact = -2.0 * LAMBDA * (np.linalg.det(F) - 1.0)
    assert np.abs(pressure - exact).max() < 1e-12 * 2.0 * LAMBDA


def test_smaller_steps_converge(parts, tmp_path):
    """Differences between grids of whole steps fall at least in proportion to the step."""
    law = law_of(parts, tmp_path / "a.npz", 1.0)
    ends = [drive(law, times(n), paths(4, n)).stress[-1] for n in (50, 100, 200, 400)]
    change = [np.abs(a - b).max() / von_mises(b).max() for a, b in pairwise(ends)]
    assert change[2] < 0.02
    assert change[2] < 0.3 * change[0]


def test_a_long_step_is_taken_in_parts(law):
    """As many as its elastic trial asks for, straight in J^(-2/3) F^T F, and whatever the others of its block do."""
    F = paths(4, 40)[:27]
    start = drive(law, times(40)[:27], F)
    stretch = np.diag([1.05, 0.99, 0.962])
    long = np.stack([F[-1], F[-1] @ stretch / np.cbrt(np.linalg.det(stretch))])
    answer = drive(law, np.array([0.0, 2e-7]), long, state=start.state).stress[-1]
    for point in range(4):
        N, J = start.state[point, :9].reshape(3, 3), np.linalg.det(long[:, point])
        C = long[:, point].swapaxes(1, 2) @ long[:, point] / np.cbrt(J * J)[:, None, None]
        change = N.T @ (C[1] - C[0]) @ N
        strain = np.linalg.norm(change - np.trace(change) / 3.0 * np.eye(3)) / np.sqrt(6.0)  # equivalent, 2/3 and 1/2
        parts = int(strain / LONGEST_STEP) + 1
        assert parts > 1
        between = C[0] + np.linspace(0.0, 1.0, parts + 1)[:, None, None] * (C[1] - C[0])
        U = np.array([sqrtm(c) for c in between]) * np.cbrt(J[0])
        stress = drive(law, np.linspace(0.0, 2e-7, parts + 1), U[:, None], state=start.state[[point]]).stress[-1]
        assert von_mises(stress) == pytest.approx(von_mises(answer[[point]]), rel=5e-3)
        alone = drive(law, np.array([0.0, 2e-7]), long[:, [point]], state=start.state[[point]]).stress[-1]
        assert np.array_equal(alone[0], answer[point])
    held = drive(law, np.array([0.0, 2e-7]), np.stack([F[-1]] * 2), state=start.state)
    mixed = long.copy()
    mixed[1, 0] = F[-1, 0]
    beside = drive(law, np.array([0.0, 2e-7]), mixed, state=start.state)
    assert np.array_equal(beside.stress[-1, 0], held.stress[-1, 0])
    assert np.array_equal(beside.state[0], held.state[0])


def test_with_shorter_parts_the_steps_matter_less(parts, tmp_path):
    """The same path, straight in C between its corners, in 30 and in 600 steps."""
    F = paths(3, 30)
    corners, x = F.swapaxes(-1, -2) @ F, np.linspace(0.0, 30.0, 601)
    C = np.array(
        [[np.interp(x, np.arange(31), corners[:, p, i, j]) for i in range(3) for j in range(3)] for p in range(3)]
    )
    U = np.array([[sqrtm(c.reshape(3, 3)) for c in path.T] for path in C]).swapaxes(0, 1)
    change = []
    for longest in (0.01, 5e-4):
        law = law_of(parts, tmp_path / f"{longest}.npz", longest)
        few, many = (von_mises(drive(law, times(n), path).stress[:: n // 30]) for n, path in ((30, F), (600, U)))
        change.append(np.linalg.norm(few - many) / np.linalg.norm(many))
    assert change[1] < 0.1 * change[0]


def test_a_held_strain_relaxes(law):
    F = paths(4, 40)[:27]
    F = np.concatenate([F, np.tile(F[-1], (200, 1, 1, 1))])
    stress = von_mises(drive(law, np.arange(len(F)) * 2e-8, F).stress)[26:]
    assert np.all(np.diff(stress, axis=0) <= 1e-6 * stress[:-1])
    assert stress[-1].sum() < 0.8 * stress[0].sum()


def test_flow_dissipates_and_work_is_accounted_for(law):
    steps = 800
    F = paths(4, steps)
    history = drive(law, times(steps), F, record_steps=range(steps + 1))
    work = np.swapaxes(history.record, 0, 1)[:, :, WORK]
    assert np.diff(work, axis=1).min() >= 0.0
    P = np.linalg.det(F)[..., None, None] * full(history.stress) @ np.swapaxes(np.linalg.inv(F), -1, -2)
    done = np.einsum("tnij,tnij->n", 0.5 * (P[1:] + P[:-1]), np.diff(F, axis=0))
    stored, plastic = law.energies(F[-1], history.state)
    assert np.sum(stored + plastic) == pytest.approx(done.sum(), rel=0.01)


def test_twenty_thousand_steps_leave_no_drift(law):
    """Closed cycles: det N = 1, h bounded, the last cycles alike."""
    t = np.linspace(0.0, 20.0 * 2.0 * np.pi, 20_001)
    F = np.array([expm(0.08 * np.sin(s) * np.diag([1.0, -0.4, -0.6])) for s in t])[:, None]
    history = drive(law, t * 1e-7, F)
    assert np.all(np.isfinite(history.stress))
    assert np.linalg.det(history.state[0, :9].reshape(3, 3)) == pytest.approx(1.0, abs=1e-8)
    assert np.all(np.abs(history.state[0, MEMORY:]) < 10.0)
    last, before = history.stress[19_001:], history.stress[18_001:19_001]
    assert np.abs(last - before).max() < 0.01 * np.abs(last).max()


@pytest.mark.parametrize("dt", [1e-300, 1e-15, 1.0, 1e30])
def test_any_time_step_and_any_strain_is_survived(law, dt):
    rng = np.random.default_rng(2)
    F = np.array([np.eye(3), *(expm(2.0 * h) for h in rng.normal(size=(20, 3, 3)) / 3.0)])[:, None]
    history = drive(law, np.arange(21) * dt, F)
    assert np.all(np.isfinite(history.stress)) and np.all(np.isfinite(history.state))
    assert np.linalg.eigvalsh(history.state[:, :9].reshape(3, 3) @ history.state[:, :9].reshape(3, 3).T).min() > 0.0


@pytest.mark.parametrize(("which", "limit"), [("elastic_strain", 1e-3), ("shape", 0.05), ("plastic_strain", 0.05)])
def test_points_beyond_the_training_are_told(which, limit, tmp_path, small_recurrent):
    """How far each of the three has ever been beyond its bound, on a path there and half the way back."""
    path = save_artefact(tmp_path / "a.npz", "recurrent", *small_recurrent(envelope=BOUNDS | {which: limit}))
    law = LAW.build({"artefact": path, "density": None, "longest_step": LONGEST_STEP})
    F = paths(3, 60)
    F[:, 0] = np.eye(3)
    history = drive(law, times(60), F, record_steps=range(61))
    N = history.recorded("inelastic_map").reshape(61, 3, 3, 3)
    A = F / np.cbrt(np.linalg.det(F))[..., None, None] @ N
    B, M = A @ A.swapaxes(-1, -2), N.swapaxes(-1, -2) @ N
    third_B, third_M = (np.trace(S, axis1=2, axis2=3)[..., None, None] / 3.0 for S in (B, M))
    reached = {
        "elastic_strain": np.linalg.norm(B - third_B * np.eye(3), axis=(2, 3)),
        "shape": np.linalg.norm(M / third_M - np.eye(3), axis=(2, 3)),
        "plastic_strain": history.recorded("equivalent_plastic_strain"),
    }[which].max(axis=0)
    assert history.state[0, OUTSIDE] == 0.0 and reached[1:].min() > 1.5 * limit
    assert history.state[1:, OUTSIDE] == pytest.approx(reached[1:] / limit - 1.0, rel=1e-6)
    assert np.array_equal(law.output_fields(F[-1], history.state)["outside_envelope"], history.state[:, OUTSIDE])


def test_an_impossible_deformation_fails_for_its_point_alone(law):
    for bad in (np.diag([1.0, 1.0, -1.0]), np.zeros((3, 3)), np.full((3, 3), np.nan)):
        F = np.array([1.01 * np.eye(3), bad, np.eye(3)])
        status = law.update(np.tile(np.eye(3), (3, 1, 1)), F, 1e-9, np.zeros((3, 6)), law.initial_state(3))
        assert list(status) == [0, INVERTED, 0]


@pytest.mark.parametrize("change", [{"first_bias": np.zeros(3)}, {"by_rate": np.full(5, np.nan)}])
def test_weights_that_do_not_fit_are_refused(tmp_path, parts, change):
    header, arrays = parts
    path = save_artefact(tmp_path / "a.npz", "recurrent", header, arrays | change)
    with pytest.raises(LawError, match=f"a.npz: array '{next(iter(change))}' must be finite"):
        LAW.build({"artefact": path, "density": None, "longest_step": LONGEST_STEP})
