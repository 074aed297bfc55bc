"""From a small data set to the law `recurrent` in the solver: train, artefact, block kernel against torch, resume."""

import argparse
import csv
import os
import shutil
import signal

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cases import material_point  # noqa: E402
from cases.off_line_cost import off_line_cost  # noqa: E402
from constitutive.artefact import load_artefact, read_artefact, save_artefact  # noqa: E402
from constitutive.drive import drive  # noqa: E402
from constitutive.material import load_material  # noqa: E402
from constitutive.tensor import full, symmetric  # noqa: E402
from fem.folder import alone_with  # noqa: E402
from learning import dataset, generate, train  # noqa: E402
from learning.judgement import all_known, learned_from  # noqa: E402
from learning.networks import InternalVariableNetwork, norm_squared  # noqa: E402
from learning.rollout import Sizes  # noqa: E402
from learning.train_recurrent import (  # noqa: E402
    FLOOR,
    PARTS,
    Paths,
    RecurrentTraining,
    answer,
    draw_batch,
    evaluate,
    in_parts,
    load_paths,
    relative_error,
    work,
    work_error,
)

NETWORK = Sizes(tensors=2, scalars=1, channels=3, width=5)
SIZES = [x for name, size in NETWORK._asdict().items() for x in (f"--{name}", str(size))]
SIZES += ["--batch", "6", "--every", "4", "--quiet", "--seed", "3"]


def made(folder, *more):
    """A data set of 3 grains, if nothing else is said."""
    generate.main(
        ["--law", "taylor", "--material", "magnesium_liu2022", "--set", "grains=3", "--paths", "8", "--steps", "24",
         "--strain", "0.1", "--workers", "1", "--output", str(folder), "--quiet", *more]
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return made(tmp_path_factory.mktemp("data") / "paths")


@pytest.fixture(scope="module")
def fresh(data):
    """Paths to test on that are not in `data`."""
    return made(data.with_name("fresh"), "--seed", "2")


def loaded(data, count=None):
    return load_paths(argparse.Namespace(partial=False, device="cpu"), data, count)[0]


def run(data, output, *more):
    return train.main(["--data", str(data), "--output", str(output), *SIZES, *more])


@pytest.fixture(scope="module")
def artefact(data, fresh, tmp_path_factory):
    return run(data, tmp_path_factory.mktemp("trained") / "law.npz", "--iterations", "12", "--test", str(fresh))


@pytest.fixture(scope="module")
def material(artefact):
    """The trained law taking whole steps, as its training does."""
    file = artefact.with_name("small.toml")
    file.write_text(f'law = "recurrent"\nname = "small"\nartefact = "{artefact.name}"\nlongest_step = 1.0\n')
    return file


def test_a_trained_law_is_not_replaced_unasked(data, artefact, tmp_path, capsys):
    law, checkpoint = artefact.read_bytes(), artefact.with_suffix(".checkpoint.pt")
    begun = tmp_path / "begun.npz"
    begun.with_suffix(".checkpoint.pt").write_bytes(checkpoint.read_bytes())  # a training that was killed
    for output, reason in ((artefact, "exists"), (begun, "exists"), (tmp_path / "no" / "law.npz", "not a folder")):
        with pytest.raises(SystemExit):
            run(data, output, "--iterations", "4")
        assert reason in capsys.readouterr().err
    assert artefact.read_bytes() == law and not begun.exists()
    assert run(data, begun, "--iterations", "4", "--overwrite").exists()


@pytest.mark.parametrize("option", ["--resume", "--overwrite"])
def test_an_artefact_is_of_one_training_at_a_time(data, artefact, capsys, option):
    before = {file: file.read_bytes() for file in artefact.parent.iterdir() if file.is_file()}
    with alone_with(artefact), pytest.raises(SystemExit):
        run(data, artefact, "--iterations", "2", option)
    assert "another process is at work there" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in artefact.parent.iterdir() if file.is_file()} == before


