"""What every law owes its callers, whatever it models; runs over all registered laws.

Learned laws run with small networks of random weights, in double precision where there is a choice: what is owed does
not depend on training.
"""

import itertools
from importlib.metadata import EntryPoint

import numpy as np
import pytest
from scipy.linalg import expm

import constitutive.law
from constitutive.artefact import save_artefact
from constitutive.drive import drive
from constitutive.law import BLOCK, INVERTED, NOT_CONVERGED, LawError, law_definition, law_names, pack, unpack
from constitutive.material import default_material, load_material
from constitutive.tensor import full, random_rotations, von_mises

# Relative bounds: the default for laws in closed form; those that integrate with error control keep to their tolerance.
OBJECTIVITY = {"default": 1e-10, "taylor": 1e-6, "crystal": 1e-6, "recurrent": 2e-6}
STEP_SIZE = {"default": 0.02, "pca_net": 0.1}  # a kink of the path within a step changes how pca_net completes it
BALANCE = {"default": 0.02}
QUICKER = {"taylor": {"grains": 8}}


def bound(table: dict[str, float], law) -> float:
    return table.get(law.name, table["default"])


def tiny_pca_net() -> tuple[dict, dict]:
    rng, width, modes, intervals = np.random.default_rng(4), 8, 4, 20
    t = np.linspace(0.0, 1.0, intervals + 1)
    sines = np.tile(np.sin(np.outer(np.arange(1, modes + 1), t)), (6, 1, 1))
    arrays = {
        "input_modes": sines,
        "output_modes": sines,
        "layer_0_weight": rng.normal(size=(width, 6 * modes)),
        "layer_0_bias": rng.normal(size=width),
        "layer_1_weight": rng.normal(size=(width, width)) / np.sqrt(width),
        "layer_1_bias": rng.normal(size=width),
        "last_weight": 1e8 * rng.normal(size=(6 * modes, width)),
    }
    sizes = {"width": width, "layers": 2, "modes_in": modes, "modes_out": modes, "intervals": intervals}
    elastic = {"density": 1e4, "shear_modulus": 25e9, "bulk_modulus": 48e9, "p_wave_modulus": 48e9 + 4.0 / 3.0 * 25e9}
    envelope = {"strain": 1.0, "volume_change": 1.0, "rate": 1e9}
    header = {"sizes": sizes, "duration": 1e-6, "completion": "linear", "pressure": "learned"}
    return header | {"elastic": elastic, "envelope": envelope}, arrays


@pytest.fixture(scope="module", params=law_names())
def law(request, tmp_path_factory, small_recurrent):
    name = request.param
    learned = {"recurrent": small_recurrent, "pca_net": tiny_pca_net}
    if name in learned:
        path = save_artefact(tmp_path_factory.mktemp(name) / "tiny.npz", name, *learned[name]())
        return load_material(path, overrides={"precision": "double"} if name == "pca_net" else {}).law
    return load_material(default_material(name), name, QUICKER.get(name, {})).law


def paths(count: int, steps: int, amplitude: float = 0.1, seed: int = 3) -> np.ndarray:
    """F (steps+1, count, 3, 3) of random stretching with some volume change, there and half the way back."""
    rng = np.random.default_rng(seed)
    H = rng.normal(size=(count, 3, 3)) / 3.0
    H -= 0.98 * np.trace(H, axis1=1, axis2=2)[:, None, None] / 3.0 * np.eye(3)
    t = np.linspace(0.0, 1.5, steps + 1)
    t = np.minimum(t, 2.0 - t)
    return np.array([[expm(amplitude * s * h) for h in H] for s in t])


def times(steps: int, end: float = 1e-6) -> np.ndarray:
    return np.linspace(0.0, end, steps + 1)


def test_a_virgin_point_at_rest_is_free_of_stress(law):
    history = drive(law, times(2), np.tile(np.eye(3), (3, 1, 1, 1)))
    assert np.abs(history.stress).max() < 1e-12 * law.p_wave_modulus


def test_wave_moduli_are_those_of_the_first_response(law):
    if law.name == "pca_net":
        pytest.skip("its first response is learned like any other, its moduli are the fine scale's")
    e = 1e-6
    F = np.tile(np.eye(3), (2, 2, 1, 1))
    F[1, 0, 0, 0] += e
    F[1, 1, 0, 1] += e
    stress = drive(law, times(1, 1e-15), F).stress[1]
    assert stress[0, 0] / e == pytest.approx(law.p_wave_modulus, rel=1e-3)
    assert stress[1, 3] / e == pytest.approx(law.shear_modulus, rel=1e-3)


