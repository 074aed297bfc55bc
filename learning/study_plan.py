"""What a study computes (learning/study.py): its sizes, data sets and trainings.

Options are those of learning.generate and learning.train.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from learning.study_models import Model

TAYLOR = ("--law", "taylor", "--sampler", "paper")
LARGE, RATE = "0.25", ("--set", "slip.0.m=1.0", "--set", "slip.1.m=1.0")
SETS: dict[str, tuple[str, ...]] = {
    "random": (),
    "fixed": ("--fixed-intervals",),
    "large": ("--strain", LARGE),
    "rate": RATE,
    "taylor_random": TAYLOR,
    "taylor_fixed": (*TAYLOR, "--fixed-intervals"),
    "taylor_large": (*TAYLOR, "--strain", LARGE),
}
MAIN = ("random", "taylor_random")  # sets of all `train` paths; networks are trained on parts of them as well


@dataclass(frozen=True)
class Scale:
    """Sizes of a study; networks as in learning.train.

    `train` paths of the main sets, one in `share` (2, 4 or 8) for most others, one in `fixed_share` (1, 2, 4 or 8) for
    that of fixed intervals, and `test` to judge each.
    """

    points: int
    steps: int
    substeps: int
    train: int
    share: int
    fixed_share: int
    test: int
    fine: int
    modes: tuple[int, ...]
    width: int
    layers: int
    epochs: int
    batch: int
    learning_rate: float
    iterations: int  # of the recurrent surrogate
    voxels: int
    walks: int

    @property
    def others(self) -> int:
        """Paths of the sets that a part of a main set is compared with."""
        return self.train // self.share

    @property
    def fixed(self) -> int:
        """Paths of fixed intervals, compared with as many of random ones."""
        return self.train // self.fixed_share


SCALES = {
    "small": Scale(
        points=16, steps=50, substeps=1, train=400, share=4, fixed_share=1, test=40, fine=8,
        modes=(4, 8, 16), width=128, layers=3, epochs=300, batch=32, learning_rate=2e-3, iterations=2000,
        voxels=8, walks=1,
    ),
    "medium": Scale(
        points=16, steps=100, substeps=1, train=800, share=8, fixed_share=2, test=60, fine=10,
        modes=(8, 16, 32), width=256, layers=3, epochs=300, batch=32, learning_rate=1e-3, iterations=3000,
        voxels=16, walks=1,
    ),
    "large": Scale(
        points=32, steps=200, substeps=1, train=3200, share=8, fixed_share=8, test=60, fine=10,
        modes=(8, 16, 32), width=300, layers=3, epochs=300, batch=64, learning_rate=1e-3, iterations=4000,
        voxels=16, walks=1,
    ),
    "paper": Scale(
        points=64, steps=200, substeps=5, train=4000, share=2, fixed_share=2, test=2000, fine=100,
        modes=(8, 16, 32), width=1000, layers=4, epochs=500, batch=16, learning_rate=1e-4, iterations=20000,
        voxels=32, walks=5,
    ),
}  # fmt: skip


def paths_of(name: str, scale: Scale) -> int:
    """How many there are in a set to train on."""
    return scale.train if name in MAIN else scale.fixed if name == "fixed" else scale.others


def models(scale: Scale) -> list[Model]:
    """All trainings of the study."""

    def pca(name: str, train: str, paths: int, modes: int, *more: str) -> Model:
        steps = scale.epochs * -(-paths // scale.batch)
        options = {
            "modes-in": modes, "modes-out": modes, "width": scale.width, "layers": scale.layers,
            "epochs": scale.epochs, "batch": scale.batch, "learning-rate": scale.learning_rate,
            "intervals": scale.steps, "every": max(1, steps // 8), "pressure": "learned",
        }  # fmt: skip
        return Model(name, "pca_net", train, f"{train}_test", paths, (*more, *_arguments(options)))

    def recurrent(name: str, train: str, paths: int) -> Model:
        options = {
            "iterations": scale.iterations, "batch": 128, "every": max(1, scale.iterations // 5), "tensors": 8,
            "scalars": 4, "channels": 16, "width": 32,
        }  # fmt: skip
        return Model(name, "cell_stress", train, f"{train}_test", paths, _arguments(options))

    most, few = scale.modes[-1], scale.others
    sizes = [scale.train // k for k in (8, 4, 2, 1)]
    return [
        *(pca(f"random_{n}", "random", n, most, "--whole") for n in sizes),
        *(pca(f"random_{m}_modes", "random", scale.train, m, "--whole") for m in scale.modes[:-1]),
        *(pca(name, name, paths_of(name, scale), most, "--whole") for name in SETS if name not in MAIN),
        *(pca(f"taylor_random_{n}", "taylor_random", n, most, "--whole") for n in (few, scale.train)),
        *(pca(f"cut_{n}", "random", n, most) for n in (few, scale.train)),
        *(recurrent(f"recurrent_{n}", "random", n) for n in (few, scale.train)),
    ]


def _arguments(options: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(word for key, value in options.items() for word in (f"--{key}", str(value)))