def test_the_artefact_says_what_it_is(data, artefact):
    header = load_artefact(artefact, "recurrent").header
    assert header["sizes"] == NETWORK._asdict()
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
    before = evaluate(InternalVariableNetwork(NETWORK, texture=True), paths).mean()
    run(data, tmp_path / "law.npz", "--iterations", "150", "--learning-rate", "1e-2")
    after = load_artefact(tmp_path / "law.npz", "recurrent").header["errors"]["train"]["mean"]
    assert after < 0.9 * before


def trained(artefact):
    network = InternalVariableNetwork(NETWORK, texture=True)
    network.load_state_dict(torch.load(artefact.with_suffix(".checkpoint.pt"), weights_only=True)["network"])
    return network


def test_errors_and_envelope_are_those_of_the_sets(data, fresh, artefact):
    """Errors on the test set are those of the trained network; the last row of the loss curve tells the same."""
    header, network = load_artefact(artefact, "recurrent").header, trained(artefact)
    for name, folder in (("train", data), ("test", fresh)):
        errors = evaluate(network, loaded(folder))
        assert header["errors"][name]["mean"] == pytest.approx(errors.mean(), rel=1e-4)
        assert header["errors"][name]["p95"] == pytest.approx(np.percentile(errors, 95), rel=1e-4)
    with artefact.with_name("law_loss.csv").open() as file:
        last = [*csv.DictReader(file)][-1]
    for key, value in header["errors"]["test"].items():
        assert float(last[f"test_{key}"]) == pytest.approx(value, rel=1e-6), key
    stress = full(dataset.load(data).stress.astype(float)) / 25e9
    stress -= np.trace(stress, axis1=-2, axis2=-1)[..., None, None] / 3.0 * np.eye(3)
    assert header["envelope"]["elastic_strain"] == pytest.approx(np.linalg.norm(stress, axis=(2, 3)).max(), rel=1e-4)
    paths = loaded(data)
    extents = [network.extent(*in_parts(p.U, p.dt)) for p in (paths.chosen([k]) for k in range(len(paths)))]
    for key in ("shape", "plastic_strain"):
        values = [float(extent[key][0]) for extent in extents]
        assert header["envelope"][key] == pytest.approx(max(values), rel=1e-4) and min(values) < 0.9 * max(values)


def test_the_rate_rises_and_falls():
    """Over the first 200 iterations, then along a cosine to nothing."""
    rate = []
    for k in range(4001):
        at = argparse.Namespace(
            iteration=k, options=argparse.Namespace(learning_rate=3.0), progress=lambda k=k: k / 4000
        )
        rate.append(RecurrentTraining.rate(at))
    assert rate[0] == pytest.approx(3.0 / 200) and rate[99] == pytest.approx(1.5, rel=2e-3)
    assert 190 <= np.argmax(rate) <= 200 and (np.diff(rate[200:]) < 0.0).all()
    assert rate[2000] == pytest.approx(1.5) and rate[1000] == pytest.approx(1.5 + 1.5 * np.sqrt(0.5))
    assert rate[4000] == pytest.approx(0.0, abs=1e-9)


def test_derived_kernels_are_torch_s_own_reading_of_the_equations(data):
    """Stresses and gradients of both, for more paths than a block has lanes; the same bits on any number of threads."""
    torch.manual_seed(5)
    network, paths = InternalVariableNetwork(NETWORK, texture=True), loaded(data)
    many = paths.chosen(np.arange(200) % len(paths), 12)

    def gradients(rollout):
        network.zero_grad()
        P = rollout(many.U, many.dt)
        norm_squared(P - many.S[1:]).sum(0).sqrt().mean().backward()
        return P.detach(), [p.grad.clone() for p in network.parameters()]

    fast, fast_gradients = gradients(network.rollout)
    slow, slow_gradients = gradients(network.rollout_by_torch)
    assert (fast - slow).abs().max() < 2e-5 * slow.abs().max()
    for one, other in zip(fast_gradients, slow_gradients, strict=True):
        assert (one - other).norm() < 1e-3 * other.norm()
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 2)
        shared, shared_gradients = gradients(network.rollout)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(fast, shared)
    assert all(torch.equal(one, other) for one, other in zip(fast_gradients, shared_gradients, strict=True))


