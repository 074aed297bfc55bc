"""Why the results of a finished run may not be trusted."""

from collections.abc import Mapping
from typing import Any

HOURGLASS = 0.1  # of the internal energy: the customary bound
ENERGY = 0.05  # of all energy
BEYOND = 0.01  # of the elements


class RunWarning(UserWarning):
    """Results that may mean little, or be of another material than is thought; the message says why and what to do."""


def doubts(summary: Mapping[str, Any]) -> list[str]:
    """A line for each reason to doubt the run with this summary; none where all is well."""
    found = []
    hourglass, error = summary["hourglass_energy_ratio"], summary["max_energy_error"]
    inverted, elements = summary["inverted_elements"], summary["elements"]
    beyond = summary.get("outside_envelope_fraction", 0.0)
    if hourglass > HOURGLASS:
        found.append(
            f"hourglass energy is {100.0 * hourglass:.3g} % of the internal energy: refine the mesh, or take hex8"
        )
    if inverted:
        found.append(
            f"{inverted} of {elements} elements are turned inside out at a corner: what they say means nothing; "
            "end earlier, mesh otherwise, or take hex8 for hex8r"
        )
    if error > ENERGY:
        found.append(f"{100.0 * error:.3g} % of the energy was lost or made at some time: the run may be unstable")
    if beyond > BEYOND:
        found.append(
            f"{100.0 * beyond:.3g} % of the elements have been where the law has not learned (outside_envelope in the "
            "frames): compare with the fine scale there"
        )
    return found
