"""The pictures of the study, in the order of the paper's figures 1 to 3."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fem.picture import save
from learning import study_paths
from learning.dataset import DataSet
from learning.evaluation_pictures import plain_numbers
from learning.study_findings import main_models

TRUTH: dict[str, Any] = {"color": "black", "lw": 1.6}
NETWORKS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("pca_net", "PCA-Net", {"color": "tab:red", "ls": "--"}),
    ("cut", "PCA-Net, cut paths", {"color": "tab:orange", "ls": "-."}),
    ("recurrent", "recurrent", {"color": "tab:blue", "ls": ":"}),
)


def draw_all(
    folder: Path,
    result: Mapping[str, Any],
    found: Mapping[str, np.ndarray],
    samples: Mapping[str, tuple[DataSet, Mapping[str, np.ndarray]]],
) -> None:
    """figure1.png (learning, samples, resolution, paths), figure2.png (causality), figure3.png (isotropy)."""
    figure = Figure(figsize=(13.0, 11.0), layout="constrained")
    axes = figure.subplots(3, 3)
    draw_curves(axes[0, 0], result)
    draw_sample(axes[0, 1], "training sample", *samples["train"])
    draw_sample(axes[0, 2], "test sample", *samples["test"])
    draw_resolution(axes[1, 0], result)
    draw_reduction(axes[1, 1], result)
    draw_walk(axes[1, 2], samples["test"][0])
    for k, name in enumerate(study_paths.common_paths(found["t"])):
        draw_stresses(axes[2, k], found, "common", k, name)
    axes[2, 0].legend(fontsize="small")
    save(figure, folder / "figure1.png", 90)
    draw_causality(folder / "figure2.png", found)
    draw_isotropy(folder / "figure3.png", found)


def in_per_cent(axes: Axes) -> None:
    """A logarithmic axis of errors, and the legend."""
    axes.set_yscale("log")
    plain_numbers(axes)
    axes.legend(fontsize="small")


def draw_curves(axes: Axes, result: Mapping[str, Any]) -> None:
    """Error against epochs, one line for each number of paths."""
    for model in main_models(result):
        last = model["curve"][-1]["iteration"]
        epochs = [result["sizes"]["epochs"] * row["iteration"] / last for row in model["curve"]]
        error = [100.0 * row["test_whole_total"] for row in model["curve"]]
        axes.plot(epochs, error, "o-", ms=3, label=f"{model['paths']} paths")
    axes.set(title="PCA-Net: test error, %", xlabel="epochs")
    in_per_cent(axes)


def draw_sample(axes: Axes, title: str, data: DataSet, answers: Mapping[str, np.ndarray]) -> None:
    """Stress 11 and 12 of the first path: fine scale and networks."""
    for c, label in ((0, "11"), (3, "12")):
        axes.plot(data.time[0], 1e-9 * data.stress[0, :, c], **TRUTH)
        for kind, _, style in NETWORKS:
            axes.plot(data.time[0], 1e-9 * answers[kind][0, :, c], **style)
        axes.annotate(label, (data.time[0, -1], 1e-9 * data.stress[0, -1, c]))
    axes.set(title=f"{title}: stress, GPa", xlabel="t, s")


def draw_walk(axes: Axes, data: DataSet) -> None:
    """The strain path of the test sample."""
    for c, label in ((0, "$U_{11} - 1$"), (1, "$U_{22} - 1$"), (3, "$U_{12}$")):
        axes.plot(data.time[0], data.U[0, :, c] - (c < 3), label=label)
    axes.set(title="path of the test sample", xlabel="t, s")
    axes.legend(fontsize="small")


def draw_resolution(axes: Axes, result: Mapping[str, Any]) -> None:
    """Error against the number of steps in which a path is given."""
    steps = [row["steps"] for row in result["resolution"]]
    for name in result["resolution"][0]["errors"]:
        error = [100.0 * row["errors"][name]["total"] for row in result["resolution"]]
        axes.plot(steps, error, "o-", ms=3, label=name.replace("_", " "))
    axes.set(title="test error on the fine paths, %", xlabel="steps of a path", xscale="log")
    in_per_cent(axes)


def draw_reduction(axes: Axes, result: Mapping[str, Any]) -> None:
    """Error of the network and of projection alone, against the number of modes."""
    rows = [r for r in result["table"] if r["model"].startswith("random_") and r["test"] == "random_test"]
    full = [r for r in rows if r["paths"] == result["sizes"]["train"]]
    modes = sorted({r["modes"] for r in full})
    axes.plot(modes, [100.0 * next(r["total"] for r in full if r["modes"] == m) for m in modes], "o-", label="PCA-Net")
    reduction = result["reduction"]
    axes.plot([int(m) for m in reduction], [100.0 * e["total"] for e in reduction.values()], "s--", label="PCA alone")
    axes.set(title="test error, %", xlabel="modes of a component")
    in_per_cent(axes)


def draw_stresses(axes: Axes, found: Mapping[str, np.ndarray], group: str, k: int, title: str) -> None:
    """Components 11 and 22 of one particular path."""
    for c in (0, 1):
        axes.plot(found["t"], 1e-9 * found[group][k, :, c], **TRUTH, label="fine scale" if c == 0 else None)
        for kind, label, style in NETWORKS:
            axes.plot(found["t"], 1e-9 * found[f"{group}_{kind}"][k, :, c], **style, label=label if c == 0 else None)
    axes.set(title=f"{title}: stress 11 and 22, GPa", xlabel="t, s")


def draw_causality(path: Path, found: Mapping[str, np.ndarray]) -> None:
    """Stress 11 along five paths that part at one time, and at different times."""
    figure = Figure(figsize=(14.0, 7.0), layout="constrained")
    for row, group in zip(figure.subplots(2, 3), ("diverging", "held"), strict=True):
        for axes, (kind, label, _) in zip(row, NETWORKS, strict=True):
            for k, color in enumerate(("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple")):
                axes.plot(found["t"], 1e-9 * found[group][k, :, 0], color=color, lw=0.8)
                axes.plot(found["t"], 1e-9 * found[f"{group}_{kind}"][k, :, 0], color=color, ls="--")
            axes.set(title=f"{group} paths, {label} dashed", xlabel="t, s", ylabel="stress 11, GPa")
    save(figure, path, 90)


def draw_isotropy(path: Path, found: Mapping[str, np.ndarray]) -> None:
    """Axial stress of twelve directions of tension."""
    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    directions = study_paths.tension_paths(found["t"])[1]
    both = (("tension", "128 grains"), ("tension_pca_net", "PCA-Net"))
    for axes, (name, label) in zip(figure.subplots(1, 2, sharey=True), both, strict=True):
        for values in study_paths.axial_stress(found[name], directions):
            axes.plot(study_paths.TENSION * found["t"], 1e-6 * values, lw=0.9)
        axes.set(title=f"{label}: axial stress, MPa", xlabel="log strain")
    save(figure, path, 90)
