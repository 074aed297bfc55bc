"""What the trainings of all laws have in common, on one weight whose gradient is known."""

import csv
from argparse import Namespace
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cases.options import OptionError  # noqa: E402
from learning import training  # noqa: E402
from learning.training import Training, summary  # noqa: E402


class OneWeight(Training):
    """Loss |1 + x w| of random numbers x, by plain gradient descent at a rate that falls with the iterations."""

    kind = "one weight"

    def __init__(self, folder, iterations=8, **given):
        options = {"output": str(folder / "law.npz"), "device": "cpu", "seed": 0, "learning_rate": 0.1, "every": 2,
                   "minutes": None, "quiet": True}  # fmt: skip
        super().__init__(Namespace(**options | given), torch.nn.Linear(1, 1, bias=False), iterations)
        self.optimiser = torch.optim.SGD(self.network.parameters(), lr=1.0, momentum=0.5)
        self.slope = given.get("slope", 0.1)
        with torch.no_grad():
            self.network.weight[:] = 0.0

    def weight(self):
        return self.network.weight.item()

    def rate(self):
        return 0.1 * (1.0 - self.iteration / self.iterations)

    def loss(self):
        return (1.0 + self.slope * self.rng.uniform() * self.network.weight).sum()

    def manifests(self):
        return [{"material": ""}]

    def sizes(self):
        return {}

    identity = test_row = header = arrays = sizes
    add_options = begin = None


def rows(folder):
    with open(folder / "law_loss.csv") as file:
        return [{key: float(value) for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def test_a_resumed_training_is_the_unbroken_one(tmp_path):
    """Weights and loss curve, which holds a running mean of the loss."""
    whole, part = (tmp_path / name for name in ("whole", "part"))
    whole.mkdir(), part.mkdir()
    once = OneWeight(whole)
    once.run()
    first = OneWeight(part)
    first.options.every, first.stopped = 1, True
    first.run()  # stops after one iteration
    assert first.iteration == 1
    second = OneWeight(part)
    second.resume()
    assert second.seconds == first.seconds
    second.run()
    assert second.weight() == once.weight() != 0.0 and second.seconds > first.seconds
    assert rows(part)[1:] == rows(whole) and [row["iteration"] for row in rows(whole)] == [2, 4, 6, 8]


def test_the_loss_that_is_noted_is_a_running_mean(tmp_path):
    train = OneWeight(tmp_path, slope=0.0)
    for _ in range(3):
        train.improve()
    assert train.smooth == pytest.approx(1.0)
    train.loss = lambda: train.network.weight.sum() * 0.0 + 2.0
    train.improve()
    assert train.smooth == pytest.approx(0.95 * 1.0 + 0.05 * 2.0)


def test_a_cautious_training_takes_shorter_steps(tmp_path):
    steps = []
    for caution in (1.0, 0.25):
        train = OneWeight(tmp_path)
        train.caution = caution
        train.improve()
        steps.append(train.weight())
        train.note()
    assert steps[1] == pytest.approx(0.25 * steps[0]) and steps[0] != 0.0
    assert rows(tmp_path)[0]["rate"] == pytest.approx(0.25 * 0.1 * (1.0 - 1.0 / 8.0))


def test_gradients_are_bounded_and_an_overflow_is_no_step(tmp_path):
    train = OneWeight(tmp_path)
    train.loss = lambda: 1e3 * train.network.weight.sum()
    train.improve()
    assert train.weight() == pytest.approx(-0.1 * training.CLIP, rel=1e-5)  # the rate times the bound
    train.loss = lambda: np.inf * train.network.weight.sum()
    train.improve()
    assert train.weight() == pytest.approx(-0.1 * training.CLIP, rel=1e-5) and train.iteration == 2


def test_the_time_left_is_told(tmp_path, capsys):
    """Two of eight iterations have taken 3 s, so six take 9."""
    train = OneWeight(tmp_path, quiet=False)
    train.improve()
    train.improve()
    train.seconds = 3.0
    train.note()
    assert "2 of 8  train " in (told := capsys.readouterr().out) and told.endswith("ETA 9 s\n")


def test_minutes_are_those_of_a_session(tmp_path, monkeypatch):
    """Each session has as many, whatever those before took; a clock that jumps by 20 s an iteration."""
    clock = iter(range(0, 10_000, 20))
    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    done = []
    for resumed in (False, True):
        train = OneWeight(tmp_path, iterations=100, minutes=1.0)
        if resumed:
            train.resume()
        train.run()
        done.append(train.iteration)
    assert done == [4, 8] and train.seconds == pytest.approx(160.0)


def test_a_training_that_always_diverges_is_given_up(tmp_path):
    train = OneWeight(tmp_path, iterations=1000, every=1)
    train.loss = lambda: train.network.weight.sum() * 0.0 + 10.0 ** (100.0 * train.iteration)
    with pytest.raises(OptionError, match="diverges before iteration"):
        train.run()
    assert train.caution < training.MOST_CAUTIOUS


def test_summary_has_the_95th_percentile():
    assert summary(np.arange(101.0)) == {"mean": 50.0, "median": 50.0, "p95": 95.0, "paths": 101}