def test_the_law_in_the_solver_is_the_network_that_was_trained(artefact, material):
    """dev sigma / G of the block kernel against the float64 rollout in torch."""
    rng, m = np.random.default_rng(1), 50
    H = symmetric(rng.normal(size=(70, 3, 3)))
    U = np.eye(3) + np.linspace(0.0, 0.1, m + 1)[:, None, None, None] * full(H)
    times = np.linspace(0.0, 5e-7, m + 1)
    law = load_material(material).law
    J = np.linalg.det(U)
    isochoric = torch.as_tensor(np.moveaxis(symmetric(U / np.cbrt(J)[..., None, None]), 1, 2))
    dt = torch.as_tensor(np.diff(times))[:, None].expand(m, 70)
    rolled = trained(artefact).double().rollout_by_torch(isochoric, dt).detach().numpy() / J[1:, None]
    stress = drive(law, times, U).stress[1:] / law.shear_modulus
    stress[..., :3] -= stress[..., :3].mean(axis=-1, keepdims=True)
    assert np.abs(np.moveaxis(stress, 1, 2) - rolled).max() < 3e-6 * np.abs(rolled).max()


def test_extent_is_that_of_the_law(artefact, data, material):
    """The envelope's plastic strain is the state that the law itself accumulates."""
    paths = loaded(data, 1)
    p = float(trained(artefact).extent(paths.U, paths.dt)["plastic_strain"][0])
    law, times = load_material(material).law, np.concatenate([[0.0], np.cumsum(paths.dt[:, 0].double().numpy())])
    history = drive(law, times, full(paths.U[:, :, 0].double().numpy())[:, None])
    assert history.state[0, law.state_slice("equivalent_plastic_strain")][0] == pytest.approx(p, rel=1e-3)


def test_several_sets_are_mixed(data, tmp_path, capsys):
    """The artefact counts all paths, and the seconds of each set once; a set of another material is refused."""

    def more(name, grains):
        generate.main(
            ["--law", "taylor", "--material", "magnesium_liu2022", "--set", f"grains={grains}", "--paths", "2",
             "--steps", "24", "--strain", "0.1", "--workers", "1", "--seed", "5", "--output", str(tmp_path / name),
             "--quiet"]
        )  # fmt: skip
        return tmp_path / name

    second, other = more("second", 3), more("other", 2)
    sets = [str(data), str(second), str(second)]
    artefact = run(data, tmp_path / "law.npz", "--iterations", "2", "--also", *sets)
    training = load_artefact(artefact, "recurrent").header["training"]
    assert training["paths"] == training["data"]["paths"] == 8 + 8 + 2 + 2
    seconds = [dataset.load(folder).manifest["throughput"]["processor_seconds"] for folder in (data, second)]
    assert training["data"]["throughput"]["processor_seconds"] == pytest.approx(sum(seconds))
    assert [found["seed"] for found in training["also"]] == [5]
    with pytest.raises(SystemExit):
        run(data, tmp_path / "none.npz", "--also", str(other))
    assert "another material" in capsys.readouterr().err


def test_a_training_begins_with_another_s_weights(data, artefact, tmp_path):
    options = ["--begin-with", str(artefact), "--learning-rate", "1e-12", "--iterations", "1"]
    other = load_artefact(run(data, tmp_path / "law.npz", *options), "recurrent")
    for name, array in load_artefact(artefact, "recurrent").arrays.items():
        assert other.arrays[name] == pytest.approx(array, rel=1e-5, abs=1e-7)
    before = load_artefact(artefact, "recurrent").header
    assert other.header["training"]["begun_with"]["command"] == before["command"]
    assert other.header["training"]["begun_with"]["training"] == before["training"]["seconds"]
    assert off_line_cost(other).iterations == before["training"]["iterations"] + 1


