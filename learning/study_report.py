"""The page of the study, from the numbers of study.json alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cases.report import number, percent, table
from learning.study_findings import findings, main_models
from learning.taylor_assumption import report as taylor_table

PAPER = {
    "curve": "The paper (figure 1a): the mean test error falls with paths and epochs, to 5 % with 3200 paths and 400 "
    "epochs (64 x 64, 1000 steps, 200 kept, 32 modes).",
    "resolution": "On a set of its own, of few paths in 1000 steps, of which every so many are taken. "
    "The paper (figure 1d): the error does not depend on the resolution from 50 to 1000; it falls with "
    "the PCA dimension until it saturates; it is a few times the error of PCA alone.",
    "table": "The paper (table 1, whose numbers are lost in our source; from its text): random time intervals serve "
    "all test paths, fixed ones only those of the same intervals; larger strains need more paths; more modes help; "
    "the error does not depend on the rate exponent.",
    "paths": "The paper (figure 1 e-g): very accurate on all three.",
    "causality": "The paper (figure 2): identical stress as long as the paths are.",
    "isotropy": "The paper (figure 3): stresses in 12 directions almost identical.",
}
FAR = 3200  # paths, of the paper's 5 %
NAMES = {"pca_net": "PCA-Net", "cut": "PCA-Net (cut)", "recurrent": "recurrent"}
FLOOR = (
    "The floor by operations is about 5300 a pixel-step at 64 x 64 and 1000 steps: 2.3 evaluations of the crystal law "
    "(three rates of two slip systems each, 1250 operations) and 9 conjugate-gradient iterations (two transforms "
    "forth and back, Green operator, gradient, tangent, divergence: 270 operations): 0.13 microseconds at the 41 "
    "GFlop/s of one AVX-512 core at 2.6 GHz. On small grids the calls from Python cost more than the pixels, and with "
    "few, large steps Newton's method needs three to four times as many evaluations a step."
)


def markdown(result: Mapping[str, Any]) -> str:
    """study.md."""
    sizes = result["sizes"]
    lines = [
        "# Learning crystal plasticity: the paper's study remade",
        "",
        f"Scale `{result['scale']}`: plane cells of {sizes['points']} x {sizes['points']} pixels and 16 grains, "
        f"{sizes['steps']} recorded steps of {sizes['substeps']}, networks {sizes['layers']} x {sizes['width']}, "
        f"{sizes['epochs']} epochs. Errors are mean relative L2 errors of the stress over time and components, in per "
        "cent, total, of the deviator alone, and of its part in the plane, where slip acts (pressure and the elastic "
        "deviator out of the plane are many times larger on random walks); PCA-Net sees whole paths, as in the paper, "
        "the recurrent surrogate only what has been, and has the elastic pressure 2 lambda_e (J - 1) built in.",
        "",
        "## The paper's findings, here",
        "",
        *findings(result),
        "",
        "## Error against training paths and epochs",
        "",
        *curve_table(result),
        "",
        *learning_curve(result),
        PAPER["curve"],
        "",
        "![Learning curves, samples, resolution, particular paths](figure1.png)",
        "",
        "## Error against resolution and PCA dimension",
        "",
        *resolution_table(result),
        "",
        *reduction_table(result),
        "",
        PAPER["resolution"],
        "",
        "## Particular paths",
        "",
        *paths_table(result),
        "",
        PAPER["paths"],
        "",
        *paths_lines(result),
        "",
        "## Causality and isotropy",
        "",
        *check_lines(result),
        "",
        f"{PAPER['causality']} {PAPER['isotropy']}",
        "",
        "![Causality](figure2.png)",
        "![Isotropy](figure3.png)",
        "",
        "## All trainings",
        "",
        *cases_table(result),
        "",
        PAPER["table"],
        "",
        "## Taylor's assumption against the full field in space",
        "",
        f"128 grains of magnesium in {sizes['voxels']}^3 voxels, 1 microsecond; error of the deviator in per cent.",
        "",
        *taylor_table(result["taylor"]),
        "",
        "## The plane cell: cost, residuals, failures",
        "",
        *cost_lines(result),
    ]
    return "\n".join(lines) + "\n"


def curve_table(result: Mapping[str, Any]) -> list[str]:
    """Test errors of the main network by epoch and training paths."""
    rows = []
    for model in main_models(result):
        curve, epochs = model["curve"], result["sizes"]["epochs"]
        shown = [curve[len(curve) // 4], curve[len(curve) // 2], curve[-1]]
        cells = [
            f"{percent(r['test_whole_total'])} ({epochs * r['iteration'] // curve[-1]['iteration']})" for r in shown
        ]
        rows.append([str(model["paths"]), *cells, percent(curve[-1]["test_whole_deviatoric"])])
    return table(["paths", *["error (epoch)"] * 3, "deviatoric, at the end"], rows)


def learning_curve(result: Mapping[str, Any]) -> list[str]:
    """The power law through the errors at the end, and what it says of the paper's 3200 paths."""
    models = main_models(result)
    paths = np.log([model["paths"] for model in models])
    error = np.log([model["curve"][-1]["test_whole_total"] for model in models])
    if len(models) < 2 or paths[-1] >= np.log(FAR):
        return []
    slopes, fit = np.diff(error) / np.diff(paths), np.polyfit(paths, error, 1)
    far = np.exp(np.polyval(fit, np.log(FAR)))
    late = np.exp(error[-1] + slopes.max() * (np.log(FAR) - paths[-1]))
    return [
        f"The error goes like paths^{fit[0]:.2f} (least squares; from size to size "
        f"{', '.join(f'{s:.2f}' for s in slopes)}). Carried on to {FAR} paths that is {percent(far)} %, or "
        f"{percent(late)} % by the flattest of these slopes from the last size: extrapolations, not measurements.",
        "",
    ]


