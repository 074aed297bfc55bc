"""Materials that several verifications use."""

import pytest

from constitutive.law import Law, law_definition


@pytest.fixture(scope="session")
def elastic() -> Law:
    """A steel-like neo-Hookean solid."""
    return law_definition("neo_hookean").build({"density": 8000.0, "youngs_modulus": 2e11, "poissons_ratio": 0.3})
