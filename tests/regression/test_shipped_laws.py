"""What is promised of the learned laws that ship, where it takes no fine scale to see it."""

import pytest

from constitutive.material import load_material
from learning.checks import RESOLUTIONS, resolution

DURATION, SEED = 1e-6, 20260  # s; those of learning.evaluate


@pytest.mark.parametrize("variant", ["", "_fast", "_wide", "_isotropic", "_isotropic_large"])
def test_200_and_20_000_steps_agree(variant):
    """Within 0.3 % along smooth paths, by the default `longest_step`."""
    found = resolution(load_material(f"magnesium_liu2022{variant}", law="recurrent").law, DURATION, SEED)
    apart = dict(zip(RESOLUTIONS, found["against_own_finest"], strict=True))
    assert apart[200] < 0.003
    assert found["least_plastic_power"] >= 0.0
