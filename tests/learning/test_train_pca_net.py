"""From a small data set to the law `pca_net` in the solver: train, artefact, block kernel against torch, resume."""

import argparse
import csv
import os
import signal

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cases import taylor_anvil  # noqa: E402
from constitutive.artefact import load_artefact  # noqa: E402
from constitutive.drive import drive  # noqa: E402
from constitutive.material import load_material  # noqa: E402
from constitutive.tensor import full, random_rotations, symmetric  # noqa: E402
from learning import dataset, generate, train  # noqa: E402
from learning.train_pca_net import (  # noqa: E402
    LATEST,
    PAPER,
    WHOLE,
    PcaNetTraining,
    deviator,
    in_window,
    load_paths,
    relative_errors,
    square,
    turning,
)

SIZES = ["--width", "8", "--layers", "2", "--modes-in", "4", "--modes-out", "5", "--intervals", "24", "--batch", "6",
         "--every", "4", "--quiet", "--seed", "3"]  # fmt: skip


def made(folder, seed):
    generate.main(
        ["--law", "taylor", "--material", "magnesium_liu2022", "--set", "grains=3", "--paths", "12", "--steps", "24",
         "--strain", "0.3", "--fixed-duration", "--workers", "1", "--seed", seed, "--output", str(folder), "--quiet"]
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return made(tmp_path_factory.mktemp("data") / "paths", "1")


@pytest.fixture(scope="module")
def fresh(data):
    """Paths to test on that are not in `data`."""
    return made(data.with_name("fresh"), "2")


def run(data, output, *more):
    options = ["--kind", "pca_net", "--data", str(data), "--output", str(output), *SIZES]
    return train.main([*options, *more])


@pytest.fixture(scope="module", params=["linear", "constant"])
def artefact(data, fresh, request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return run(data, folder / "law.npz", "--epochs", "6", "--completion", request.param, "--test", str(fresh))


def begun(data, *more):
    """A training that has not run."""
    given = ["--kind", "pca_net", "--data", str(data), "--output", "none.npz", *SIZES, *more]
    return PcaNetTraining.begin(train.parser("pca_net").parse_args(given))


def test_the_artefact_says_what_it_is(data, artefact):
    header = load_artefact(artefact, "pca_net").header
    assert header["sizes"] == {"width": 8, "layers": 2, "modes_in": 4, "modes_out": 5, "intervals": 24}
    assert header["duration"] == pytest.approx(1e-6)
    assert header["training"]["paths"] == 12 and header["training"]["iterations"] == 12
    assert "grains = 3" in header["material"]
    assert header["elastic"]["p_wave_modulus"] == pytest.approx(48e9 + 4.0 / 3.0 * 25e9, rel=1e-5)
    for how in ("whole", "on_line"):
        for norm in ("total", "deviatoric"):
            found = header["errors"]["test"][how][norm]
            assert 0.0 < found["median"] <= found["p95"] < 100.0 and found["paths"] == 12
    set_of_paths = dataset.load(data)
    J = np.linalg.det(full(set_of_paths.U))
    assert header["envelope"]["volume_change"] == pytest.approx(np.abs(J - 1.0).max(), rel=1e-3)
    with artefact.with_name("law_loss.csv").open() as file:
        assert [int(row["iteration"]) for row in csv.DictReader(file)] == [4, 8, 12]


def test_the_law_in_the_solver_is_the_network_that_was_trained(artefact):
    """Stress of the block kernel on turning paths against what training calls `on_line`, and its last value `whole`."""
    rng, m = np.random.default_rng(1), 24
    H = symmetric(rng.normal(size=(70, 3, 3)))
    s = np.linspace(0.0, 1.0, m + 1)
    U = np.eye(3) + 0.1 * np.sin(3.0 * s)[:, None, None, None] * full(H)
    Q = random_rotations(rng, (m + 1) * 70).reshape(m + 1, 70, 3, 3)
    law = load_material(artefact).law
    stress = full(drive(law, 1e-6 * s, Q @ U).stress)
    stress = symmetric(np.swapaxes(Q, -1, -2) @ stress @ Q)
    header = load_artefact(artefact, "pca_net").header
    training = begun(header["training"]["data"]["sessions"][0]["command"].split("--output ")[1].split()[0],
                     "--completion", header["completion"])  # fmt: skip
    training.network.load_state_dict(torch.load(artefact.with_suffix(".checkpoint.pt"), weights_only=True)["network"])
    strain = torch.tensor(symmetric(U - np.eye(3)).swapaxes(0, 1), dtype=torch.float32)
    predicted = training.scale * training.network.on_line(strain).detach().double().numpy().swapaxes(0, 1)
    mean = header["elastic"]["bulk_modulus"] * (np.linalg.det(U) - 1.0)
    predicted[..., :3] += mean[..., None]
    assert np.abs(stress - predicted).max() < 1e-4 * np.abs(predicted).max()
    whole = training.scale * training.network.whole(strain).detach().double().numpy()[:, -1]
    assert whole[:, 3:] == pytest.approx(stress[-1, :, 3:], abs=1e-4 * np.abs(whole).max())


def test_training_lowers_the_error(data, tmp_path):
    before = load_artefact(run(data, tmp_path / "a.npz", "--epochs", "1"), "pca_net").header["errors"]["train"]
    after = load_artefact(run(data, tmp_path / "b.npz", "--epochs", "100"), "pca_net").header["errors"]["train"]
    assert after["on_line"]["deviatoric"]["mean"] < 0.7 * before["on_line"]["deviatoric"]["mean"]


def test_learned_pressure_is_part_of_what_the_network_gives(data, tmp_path):
    path = run(data, tmp_path / "a.npz", "--epochs", "2", "--pressure", "learned")
    law = load_material(path).law
    F = np.array([np.eye(3), 1.01 * np.eye(3)])[:, None]
    mean = drive(law, np.array([0.0, 1e-7]), F).stress[1, 0, :3].mean()
    assert mean != pytest.approx(48e9 * (1.01**3 - 1.0), rel=1e-3)


def test_an_interrupted_training_resumes_to_the_same_weights(data, tmp_path, monkeypatch):
    options = ("--epochs", "6", "--isotropic")
    once = load_artefact(run(data, tmp_path / "once.npz", *options), "pca_net")
    loss, calls = PcaNetTraining.loss, []

    def interrupted(self):
        calls.append(1)
        if len(calls) == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss(self)

    monkeypatch.setattr(PcaNetTraining, "loss", interrupted)
    with pytest.raises(SystemExit):
        run(data, tmp_path / "law.npz", *options)
    monkeypatch.undo()
    twice = load_artefact(run(data, tmp_path / "law.npz", *options, "--resume"), "pca_net")
    assert twice.header["training"]["iterations"] == 12
    assert all(np.array_equal(once.arrays[name], twice.arrays[name]) for name in once.arrays)


def test_a_cut_path_is_the_path_completed(data):
    """Dropping ramps gives the coefficients of the path continued by a straight line, or held."""
    rng = np.random.default_rng(0)
    strain = torch.tensor(np.cumsum(rng.normal(size=(1, 25, 6)), axis=1) * 0.01, dtype=torch.float32)
    strain -= strain[:, :1].clone()
    for completion, slope in (("linear", 1.0), ("constant", 0.0)):
        network = begun(data, "--completion", completion).network
        every = network.all_coefficients(network.ramps(strain))
        for cut in (1, 7, 24):
            done = strain.clone()
            after = torch.arange(1, 25 - cut)[:, None]
            done[0, cut + 1 :] = strain[0, cut] + slope * after * (strain[0, cut] - strain[0, cut - 1])
            expected = network.coefficients(network.ramps(done))
            assert every[:, cut - 1].numpy() == pytest.approx(expected.detach().numpy(), rel=1e-3, abs=1e-4)


def test_batches_are_paths_of_the_set_late_cut_and_turned(data):
    training = begun(data, "--isotropic")
    rows = np.arange(12)
    for _ in range(5):
        strain, S, cut = training.draw(rows)
        for path in range(12):
            late = int((square(strain[path]) > 0.0).float().argmax()) - 1
            length = 25 - late
            assert late < cut[path] <= 24
            assert torch.all(S[path, : late + 1] == 0.0)
            for drawn, known in ((strain, training.paths.strain), (S, training.paths.S)):
                assert square(drawn[path, late:]).numpy() == pytest.approx(
                    square(known[path, :length]).numpy(), rel=1e-3, abs=1e-7
                )


def test_turning_and_norms_of_components():
    rng = np.random.default_rng(2)
    a, Q = symmetric(rng.normal(size=(4, 5, 3, 3))), random_rotations(rng, 4)
    turned = np.einsum("nkb,nbc->nkc", a, turning(Q))
    expected = symmetric(Q[:, None] @ full(a) @ np.swapaxes(Q, 1, 2)[:, None])
    assert turned == pytest.approx(expected)
    tensor = torch.tensor(a)
    assert square(tensor).numpy() == pytest.approx((full(a) ** 2).sum((-1, -2)))
    assert np.trace(full(deviator(tensor).numpy()), axis1=-2, axis2=-1) == pytest.approx(0.0, abs=1e-14)


def test_errors_are_those_of_the_whole_tensor(data):
    paths = begun(data).paths
    P = paths.S + 0.1
    S, wrong = full(paths.S.numpy() + paths.mean.numpy()[..., None] * [1, 1, 1, 0, 0, 0]), full(0.1 * np.ones(6))
    total = np.sqrt(25 * (wrong**2).sum() / (S**2).sum((1, 2, 3)))
    assert relative_errors(P, paths)["total"].numpy() == pytest.approx(total, rel=1e-5)


def test_paths_of_other_durations_are_put_into_the_window():
    time = np.array([[0.0, 1.0, 2.0], [0.0, 4.0, 8.0]])
    values = np.repeat(np.array([[0.0, 1.0, 3.0], [0.0, 2.0, 4.0]])[..., None], 6, axis=2)
    window = in_window(time, values, np.linspace(0.0, 4.0, 5))
    assert window[0, :, 3] == pytest.approx([0.0, 0.0, 0.0, 1.0, 3.0])  # rests first
    assert window[1, :, 0] == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0])  # cut off


