"""Picture of a deformed body: axial cut in the plane y = 0, von Mises stress and deviatoric strain side by side.

PyVista draws off-screen in a process of its own, as VTK ends the process where OpenGL is missing (seen: signal 11): a
finished computation is never lost to its picture. Matplotlib draws a plainer one in that case.
"""

import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fem import plain_picture

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 120.0  # that drawing may take
PANELS = (  # field, what the colour bar says, factor from SI, colour map (both safe for the colour-blind)
    ("von_mises", "von Mises stress, MPa", 1e-6, "viridis"),
    ("deviatoric_strain", "deviatoric strain e_d", 1.0, "plasma"),
)
MARGIN = 0.1  # around the body, as a part of its longer side
CUT = 1e-4  # how far behind y = 0 the cut lies, same unit: there it never runs along element faces
SAMPLES = 400  # of a rigid body's signed distance, along the longer side of the picture
BODY_PIXELS, LONG_PIXELS = 800, 1150  # largest height and width of the drawn region
BAR_PIXELS, TITLE_PIXELS = 230, 60


def picture(
    path: str | Path,
    points: np.ndarray,
    hexes: np.ndarray,
    fields: Mapping[str, np.ndarray],
    title: str = "",
    symmetry: str = "full",
    distances: Sequence[Callable[[np.ndarray], np.ndarray]] = (),
) -> bool:
    """Draw a PNG; True where that succeeded, else False after a one-line warning. Never raises for want of a display.

    points (n, 3): current positions, m; hexes (m, 8); fields: von_mises (m,) in Pa and deviatoric_strain (m,).
    symmetry "quarter": x, y >= 0 was computed, the picture shows the whole. `distances`: signed distance (k,) in m of
    points (k, 3) from each rigid body, negative inside, such as `lambda x: body.distance(x, time)`.
    """
    try:
        scene = _scene(np.asarray(points), np.asarray(hexes), fields, title, symmetry, distances)
        target = Path(path).absolute()
        temporary = target.with_name(target.stem + ".tmp.png")
        try:
            if not _draw_elsewhere(scene, temporary):
                plain_picture.draw(scene, PANELS, [_limit(scene[name]) for name, *_ in PANELS], temporary)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, ValueError, KeyError, IndexError) as error:
        warnings.warn(f"no picture: {error}; open the field files in ParaView instead", stacklevel=2)
        return False
    return True


def on_cut(points: np.ndarray, hexes: np.ndarray) -> tuple[np.ndarray, float]:
    """Which elements (m,) the cut meets, and at which y it lies, in the unit of the points (n, 3)."""
    low, high = points.min(axis=0), points.max(axis=0)
    cut = max(low[1], 0.0) + CUT * max(high - low)
    y = points[:, 1][hexes]
    return (y.min(axis=1) <= cut) & (y.max(axis=1) >= cut), float(cut)


def _scene(
    points: np.ndarray,
    hexes: np.ndarray,
    fields: Mapping[str, np.ndarray],
    title: str,
    symmetry: str,
    distances: Sequence[Callable[[np.ndarray], np.ndarray]],
) -> dict[str, np.ndarray]:
    """Everything that is drawn: the cells that the cut meets, in mm, and rigid bodies sampled on the plane y = 0."""
    points = 1e3 * points
    low, high = points.min(axis=0), points.max(axis=0)
    crossed, cut = on_cut(points, hexes)
    scene = {name: np.asarray(fields[name])[crossed] * factor for name, _, factor, _ in PANELS}
    if symmetry == "quarter":
        low[0] = -high[0]
    margin = MARGIN * max(high[0] - low[0], high[2] - low[2])
    low, high = low - margin, high + margin
    spacing = max(high[0] - low[0], high[2] - low[2]) / SAMPLES
    x, z = (np.arange(low[axis], high[axis] + spacing, spacing) for axis in (0, 2))
    plane = 1e-3 * np.stack(np.meshgrid(x, [0.0], z, indexing="ij"), axis=-1).reshape(-1, 3)
    rigid = [np.reshape(distance(plane), (len(x), len(z))) for distance in distances]
    return scene | {
        "points": points,
        "hexes": hexes[crossed],
        "cut": np.array(cut),
        "mirrored": np.array(symmetry == "quarter"),
        "title": np.array(title),
        "low": low,
        "high": high,
        "x": x,
        "z": z,
        "rigid": np.array(rigid),
    }


