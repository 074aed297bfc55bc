"""A run from start to end: the time loop with history, field frames, checkpoints, progress, and a summary."""

import json
import os
import platform
import resource
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numba
import numpy as np

from constitutive.whole_file import replace_text
from fem.checkpoint import read_checkpoint, write_checkpoint
from fem.doubts import RunWarning, doubts
from fem.elements import MaterialError
from fem.folder import AT_THE_END, RunError, run_folder
from fem.history import CONTACT_FORCE, History
from fem.mesh import Mesh, scaled_jacobian
from fem.model import Model
from fem.output import FieldWriter, cell_fields, field_units
from fem.progress import Progress
from fem.solver import Solver

COLUMNS = ("time", "dt", "kinetic", "internal", "hourglass", "viscous", "contact", "external", "total", "error",
           "momentum_x", "momentum_y", "momentum_z", "contact_force")  # fmt: skip
ROUND_OFF = 1e-12  # of all energy: an internal energy that is less counts as so much
MOST_THREADS: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]


class StoppedError(RunError):
    """The run was stopped by a signal after writing a checkpoint; `exit_code` follows the shell's custom."""

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.exit_code = 128 + number


@dataclass(frozen=True)
class Monitor:
    """A number of the user's own in the history: its unit and how to find it from the solver."""

    unit: str
    value: Callable[[Solver], float]


@dataclass
class Result:
    """What a run leaves: summary, history, and the solver's final state."""

    summary: dict[str, Any]
    history: History
    solver: Solver
    folder: Path | None = None


@dataclass(frozen=True)
class Settings:
    """How to run, none of which changes the physics.

    `records` rows of history, one at least, and `frames` field frames are spread evenly over the run, beside those of
    the start (a run continued to a later end keeps the intervals that it began with, and has the end beside them); a
    checkpoint is written every `checkpoint_seconds` of wall time, at the start and at the end.
    """

    frames: int = 20
    records: int = 400
    threads: int = 1
    checkpoint_seconds: float = 30.0
    fields: bool = True
    quiet: bool = True
    restart: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Case:
    """What a case adds to a run: labels and own keys of the summary, and files that say what was run."""

    labels: Mapping[str, str] = field(default_factory=dict)
    finish: Callable[[Solver], dict[str, float]] = lambda solver: {}
    files: Mapping[str, str] = field(default_factory=dict)


def run(
    model: Model,
    end_time: float,
    output: str | Path | None = None,
    monitors: Mapping[str, Monitor] | None = None,
    case: Case | None = None,
    settings: Settings | None = None,
    **options: Any,
) -> Result:
    """Compute a model to `end_time` in s; with `output`, into a run folder. Options are those of Settings, which they
    replace.

    Raises RunError, BoundaryError, MaterialError, CheckpointError, OutputError (one line each: what, where, what to do)
    and OSError of the disk; issues a RunWarning for each reason to doubt the results (fem/doubts.py).
    """
    settings, monitors = replace(settings or Settings(), **options), dict(monitors or {})
    if not (np.isfinite(end_time) and end_time > 0.0):
        raise RunError(f"end time is {end_time} s; give a positive time")
    if taken := [name for name in monitors if name in (*COLUMNS, *_body_columns(model))]:
        raise RunError(f"monitor '{taken[0]}': every history has a column of that name; call it otherwise")
    if split := [name for name in monitors if set(name) & set(',"\n')]:
        raise RunError(f"monitor {split[0]!r}: no column of history.csv can be called so; leave out commas and quotes")
    model.check_symmetry()
    place = run_folder(output, settings.restart, settings.overwrite) if output is not None else nullcontext()
    with place as folder:
        result = _Run(model, float(end_time), folder, monitors, case or Case(), settings).execute()
    for doubt in doubts(result.summary):
        warnings.warn(doubt, RunWarning, stacklevel=2)
    return result


def _body_columns(model: Model) -> list[str]:
    """Columns of the force on each rigid body, in the order of the model's contacts, where there are several."""
    bodies = len(model.contacts)
    return [f"contact_force_{k + 1}" for k in range(bodies)] if bodies > 1 else []


