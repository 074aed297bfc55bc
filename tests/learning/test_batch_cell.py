"""Unit cells of many paths at once, by torch, against the cell that follows one path by Numba."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import constitutive.equilibrium  # noqa: E402
import learning.batch_cell  # noqa: E402
from constitutive.equilibrium import CellError  # noqa: E402
from constitutive.fft_cell import Cell  # noqa: E402
from constitutive.material import load_material  # noqa: E402
from constitutive.periodic_grid import PeriodicGrid, divergence, gradient  # noqa: E402
from learning import batch_crystal, batch_grid  # noqa: E402
from learning.batch_cell import BatchCell  # noqa: E402

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]
STRETCH = np.array([[1.15, 0.08, 0.0], [0.02, 0.93, 0.0], [0.0, 0.0, 1.0]])
SPATIAL = np.array([[1.1, 0.05, -0.04], [0.02, 0.95, 0.06], [0.03, -0.02, 1.02]])
CELLS = {
    "fft2d": ("plane_crystal_liu2022", 8, {}, STRETCH, 1.0),
    "fft3d": ("magnesium_liu2022", 4, {"grains": 8}, SPATIAL, 1e-6),
}


def cell_of(kind, tolerance=1e-6):
    """A small cell whose crystals and equilibrium are found closely, so that two ways to the answer can be compared."""
    name, points, overrides, _, _ = CELLS[kind]
    values = load_material(name, overrides={"tolerance": 1e-4, **overrides}).values
    return Cell(kind, values, points, tolerance)


def paths_of(kind, steps, parts, durations):
    """Times (n, m+1) and F (n, m+1, 3, 3), straight to parts of a deformation, each in its own time."""
    _, _, _, largest, duration = CELLS[kind]
    x = np.linspace(0.0, 1.0, steps + 1)
    F = np.eye(3) + np.multiply.outer(np.multiply.outer(parts, x), largest - np.eye(3))
    return duration * np.multiply.outer(durations, x), F


def assert_same(history, expected, bound):
    size = np.abs(expected.stress).max()
    assert np.abs(history.stress - expected.stress).max() < bound * size
    for name, values in expected.scalars.items():
        assert np.abs(history.scalars[name] - values).max() <= 10.0 * bound * np.abs(values).max(), name


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("kind", "steps", "largest", "bound"),
    [
        ("fft2d", 3, 0.12, 1e-3),
        ("fft3d", 2, 0.12, 1e-5),
        pytest.param("fft2d", 5, 0.5, 1e-3, marks=pytest.mark.slow),
        pytest.param("fft3d", 3, 0.5, 1e-5, marks=pytest.mark.slow),
    ],
)
def test_answers_are_those_of_one_path_at_a_time(kind, steps, largest, bound, device):
    cell = cell_of(kind)
    times, F = paths_of(kind, steps, [largest, 0.4 * largest, -0.6 * largest], [1.0, 0.3, 2.0])
    together = BatchCell(cell, device).follow(times, F)
    for t, path, history in zip(times, F, together, strict=True):
        expected = cell.follow(t, path)
        assert_same(history, expected, bound)
        assert np.all(history.evaluations > 0) and 0.0 < history.residual.max() <= 1e-6
    assert together[0].scalars["equivalent_plastic_strain"][-1] > 0.01
    if kind == "fft3d":
        assert together[0].scalars["twin_fraction"][-1] > 0.01


@pytest.mark.parametrize("device", DEVICES)
def test_a_path_that_fails_leaves_the_others_alone(device):
    cell = cell_of("fft2d", 1e-5)
    times, F = paths_of("fft2d", 4, [0.3, 0.3, 0.2], np.ones(3))
    F[1, 2:] = np.diag([40.0, 40.0, 1.0])
    first, failed, last = BatchCell(cell, device).follow(times, F)
    assert isinstance(failed, CellError)
    with pytest.raises(CellError) as expected:
        cell.follow(times[1], F[1])
    assert str(failed) == str(expected.value) and "fails in step 2, at time 0.5 s" in str(failed)
    without = BatchCell(cell, device).follow(times[[0, 2]], F[[0, 2]])
    for history, other in zip((first, last), without, strict=True):
        assert_same(history, other, 1e-4)


def test_steps_that_find_no_equilibrium_are_halved(monkeypatch):
    cell = cell_of("fft2d", 1e-4)
    times, F = paths_of("fft2d", 2, [0.5, 0.05], np.ones(2))
    halves = []
    advance = learning.batch_cell._Run._advance

    def counted(self, rows, F_old, F_new, dt, bisections):
        halves.append((bisections, rows.tolist()))
        advance(self, rows, F_old, F_new, dt, bisections)

    monkeypatch.setattr(learning.batch_cell._Run, "_advance", counted)
    for module in (learning.batch_cell, constitutive.equilibrium):
        monkeypatch.setattr(module, "MAX_ITERATIONS", 6)
    found = BatchCell(cell, "cpu").follow(times, F)
    assert any(depth > 1 and rows == [0] for depth, rows in halves)
    for t, path, history in zip(times, F, found, strict=True):
        assert_same(history, cell.follow(t, path), 3e-3)


def test_no_equilibrium_is_said_so(monkeypatch):
    monkeypatch.setattr(learning.batch_cell, "MAX_ITERATIONS", 1)
    times, F = paths_of("fft2d", 2, [0.5], np.ones(1))
    (found,) = BatchCell(cell_of("fft2d"), "cpu").follow(times, F)
    assert isinstance(found, CellError) and "no equilibrium within" in str(found)


@pytest.mark.parametrize("dimension", [2, 3])
def test_operators_of_the_grid_are_those_of_one_path(dimension):
    grid = PeriodicGrid(dimension, 6)
    rng, d = np.random.default_rng(0), dimension
    w, S = rng.normal(size=(2, d, *grid.shape)), rng.normal(size=(2, d, d, *grid.shape))
    inverse, bulk = np.eye(3) + 0.1 * rng.normal(size=(2, 3, 3)), np.array([2.0, 3.0])
    inverse = inverse @ inverse.swapaxes(1, 2)
    H, R = batch_grid.gradient(torch.tensor(w), d), batch_grid.divergence(torch.tensor(S), d)
    z, residual = batch_grid.BatchGrid(grid, "cpu").correction(R, torch.tensor(inverse), 1.5, torch.tensor(bulk))
    for n in range(2):
        expected_H, expected_R = np.empty_like(S[n]), np.empty_like(w[n])
        gradient(w[n], expected_H)
        divergence(S[n], expected_R)
        expected_z, expected_residual = grid.correction(expected_R, inverse[n], 1.5, bulk[n])
        np.testing.assert_allclose(H[n], expected_H, atol=1e-13)
        np.testing.assert_allclose(R[n], expected_R, atol=1e-13)
        np.testing.assert_allclose(z[n], expected_z, atol=1e-13)
        assert residual[n] == pytest.approx(expected_residual, rel=1e-12)


@pytest.mark.parametrize("kind", CELLS)
@torch.no_grad()
def test_everything_is_on_the_device(kind):
    """On a device without numbers: operations with what has been left on the CPU are refused there, as on a GPU."""
    batch = BatchCell(cell_of(kind), "meta")
    run, rows, which = learning.batch_cell._Run(batch, 3), np.array([0, 2]), np.array([1])
    step = run._begin(rows, np.eye(3)[None].repeat(3, axis=0), np.ones(3))
    H = torch.zeros(1, batch.grid.d, batch.grid.d, *batch.grid.shape, dtype=torch.float64, device="meta")
    F, J, _ = run._deformation(step, which, H)
    h, y, f = step.dt[which], step.y[:, which], torch.zeros_like(step.y[:, which])
    y1, end = batch_crystal.substep(batch.crystal, step.C[:, which], batch_crystal.gram(F), 0.0 * h, h, h, 3, y, f)
    S = run._stress(step.F[which], F, J, batch.crystal.project(y1, end.f))
    system = learning.batch_cell._System(batch.grid, step.F, 1e9, 1e9)
    found = (batch_crystal.error_of(h, y, y1, f, end), end.stiffness(), S, *system.unbalanced(which, S))
    run._commit(rows, which, step, run.w[rows])
    assert {t.device.type for t in (*found, run.y, run.w, run.trial)} == {"meta"}
    with pytest.raises((RuntimeError, NotImplementedError)):
        S + torch.zeros(S.shape, dtype=S.dtype)
