"""Pictures of bodies cut open along their axis, drawn by Matplotlib: no display and no OpenGL are needed.

A sheet shows one field or several (one colour scale each) of one body or several: the end of a run, snapshots at
several times, a study of several runs. Bodies on a sheet are drawn to one scale, over one region.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from constitutive.whole_file import replacing
from fem.axial_cut import AxialCut, axial_cut


@dataclass(frozen=True)
class Look:
    """How a field is shown: label with unit, factor from SI, colour map, and whether zero is in the middle."""

    label: str
    factor: float = 1.0
    colours: str = "viridis"
    signed: bool = False


LOOKS = {  # all colour maps are safe for the colour-blind
    "von_mises": Look("von Mises stress, MPa", 1e-6),
    "pressure": Look("pressure, MPa", 1e-6, "RdBu_r", True),
    "deviatoric_strain": Look("deviatoric strain $e_d$", 1.0, "plasma"),
    "volumetric_strain": Look("volumetric strain $e_v$", 1.0, "RdBu", True),
    "equivalent_plastic_strain": Look("equivalent plastic strain", 1.0, "plasma"),
}
PANELS = ("von_mises", "deviatoric_strain")  # of the picture of a run
LONG, GAP, BAR = 7.0, 0.35, 1.0  # inches: longest side of the drawing of one body, around it, for a colour bar
FONT = 9
SAMPLES = 200  # of a rigid body's signed distance, along the longer side of a panel


def look(name: str) -> Look:
    """How to show a field; fields that only a law knows are shown plainly."""
    return LOOKS.get(name, Look(name.replace("_", " ")))


def picture(
    path: str | Path,
    before: np.ndarray,
    now: np.ndarray,
    hexes: np.ndarray,
    fields: Mapping[str, np.ndarray],
    title: str = "",
    symmetry: str = "full",
    distances: Sequence[Callable[[np.ndarray], np.ndarray]] = (),
) -> bool:
    """Draw von Mises stress and deviatoric strain into a PNG; True where that succeeded, else False after a warning.

    before, now (n, 3): positions in m; hexes (m, 8); fields (m,) by name, SI; the rest is that of `axial_cut`.
    A finished computation is never lost to its picture.
    """
    try:
        missing = [name for name in PANELS if name not in fields]
        if missing:
            raise ValueError(f"there is no field {missing[0]}")
        save(sheet([axial_cut(before, now, hexes, fields, symmetry, distances)], PANELS, title), Path(path))
    except (OSError, ValueError) as error:
        warnings.warn(f"no picture: {error}; open the field files in ParaView instead", stacklevel=2)
        return False
    return True


def save(figure: Figure, path: Path, dpi: int = 130) -> None:
    """Write a figure as PNG, whole or not at all."""
    with replacing(path) as file:
        figure.savefig(file, dpi=dpi, format="png", bbox_inches="tight")


def sheet(
    cuts: Sequence[AxialCut],
    names: Sequence[str],
    title: str = "",
    captions: Sequence[str] = (),
    edges: bool = True,
    over: Sequence[AxialCut] = (),
) -> Figure:
    """A matrix of panels, cuts one way and fields the other, whichever way fits the bodies' shape.

    `captions` name the cuts; `edges` shows the mesh; region and colour scales are those of the cuts `over` (default:
    of the cuts shown). Fields must be in every cut.
    """
    over = over or cuts
    low, high = region(over)
    width, height = high - low
    in_rows = (height > width) == (len(cuts) > 1)  # fields in rows, cuts in columns
    rows, columns = (len(names), len(cuts)) if in_rows else (len(cuts), len(names))
    longest = LONG if len(cuts) == 1 else 0.7 * LONG
    panel = longest * np.array([width, height]) / max(width, height)
    bars_beside = in_rows or len(cuts) == 1
    bars = [BAR * (columns if len(cuts) == 1 else 1), 0.0] if bars_beside else [0.0, BAR]
    figure = Figure(figsize=(columns * (panel[0] + GAP) + bars[0] + GAP, rows * (panel[1] + GAP) + bars[1] + 2 * GAP),
                    layout="compressed")  # fmt: skip
    grid = np.asarray(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True))
    _label(figure, grid, title, captions, in_rows)
    for axes, name in zip(grid if in_rows else grid.T, names, strict=True):
        bounds = limits(over, name)
        for axis, cut in zip(axes, cuts, strict=True):
            shown = draw_cut(axis, cut, name, bounds, (low, high), edges)
        _add_bar(figure, shown, axes, name, over, "right" if bars_beside else "bottom")
        if len(over) == 1:
            axes[0].set_title(f"largest in the cut {_extreme(cuts[0], name):.4g}", fontsize=FONT)
    return figure


def _add_bar(figure: Figure, shown: PolyCollection, axes: np.ndarray, name: str, cuts: Sequence[AxialCut],
             where: Literal["right", "bottom"]) -> None:  # fmt: skip
    """One colour bar for all panels of a field."""
    low, high = shown.get_clim()
    bar = figure.colorbar(shown, ax=list(axes), location=where, extend=_extend(cuts, name), aspect=25, shrink=0.9,
                          ticks=np.linspace(low, high, 5 if low < 0.0 else 6).tolist())  # fmt: skip
    bar.set_label(look(name).label, fontsize=FONT)
    bar.ax.tick_params(labelsize=FONT - 1)


def _label(figure: Figure, grid: np.ndarray, title: str, captions: Sequence[str], in_rows: bool) -> None:
    """Title, captions of the cuts, and the axes' names at the outer panels."""
    figure.suptitle(title, fontsize=FONT + 2)
    for axis, caption in zip(grid[0] if in_rows else grid[:, 0], captions, strict=False):
        axis.set_title(caption, fontsize=FONT, loc="center" if in_rows else "left")
    for axis in grid[-1]:
        axis.set_xlabel("x, mm", fontsize=FONT)
    for axis in grid[:, 0]:
        axis.set_ylabel("z, mm", fontsize=FONT)
    for axis in grid.flat:
        axis.tick_params(labelsize=FONT - 1)