class _Run:
    def __init__(
        self,
        model: Model,
        end_time: float,
        folder: Path | None,
        monitors: dict[str, Monitor],
        case: Case,
        settings: Settings,
    ):
        self.model, self.end_time, self.folder = model, end_time, folder
        self.monitors, self.case, self.settings = monitors, case, settings
        self.threads = max(1, min(settings.threads, MOST_THREADS))
        numba.set_num_threads(self.threads)
        self.names = [*COLUMNS, *_body_columns(model), *monitors]
        checkpoint = read_checkpoint(folder, model.fingerprint()) if folder and settings.restart else None
        self.solver = Solver(model, self.threads)
        self.frames = 0
        self.record_interval, self.frame_interval = (end_time / max(n, 1) for n in (settings.records, settings.frames))
        self.impulse_before = np.zeros(len(self.solver.accounts))
        self.largest_error = 0.0
        self.wall_time = self.output_time = self.saved = 0.0
        self.stop_signal: int | None = None
        table = self._resume(*checkpoint) if checkpoint is not None else None
        units = {name: monitor.unit for name, monitor in monitors.items()}
        units |= dict.fromkeys(_body_columns(model), CONTACT_FORCE)
        self.history = History(self.names, folder, units, table)
        self.writer = None
        if folder is not None and settings.fields:
            self.writer = FieldWriter(folder, model.mesh, field_units(model.law))
            self.writer.truncate(self.frames)
        if folder is not None:
            self._say_what_is_run(folder)

    def _say_what_is_run(self, folder: Path) -> None:
        """Write the case's files, and remove what says that an earlier end was reached."""
        if self.solver.time < self.end_time:
            for name in AT_THE_END:
                (folder / name).unlink(missing_ok=True)
        for file, text in self.case.files.items():
            replace_text(folder / file, text)

    def execute(self) -> Result:
        """Run to the end, or until a signal, which is answered with a checkpoint."""
        numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
        handlers = {number: signal.signal(number, self._stop) for number in numbers}
        try:
            return self._execute()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: Any) -> None:
        self.stop_signal = number

    def _execute(self) -> Result:
        solver, settings = self.solver, self.settings
        if not self.history.rows:
            begin = time.perf_counter()
            self._record()
            self._frame()
            self.output_time += time.perf_counter() - begin
            self._checkpoint()
        startup = _age()
        progress = Progress(self.end_time, solver.time, settings.quiet)
        last_checkpoint = time.monotonic()
        while solver.time < self.end_time:
            begin, before = time.perf_counter(), solver.time
            self._step()
            end = time.perf_counter()
            self.wall_time += end - begin
            self._record_when_due(before)
            progress.update(solver.time, solver.steps)
            self.output_time += time.perf_counter() - end
            if self.stop_signal is not None or time.monotonic() - last_checkpoint > settings.checkpoint_seconds:
                self._checkpoint()
                last_checkpoint = time.monotonic()
            if self.stop_signal is not None:
                progress.close()
                where = f"; --restart, restart=True in Python, goes on in {self.folder}" if self.folder else ""
                name = signal.Signals(self.stop_signal).name
                raise StoppedError(f"stopped by {name} at {solver.time:.6g} s{where}", self.stop_signal)
        progress.close()
        self._checkpoint()
        summary = self._summary(startup)
        if self.folder is not None:
            replace_text(self.folder / "summary.json", json.dumps(summary, indent=2) + "\n")
        return Result(summary, self.history, solver, self.folder)

    def _step(self) -> None:
        solver = self.solver
        remaining, stable = self.end_time - solver.time, solver.stable_step()
        last = remaining <= stable
        try:
            solver.step(remaining if last else min(stable, 0.5 * remaining))
        except MaterialError as error:
            where = f"; the last good checkpoint, at {self.saved:.6g} s, is in {self.folder}" if self.folder else ""
            raise MaterialError(f"{error}{where}") from None
        if last:
            solver.time = self.end_time

    def _record_when_due(self, before: float) -> None:
        if self._due(self.record_interval, before):
            self._record()
        if self.settings.frames and self._due(self.frame_interval, before):
            self._frame()

    def _due(self, interval: float, before: float) -> bool:
        """Whether the last step, from time `before` on, reached a multiple of an interval, or the end."""
        past, now = (time * (1.0 + 1e-12) // interval for time in (before, self.solver.time))
        return now > past or self.solver.time == self.end_time

    def _record(self) -> None:
        solver = self.solver
        energies, momentum = solver.energies(), solver.momentum()
        impulse = np.array([account.axial_impulse for account in solver.accounts])
        before = self.history.rows[-1][0] if self.history.rows else 0.0
        forces = np.abs(impulse - self.impulse_before) * self.model.copies / max(solver.time - before, 1e-300)
        row = {
            "time": solver.time,
            "dt": solver.dt,
            **energies,
            **dict(zip(("momentum_x", "momentum_y", "momentum_z"), momentum, strict=True)),
            "contact_force": float(forces.sum()),
            **{name: monitor.value(solver) for name, monitor in self.monitors.items()},
        }
        row |= dict(zip(_body_columns(self.model), forces, strict=False))
        self.impulse_before = impulse
        self.history.append(row)
        self.largest_error = max(self.largest_error, abs(energies["error"]))

    def _frame(self) -> None:
        if self.writer is not None:
            law = self.model.law
            fields = cell_fields(law, *self.solver.elements.mean_values(law.shown))
            self.writer.write(self.frames, self.solver.time, self.solver.displacement, self.solver.velocity, fields)
        self.frames += 1

    def _checkpoint(self) -> None:
        if self.folder is None:
            return
        begin = time.perf_counter()
        progress = {
            "columns": self.names,
            "frames": self.frames,
            "intervals": [self.record_interval, self.frame_interval],
            "largest_error": self.largest_error,
            "wall_time": self.wall_time,
            "output_time": self.output_time,
            "seconds": self.solver.seconds,
            "times": self.solver.elements.times.sum(axis=0).tolist(),
        }
        arrays = self.solver.save() | {"history": self.history.table(), "impulse_before": self.impulse_before}
        write_checkpoint(self.folder, arrays, self.model.fingerprint(), progress)
        self.saved = self.solver.time
        self.output_time += time.perf_counter() - begin

    def _resume(self, arrays: dict[str, np.ndarray], progress: dict[str, Any]) -> np.ndarray:
        """Take over the state of a checkpoint; its history (rows, columns). Raises RunError where it does not fit."""
        if progress["columns"] != self.names:
            begun = ", ".join(progress["columns"][len(self.names) - len(self.monitors) :]) or "none"
            raise RunError(f"{self.folder} was begun with other monitors: {begun}; give the same in the same order")
        if (reached := arrays["scalars"][0]) > self.end_time:
            raise RunError(f"{self.folder} was computed to {reached:.6g} s already; give an end time from there on")
        table = arrays.pop("history")
        self.impulse_before = arrays.pop("impulse_before")
        self.solver.load(arrays)
        self.solver.elements.times[0] = progress["times"]
        self.solver.seconds.update(progress["seconds"])
        self.frames, self.largest_error = progress["frames"], progress["largest_error"]
        self.wall_time, self.output_time = progress["wall_time"], progress["output_time"]
        self.saved = self.solver.time
        self.record_interval, self.frame_interval = progress["intervals"]
        return table

    def _split(self) -> dict[str, float]:
        """What `wall_time` went into, s: law, element work beside it, contact, and the rest, `node_time`; and output.

        The element kernels' wall time is shared out by the processor time that the law took in them and the rest of
        their work, so threads that wait for the busiest one are charged to both alike.
        """
        elements, contact = self.solver.seconds["elements"], self.solver.seconds["contact"]
        law = elements * self.solver.elements.law_share()
        return {
            "law_time": law,
            "element_time": elements - law,
            "contact_time": contact,
            "node_time": self.wall_time - elements - contact,
            "output_time": self.output_time,
        }

    def _inverted(self) -> int:
        """Number of elements that are flat or turned inside out at a corner."""
        mesh = self.model.mesh
        return int(np.sum(scaled_jacobian(Mesh(mesh.points + self.solver.displacement, mesh.hexes)) <= 0.0))

    def _summary(self, startup: float) -> dict[str, Any]:
        solver, model = self.solver, self.model
        energies = solver.energies()
        internal = max(energies["internal"], ROUND_OFF * energies["total"], 1e-300)
        element_steps = max(solver.steps * len(model.mesh.hexes), 1)
        fields = cell_fields(model.law, *solver.elements.mean_values(model.law.shown))
        summary = dict(self.case.labels) | {
            "law": model.law.name,
            "element": model.element,
            "elements": len(model.mesh.hexes),
            "nodes": len(model.mesh.points),
            "steps": solver.steps,
            "end_time": solver.time,
            "completed": True,
            "wall_time": self.wall_time,
            "time_per_element_step": self.wall_time / element_steps,
            **self._split(),
            "startup_time": startup,
            "peak_memory": _peak_memory(),
            "threads": self.threads,
            "precision": "float64",
            "energy_error": energies["error"],
            "max_energy_error": max(self.largest_error, abs(energies["error"])),
            "hourglass_energy_ratio": energies["hourglass"] / internal,
            "kinetic_energy": energies["kinetic"],
            "internal_energy": energies["internal"],
            "inverted_elements": self._inverted(),
            "controlling_element": solver.elements.stable_step()[1],
            "rigid_bodies": solver.received(),
            "contact_impulse": float(sum(abs(account.axial_impulse) for account in solver.accounts)) * model.copies,
            "max_deviatoric_strain": float(fields["deviatoric_strain"].max()),
            "max_von_mises": float(fields["von_mises"].max()),
            "versions": _versions(),
        }
        if "equivalent_plastic_strain" in fields:
            summary["max_equivalent_plastic_strain"] = float(fields["equivalent_plastic_strain"].max())
        by_law = solver.elements.law_energies()
        if by_law is not None:
            summary["stored_energy"], summary["plastic_work"] = (energy * model.copies for energy in by_law)
        if "outside_envelope" in fields:
            summary["outside_envelope_fraction"] = float(np.mean(fields["outside_envelope"] > 0.0))
        return summary | self.case.finish(solver)


def _age() -> float:
    """Seconds since this process was started (since its clock began, where the system does not tell)."""
    try:
        ticks = float(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, IndexError, ValueError):
        return time.process_time()


def _peak_memory() -> int:
    """Largest resident memory of this process so far, bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "numpy": np.__version__, "numba": numba.__version__}
    try:
        found["multiscale-impact"] = version("multiscale-impact")
    except PackageNotFoundError:
        found["multiscale-impact"] = "not installed"
    return found