def resolution_table(result: Mapping[str, Any]) -> list[str]:
    """Error by resolution, for all modes."""
    names = list(result["resolution"][0]["errors"])
    head = ["steps", *(name.replace("_", " ") for name in names)]
    rows = [[str(r["steps"]), *(percent(r["errors"][n]["total"]) for n in names)] for r in result["resolution"]]
    return table(head, rows)


def reduction_table(result: Mapping[str, Any]) -> list[str]:
    """Error of projection alone."""
    rows = [[m, percent(e["total"]), percent(e["deviatoric"])] for m, e in result["reduction"].items()]
    return table(["modes", "PCA alone, total", "PCA alone, deviatoric"], rows)


def paths_table(result: Mapping[str, Any]) -> list[str]:
    """Errors on the paper's particular paths."""
    checks = result["checks"]
    rows = [
        [name, f"{1e-6 * size:.0f}", *(percent(checks[f"common_{kind}"][name]) for kind in NAMES)]
        for name, size in checks["common_stress"].items()
    ]
    return table(["path", "stress, rms MPa", *NAMES.values()], rows)


def paths_lines(result: Mapping[str, Any]) -> list[str]:
    """Why these paths are hard: they keep the volume, and the walks do not."""
    walks, here = result["sets"]["random_test"]["stress"], result["checks"]["common_stress"]
    return [
        f"These paths keep the volume. The random walks do not: their stress, {1e-6 * walks:.0f} MPa on average, is "
        f"mostly pressure, {walks / max(here.values()):.0f} times the largest of these and more, and errors that are "
        "small there are not small here."
    ]


def check_lines(result: Mapping[str, Any]) -> list[str]:
    """Causality and isotropy in numbers."""
    checks = result["checks"]
    rows = [[name, *(percent(checks[f"causality_{kind}"][name]) for kind in NAMES)] for name in ("diverging", "held")]
    return [
        "How far stresses are apart before their paths part, of the largest stress:",
        "",
        *table(["five paths", *NAMES.values()], rows),
        "",
        f"Twelve directions of tension, standard deviation of the axial stress over its largest mean: Taylor's 128 "
        f"grains {percent(checks['isotropy_tension'])} %, PCA-Net {percent(checks['isotropy_tension_pca_net'])} %; "
        f"PCA-Net's axial stress is {percent(checks['tension_pca_net'])} % from that of the grains.",
    ]


def cases_table(result: Mapping[str, Any]) -> list[str]:
    """The table in the manner of table 1."""
    rows = []
    for case, row in enumerate(result["table"], 1):
        scale, walk = ("3DTaylor", row["train"][7:]) if row["train"].startswith("taylor") else ("2DFFT", row["train"])
        test = row["test"].removesuffix("_test").removeprefix("taylor_")
        kind = next((name for start, name in NAMES.items() if row["model"].startswith(start)), NAMES["pca_net"])
        rows.append([str(case), scale, kind, walk, test, str(row["paths"]), number(row["modes"]),
                     percent(row["total"]), percent(row["deviatoric"]),
                     "-" if scale == "3DTaylor" else percent(row["in_plane"])])  # fmt: skip
    head = [
        "case",
        "fine scale",
        "network",
        "trained on",
        "tested on",
        "paths",
        "modes",
        "total",
        "deviatoric",
        "in plane",
    ]
    return [
        *table(head, rows),
        "",
        "`random` and `fixed`: time intervals, U_max 0.15 and 1/m = 2; `large`: U_max 0.25; `rate`: 1/m = 1. (cut): "
        "trained on paths cut at random times and begun late as well, as the law `pca_net` is.",
    ]


def cost_lines(result: Mapping[str, Any]) -> list[str]:
    """Throughput, residual, and paths drawn again, by cause."""
    found = result["sets"]
    plane = [made for made in found.values() if "residual" in made]
    worst, number = max(made["residual"] for made in plane), sum(made["paths"] for made in plane)
    rows = [
        [
            name, str(made["paths"]), str(made["steps"]), str(made["sampler"]),
            "; ".join(f"{cause}: {times}" for cause, times in made["law_failures"].items()) or "none",
            f"{made['residual']:.6g}" if "residual" in made else "-",
            f"{1e6 / made['pixel_steps_per_second']:.3g}" if "residual" in made else "-",
        ]
        for name, made in found.items()
    ]  # fmt: skip
    head = ["set", "paths", "recorded steps", "walks out of bounds", "failures", "worst residual", "us a pixel-step"]
    return [
        f"On all {number} plane paths and at each of their steps the residual of equilibrium is at most {worst:.6g} of "
        "the mean stress.",
        "",
        *table(head, rows),
        "",
        f"Microseconds of one core, whatever else it did. {FLOOR}",
    ]
