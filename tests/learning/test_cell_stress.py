"""The recurrent surrogate of the unit cell: elastic at first, causal, and free of the unit of time."""

import argparse

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from constitutive.tensor import full, symmetric  # noqa: E402
from learning.cell_stress import CellStressTraining  # noqa: E402
from learning.errors import deviator  # noqa: E402
from learning.train_recurrent import Paths  # noqa: E402

G, LAMBDA = 19e9, 24e9


def training(tmp_path, duration):
    rng = np.random.default_rng(0)
    U = np.eye(3) + np.cumsum(rng.normal(size=(6, 11, 3, 3)) * 0.01, axis=1)
    U[:, 0] = np.eye(3)
    U = 0.5 * (U + U.swapaxes(2, 3))
    J = np.linalg.det(U)
    isochoric = np.moveaxis(symmetric(U) / np.cbrt(J)[..., None], 0, 2)
    arrays = (np.full((10, 6), duration / 10), isochoric, J.T, rng.normal(size=(11, 6, 6)) * 0.05)
    paths = Paths(*(torch.tensor(a, dtype=torch.float32) for a in arrays))
    options = argparse.Namespace(
        tensors=2, scalars=1, channels=3, width=5, iterations=10, batch=4, learning_rate=1e-3, device="cpu", seed=0,
        output=str(tmp_path / "cell.npz"), isotropic=False, begin_with=None, work_weight=0.0,
    )  # fmt: skip
    torch.manual_seed(0)
    source = {"elastic": {"shear_modulus": G, "lambda_e": LAMBDA}, "duration": duration}
    return CellStressTraining(options, paths, None, source), U


def test_elastic_at_first(tmp_path):
    """In a step of no time the stress is that of the energy (A.3)."""
    made, U = training(tmp_path, 1.0)
    stress = made.predict(np.array([[0.0, 1e-12]]), symmetric(U[:1, [0, 5]]))[0, 1]
    J = np.linalg.det(U[0, 5])
    expected = G * J ** (-5 / 3) * deviator(symmetric(U[0, 5] @ U[0, 5]))
    np.testing.assert_allclose(deviator(stress), expected, atol=1e-5 * G)
    assert stress[:3].mean() == pytest.approx(2.0 * LAMBDA * (J - 1.0), rel=1e-6)


def test_causal_and_the_same_in_any_unit_of_time(tmp_path):
    made, U = training(tmp_path, 1.0)
    fast, _ = training(tmp_path, 1e-3)
    time = np.linspace(0.0, 1.0, 11)[None].repeat(6, 0)
    whole = made.predict(time, symmetric(U))
    np.testing.assert_allclose(fast.predict(1e-3 * time, symmetric(U)), whole, atol=1e-4 * np.abs(whole).max())
    cut = symmetric(U).copy()
    cut[:, 6:] = cut[:, 5:6]
    assert np.array_equal(made.predict(time, cut)[:, :6], whole[:, :6])
    assert np.abs(full(whole)[:, -1]).max() > 0.0
