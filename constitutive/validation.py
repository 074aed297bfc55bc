"""Checks of a material file's values against a law's parameters; every complaint is one line that says what to do."""

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from constitutive.law import LawError, Parameter, did_you_mean

# What a value outside its range was probably given in, and the factor to the SI unit.
OTHER_UNITS = {
    "kg/m3": (("g/cm3", 1e3), ("t/mm3", 1e12)),
    "Pa": (("MPa", 1e6), ("GPa", 1e9)),
}
WORDS = {float: "a number", int: "a whole number", str: "a word in quotes", Path: "a file name in quotes"}


def shown(value: Any) -> str:
    """A value for a one-line message."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def checked_values(
    parameters: Sequence[Parameter],
    given: Mapping[str, Any],
    where: str,
    folder: Path = Path(),
    also_known: Collection[str] = (),
) -> dict[str, Any]:
    """Values for all `parameters`: those given, checked and converted, and defaults for the others.

    `where` opens the messages (a file, or a table of it); paths are relative to `folder`; keys in `also_known` are
    passed over. Raises LawError.
    """
    known = [parameter.name for parameter in parameters]
    for key in given:
        if key not in known and key not in also_known:
            hint = did_you_mean(key, known) or f"; the keys are {', '.join(known)}"
            raise LawError(f"{where}: unknown key '{shown(key)[1:-1]}'{hint}")
    values: dict[str, Any] = {}
    for parameter in parameters:
        name = parameter.name
        if name in given:
            values[name] = _checked(parameter, given[name], where, folder)
        elif parameter.default is not None:
            values[name] = parameter.default
        elif parameter.required:
            raise LawError(f"{where}: {name} is missing; give it as {name} = ... ({describe(parameter)})")
        else:
            values[name] = None
    return values


def describe(parameter: Parameter) -> str:
    """Meaning, unit and range of a parameter, in words."""
    if isinstance(parameter.kind, tuple):
        return f"{parameter.meaning}; tables [[{parameter.name}]]"
    unit = f", {parameter.unit}" if parameter.unit not in ("", "1") else ""
    return f"{parameter.meaning}{unit}{_range(parameter)}"


def _range(parameter: Parameter) -> str:
    low, high = parameter.minimum, parameter.maximum
    parts = []
    if low > -math.inf:
        parts.append(f"{'above' if parameter.exclusive else 'at least'} {low:g}")
    if high < math.inf:
        parts.append(f"at most {high:g}")
    return (", " if parts else "") + " and ".join(parts) + (", or zero" if parameter.or_zero else "")


def _checked(parameter: Parameter, value: Any, where: str, folder: Path) -> Any:
    kind = parameter.kind
    if isinstance(kind, tuple):
        return _tables(parameter, value, where, folder)
    if kind is list:
        if not isinstance(value, list) or not value or not all(is_finite(item) for item in value):
            raise LawError(
                f"{where}: {parameter.name} = {shown(value)} must be a list of numbers ({describe(parameter)})"
            )
        return value
    if kind in (str, Path):
        if not isinstance(value, str):
            raise LawError(f"{where}: {parameter.name} = {shown(value)} must be {WORDS[kind]} ({describe(parameter)})")
        return str((folder / value).absolute()) if kind is Path and value else value
    if not is_finite(value) or (kind is int and not isinstance(value, int)):
        raise LawError(f"{where}: {parameter.name} = {shown(value)} must be {WORDS[kind]} ({describe(parameter)})")
    number = kind(value)
    if not in_range(parameter, number):
        raise LawError(
            f"{where}: {parameter.name} = {shown(value)} is out of range ({describe(parameter)})"
            f"{_unit_hint(parameter, number)}"
        )
    return number


def _tables(parameter: Parameter, value: Any, where: str, folder: Path) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise LawError(
            f"{where}: {parameter.name} = {shown(value)} must be tables, each opened by [[{parameter.name}]]"
        )
    return [
        checked_values(parameter.kind, item, f"{where}, [[{parameter.name}]] number {i}", folder)
        for i, item in enumerate(value)
    ]


def is_finite(value: Any) -> bool:
    """Whether a value of a file is a number that can be computed with."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) <= 1e300  # also false for NaN


def in_range(parameter: Parameter, number: float) -> bool:
    """Whether a number lies in a parameter's range."""
    if parameter.or_zero and number == 0.0:
        return True
    above = number > parameter.minimum if parameter.exclusive else number >= parameter.minimum
    return above and number <= parameter.maximum


def _unit_hint(parameter: Parameter, number: float) -> str:
    units = [(unit, number * factor) for unit, factor in OTHER_UNITS.get(parameter.unit, ())]
    fits = [f"{number:g} {unit} would be {value:g}" for unit, value in units if in_range(parameter, value)]
    return f"; units are SI: {', '.join(fits)}" if fits else ""
