"""The history of a run: one row of numbers per recorded time, kept in memory and in `history.csv`."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from constitutive.whole_file import naming, replace_file, replace_text
from fem.output import OutputError

CONTACT_FORCE = "N, along the axis of the rigid body (a sphere's is its motion's), mean since the row before"
UNITS = {
    "time": "s",
    "dt": "s",
    **dict.fromkeys(
        ("kinetic", "internal", "hourglass", "viscous", "contact", "external", "total"), "J, of the whole body"
    ),
    "error": "1, energy out of balance over initial and external energy",
    **dict.fromkeys(("momentum_x", "momentum_y", "momentum_z"), "kg m/s, of the whole body"),
    "contact_force": f"{CONTACT_FORCE}; of several bodies the sum",
}


class History:
    """Rows of named numbers; with a folder, each goes to history.csv at once, and units to history_units.json.

    It begins with the rows of `table` (rows, columns), those of a checkpoint.
    """

    def __init__(
        self, names: Sequence[str], folder: Path | None, units: dict[str, str], table: np.ndarray | None = None
    ):
        self.names = list(names)
        self.rows: list[list[float]] = [] if table is None else table.tolist()
        self.path = folder / "history.csv" if folder is not None else None
        if folder is not None:
            text = json.dumps({name: (UNITS | units)[name] for name in self.names}, indent=2)
            replace_text(folder / "history_units.json", text + "\n")
            replace_file(folder / "history.csv", [(",".join(self.names) + "\n").encode(), *map(_line, self.rows)])

    def append(self, row: dict[str, float]) -> None:
        """Record one row; every named column must be given."""
        values = [float(row[name]) for name in self.names]
        self.rows.append(values)
        if self.path is not None:
            with naming(self.path), open(self.path, "ab") as file:
                file.write(_line(values))

    def column(self, name: str) -> np.ndarray:
        """One column, shape (rows,)."""
        return self.table()[:, self.names.index(name)]

    def table(self) -> np.ndarray:
        """All rows, shape (rows, columns), for a checkpoint."""
        return np.array(self.rows).reshape(-1, len(self.names))


def read_history(path: Path) -> dict[str, np.ndarray]:
    """Columns (rows,) of a history.csv by name. Raises OutputError where it is damaged, and OSError."""
    try:
        text = path.read_text()
        if not text.endswith("\n"):  # cut within its last number it would read well
            raise ValueError("its last row is not whole")
        names = text.split("\n", 1)[0].split(",")
        table = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
        return dict(zip(names, table.T, strict=True))
    except ValueError as error:
        raise OutputError(f"{path} is damaged ({error}): start the run afresh") from None


def _line(values: Sequence[float]) -> bytes:
    return (",".join(repr(float(value)) for value in values) + "\n").encode()