def test_the_authors_sizes(data):
    """Asked for by --paper, whatever else is said."""
    training = begun(data, "--paper", "--intervals", "100")
    assert training.sizes() == {"width": 1000, "layers": 4, "modes_in": 100, "modes_out": 100, "intervals": 100}
    assert training.network.last.in_features == 1000 and training.options.batch == PAPER["batch"] == 16
    assert training.iterations == 1500 and training.optimiser.param_groups[0]["lr"] == 1e-4


def test_the_rate_rises_and_falls():
    """Over the first 1 % of the iterations, then along a cosine to a hundredth."""
    options = argparse.Namespace(learning_rate=3.0)
    rate = [PcaNetTraining.rate(argparse.Namespace(options=options, iterations=1000, iteration=k)) for k in range(1001)]
    assert rate[0] == pytest.approx(0.03) and rate[5] == pytest.approx(0.5 * 3.0 + 0.03)
    assert max(rate) == pytest.approx(3.0, rel=2e-3) and 8 <= np.argmax(rate) <= 12
    assert rate[500] == pytest.approx(0.505 * 3.0) and rate[1000] == pytest.approx(0.03)
    assert (np.diff(rate[10:]) < 0.0).all()


def test_the_window_is_as_long_as_the_median_path(data, monkeypatch):
    load, factors = dataset.load, np.concatenate([np.full(5, 0.5), [2.0, 2.0], np.full(5, 10.0)])

    def stretched(folder, partial):
        found = load(folder, partial)
        found.time[:] *= factors[:, None]
        return found

    monkeypatch.setattr(dataset, "load", stretched)
    training = begun(data)
    assert training.options.duration == pytest.approx(2e-6)
    assert square(training.paths.strain[0, :18]).max() == 0.0  # rests for three quarters of the window
    assert training.source.durations == pytest.approx(1e-6 * factors)