def draw_cut(
    axes: Axes,
    cut: AxialCut,
    name: str,
    bounds: tuple[float, float],
    corners: tuple[np.ndarray, np.ndarray],
    edges: bool = True,
) -> PolyCollection:
    """Draw one field of one cut, and rigid bodies behind it, over the region between `corners` (2,) in mm.

    Returns what a colour bar needs.
    """
    low, high = corners
    _draw_rigid(axes, cut, low, high)
    polygons: Any = cut.polygons
    shown = PolyCollection(polygons, cmap=look(name).colours, edgecolors="face", linewidths=0.3, snap=False)
    shown.set_array(look(name).factor * cut.fields[name])
    shown.set_clim(*bounds)
    axes.add_collection(shown)
    if edges:
        style: Any = {"facecolors": "none", "edgecolors": (0.0, 0.0, 0.0, 0.25), "linewidths": 0.3, "snap": False}
        axes.add_collection(PolyCollection(polygons, **style))
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    return shown


def _draw_rigid(axes: Axes, cut: AxialCut, low: np.ndarray, high: np.ndarray) -> None:
    """Fill the regions of negative distance, and outline them."""
    counts = np.ceil(SAMPLES * (high - low) / max(high - low)).astype(int) + 1
    x, z = (np.linspace(low[k], high[k], counts[k]) for k in (0, 1))
    X, Z = np.meshgrid(x, z)
    plane = 1e-3 * np.stack([X, np.zeros_like(X), Z], axis=-1).reshape(-1, 3)
    for distance in cut.distances:
        values = distance(plane).reshape(X.shape)
        if values.min() < 0.0:
            axes.contourf(x, z, values, levels=[-np.inf, 0.0], colors="#d0d0d0")
            axes.contour(x, z, values, levels=[0.0], colors="#505050", linewidths=1.0)


def region(cuts: Sequence[AxialCut]) -> tuple[np.ndarray, np.ndarray]:
    """Corners (2,) of the region that shows all cuts, mm."""
    return np.min([cut.low for cut in cuts], axis=0), np.max([cut.high for cut in cuts], axis=0)


def limits(cuts: Sequence[AxialCut], name: str) -> tuple[float, float]:
    """Ends of the common colour scale of a field, in the unit shown; a few extreme cells do not stretch it."""
    values = np.abs(np.concatenate([cut.fields[name] for cut in cuts])) * look(name).factor
    top = round_up(float(np.nanpercentile(values, 99)) if len(values) else 0.0)
    return (-top if look(name).signed else 0.0), top


def _extend(cuts: Sequence[AxialCut], name: str) -> str:
    """Which ends of the colour scale the values pass."""
    low, high = limits(cuts, name)
    values = np.concatenate([cut.fields[name] for cut in cuts]) * look(name).factor
    below, above = bool(np.any(values < low)), bool(np.any(values > high))
    return {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[below, above]


def _extreme(cut: AxialCut, name: str) -> float:
    values = cut.fields[name] * look(name).factor
    return float(values[np.argmax(np.abs(values))])


def round_up(value: float) -> float:
    """Upper end of a colour scale: five equal parts of two digits at most, at least `value`."""
    part = max(value, 1e-12) / 5
    power = 10.0 ** np.floor(np.log10(part))
    return float(
        5 * power * min(step for step in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step >= part / power * 0.999)
    )
