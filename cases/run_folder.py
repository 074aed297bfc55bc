"""A run folder read back: its frames as axial cuts, with the rigid body where it was."""

import json
import tomllib
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from cases.registry import CASES, command_name
from fem.axial_cut import AxialCut, axial_cut
from fem.contact import RigidBody
from fem.folder import RunError
from fem.output import frame_times, read_frame


@dataclass(frozen=True)
class RunFolder:
    """Frames as (time in s, file), what part of the body was computed, the rigid bodies, and what to call the run."""

    path: Path
    frames: Sequence[tuple[float, str]]
    symmetry: str
    bodies: Sequence[RigidBody]
    title: str

    def cut(self, index: int, names: Sequence[str]) -> AxialCut:
        """Axial cut of a frame with the named fields. Raises RunError where one is not there, OutputError."""
        time, file = self.frames[index]
        frame = read_frame(self.path / file)
        cells = {name: values[0] for name, values in frame.cell_data.items()}
        scalars = {name: values.ravel().astype(float) for name, values in cells.items() if values[0].size == 1}
        for name in names:
            if name not in scalars:
                raise RunError(
                    f"{self.path / file} has no field '{name}' of one component; it has {', '.join(scalars)}"
                )
        distances = [partial(body.distance, time=time) for body in self.bodies]
        fields = {name: scalars[name] for name in names}
        before = frame.points - frame.point_data["displacement"]
        return axial_cut(before, frame.points, frame.cells[0].data, fields, self.symmetry, distances)

    def nearest(self, time: float) -> int:
        """The frame nearest to a time in s."""
        return int(np.argmin([abs(frame - time) for frame, _ in self.frames]))


def open_run(path: str | Path) -> RunFolder:
    """Read a run folder, finished or not. A run of one's own, without options.json, is shown without rigid bodies.

    Raises RunError where there are no frames, OutputError where their list is damaged.
    """
    path = Path(path)
    if not (path / "fields.pvd").is_file():
        raise RunError(f"{path} holds no field frames (fields.pvd): name a run folder, made without --no-fields")
    frames = frame_times(path / "fields.pvd")
    if not frames:
        raise RunError(f"{path / 'fields.pvd'} lists no frame yet: wait for the run's first")
    try:
        options = json.loads((path / "options.json").read_text())
        material = tomllib.loads((path / "material.toml").read_text())["name"]
        case = next(case for case in CASES.values() if command_name(case) == options["case"])
        bodies, symmetry = [case.rigid_body(Namespace(**options))], options["symmetry"]
        title = f"{options['case'].replace('_', ' ')}, {material}, {options['velocity']:g} m/s"
    except FileNotFoundError:
        bodies, symmetry, title = [], "full", path.name
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        raise RunError(f"{path}: options.json or material.toml is damaged: remove both to do without") from None
    return RunFolder(path, frames, symmetry, bodies, title)