def _draw_elsewhere(scene: Mapping[str, np.ndarray], target: Path) -> bool:
    """Run this file as a program on a scene; False where VTK could not draw it."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scene.npz"
        np.savez(file, allow_pickle=False, **scene)
        command = [sys.executable, "-m", "fem.picture", str(file), str(target)]
        try:
            done = subprocess.run(
                command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0 and target.is_file()


def _limit(values: np.ndarray) -> float:
    """Upper end of a colour bar: five equal parts of two digits at most; a few extreme cells do not stretch it."""
    part = max(float(np.nanpercentile(values, 99)), 1e-12) / 5
    power = 10.0 ** np.floor(np.log10(part))
    return 5 * power * min(step for step in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step >= part / power * 0.999)


def _draw(scene: Mapping[str, np.ndarray], target: str) -> None:
    """Two panels under a title: beside each other for a tall body, above each other for a wide one."""
    import pyvista

    merged: Any = [(0, [0, 1])]  # the title has the width of both panels
    width, height = scene["high"][0] - scene["low"][0], scene["high"][2] - scene["low"][2]
    scale = min(BODY_PIXELS / height, LONG_PIXELS / width)  # pixels per mm
    panel = int(width * scale) + BAR_PIXELS, max(int(height * scale), 300)
    tall = height > width
    shape = (2, 2) if tall else (3, 1)
    size = (2 * panel[0], panel[1] + TITLE_PIXELS) if tall else (panel[0], 2 * panel[1] + TITLE_PIXELS)
    heights = [TITLE_PIXELS] + [panel[1]] * (shape[0] - 1)
    plotter: Any = pyvista.Plotter(
        off_screen=True,
        shape=shape,
        groups=merged if tall else None,
        row_weights=heights,
        window_size=list(size),
        border=False,
    )
    plotter.set_background("white")
    plotter.subplot(0, 0)
    plotter.add_text(str(scene["title"]), position=(20, 12), viewport=False, font_size=13, color="black")
    section = _section(scene)
    for k, (name, label, _, colours) in enumerate(PANELS):
        plotter.subplot(*((1, k) if tall else (1 + k, 0)))
        _add_section(plotter, section, name, f"{label}\nlargest {section[name].max():.4g}", colours, panel)
        _add_rigid_bodies(plotter, scene)
        _add_scale_bar(plotter, scene, width)
        _look(plotter, scene, scale, panel)
    plotter.screenshot(target)
    plotter.close()


def _section(scene: Mapping[str, np.ndarray]) -> Any:
    """The cut through the cells, as polygons that carry their cells' values."""
    import pyvista

    cells = np.insert(scene["hexes"], 0, 8, axis=1).ravel()
    kinds = np.full(len(scene["hexes"]), pyvista.CellType.HEXAHEDRON)
    grid = pyvista.UnstructuredGrid(cells, kinds, scene["points"])
    for name, *_ in PANELS:
        grid.cell_data[name] = scene[name]
    section = grid.slice(normal=(0, 1, 0), origin=(0, float(scene["cut"]), 0))
    if scene["mirrored"]:
        other = section.copy()
        other.points[:, 0] *= -1.0
        section = section.append_polydata(other)
    return section


def _add_section(plotter: Any, section: Any, name: str, label: str, colours: str, panel: tuple[int, int]) -> None:
    bar = {
        "title": label + "\n",
        "vertical": True,
        "n_labels": 6,
        "fmt": "%.3g",
        "color": "black",
        "title_font_size": 18,
        "label_font_size": 16,
        "position_x": 1.0 - 0.6 * BAR_PIXELS / panel[0],
        "position_y": 0.15,
        "width": 0.4 * BAR_PIXELS / panel[0],
        "height": 0.7,
    }
    plotter.add_mesh(
        section.copy(),
        scalars=name,
        cmap=colours,
        clim=(0.0, _limit(section[name])),
        lighting=False,
        show_edges=True,
        edge_color="black",
        edge_opacity=0.2,
        scalar_bar_args=bar,
    )


def _add_rigid_bodies(plotter: Any, scene: Mapping[str, np.ndarray]) -> None:
    """Fill the region of negative distance and draw its outline, behind the body."""
    import pyvista

    x, y, z = np.meshgrid(scene["x"], scene["high"][1], scene["z"], indexing="ij")
    for distance in scene["rigid"]:
        grid = pyvista.StructuredGrid(x, y, z)
        grid["distance"] = distance.ravel(order="F")
        inside = grid.clip_scalar(scalars="distance", value=0.0, invert=True)
        if inside.n_cells:
            plotter.add_mesh(inside, color="#d0d0d0", lighting=False, show_scalar_bar=False)
            outline = grid.contour([0.0], scalars="distance")
            if outline.n_cells:
                plotter.add_mesh(outline, color="#505050", line_width=2, show_scalar_bar=False)


def _add_scale_bar(plotter: Any, scene: Mapping[str, np.ndarray], width: float) -> None:
    """A bar of 1, 2 or 5 times a power of ten millimetres, at the top left."""
    power = 10.0 ** np.floor(np.log10(width / 4))
    length = power * max(step for step in (1, 2, 5) if step * power <= width / 4)
    low, high = scene["low"], scene["high"]
    start = np.array([low[0] + 0.03 * width, low[1], high[2] - 0.05 * (high[2] - low[2])])
    end = start + np.array([length, 0.0, 0.0])
    plotter.add_lines(np.array([start, end]), color="black", width=3)
    label = [f" {length:g} mm"]
    plotter.add_point_labels(
        end[None], label, show_points=False, shape=None, bold=False, font_size=16, text_color="black"
    )


def _look(plotter: Any, scene: Mapping[str, np.ndarray], scale: float, panel: tuple[int, int]) -> None:
    """Look along y, x to the right and z up, to scale, with room for the colour bar on the right."""
    centre = 0.5 * (scene["low"] + scene["high"])
    centre[0] += 0.5 * BAR_PIXELS / scale
    plotter.enable_parallel_projection()
    plotter.camera.focal_point = centre
    plotter.camera.position = centre - [0.0, 10.0 * np.ptp([scene["low"], scene["high"]]), 0.0]
    plotter.camera.up = (0.0, 0.0, 1.0)
    plotter.camera.parallel_scale = 0.5 * panel[1] / scale
    plotter.reset_camera_clipping_range()


if __name__ == "__main__":
    with np.load(sys.argv[1]) as saved:
        _draw(dict(saved), sys.argv[2])
