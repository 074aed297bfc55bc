"""Runs of one case with several laws, compared with one of them: fields, contact force, final shape.

All runs have the same mesh. Fields are compared element by element, weighted by the elements' reference volumes V:

    error at a frame = sqrt(sum V (f - f_ref)^2 / sum V f_ref^2),   over all frames: both sums over frames too

The laws' steps, and so the times of their frames, differ a little: a run's fields are interpolated linearly between its
frames to the times of the reference's; at the end time they agree. Contact forces are compared as means over intervals
of time, by their L2 norm. Lengths and radii are compared in their change since the start; where they agree to
ROUND_OFF of the body's size, as lengths do before the waves have reached the tail, they do not differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fem.folder import read_json
from fem.hex8 import mean_gradient
from fem.history import read_history
from fem.output import frame_times, read_frame

FIELDS = ("von_mises", "deviatoric_strain", "volumetric_strain")
CHANGES = {"length": "final_length", "radius": "final_radius", "deflection": "back_face_deflection"}
ROUND_OFF = 1e-12  # of places after many steps, over the body's size
COPIED = ("steps", "energy_error", "max_energy_error", "hourglass_energy_ratio", "wall_time", "law_time",
          "outside_envelope_fraction", "max_von_mises", "max_equivalent_plastic_strain")  # fmt: skip


@dataclass(frozen=True)
class Run:
    """What a run folder holds. SI units.

    times (f,); fields {name: (f, m)}; points before and at the end (n, 3); hexes (m, 8); volumes (m,) before; history
    {column: (r,)}.
    """

    label: str
    summary: Mapping[str, Any]
    history: Mapping[str, np.ndarray]
    times: np.ndarray
    fields: Mapping[str, np.ndarray]
    before: np.ndarray
    points: np.ndarray
    hexes: np.ndarray
    volumes: np.ndarray


def read_run(label: str, folder: Path) -> Run:
    """Read a finished run. Raises RunError and OutputError where something in it is damaged, and OSError."""
    listed = frame_times(folder / "fields.pvd")
    frames = [read_frame(folder / name) for _, name in listed]
    hexes = frames[0].cells[0].data
    return Run(
        label,
        read_json(folder / "summary.json"),
        read_history(folder / "history.csv"),
        np.array([time for time, _ in listed]),
        {name: np.array([frame.cell_data[name][0].ravel() for frame in frames], float) for name in FIELDS},
        frames[0].points,
        frames[-1].points,
        hexes,
        mean_gradient(frames[0].points[hexes])[1],
    )


def fields_at(run: Run, name: str, times: np.ndarray) -> np.ndarray:
    """A field (len(times), m) between the frames of a run, linear in time."""
    after = np.clip(np.searchsorted(run.times, times), 1, len(run.times) - 1)
    before = run.times[after - 1]
    weight = np.clip((times - before) / (run.times[after] - before), 0.0, 1.0)[:, None]
    return (1.0 - weight) * run.fields[name][after - 1] + weight * run.fields[name][after]


def field_errors(run: Run, reference: Run, name: str) -> dict[str, Any]:
    """Relative L2 error of a field at each frame of the reference (None where it is zero), at the end, and over all."""
    exact = reference.fields[name]
    difference = fields_at(run, name, reference.times) - exact
    over, under = ((values**2 @ reference.volumes) for values in (difference, exact))
    each = [float(np.sqrt(a / b)) if b > 0.0 else None for a, b in zip(over, under, strict=True)]
    return {"frames": each, "final": each[-1], "all": float(np.sqrt(over.sum() / under.sum()))}


def mean_forces(run: Run, edges: np.ndarray) -> np.ndarray:
    """Mean contact force in intervals of time, N, (len(edges) - 1,)."""
    time, force = run.history["time"], run.history["contact_force"]
    impulse = np.concatenate([[0.0], np.cumsum(force[1:] * np.diff(time))])
    return np.diff(np.interp(edges, time, impulse)) / np.diff(edges)


def compare(run: Run, reference: Run) -> dict[str, Any]:
    """A run's numbers beside those of the reference; every error is relative."""
    edges = np.linspace(0.0, reference.times[-1], len(reference.times))
    exact = mean_forces(reference, edges)
    forces = float(np.linalg.norm(mean_forces(run, edges) - exact) / np.linalg.norm(exact))
    round_off = ROUND_OFF * np.ptp(reference.before)
    row: dict[str, Any] = {"label": run.label, "law": run.summary["law"], "material": run.summary["material"]}
    for column, key in CHANGES.items():
        if column in reference.history:
            start, end = reference.history[column][0], reference.summary[key]
            row[key] = run.summary[key]
            difference = run.summary[key] - end
            row[f"{column}_error"] = difference / abs(end - start) if abs(difference) > round_off else 0.0
    impulse = reference.summary["contact_impulse"]
    return row | {
        "contact_impulse": run.summary["contact_impulse"],
        "impulse_error": (run.summary["contact_impulse"] - impulse) / impulse,
        "contact_force_error": forces,
        "fields": {name: field_errors(run, reference, name) for name in FIELDS},
        **{key: run.summary[key] for key in COPIED if key in run.summary},
    }


def comparison(runs: Sequence[Run]) -> dict[str, Any]:
    """All runs against the first, as JSON knows it."""
    reference = runs[0]
    return {
        "reference": reference.label,
        "elements": reference.summary["elements"],
        "element": reference.summary["element"],
        "end_time": reference.summary["end_time"],
        "threads": reference.summary["threads"],
        "frame_times": reference.times.tolist(),
        "runs": [compare(run, reference) for run in runs],
    }
