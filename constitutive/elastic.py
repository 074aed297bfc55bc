"""Elastic constants: two ways to give them, one to use them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from constitutive.law import LawError, Parameter

DENSITY = Parameter("density", "kg/m3", "reference density", 100.0, 30e3)
SOFTEST, STIFFEST = 1e5, 2e12  # Pa: between a gel and diamond; outside, the unit is wrong

SHEAR_MODULUS = Parameter("shear_modulus", "Pa", "G", SOFTEST, STIFFEST)

PARAMETERS = (
    DENSITY,
    replace(SHEAR_MODULUS, required=False),
    Parameter("bulk_modulus", "Pa", "K", SOFTEST, STIFFEST, required=False),
    Parameter("youngs_modulus", "Pa", "E", SOFTEST, STIFFEST, required=False),
    Parameter("poissons_ratio", "1", "nu", -1.0, 0.4999, exclusive=True, required=False),
)


def moduli(values: Mapping[str, Any]) -> tuple[float, float]:
    """Shear and bulk modulus, Pa, from either pair of constants."""
    given = {
        name
        for name in ("shear_modulus", "bulk_modulus", "youngs_modulus", "poissons_ratio")
        if values.get(name) is not None
    }
    if given == {"shear_modulus", "bulk_modulus"}:
        return values["shear_modulus"], values["bulk_modulus"]
    if given == {"youngs_modulus", "poissons_ratio"}:
        E, nu = values["youngs_modulus"], values["poissons_ratio"]
        return E / (2.0 * (1.0 + nu)), E / (3.0 * (1.0 - 2.0 * nu))
    raise LawError(
        "give shear_modulus and bulk_modulus, or youngs_modulus and poissons_ratio; "
        f"given: {', '.join(sorted(given)) or 'none'}"
    )
