"""The loss curve of a training, as CSV and as a picture."""

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path

from matplotlib.figure import Figure

from constitutive.whole_file import replace_text
from fem.picture import save


def write_curve(stem: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write `stem`_loss.csv, a column per key of the rows, and `stem`_loss.png, the errors over iterations.

    Rows may lack keys: a training can be resumed with test paths, or without.
    """
    keys = list(dict.fromkeys(key for row in rows for key in row))
    text = StringIO(newline="")
    writer = csv.DictWriter(text, keys, restval="")
    writer.writeheader()
    writer.writerows(rows)
    replace_text(stem.with_name(f"{stem.name}_loss.csv"), text.getvalue())
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for key, label in (("train", "training, mean"), ("test_mean", "test, mean"), ("test_p95", "test, 95th percentile")):
        if known := [row for row in rows if key in row]:
            axes.plot([row["iteration"] for row in known], [100.0 * row[key] for row in known], label=label)
    axes.set(xlabel="iterations", ylabel="relative L2 error of the deviator, %", yscale="log")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    save(figure, stem.with_name(f"{stem.name}_loss.png"))
