"""The law `pca_net` with random weights: on line as the whole path projected anew, and what holds for any weights."""

import numpy as np
import pytest
from scipy.linalg import expm, polar

from constitutive.artefact import save_artefact
from constitutive.drive import drive
from constitutive.law import BLOCK, INVERTED, LawError
from constitutive.network import SELU_ALPHA, SELU_SCALE, selu
from constitutive.pca_net import APART, INSTANT, LATE, LAW, OUTSIDE, TIME, Z
from constitutive.tensor import full, random_rotations, symmetric
from learning.reduction import Basis

T, K = 2e-6, 48e9
WIDTH, LAYERS, INTERVALS, MODES_IN, MODES_OUT = 12, 3, 37, 5, 7


def random_arrays(seed=0, width=WIDTH, layers=LAYERS):
    rng = np.random.default_rng(seed)
    arrays = {
        "input_modes": rng.normal(size=(6, MODES_IN, INTERVALS + 1)),
        "output_modes": rng.normal(size=(6, MODES_OUT, INTERVALS + 1)),
        "layer_0_weight": 3.0 * rng.normal(size=(width, 6 * MODES_IN)),
        "last_weight": 1e8 * rng.normal(size=(6 * MODES_OUT, width)) / np.sqrt(width),
    }
    for k in range(layers):
        arrays[f"layer_{k}_bias"] = rng.normal(size=width)
        if k > 0:
            arrays[f"layer_{k}_weight"] = 1.5 * rng.normal(size=(width, width)) / np.sqrt(width)
    return arrays


def header(completion="linear", pressure="learned", bounds=(1.0, 1.0, 1e9), width=WIDTH, layers=LAYERS):
    sizes = {"width": width, "layers": layers, "intervals": INTERVALS, "modes_in": MODES_IN, "modes_out": MODES_OUT}
    return {
        "sizes": sizes,
        "duration": T,
        "completion": completion,
        "pressure": pressure,
        "elastic": {"density": 1e4, "p_wave_modulus": 8e10, "shear_modulus": 2.5e10, "bulk_modulus": K},
        "envelope": dict(zip(("strain", "volume_change", "rate"), bounds, strict=True)),
    }


def law_of(folder, completion="linear", precision="double", **more):
    arrays = random_arrays(**{k: more[k] for k in ("width", "layers") if k in more})
    path = save_artefact(folder / "law.npz", "pca_net", header(completion, **more), arrays)
    return LAW.build({"artefact": path, "density": None, "precision": precision})


@pytest.fixture(scope="module", params=["linear", "constant"])
def completion(request):
    return request.param


@pytest.fixture(scope="module")
def law(completion, tmp_path_factory):
    return law_of(tmp_path_factory.mktemp(completion), completion)


def random_times(steps, seed=1, end=T):
    """Steps of very different lengths."""
    lengths = np.exp(np.random.default_rng(seed).uniform(-3.0, 0.0, steps))
    times = np.concatenate([[0.0], np.cumsum(lengths)])
    return end * times / times[-1]


def paths(times, count, seed=2, amplitude=0.1):
    """F (m+1, count, 3, 3) that stretch, come back, shear and turn."""
    rng = np.random.default_rng(seed)
    H, W = rng.normal(size=(2, count, 3, 3)) / 3.0
    W = 2.0 * (W - np.swapaxes(W, 1, 2))
    s = times / times[-1]
    return np.array([[expm(a * w) @ expm(amplitude * np.sin(4 * a + k) * h - amplitude * np.sin(k) * h)
                      for k, (h, w) in enumerate(zip(H, W, strict=True))] for a in s])  # fmt: skip


def activation(x):
    return SELU_SCALE * np.where(x > 0.0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0.0)))


def network(arrays, p):
    """q - q_rest of coefficients p (6 * modes,)."""
    out = []
    for x in (p, np.zeros_like(p)):
        for k in range(LAYERS):
            x = activation(arrays[f"layer_{k}_weight"] @ x + arrays[f"layer_{k}_bias"])
        out.append(arrays["last_weight"] @ x)
    return out[0] - out[1]