@pytest.mark.parametrize("larger", [{"width": 9}, {"tensors": 7, "scalars": 4, "channels": 10, "width": 8}])
def test_a_larger_network_begins_with_a_smaller_one_s_answer(data, artefact, tmp_path, larger, capsys):
    """The same errors; what is new has weights of its own, and learns."""
    options = ["--begin-with", str(artefact), *(f"--{name}={size}" for name, size in larger.items())]
    still = ["--learning-rate", "1e-12", "--iterations", "1"]
    large, small = read_artefact(run(data, tmp_path / "a.npz", *options, *still)), read_artefact(artefact)
    assert large.header["sizes"] == small.header["sizes"] | larger
    for key in ("mean", "p95"):
        assert large.header["errors"]["train"][key] == pytest.approx(small.header["errors"]["train"][key], rel=1e-4)
    assert np.abs(large.arrays["second_weight"][NETWORK.width :]).min() > 0.0
    moved = read_artefact(run(data, tmp_path / "b.npz", *options, "--iterations", "3"))
    assert all((moved.arrays[name] != array).any() for name, array in large.arrays.items())
    assert (moved.arrays["second_weight"][: NETWORK.width, NETWORK.width :] != 0.0).all()
    with pytest.raises(SystemExit):
        run(data, tmp_path / "c.npz", *options, *still, "--width", "4")
    assert "none that is smaller" in capsys.readouterr().err


def test_a_diverged_training_goes_back(data, tmp_path, monkeypatch):
    """A loss that jumps is answered by the last checkpoint and half the learning rate."""
    loss = RecurrentTraining.loss

    def jumps(self):
        return loss(self) * (1e3 if self.caution == 1.0 and self.iteration in (5, 6) else 1.0)

    monkeypatch.setattr(RecurrentTraining, "loss", jumps)
    artefact = run(data, tmp_path / "law.npz", "--iterations", "12")
    state = torch.load(tmp_path / "law.checkpoint.pt", weights_only=True)
    assert state["caution"] == 0.5 and state["iteration"] == 12
    assert load_artefact(artefact, "recurrent").header["errors"]["train"]["mean"] < 100.0


def interrupt(monkeypatch, training, iteration, number=signal.SIGTERM):
    """Let a signal come in the middle of an iteration, after its random numbers were drawn."""
    loss, calls = training.loss, []

    def interrupted(self):
        found = loss(self)
        calls.append(1)
        if len(calls) == iteration:
            os.kill(os.getpid(), number)
        return found

    monkeypatch.setattr(training, "loss", interrupted)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_training_resumes_to_the_same_weights(data, artefact, tmp_path, monkeypatch, capsys, number):
    interrupt(monkeypatch, RecurrentTraining, 6, number)
    with pytest.raises(SystemExit) as stopped:
        run(data, tmp_path / "law.npz", "--iterations", "12")
    assert stopped.value.code == 130 and "6 of 12 iterations" in capsys.readouterr().err
    assert not (tmp_path / "law.npz").exists()
    monkeypatch.undo()
    run(data, tmp_path / "law.npz", "--iterations", "12", "--resume")
    once, twice = load_artefact(artefact, "recurrent"), load_artefact(tmp_path / "law.npz", "recurrent")
    assert twice.header["training"]["iterations"] == 12
    assert all(np.array_equal(once.arrays[name], twice.arrays[name]) for name in once.arrays)


def test_an_early_interruption_is_no_divergence(data, tmp_path, monkeypatch, capsys):
    """The losses of the first few iterations may be infinite, which says nothing before there is a curve."""
    loss = RecurrentTraining.loss

    def overflows(self):
        return loss(self) * (1.0 if self.iteration else float("inf"))

    monkeypatch.setattr(RecurrentTraining, "loss", overflows)
    interrupt(monkeypatch, RecurrentTraining, 1)
    with pytest.raises(SystemExit) as stopped:
        run(data, tmp_path / "law.npz", "--iterations", "4")
    assert stopped.value.code == 130 and "1 of 4 iterations" in capsys.readouterr().err
    assert run(data, tmp_path / "law.npz", "--iterations", "4", "--resume").exists()


