"""What a finished run says of itself where its results may mean little."""

import warnings

import numpy as np
import pytest

from constitutive.law import law_definition
from fem.doubts import RunWarning, doubts
from fem.meshing import box
from fem.model import Model
from fem.run import run

LAW = law_definition("neo_hookean").build({"density": 8960.0, "youngs_modulus": 1.2e11, "poissons_ratio": 0.34})
GOOD = {"hourglass_energy_ratio": 0.09, "max_energy_error": 0.04, "inverted_elements": 0, "elements": 50}


def pushed(distance: float, element: str) -> Model:
    """Two cubes of a millimetre; one corner of the first is pushed towards its middle, in a microsecond."""
    mesh = box((1e-3, 1e-3, 2e-3), (1, 1, 2))
    corner = np.flatnonzero((mesh.points == 0.0).all(axis=1))
    model = Model(mesh, LAW, element).fix(np.setdiff1d(np.arange(12), corner))
    for axis in "xyz":
        model.prescribe_velocity(corner, axis, distance / 1e-6)
    return model


def test_a_good_run_says_nothing():
    assert doubts(GOOD) == []
    with warnings.catch_warnings(action="error"):
        assert run(pushed(0.1e-3, "hex8"), 1e-6).summary["inverted_elements"] == 0


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("hourglass_energy_ratio", 0.11, "hourglass energy is 11 % of the internal energy"),
        ("max_energy_error", 0.06, "6 % of the energy was lost or made"),
        ("inverted_elements", 5, "5 of 50 elements are turned inside out at a corner"),
        ("outside_envelope_fraction", 0.02, "2 % of the elements have been where the law has not learned"),
    ],
)
def test_each_doubt_is_a_line(key, value, words):
    (line,) = doubts(GOOD | {key: value})
    assert words in line and "\n" not in line


def test_a_corner_pushed_beyond_the_middle_is_told():
    with pytest.warns(RunWarning, match="1 of 2 elements are turned inside out at a corner"):
        assert run(pushed(0.6e-3, "hex8r"), 1e-6).summary["inverted_elements"] == 1


def test_hex8_is_not_told_to_be_hex8():
    with pytest.warns(RunWarning, match="end earlier, mesh otherwise, or take hex8 for hex8r$"):
        run(pushed(0.4e-3, "hex8"), 1e-6)