def full_evaluation(arrays, completion, times, F):
    """Stress (m+1, 6) along one path: the path so far, completed and projected as a whole at every step."""
    R, U = np.swapaxes([polar(f) for f in F], 0, 1)
    strain = symmetric(U) - [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    grid = np.linspace(0.0, 1.0, INTERVALS + 1)
    inputs, outputs = (Basis(grid, arrays[f"{name}_modes"], np.ones((6, 1))) for name in ("input", "output"))
    t = times / T
    stress = np.zeros((len(times), 6))
    for n in range(1, len(times)):
        known, values = t[: n + 1], strain[: n + 1]
        if t[n] < 1.0:
            slope = (strain[n] - strain[n - 1]) / (t[n] - t[n - 1]) if completion == "linear" else 0.0
            known, values = np.append(known, 1.0), np.vstack([values, strain[n] + (1.0 - t[n]) * slope])
        q = network(arrays, inputs.project(known, values[None]).ravel())
        s = outputs.lift(q.reshape(1, 6, MODES_OUT), t[n : n + 1])[0, 0]
        stress[n] = symmetric(R[n] @ full(s) @ R[n].T)
    return stress


@pytest.mark.parametrize("steps", [7, 40, 300])
def test_on_line_is_the_full_evaluation(law, completion, steps):
    """No history, one product a step: the same as projecting the whole completed path anew, for any steps."""
    times = random_times(steps, seed=steps)
    F = paths(times, 2)
    history = drive(law, times, F)
    for path in range(2):
        expected = full_evaluation(random_arrays(), completion, times, F[:, path])
        assert np.abs(expected).max() > 1e7
        assert np.abs(history.stress[:, path] - expected).max() < 1e-10 * np.abs(expected).max()


def test_layers_in_single_precision(completion, law, tmp_path):
    times = random_times(50)
    F = paths(times, 5)
    double, single = (drive(one, times, F).stress for one in (law, law_of(tmp_path, completion, "single")))
    assert 0.0 < np.abs(single - double).max() < 1e-5 * np.abs(double).max()


def test_exact_pressure_leaves_the_deviator_to_the_network(completion, law, tmp_path):
    times = random_times(20)
    F = paths(times, 3)
    exact = drive(law_of(tmp_path, completion, pressure="exact"), times, F).stress
    learned = drive(law, times, F).stress
    mean = K * (np.linalg.det(F) - 1.0)
    assert exact[..., :3].mean(axis=-1) == pytest.approx(mean, rel=1e-10, abs=1e-10 * K)
    assert exact[..., 3:] == pytest.approx(learned[..., 3:], rel=1e-9, abs=1.0)
    difference = exact[..., :3] - learned[..., :3]
    assert difference == pytest.approx(np.repeat(difference.mean(-1, keepdims=True), 3, -1), rel=1e-9, abs=1.0)


def test_state_and_cost_do_not_grow_with_the_steps(law):
    """20,000 steps along the same straight path, which a hundred follow as well: same state, same stress."""
    ends = []
    for steps in (100, 20_000):
        times = np.linspace(0.0, T, steps + 1)
        F = np.eye(3) + np.linspace(0.0, 0.1, steps + 1)[:, None, None, None] * full(np.arange(6.0))
        ends.append(drive(law, times, F))
    assert ends[0].state.shape == ends[1].state.shape
    assert ends[1].stress[-1] == pytest.approx(ends[0].stress[-1], rel=1e-9)
    assert ends[1].state[:, Z:] == pytest.approx(ends[0].state[:, Z:], rel=1e-9)


def test_a_point_is_free_of_stress_until_it_moves_but_its_clock_runs(law):
    times = random_times(30)
    F = paths(times, 3)
    F[:20, 1], F[:, 2] = np.eye(3), np.eye(3)
    history = drive(law, times, F, record_steps=range(31))
    assert np.all(history.stress[:20, 1] == 0.0) and np.all(history.stress[20:, 1] != 0.0)
    assert np.all(history.stress[:, 2] == 0.0)
    assert history.record[:, :, TIME] == pytest.approx(np.repeat(times[:, None], 3, 1), rel=1e-12)
    alone = drive(law, times, F[:, 1:])  # a whole block at rest is skipped at first
    assert np.array_equal(alone.stress, history.stress[:, 1:])
    assert np.array_equal(alone.state, history.state[1:])


def test_rotations_turn_the_stress_and_nothing_else(law):
    times = random_times(20)
    F = paths(times, 4)
    Q = random_rotations(np.random.default_rng(3), 21 * 4).reshape(21, 4, 3, 3)
    plain, turned = drive(law, times, F), drive(law, times, Q @ F)
    expected = Q @ full(plain.stress) @ np.swapaxes(Q, -1, -2)
    assert np.abs(full(turned.stress) - expected).max() < 1e-10 * np.abs(plain.stress).max()


@pytest.mark.parametrize("stretch", [0.05, 0.5, 1.0 + 1e-9, 3.0, 20.0])
def test_polar_decomposition(law, stretch):
    """The stretch in the state is that of SciPy's decomposition, for stretches far beyond any use."""
    rng = np.random.default_rng(4)
    Q = random_rotations(rng, 2)
    F = Q[0] @ np.diag([stretch, 1.0 / stretch, 1.0]) @ Q[1]
    state = drive(law, np.array([0.0, 1e-9]), np.array([np.eye(3), F])[:, None]).state[0]
    U = state[law.state_slice("stretch")]
    assert symmetric(polar(F)[1]) == pytest.approx(U, abs=1e-13 * max(stretch, 1.0 / stretch))


def test_beyond_its_duration_it_stops_and_says_why(law):
    times = np.array([0.0, 0.5 * T, T, 1.01 * T])
    F = paths(times, 2)
    drive(law, times[:3], F[:3])
    for path in (F, np.tile(np.eye(3), (4, 1, 1, 1))):  # also where nothing has moved
        with pytest.raises(LawError, match=r"in step 3, at time .* beyond the 2e-06 s .* trained"):
            drive(law, times, path)
    steps = np.full(2000, T / 2000)  # whose sum is T up to rounding
    ends = np.concatenate([[0.0], np.cumsum(steps)])
    drive(law, ends, np.tile(np.eye(3), (2001, 1, 1, 1)))


def test_points_that_do_not_share_their_time_are_refused(law):
    stress, state = np.zeros((2, 6)), law.initial_state(2)
    old = np.tile(np.eye(3), (2, 1, 1))
    new = 1.01 * old
    assert list(law.update(old, new, 1e-8, stress, state)) == [0, 0]
    state[1, TIME] = 0.0
    assert list(law.update(new, 1.01 * new, 1e-8, stress, state)) == [0, APART]
    assert "different times" in law.reason(APART) and "beyond" in law.reason(LATE)


def test_a_step_of_no_duration_is_refused(law):
    """Its rate of strain is no number; a point that has never moved does not ask for one."""
    F = np.array([1.01 * np.eye(3), np.eye(3)])
    stress, state = np.zeros((2, 6)), law.initial_state(2)
    assert list(law.update(np.tile(np.eye(3), (2, 1, 1)), F, 1e-8, stress, state)) == [0, 0]
    assert list(law.update(F, F, 0.0, stress, state)) == [INSTANT, 0]
    assert "no duration" in law.reason(INSTANT)


def test_an_impossible_deformation_fails_for_its_point_alone(law):
    for bad in (np.diag([1.0, 1.0, -1.0]), np.zeros((3, 3)), np.full((3, 3), np.nan)):
        F = np.array([1.01 * np.eye(3), bad, np.eye(3)])
        status = law.update(np.tile(np.eye(3), (3, 1, 1)), F, 1e-9, np.zeros((3, 6)), law.initial_state(3))
        assert list(status) == [0, INVERTED, 0]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_points_beyond_the_training_are_told(tmp_path, which):
    """Also where they have come back since, by a step here."""
    bounds = [1e9, 1e9, 1e30]
    times = np.linspace(0.0, T, 12)
    F = np.eye(3) + np.append(np.linspace(0.0, 0.1, 11), 0.09)[:, None, None, None] * np.diag([1.0, 0.5, 0.0])
    largest = (0.1 * np.sqrt(1.25), 1.1 * 1.05 - 1.0, 0.11 * np.sqrt(1.25) / T)[which]
    bounds[which] = largest / 1.5
    law = law_of(tmp_path, bounds=tuple(bounds))
    history = drive(law, times, np.concatenate([F, np.tile(np.eye(3), (len(F), 1, 1, 1))], axis=1))
    assert history.state[:, OUTSIDE] == pytest.approx([0.5, 0.0], rel=1e-6)
    assert np.array_equal(law.output_fields(F[-1], history.state)["outside_envelope"], history.state[:, OUTSIDE])


@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_selu(real):
    x = np.linspace(-100.0, 4.0, 3 * BLOCK).astype(real)
    y = x.copy()
    selu(y)
    assert np.abs(y - activation(x.astype(float))).max() < 8.0 * np.finfo(real).eps


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": {"width": 0}}, r"sizes\.width must be a whole number from 1 to 1000000, not 0"),
        ({"sizes": {"layers": "three"}}, r"sizes\.layers must be a whole number from 1 to 1000000, not 'three'"),
        ({"completion": "none"}, "completion must be one of linear, constant, not 'none'"),
        ({"pressure": "none"}, "pressure must be one of exact, learned, not 'none'"),
        ({"duration": None}, "lacks duration"),
        ({"duration": 0.0}, r"duration of the header must be a number above 0, not 0\.0"),
        ({"envelope": {"strain": 0.0}}, r"envelope\.strain of the header must be a number above 0, not 0\.0"),
    ],
)
def test_an_artefact_that_does_not_fit_is_refused(tmp_path, change, message):
    wrong = header() | change
    wrong["sizes"] = header()["sizes"] | change.get("sizes", {})
    wrong = {key: value for key, value in wrong.items() if value is not None}
    path = save_artefact(tmp_path / "a.npz", "pca_net", wrong, random_arrays())
    with pytest.raises(LawError, match=message):
        LAW.build({"artefact": path, "density": None, "precision": "double"})
    with pytest.raises(LawError, match="must be one of single, double"):
        LAW.build({"artefact": path, "density": None, "precision": "half"})