def test_whole_paths_are_not_cut(data):
    training = begun(data, "--whole")
    strain, S, cut = training.draw(np.arange(12))
    assert torch.equal(strain, training.paths.strain) and torch.equal(S, training.paths.S)
    assert cut.tolist() == [24] * 12


def test_a_part_of_a_batch_is_whole(data):
    """And half begins late; of the others, the time of the cut is uniform."""
    training, k, n = begun(data), 24, 400
    cuts = np.concatenate([training.draw(np.arange(12))[2].numpy() for _ in range(n)])
    by_chance = np.mean([0.5 / k + 0.5 / (k - late) for late in range(int(LATEST * k) + 1)])
    assert np.mean(cuts == k) == pytest.approx(WHOLE + (1.0 - WHOLE) * by_chance, abs=0.03)


def test_the_loss_weighs_the_last_value_of_a_cut_path(data, monkeypatch):
    """A network that gives nothing: half of the weight is the last value's, half that of all values up to then."""
    training = begun(data)
    with torch.no_grad():
        training.network.last.weight[:] = 0.0
    rows, cut = np.array([2, 7, 9]), torch.tensor([24, 11, 3])
    strain, S = training.paths.strain[rows], training.paths.S[rows]
    monkeypatch.setattr(training, "draw", lambda chosen: (strain, S, cut))
    monkeypatch.setattr(training, "rng", argparse.Namespace(choice=lambda *_, **__: rows))
    expected = []
    for part, means in ((lambda s: s, training.means[0]), (deviator, training.means[1])):
        size = square(part(S)).double().numpy()
        for path, (row, end) in enumerate(zip(rows, cut.tolist(), strict=True)):
            mean = size[path, : end + 1].mean()
            weighed = mean if end == 24 else 0.5 * mean + 0.5 * size[path, end]
            expected.append(np.sqrt(weighed / means[row].item()))
    assert training.loss().item() == pytest.approx(np.mean(expected), rel=1e-5)


