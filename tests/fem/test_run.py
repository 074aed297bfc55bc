"""A run and its folder: what is refused, what is kept, what a restart changes."""

import errno

import numpy as np
import pytest

from constitutive.law import law_definition
from fem.folder import RunError, alone_in
from fem.meshing import box
from fem.model import Model
from fem.run import run

NUMBERS = {"density": 8960.0, "youngs_modulus": 1.2e11, "poissons_ratio": 0.34}
LAW = law_definition("j2").build(NUMBERS | {"yield_stress": 1e8, "hardening_modulus": 1e8})


def bar() -> Model:
    """Two elements, one end held, the other thrown."""
    mesh = box((1e-3, 1e-3, 2e-3), (1, 1, 2))
    model = Model(mesh, LAW).fix(np.flatnonzero(mesh.points[:, 2] == 0.0))
    return model.initial_velocity((0.0, 0.0, 50.0), np.flatnonzero(mesh.points[:, 2] > 1.5e-3))


@pytest.fixture
def folder(tmp_path):
    """A finished run's."""
    run(bar(), 2e-6, tmp_path / "run", frames=2, records=10)
    return tmp_path / "run"


@pytest.mark.parametrize("option", ["restart", "overwrite"])
def test_a_folder_is_for_one_run_at_a_time(folder, option):
    before = (folder / "history.csv").read_bytes()
    with alone_in(folder), pytest.raises(RunError, match="another process is at work there"):
        run(bar(), 1e-6, folder, **{option: True})
    assert (folder / "history.csv").read_bytes() == before
    run(bar(), 2e-6, folder, **{option: True})


def test_a_disk_without_locks_serves(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EBADF, "Bad file descriptor")  # NFS, of a folder

    monkeypatch.setattr("fcntl.flock", refuse)
    assert run(bar(), 1e-7, tmp_path / "run").summary["completed"]
