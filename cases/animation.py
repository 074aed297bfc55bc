"""Animation of a run: its frames as axial cuts over one region and one colour scale a field, as a GIF.

Drawn by Matplotlib and Pillow, so neither a display nor OpenGL is needed. For a smooth film run the case with
--frames 60 or so.
"""

import argparse
import io
import sys
from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure
from matplotlib.transforms import BboxBase
from PIL import Image
from tqdm import tqdm

from cases.options import command_parser, count, user_errors
from cases.run_folder import RunFolder, open_run
from cases.snapshots import add_view_options, target
from constitutive.whole_file import replacing
from fem.axial_cut import AxialCut
from fem.picture import draw_cut, limits, region, sheet

PANELS = ("von_mises", "deviatoric_strain")
DPI = 100
LAST_SECONDS = 1.5  # that the last frame stays


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    made = command_parser(
        "animation", __doc__, "python -m cases.animation runs/taylor_anvil --fields von_mises --fps 5"
    )
    made.add_argument("run", help="run folder with frames")
    made.add_argument("--fps", type=count, default=8, help="frames a second")
    add_view_options(made, "animation.gif")
    made.set_defaults(fields=list(PANELS))
    return made


def images(run: RunFolder, cuts: Sequence[AxialCut], fields: Sequence[str], edges: bool) -> Iterator[Image.Image]:
    """Every frame, drawn on the sheet of the last one, whose panels and colour bars stay where they are."""
    bounds = {name: limits(cuts, name) for name in fields}
    figure = sheet(cuts[-1:], fields, run.title, edges=edges, over=cuts)
    panels = figure.axes[: len(fields)]
    figure.canvas.draw()
    figure.set_layout_engine("none")
    frame = figure.get_tightbbox().padded(0.05)
    for (time, _), cut in zip(run.frames, cuts, strict=True):
        for axis, name in zip(panels, fields, strict=True):
            labels = axis.get_xlabel(), axis.get_ylabel()
            axis.clear()
            draw_cut(axis, cut, name, bounds[name], region(cuts), edges)
            axis.set(xlabel=labels[0], ylabel=labels[1])
        figure.texts[0].set_text(f"{run.title}, {time * 1e6:.3f} µs")
        yield _image(figure, frame)


def _image(figure: Figure, frame: BboxBase) -> Image.Image:
    """The part of a figure inside `frame`, in inches, in the 256 colours of a GIF."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=DPI, format="png", bbox_inches=frame)
    return Image.open(buffer).convert("RGB").quantize(256, Image.Quantize.MEDIANCUT)


@user_errors
def main(arguments: list[str] | None = None) -> None:
    """Draw the animation."""
    options = parser().parse_args(arguments)
    run = open_run(options.run)
    path = target(options, "animation.gif")
    cuts = [run.cut(index, options.fields) for index in range(len(run.frames))]
    drawn = images(run, cuts, options.fields, not options.no_edges)
    silent = options.quiet or not sys.stderr.isatty()
    first, *others = tqdm(drawn, total=len(cuts), unit="frame", disable=silent)
    durations = [1000 / options.fps] * len(others) + [1000 * LAST_SECONDS]
    with replacing(path) as file:
        first.save(file, "GIF", save_all=True, append_images=others, duration=durations, loop=0)
    if not options.quiet:
        print(f"{len(cuts)} frames in {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
