"""From a small data set to the law `recurrent` in the solver: train, artefact, block kernel against torch, resume."""

import argparse
import csv

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cases import material_point  # noqa: E402
from constitutive.artefact import load_artefact  # noqa: E402
from constitutive.drive import drive  # noqa: E402
from constitutive.material import load_material  # noqa: E402
from constitutive.tensor import full, symmetric  # noqa: E402
from learning import dataset, generate, train  # noqa: E402
from learning.networks import InternalVariableNetwork  # noqa: E402
from learning.train_recurrent import RecurrentTraining, draw_batch, evaluate, load_paths  # noqa: E402

SIZES = ["--width", "8", "--hidden", "4", "--batch", "6", "--every", "4", "--quiet", "--seed", "3"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "paths"
    generate.main(
        ["--law", "taylor", "--material", "magnesium_liu2022", "--set", "grains=3", "--paths", "8", "--steps", "24",
         "--strain", "0.3", "--workers", "1", "--output", str(folder), "--quiet"]
    )  # fmt: skip
    return folder


def loaded(data, count=None):
    return load_paths(argparse.Namespace(partial=False, device="cpu"), data, count)[0]


def run(data, output, *more):
    return train.main(["--data", str(data), "--test", str(data), "--output", str(output), *SIZES, *more])


@pytest.fixture(scope="module")
def artefact(data, tmp_path_factory):
    return run(data, tmp_path_factory.mktemp("trained") / "law.npz", "--iterations", "12")


@pytest.fixture(scope="module")
def material(artefact):
    file = artefact.with_name("small.toml")
    file.write_text(f'law = "recurrent"\nname = "small"\nartefact = "{artefact.name}"\n')
    return file


def test_the_artefact_says_what_it_is(data, artefact):
    header = load_artefact(artefact, "recurrent").header
    assert header["sizes"] == {"width": 8, "hidden": 4}
    assert header["training"]["paths"] == 8 and header["training"]["iterations"] == 12
    assert header["training"]["data"]["seed"] == dataset.load(data).manifest["seed"]
    assert "grains = 3" in header["material"]
    assert header["command"].startswith("python -m learning.train --data")
    assert 0.0 < header["errors"]["test"]["mean"] < 100.0
    assert all(value > 0.0 for value in header["envelope"].values())
    with artefact.with_name("law_loss.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["iteration"]) for row in rows] == [4, 8, 12]
    assert artefact.with_name("law_loss.png").stat().st_size > 1000


def test_training_lowers_the_error(data, tmp_path):
    paths = loaded(data)
    torch.manual_seed(3)
    before = evaluate(InternalVariableNetwork(8, 4), paths).mean()
    run(data, tmp_path / "law.npz", "--iterations", "40", "--learning-rate", "2e-2")
    after = load_artefact(tmp_path / "law.npz", "recurrent").header["errors"]["test"]["mean"]
    assert after < 0.8 * before


def test_the_law_in_the_solver_is_the_network_that_was_trained(artefact, material):
    """dev sigma / G of the block kernel against the float64 rollout in torch, along turning paths."""
    state = torch.load(artefact.with_suffix(".checkpoint.pt"), weights_only=True)
    network = InternalVariableNetwork(8, 4)
    network.load_state_dict(state["network"])
    rng, m = np.random.default_rng(1), 50
    H = symmetric(rng.normal(size=(70, 3, 3)))
    U = np.eye(3) + np.linspace(0.0, 0.1, m + 1)[:, None, None, None] * full(H)
    times = np.linspace(0.0, 5e-7, m + 1)
    law = load_material(material).law
    dt = torch.as_tensor(np.diff(times)).expand(70, m)
    rolled = network.double().rollout(torch.as_tensor(U.swapaxes(0, 1)), dt).detach().numpy().swapaxes(0, 1)
    stress = full(drive(law, times, U).stress[1:]) / law.shear_modulus
    stress -= np.trace(stress, axis1=-2, axis2=-1)[..., None, None] / 3.0 * np.eye(3)
    assert np.abs(stress - rolled).max() < 3e-6 * np.abs(rolled).max()


def test_extent_is_that_of_the_law(artefact, data, material):
    """The envelope's plastic strain is the state that the law itself accumulates."""
    network = InternalVariableNetwork(8, 4)
    network.load_state_dict(torch.load(artefact.with_suffix(".checkpoint.pt"), weights_only=True)["network"])
    paths = loaded(data, 1)
    p = float(network.extent(paths.U, paths.dt)["plastic_strain"][0])
    law, times = load_material(material).law, np.concatenate([[0.0], np.cumsum(paths.dt[0].double().numpy())])
    history = drive(law, times, paths.U[0].double().numpy()[:, None])
    assert history.state[0, law.state_slice("equivalent_plastic_strain")][0] == pytest.approx(p, rel=1e-3)


def test_an_interrupted_training_resumes_to_the_same_weights(data, artefact, tmp_path, monkeypatch):
    improve, calls = RecurrentTraining.improve, []

    def interrupted(self):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        improve(self)

    monkeypatch.setattr(RecurrentTraining, "improve", interrupted)
    run(data, tmp_path / "law.npz", "--iterations", "12")
    monkeypatch.undo()
    run(data, tmp_path / "law.npz", "--iterations", "12", "--resume")
    once, twice = load_artefact(artefact, "recurrent"), load_artefact(tmp_path / "law.npz", "recurrent")
    assert twice.header["training"]["iterations"] == 12
    assert all(np.array_equal(once.arrays[name], twice.arrays[name]) for name in once.arrays)


def test_a_command_runs_the_trained_law(material, tmp_path):
    output = tmp_path / "point.csv"
    material_point.main(["--material", str(material), "--steps", "40", "--output", str(output), "--quiet"])
    assert len(output.read_text().splitlines()) >= 41


def test_batches_are_sampled_where_the_path_is_known(data):
    """Every grid of steps, coarse or fine, gives stresses at the times of the stored samples."""
    paths = loaded(data)
    rng = np.random.default_rng(0)
    for progress in (0.0, 0.3, 1.0):
        for _ in range(20):
            U, dt, S, stride = draw_batch(paths, rng, 3, progress, False)
            assert U.shape[1] == dt.shape[1] + 1 and S.shape[1] == dt.shape[1] // stride
            for path in range(3):
                time = np.cumsum(dt[path].numpy())[stride - 1 :: stride]
                known = [np.cumsum(row.numpy()) for row in paths.dt]
                match = [np.abs(time[0] - row).min() < 1e-5 * row[-1] for row in known]
                assert any(match)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--width", "10"], "multiple of 4"),
        (["--resume"], "no such checkpoint"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_wrong_options_end_in_one_line(data, tmp_path, capsys, options, message):
    with pytest.raises(SystemExit):
        run(data, tmp_path / "law.npz", *options)
    assert message in capsys.readouterr().err