@pytest.mark.parametrize("rotation", ["quarter turn", "random", "history"])
def test_frame_indifference(law, rotation):
    """F -> Q(t) F gives Q sigma Q^T: at 90 degrees, at random rotations, and for rotations that grow along the path."""
    steps, count = 40, 6
    F = paths(count, steps)
    rng = np.random.default_rng(5)
    if rotation == "quarter turn":
        Q = np.tile(np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), (steps + 1, count, 1, 1))
    elif rotation == "random":
        Q = np.tile(random_rotations(rng, count), (steps + 1, 1, 1, 1))
    else:
        spin = rng.normal(size=(count, 3, 3))
        spin = 2.0 * (spin - np.swapaxes(spin, 1, 2))
        Q = np.array([[expm(s * w) for w in spin] for s in np.linspace(0.0, 1.0, steps + 1)])
    plain = drive(law, times(steps), F)
    turned = drive(law, times(steps), Q @ F)
    expected = Q @ full(plain.stress) @ np.swapaxes(Q, -1, -2)
    scale = np.abs(plain.stress).max()
    assert np.abs(full(turned.stress) - expected).max() < bound(OBJECTIVITY, law) * scale


def test_work_is_stored_or_dissipated(law):
    if law.energies is None:
        pytest.skip("the law does not know its energies")
    steps, count = 400, 4
    F = paths(count, steps)
    history = drive(law, times(steps), F, record_steps=range(steps + 1))
    P = np.linalg.det(F)[..., None, None] * full(history.stress) @ np.swapaxes(np.linalg.inv(F), -1, -2)
    power = np.einsum("tnij,tnij->tn", 0.5 * (P[1:] + P[:-1]), np.diff(F, axis=0))
    work = np.vstack([np.zeros(count), np.cumsum(power, axis=0)])
    stored, plastic = np.swapaxes([law.energies(*pair) for pair in zip(F, history.record, strict=True)], 0, 1)
    assert np.diff(plastic, axis=0).min() >= -1e-12 * plastic.max()
    assert np.all(stored >= -1e-9 * stored.max())
    assert np.abs(stored + plastic - work).max() < bound(BALANCE, law) * np.abs(work).max()


