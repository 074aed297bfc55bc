"""Strain paths of a material point as CSV: columns t,F11,F12,F13,F21,F22,F23,F31,F32,F33, t in s."""

import csv
from pathlib import Path

import numpy as np

COLUMNS = ("t", *(f"F{i}{j}" for i in (1, 2, 3) for j in (1, 2, 3)))


class PathError(ValueError):
    """A path file that cannot be used; the message names file, line and column."""


def read_path(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times (m+1,) and F (m+1, 3, 3) of a path file; columns may come in any order. Raises PathError and OSError."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            rows = [(i, row) for i, row in enumerate(csv.reader(file), 1) if row and not row[0].startswith("#")]
        except (csv.Error, UnicodeDecodeError) as error:
            raise PathError(f"{path}: not a CSV file: {error}") from None
    if len(rows) < 3:
        raise PathError(f"{path}: a header {','.join(COLUMNS)} and at least two rows are needed")
    header = [name.strip() for name in rows[0][1]]
    for name in COLUMNS:
        if header.count(name) != 1:
            many = "is missing" if name not in header else "is there more than once"
            wanted = f"the columns, with commas between, are {','.join(COLUMNS)}"
            raise PathError(f"{path}, line {rows[0][0]}: column {name} {many}; {wanted}")
    order = [header.index(name) for name in COLUMNS]
    table = np.array([_numbers(path, line, row, order, len(header)) for line, row in rows[1:]])
    times, F = table[:, 0], table[:, 1:].reshape(-1, 3, 3)
    _check(path, [line for line, _ in rows[1:]], times, F)
    return times, F


def _numbers(path: Path, line: int, row: list[str], order: list[int], width: int) -> list[float]:
    if len(row) != width:
        found = f"{len(row)} values where the header names {width} columns"
        raise PathError(f"{path}, line {line}: {found}; decimals have points, values commas between")
    values = []
    for name, column in zip(COLUMNS, order, strict=True):
        try:
            value = float(row[column])
        except ValueError:
            value = np.nan
        if not abs(value) <= 1e100:
            raise PathError(f"{path}, line {line}, column {name}: '{row[column].strip()[:40]}' is not a finite number")
        values.append(value)
    return values


def _check(path: Path, lines: list[int], times: np.ndarray, F: np.ndarray) -> None:
    if not np.allclose(F[0], np.eye(3), rtol=0.0, atol=1e-12):
        raise PathError(f"{path}, line {lines[0]}: the first row must be undeformed, F = I, where the stress is zero")
    late = np.flatnonzero(np.diff(times) <= 0.0)
    if late.size:
        raise PathError(
            f"{path}, line {lines[late[0] + 1]}, column t: {times[late[0] + 1]:g} is not later than the row before"
        )
    flat = np.flatnonzero(np.linalg.det(F) <= 0.0)
    if flat.size:
        raise PathError(f"{path}, line {lines[flat[0]]}: det F = {np.linalg.det(F[flat[0]]):g} is not positive")
