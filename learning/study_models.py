"""The trainings of the study: networks on data sets, kept by their checkpoints, and what they answer to paths."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from learning import dataset
from learning.cell_stress import CellStressTraining
from learning.errors import path_errors, relative_error
from learning.reduction import principal_components
from learning.train import parser
from learning.train_pca_net import PcaNetTraining, in_window
from learning.train_recurrent import RecurrentTraining
from learning.training import Training

IDENTITY = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])


@dataclass(frozen=True)
class Model:
    """A training of the study: `kind` pca_net or cell_stress, on the first `paths` paths of a set."""

    name: str
    kind: str
    train: str
    test: str
    paths: int
    arguments: tuple[str, ...]


def trained(folder: Path, model: Model, threads: int, quiet: bool) -> Training:
    """The finished training of a model, on from its checkpoint. Raises OptionError, DataSetError."""
    common = ["--data", str(folder / model.train), "--test", str(folder / model.test), "--paths", str(model.paths)]
    common += ["--output", str(folder / "models" / f"{model.name}.npz"), "--quiet", *model.arguments]
    kind = PcaNetTraining.kind if model.kind == PcaNetTraining.kind else RecurrentTraining.kind
    options = parser(kind).parse_args(["--kind", kind, *common])
    options.arguments = common
    (folder / "models").mkdir(exist_ok=True)
    torch.set_num_threads(threads)
    torch.manual_seed(options.seed)
    training = (CellStressTraining if model.kind == CellStressTraining.kind else PcaNetTraining).begin(options)
    if training.checkpoint.exists():
        training.resume()
    if training.iteration < training.iterations:
        if not quiet:
            print(f"training {model.name}: {training.iterations - training.iteration} iterations", flush=True)
        training.run()
    return training


@torch.no_grad()
def predict(training: Training, time: np.ndarray, U: np.ndarray) -> np.ndarray:
    """Stress (n, m+1, 6), Pa, that a network gives to paths U (n, m+1, 6) at times (n, m+1): whole paths, as the paper.

    pca_net sees them on its own grid, as the functions that they are, and answers with functions.
    """
    if isinstance(training, CellStressTraining):
        return training.predict(time, U)
    assert isinstance(training, PcaNetTraining)
    grid = np.linspace(0.0, training.options.duration, training.options.intervals + 1)
    strain = torch.tensor(in_window(time, U - IDENTITY, grid), dtype=torch.float32)
    stress = training.network.whole(strain).double().numpy() * training.scale
    return in_other_times(grid, stress, time)


def in_other_times(grid: np.ndarray, values: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Functions (n, k+1, 6) on a common grid (k+1,), at times (n, m+1) of their own."""
    columns = zip(time, values, strict=True)
    return np.array([[np.interp(t, grid, column) for column in v.T] for t, v in columns]).swapaxes(1, 2)


def in_plane(stress: np.ndarray) -> np.ndarray:
    """Deviators (..., 6) within the plane of axes 1 and 2: what slip in the plane acts on, of stresses (..., 6)."""
    result = np.zeros_like(stress)
    result[..., 0] = 0.5 * (stress[..., 0] - stress[..., 1])
    result[..., 1], result[..., 3] = -result[..., 0], stress[..., 3]
    return result


def errors(training: Training, data: dataset.DataSet, every: int = 1) -> dict[str, float]:
    """Mean relative errors over the paths of a set, with every so many steps of them: total, deviatoric, in_plane."""
    time, U, stress = data.time[:, ::every], data.U[:, ::every], data.stress[:, ::every].astype(float)
    answer = predict(training, time, U)
    found = path_errors(time, answer, stress) | {"in_plane": relative_error(time, in_plane(answer), in_plane(stress))}
    return {name: float(found[name].mean()) for name in ("total", "deviatoric", "in_plane")}


def reduction_errors(train: dataset.DataSet, test: dataset.DataSet, modes: int) -> dict[str, float]:
    """Mean relative errors of test stresses projected on the principal components of training stresses, no more."""
    T = float(train.time[0, -1])
    grid = np.linspace(0.0, T, train.time.shape[1])
    basis = principal_components(grid, in_window(train.time, train.stress.astype(float), grid), modes)
    stress = in_window(test.time, test.stress.astype(float), grid)
    times = np.broadcast_to(grid, (len(stress), len(grid)))
    found = path_errors(times, basis.lift(basis.project(grid, stress), grid), stress)
    return {name: float(found[name].mean()) for name in ("total", "deviatoric")}


def summary(training: Training, model: Model) -> Mapping[str, Any]:
    """What the tables say of a training."""
    curve = [{key: row[key] for key in row if key in ("iteration", *CURVE)} for row in training.curve]
    return {"kind": model.kind, "train": model.train, "paths": model.paths, "seconds": training.seconds, "curve": curve}


CURVE = ("test_whole_total", "test_whole_deviatoric", "test_mean")