def test_the_answer_does_not_hang_on_the_step(law):
    ends = []
    for steps in (60, 240):
        history = drive(law, times(steps), paths(4, steps))
        ends.append(np.concatenate([history.stress[steps * 2 // 3], history.stress[-1]]))
    assert np.abs(ends[1] - ends[0]).max() < bound(STEP_SIZE, law) * von_mises(ends[1]).max()


def test_a_point_does_not_see_its_neighbours(law):
    steps = 10
    F = paths(5, steps, seed=9)
    together = drive(law, times(steps), F)
    alone = drive(law, times(steps), np.ascontiguousarray(F[:, 3:4]))
    assert np.array_equal(together.stress[:, 3], alone.stress[:, 0])
    assert np.array_equal(together.state[3], alone.state[0])


def test_declared_state_is_the_state_used(law):
    """The block writes its own state, all finite, and nothing behind it."""
    room = law.state_size * BLOCK
    buffer = np.full(room + 64, -7.0)
    buffer[:room] = law.pack_state(law.initial_state(BLOCK))[0]
    F = paths(BLOCK, 1, 0.05)[1]
    old, new = pack(np.tile(np.eye(3).ravel(), (BLOCK, 1)))[0], pack(F.reshape(-1, 9))[0]
    stress, status = np.zeros(6 * BLOCK), np.zeros(BLOCK, np.int64)
    assert law.update_block(law.params, old, new, 1e-8, stress, buffer[:room], status) == 0
    assert np.all(buffer[room:] == -7.0)
    assert np.all(np.isfinite(buffer)) and np.all(np.isfinite(stress))
    names = [state.name for state in law.states]
    assert len(set(names)) == len(names)
    fields = law.output_fields(F, law.unpack_state(buffer[None, :room], BLOCK))
    assert all(len(values) == BLOCK and np.all(np.isfinite(values)) for values in fields.values())


@pytest.mark.parametrize("bad", [np.diag([1.0, 1.0, -1.0]), np.zeros((3, 3)), np.full((3, 3), np.nan)])
def test_an_impossible_deformation_is_reported_for_its_point_alone(law, bad):
    F = paths(3, 1, 0.01)[1]
    good = F.copy()
    F[1] = bad
    stress, state = np.zeros((3, 6)), law.initial_state(3)
    status = law.update(np.tile(np.eye(3), (3, 1, 1)), F, 1e-8, stress, state)
    assert status[1] in (INVERTED, NOT_CONVERGED, *law.reasons)
    assert status[0] == status[2] == 0
    assert law.reason(status[1])
    expected, state = np.zeros((3, 6)), law.initial_state(3)
    law.update(np.tile(np.eye(3), (3, 1, 1)), good, 1e-8, expected, state)
    assert np.array_equal(stress[[0, 2]], expected[[0, 2]])


@pytest.mark.parametrize("J", [0.05, 20.0])
@pytest.mark.parametrize("name", ["neo_hookean", "j2", "johnson_cook", "taylor", "recurrent"])
def test_volumes_are_refused_that_a_law_cannot_compute(name, J):
    law = load_material(default_material(name), name, QUICKER.get(name, {})).law
    F = np.array([np.eye(3), J ** (1.0 / 3.0) * np.eye(3)])[:, None]
    with pytest.raises(LawError, match=r"not within 0\.1 to 10"):
        drive(law, np.array([0.0, 1e-7]), F)


def test_the_driver_names_the_failure(law):
    F = paths(3, 4, 0.01)
    F[3, 1] = -np.eye(3)
    with pytest.raises(LawError, match=r"path 1 in step 3, at time 7\.5e-07 s"):
        drive(law, times(4), F)


def test_the_failure_that_is_named_is_the_first_in_time():
    """Whatever block its path is in, and so whatever the number of threads."""
    F = np.tile(np.eye(3), (4, 2 * BLOCK, 1, 1))
    F[3, 0], F[1, -1] = -np.eye(3), -np.eye(3)
    with pytest.raises(LawError, match=f"path {2 * BLOCK - 1} in step 1"):
        drive(load_material("elastic_steel").law, times(3), F)


def test_states_pack_and_unpack(law):
    rng = np.random.default_rng(1)
    assert law.pack_state(law.initial_state(BLOCK)).nbytes + 8 * (6 + 9) * BLOCK == law.memory_per_point * BLOCK
    for n in (1, BLOCK - 1, BLOCK, BLOCK + 1):
        state = rng.normal(size=(n, law.state_size))
        assert np.array_equal(law.unpack_state(law.pack_state(state), n), state)
    offset = 0
    for state in law.states:
        where = law.state_slice(state.name)
        assert (where.start, where.stop) == (offset, offset + state.components)
        offset = where.stop
    with pytest.raises(LawError, match="has no state 'nonsense'"):
        law.state_slice("nonsense")


def test_arrays_pack_and_unpack():
    for n, c in itertools.product((1, 63, 64, 65), (1, 9)):
        points = np.arange(n * c, dtype=float).reshape(n, c)
        assert np.array_equal(unpack(pack(points), n), points)


def test_a_third_party_adds_a_law_by_an_entry_point(monkeypatch):
    group = constitutive.law.ENTRY_POINT_GROUP
    point = EntryPoint("rubber", "constitutive.neo_hookean:LAW", group)
    monkeypatch.setattr(constitutive.law, "entry_points", lambda group: [point])
    assert "rubber" in law_names()
    values = {"density": 1000.0, "shear_modulus": 1e6, "bulk_modulus": 1e9}
    assert law_definition("rubber").build(values).shear_modulus == 1e6


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("constitutive.no_such_module:LAW", "cannot be loaded .*no_such_module"),
        ("constitutive.neo_hookean:LOW", "cannot be loaded .*LOW"),
        ("constitutive.neo_hookean:update", "must name a LawDefinition, not a"),
    ],
)
def test_an_entry_point_that_names_no_law_is_told(monkeypatch, value, words):
    point = EntryPoint("rubber", value, constitutive.law.ENTRY_POINT_GROUP)
    monkeypatch.setattr(constitutive.law, "entry_points", lambda group: [point])
    with pytest.raises(LawError, match=f"law 'rubber': its entry point {value} {words}"):
        law_definition("rubber")


def test_an_unknown_law_is_answered_with_the_nearest():
    with pytest.raises(LawError, match=r"did you mean 'johnson_cook'\?"):
        law_definition("jonson_cook")
