"""One crystal as a law: `taylor` with a single grain of given orientation (see taylor.py for the equations)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from constitutive.law import Law, LawDefinition, LawError, Parameter
from constitutive.taylor import CRYSTAL_PARAMETERS, build_polycrystal
from constitutive.texture import rotations_from_bunge

_ORIENTATION = Parameter("orientation", "deg", "Bunge angles phi1, Phi, phi2", kind=list, required=False)


def build(values: Mapping[str, Any]) -> Law:
    angles = np.asarray(values.get("orientation") or (0.0, 0.0, 0.0), float)
    if angles.shape != (3,):
        raise LawError(f"orientation has three angles, phi1, Phi, phi2 in degrees, not {angles.ravel().tolist()}")
    return build_polycrystal("crystal", values, rotations_from_bunge(angles), np.ones(1))


LAW = LawDefinition("crystal", (*CRYSTAL_PARAMETERS, _ORIENTATION), build)