def test_a_place_that_cannot_be_written_is_told_in_one_line(data, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(data, "/proc/law.npz", "--iterations", "4")
    lines = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2 and len(lines) == 1 and "/proc/law" in lines[0]


def test_a_resumed_training_names_all_that_it_learned_from(data, tmp_path):
    other = tmp_path / "other"
    generate.main(
        ["--law", "taylor", "--material", "magnesium_liu2022", "--set", "grains=3", "--paths", "4", "--steps", "24",
         "--strain", "0.1", "--seed", "9", "--workers", "1", "--output", str(other), "--quiet"]
    )  # fmt: skip
    for folder, iterations in ((data, "4"), (other, "8"), (other, "12")):
        law = run(folder, tmp_path / "law.npz", "--iterations", iterations, *(["--resume"] if folder is other else []))
    training = load_artefact(law, "recurrent").header["training"]
    assert training["data"]["seed"] == 9 and [one["seed"] for one in training["earlier"]] == [1]
    begun = run(other, tmp_path / "next.npz", "--iterations", "4", "--begin-with", str(law))
    assert [one["seed"] for one in learned_from(load_artefact(begun, "recurrent").header)] == [9, 9, 1]


def test_what_is_tested_on_is_fresh_and_of_the_same_material(data, fresh, artefact, tmp_path, capsys):
    """Also with what another training, that this one begins with or goes on from, has learned from."""
    law, checkpoint = tmp_path / "law.npz", tmp_path / "law.checkpoint.pt"
    begun = run(fresh, tmp_path / "begun.npz", "--iterations", "4")
    other = made(tmp_path / "other", "--seed", "9", "--set", "grains=2", "--paths", "2")
    run(fresh, law, "--iterations", "4")
    kept = checkpoint.read_bytes()
    learned = "its paths are learned from"
    for given, reason in (
        (["--overwrite", "--test", str(data)], learned),
        (["--overwrite", "--test", str(fresh), "--also", str(fresh)], learned),
        (["--overwrite", "--test", str(fresh), "--begin-with", str(begun)], learned),
        (["--resume", "--test", str(fresh)], learned),
        (["--overwrite", "--test", str(other)], "another material"),
    ):
        with pytest.raises(SystemExit):
            run(data, law, "--iterations", "8", *given)
        assert reason in capsys.readouterr().err
    assert checkpoint.read_bytes() == kept
    run(data, law, "--iterations", "2", "--overwrite", "--isotropic", "--test", str(other))  # of another texture


def test_what_a_training_begins_with_is_kept(data, artefact, capsys):
    before = artefact.read_bytes()
    with pytest.raises(SystemExit):
        run(data, artefact, "--overwrite", "--begin-with", str(artefact), "--iterations", "4")
    assert "name another --output" in capsys.readouterr().err
    assert artefact.read_bytes() == before


def test_an_artefact_that_does_not_tell_its_cost_is_refused_at_once(data, artefact, tmp_path, capsys):
    header, arrays = load_artefact(artefact, "recurrent").header, read_artefact(artefact).arrays
    bare = {key: value for key, value in header.items() if key != "training"}
    old = save_artefact(tmp_path / "old.npz", "recurrent", bare, arrays)
    with pytest.raises(SystemExit):
        run(data, tmp_path / "law.npz", "--iterations", "1", "--begin-with", str(old))
    assert "lacks training" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["old.npz"]


def test_what_is_not_known_of_a_beginning_is_not_known_later(data, artefact, tmp_path):
    """An older artefact that does not tell what its own beginning had learned from."""
    header, arrays = load_artefact(artefact, "recurrent").header, read_artefact(artefact).arrays
    begun = {"generation": 1.0, "training": 1.0, "iterations": 1}
    training = header["training"] | {"begun_with": begun}
    old = save_artefact(tmp_path / "old.npz", "recurrent", {**header, "training": training}, arrays)
    young = run(data, tmp_path / "young.npz", "--iterations", "1", "--begin-with", str(old))
    assert all_known(read_artefact(artefact).header)
    assert not all_known(read_artefact(old).header) and not all_known(read_artefact(young).header)


def test_a_part_of_a_set_has_cost_its_part(data, tmp_path):
    """The first 2 of 8 paths a quarter, and another set that is mixed in all of it."""
    more = made(tmp_path / "more", "--seed", "5", "--paths", "4")
    law = run(data, tmp_path / "law.npz", "--paths", "2", "--also", str(more), "--iterations", "1")
    part, whole = (dataset.load(folder).manifest["throughput"]["processor_seconds"] for folder in (data, more))
    assert off_line_cost(read_artefact(law)).generation == pytest.approx(0.25 * part + whole)


def test_a_set_whose_making_was_killed_at_its_end_is_learned_from(data, tmp_path, monkeypatch):
    def killed(*arguments):
        raise RuntimeError("killed")

    monkeypatch.setattr(generate, "summary", killed)
    with pytest.raises(RuntimeError):
        made(tmp_path / "set", "--seed", "5", "--paths", "4")
    law = run(data, tmp_path / "law.npz", "--also", str(tmp_path / "set"), "--iterations", "1")
    assert off_line_cost(read_artefact(law)).generation > 0.0


def test_paths_of_a_unit_cell_are_refused(data, tmp_path, capsys):
    cell = tmp_path / "cell"
    shutil.copytree(data, cell)
    dataset.write_manifest(cell, dataset.read_manifest(cell) | {"unit_cell": "fft2d"})
    for given in (["--data", str(cell)], ["--also", str(cell)], ["--test", str(cell)]):
        with pytest.raises(SystemExit):
            run(data, tmp_path / "law.npz", *given)
        assert "answered by a unit cell" in capsys.readouterr().err


def test_a_set_that_has_grown_is_still_one_set(tmp_path):
    made = ["--law", "taylor", "--material", "magnesium_liu2022", "--set", "grains=3", "--steps", "24", "--strain",
            "0.1", "--workers", "1", "--output", str(tmp_path / "set"), "--quiet"]  # fmt: skip
    generate.main([*made, "--paths", "4"])
    run(tmp_path / "set", tmp_path / "law.npz", "--iterations", "4")
    generate.main([*made, "--paths", "6"])
    law = run(tmp_path / "set", tmp_path / "law.npz", "--iterations", "8", "--resume")
    assert "earlier" not in load_artefact(law, "recurrent").header["training"]


def test_a_training_begun_anew_is_what_resume_finds(data, artefact, tmp_path, monkeypatch):
    for suffix in (".npz", ".checkpoint.pt"):
        (tmp_path / f"law{suffix}").write_bytes(artefact.with_suffix(suffix).read_bytes())

    def killed(self):
        raise RuntimeError("killed")

    monkeypatch.setattr(RecurrentTraining, "improve", killed)
    with pytest.raises(RuntimeError):
        run(data, tmp_path / "law.npz", "--iterations", "12", "--overwrite")
    monkeypatch.undo()
    assert torch.load(tmp_path / "law.checkpoint.pt", weights_only=True)["iteration"] == 0
    run(data, tmp_path / "law.npz", "--iterations", "12", "--resume")
    once, twice = load_artefact(artefact, "recurrent"), load_artefact(tmp_path / "law.npz", "recurrent")
    assert all(np.array_equal(once.arrays[name], twice.arrays[name]) for name in once.arrays)


def test_a_training_resumes_with_what_it_began_with_and_its_material(data, artefact, tmp_path, capsys):
    begun = tmp_path / "begun.npz"
    run(data, begun, "--iterations", "4", "--begin-with", str(artefact))
    other = tmp_path / "other"
    generate.main(
        ["--law", "taylor", "--material", "magnesium_liu2022", "--set", "grains=2", "--paths", "4", "--steps", "24",
         "--strain", "0.1", "--workers", "1", "--output", str(other), "--quiet"]
    )  # fmt: skip
    for folder, more, there in ((data, [], "begin_with"), (other, ["--begin-with", str(artefact)], "material")):
        with pytest.raises(SystemExit):
            run(folder, begun, "--iterations", "8", "--resume", *more)
        assert f"another network is there ({there} " in capsys.readouterr().err


@pytest.mark.parametrize("first", [True, False])
def test_a_training_resumes_with_and_without_a_test_set(data, fresh, tmp_path, first):
    law = tmp_path / "law.npz"
    given = ["--data", str(data), "--output", str(law), *SIZES]
    tests = [["--test", str(fresh)], []] if first else [[], ["--test", str(fresh)]]
    train.main([*given, *tests[0], "--iterations", "4"])
    train.main([*given, *tests[1], "--iterations", "8", "--resume"])
    with open(tmp_path / "law_loss.csv") as file:
        rows = list(csv.DictReader(file))
    assert [bool(row["test_mean"]) for row in rows] == ([True, False] if first else [False, True])


def test_a_checkpoint_that_does_not_fit_is_refused(data, artefact, tmp_path, capsys):
    checkpoint = artefact.with_suffix(".checkpoint.pt").read_bytes()
    (tmp_path / "law.checkpoint.pt").write_bytes(checkpoint)
    with pytest.raises(SystemExit):
        run(data, tmp_path / "law.npz", "--iterations", "12", "--resume", "--isotropic")
    assert "another network is there (isotropic False)" in capsys.readouterr().err
    for size in (1000, len(checkpoint) // 2):  # torch has an error of its own, or the system's
        (tmp_path / "law.checkpoint.pt").write_bytes(checkpoint[:size])
        with pytest.raises(SystemExit):
            run(data, tmp_path / "law.npz", "--iterations", "12", "--resume")
        assert "law.checkpoint.pt cannot be read" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_ends_the_training(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(RecurrentTraining, "loss", lambda self: torch.tensor(np.nan, requires_grad=True))
    with pytest.raises(SystemExit):
        run(data, tmp_path / "law.npz", "--iterations", "12")
    assert "not finite from the start" in capsys.readouterr().err


def test_paths_that_overflow_are_left_out_of_the_loss(data, tmp_path):
    """As long steps of a soft material may with weights that have learned nothing: the rest of the batch is learned."""
    arguments = ["--data", str(data), "--output", str(tmp_path / "law.npz"), *SIZES, "--batch", "8"]
    training = RecurrentTraining.begin(train.parser("recurrent").parse_args(arguments))
    training.paths.U[1:, :, [0, 5]] = torch.tensor([1e9, 1e-9, 1.0, 0.0, 0.0, 0.0])[:, None]
    paths = draw_batch(training.paths, np.random.default_rng(training.options.seed), 8, 0.0)
    errors = relative_error(answer(training.network, paths), paths.S[1:], FLOOR)
    assert errors.isfinite().sum() == 6
    loss = training.loss()
    loss.backward()
    assert loss.item() == pytest.approx(errors[errors.isfinite()].mean().item(), rel=1e-6)
    assert all(p.grad.isfinite().all() for p in training.network.parameters() if p.requires_grad)


def test_a_command_runs_the_trained_law(material, tmp_path):
    output = tmp_path / "point.csv"
    material_point.main(["--material", str(material), "--steps", "40", "--output", str(output), "--quiet"])
    assert len(output.read_text().splitlines()) >= 41


def test_steps_in_parts_pass_through_the_stored_samples(data):
    """Each part lasts as long as the others of its step, and the answers are those at the stored samples."""
    paths = loaded(data)
    U, dt = in_parts(paths.U, paths.dt)
    assert torch.equal(U[::PARTS], paths.U)
    assert torch.allclose(dt.unflatten(0, (-1, PARTS)), (paths.dt / PARTS)[:, None].expand(-1, PARTS, -1))
    assert torch.allclose(U[1::PARTS] - U[:-1:PARTS], (paths.U[1:] - paths.U[:-1]) / PARTS, atol=1e-6)
    torch.manual_seed(3)
    network = InternalVariableNetwork(NETWORK)
    every = network.rollout(U, dt)
    assert torch.equal(answer(network, paths), every[PARTS - 1 :: PARTS] / paths.J[1:, None])


def test_work_is_kirchhoff_stress_times_logarithmic_strain():
    """A constant stress on stretches whose axes stay: W = J S : ln U."""
    m, J = 400, 1.1
    strain = torch.linspace(0.0, 0.3, m + 1, dtype=torch.float64)
    zero = torch.zeros_like(strain)
    U = torch.stack([strain.exp(), (-0.25 * strain).exp(), (-0.75 * strain).exp(), zero, zero, zero], 1)[..., None]
    S = torch.tensor([3.0, -1.0, -2.0, 0.5, 0.0, 0.1], dtype=torch.float64).expand(m, 6)[..., None]
    paths = Paths(torch.ones(m, 1), U, torch.full((m + 1, 1), J), torch.cat([0.0 * S[:1], S]))
    expected = J * (3.0 + 0.25 + 1.5) * strain[1:]
    assert work(S, paths)[:, 0].numpy() == pytest.approx(expected.numpy(), rel=1e-5)
    assert work_error(1.02 * S, paths).item() == pytest.approx(0.02, rel=1e-4)


def test_shear_stress_works_on_sheared_axes():
    """A pure shear in axes 45 degrees from its principal ones: W = 2 S12 strain."""
    t = torch.linspace(0.0, 0.2, 101, dtype=torch.float64)
    zero, one = torch.zeros_like(t), torch.ones_like(t)
    U = torch.stack([t.cosh(), t.cosh(), one, t.sinh(), zero, zero], 1)[..., None]
    S = torch.tensor([0.0, 0.0, 0.0, 1.0, 0.0, 0.0], dtype=torch.float64).expand(100, 6)[..., None]
    paths = Paths(torch.ones(100, 1), U, torch.ones(101, 1), torch.cat([0.0 * S[:1], S]))
    assert work(S, paths)[-1].item() == pytest.approx(2.0 * 0.2, rel=1e-6)


def test_the_loss_has_the_error_of_the_work(data, tmp_path):
    def loss(weight):
        arguments = ["--data", str(data), "--output", str(tmp_path / "law.npz"), *SIZES, "--work-weight", weight]
        torch.manual_seed(3)
        training = RecurrentTraining.begin(train.parser("recurrent").parse_args(arguments))
        paths = draw_batch(training.paths, np.random.default_rng(3), 6, 0.0)
        P = answer(training.network, paths)
        return training.loss().item(), relative_error(P, paths.S[1:], FLOOR).mean(), work_error(P, paths).mean()

    total, stress, work_alone = loss("2.5")
    assert total == pytest.approx((stress + 2.5 * work_alone).item(), rel=1e-5)
    assert loss("0")[0] == pytest.approx(stress.item(), rel=1e-5)


def test_batches_are_cut_early_in_training_only(data):
    paths, rng = loaded(data), np.random.default_rng(0)
    lengths = [[len(draw_batch(paths, rng, 3, progress).dt) for _ in range(40)] for progress in (0.0, 1.0)]
    assert min(lengths[0]) < len(paths.dt) // 2 < max(lengths[0])
    assert set(lengths[1]) == {len(paths.dt)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tensors", "0"], "--tensors: 0 is not a number of at least 1"),
        (["--batch", "0"], "--batch: 0"),
        (["--paths", "-5"], "--paths: -5"),
        (["--every", "0"], "--every: 0"),
        (["--device", "cuda:7"], "no GPU"),
        (["--device", "tpu"], "give cpu, cuda or cuda:N"),
        (["--output", "law.txt"], "must end in .npz"),
        (["--resume"], "no such checkpoint"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_wrong_options_end_in_one_line(data, tmp_path, capsys, options, message):
    with pytest.raises(SystemExit):
        run(data, tmp_path / "law.npz", *options)
    assert message in capsys.readouterr().err
