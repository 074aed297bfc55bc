"""Textures that are uniform to a degree: harmonics vanish, and so does the anisotropy of low degree."""

import numpy as np
import pytest

from constitutive.crystal import Lattice
from constitutive.material import SHIPPED
from constitutive.tensor import random_rotations
from constitutive.texture import random_texture, read_texture

pytest.importorskip("torch")

from learning import uniform_texture

BASAL = Lattice("hcp", 1.624).family([0, 0, 0, 1], [1, 1, -2, 0]).schmid
OCTAHEDRAL = Lattice("cubic").family([1, 1, 1], [1, -1, 0]).schmid


def schmid_anisotropy(R, schmid=BASAL):
    """Spread over directions of the mean squared Schmid factor of slip, a harmonic of degree 4, over its mean."""
    turned = np.einsum("gia,sab,gjb->gsij", R, schmid, R)
    axes = random_rotations(np.random.default_rng(0), 50)[:, :, 0]
    means = np.square(np.einsum("di,gsij,dj->dgs", axes, turned, axes)).mean(axis=(1, 2))
    return means.std() / means.mean()


def test_harmonics_vanish(tmp_path, capsys):
    path = uniform_texture.main(["--grains", "24", "--degree", "4", "--output", str(tmp_path / "a.tex")])
    R, weights = read_texture(path)
    assert len(R) == 24 and np.all(weights == weights[0])
    assert schmid_anisotropy(R) < 1e-5
    assert schmid_anisotropy(random_texture(24, 0)[0]) > 0.05
    with pytest.raises(SystemExit):
        uniform_texture.main(["--output", str(path)])
    assert "exists" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        uniform_texture.main(["--grains", "1", "--degree", "4", "--output", str(tmp_path / "b.tex")])
    assert "not made uniform" in capsys.readouterr().err and not (tmp_path / "b.tex").exists()


def test_harmonics_of_cubic_lattices_vanish(tmp_path):
    small = ["--grains", "24", "--degree", "4"]
    cubic = uniform_texture.main([*small, "--lattice", "cubic", "--output", str(tmp_path / "cubic.tex")])
    hcp = uniform_texture.main([*small, "--output", str(tmp_path / "hcp.tex")])
    assert schmid_anisotropy(read_texture(cubic)[0], OCTAHEDRAL) < 1e-5
    assert schmid_anisotropy(read_texture(hcp)[0], OCTAHEDRAL) > 0.01


def test_the_shipped_texture_is_uniform():
    R, _ = read_texture(SHIPPED / "uniform_128.tex")
    assert len(R) == 128 and schmid_anisotropy(R) < 1e-6
