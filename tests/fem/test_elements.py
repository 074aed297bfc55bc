"""The numbers of the method: what cannot be is refused."""

import numpy as np
import pytest

from fem.elements import Controls, ControlsError


@pytest.mark.parametrize(
    "wrong",
    [
        {"safety": -1.0}, {"safety": 0.0}, {"safety": 1.1}, {"safety": np.nan}, {"penalty": -1.0},
        {"linear_viscosity": -0.06}, {"quadratic_viscosity": np.inf}, {"hourglass_viscosity": np.nan},
        {"hourglass_stiffness": -0.1},
    ],
)  # fmt: skip
def test_controls_that_make_no_sense_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ControlsError, match=f"{name} is"):
        Controls(**wrong)


def test_controls_may_be_switched_off():
    assert Controls(0.0, 0.0, 0.0, 0.0, safety=1.0, penalty=0.0).safety == 1.0