def test_errors_and_envelope_are_those_of_the_sets(data, fresh, artefact):
    """On the test set those of the trained network; its last row of the loss curve tells the same."""
    header = load_artefact(artefact, "pca_net").header
    training = begun(data, "--completion", header["completion"], "--test", str(fresh))
    training.network.load_state_dict(torch.load(artefact.with_suffix(".checkpoint.pt"), weights_only=True)["network"])
    for name, paths in (("train", training.paths), ("test", training.test)):
        for how, predict in (("whole", training.network.whole), ("on_line", training.network.on_line)):
            for norm, errors in relative_errors(predict(paths.strain).detach(), paths).items():
                found = header["errors"][name][how][norm]
                assert found["mean"] == pytest.approx(errors.mean().item(), rel=1e-4), (name, how, norm)
                assert found["p95"] == pytest.approx(np.percentile(errors.numpy(), 95), rel=1e-4)
    with artefact.with_name("law_loss.csv").open() as file:
        last = [*csv.DictReader(file)][-1]
    on_line, whole = (header["errors"]["test"][how] for how in ("on_line", "whole"))
    assert float(last["test_mean"]) == pytest.approx(on_line["deviatoric"]["mean"], rel=1e-6)
    assert float(last["test_p95"]) == pytest.approx(on_line["deviatoric"]["p95"], rel=1e-6)
    assert float(last["test_whole_total"]) == pytest.approx(whole["total"]["mean"], rel=1e-6)
    strain = full(training.paths.strain.double().numpy())
    rate = np.diff(strain, axis=1) / (1e-6 / 24)
    assert header["envelope"]["strain"] == pytest.approx(np.linalg.norm(strain, axis=(2, 3)).max(), rel=1e-5)
    assert header["envelope"]["rate"] == pytest.approx(np.linalg.norm(rate, axis=(2, 3)).max(), rel=1e-5)


def test_the_seed_is_that_of_the_weights_and_threads_are_counted(data, tmp_path):
    threads, still = torch.get_num_threads(), ("--epochs", "1", "--learning-rate", "1e-12", "--overwrite")
    laws = []
    try:
        for seed in ("3", "3", "4"):
            law = run(data, tmp_path / "law.npz", *still, "--seed", seed, "--threads", "2")
            laws.append(load_artefact(law, "pca_net"))
    finally:
        torch.set_num_threads(threads)
    one, same, other = (law.arrays["last_weight"] for law in laws)
    assert one == pytest.approx(same, rel=1e-6) and np.corrcoef(one.ravel(), other.ravel())[0, 1] < 0.5
    assert [law.header["training"]["threads"] for law in laws] == [2, 2, 2]


def test_what_is_tested_on_is_fresh(data, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(data, tmp_path / "law.npz", "--epochs", "1", "--test", str(data))
    assert "its paths are learned from" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_pressure_that_is_not_in_proportion_is_refused(data, monkeypatch):
    options = train.parser("pca_net").parse_args(["--data", "d", "--output", "o.npz", *SIZES])
    load = dataset.load

    def changed(folder, partial):
        found = load(folder, partial)
        found.stress[:, :, :3] += 1e8
        return found

    monkeypatch.setattr(dataset, "load", changed)
    with pytest.raises(ValueError, match=r"mean stress is not in proportion .* use --pressure learned"):
        load_paths(argparse.Namespace(**vars(options)), str(data))


def test_the_rod_runs_with_it(artefact, tmp_path):
    taylor_anvil.main(
        ["--law", "pca_net", "--material", str(artefact), "--elements-across", "4", "--end-time", "3e-7", "--quiet",
         "--no-fields", "--no-picture", "--symmetry", "quarter", "--output", str(tmp_path / "rod")]
    )  # fmt: skip
    assert (tmp_path / "rod" / "summary.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layers", "0"], "--layers: 0 is not a number of at least 1"),
        (["--modes-in", "30"], "must be at least the number of modes"),
        (["--resume"], "no such checkpoint"),
        (["--data", "nowhere"], "nowhere"),
        (["--hidden", "3"], "unrecognized arguments: --hidden"),
    ],
)
def test_wrong_options_end_in_one_line(data, tmp_path, capsys, options, message):
    with pytest.raises(SystemExit):
        run(data, tmp_path / "law.npz", *options)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "there"),
    [
        (["--width", "12"], "width 8"),
        (["--completion", "constant"], "completion linear"),
        (["--pressure", "learned"], "pressure exact, stress"),
        (["--duration", "2e-6"], "duration 1e-06"),
        (["--isotropic"], "isotropic False"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(data, tmp_path, capsys, options, there):
    run(data, tmp_path / "law.npz", "--epochs", "1", "--completion", "linear")
    with pytest.raises(SystemExit):
        run(data, tmp_path / "law.npz", "--epochs", "1", "--resume", *options)
    assert f"another network is there ({there}" in capsys.readouterr().err
