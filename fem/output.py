"""Field files for ParaView: `fields.pvd` lists the times, `fields/frame_0000.vtu` and so on hold one frame each.

Every file is written under a temporary name and renamed, the list last, so a running or killed run can be opened at
any instant. Points are the current positions. Each array carries its unit (VTK's UNITS_LABEL, readable in the file's
header); the components of stress are named 11 22 33 12 23 13. Field values are float32, positions float64.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from constitutive import tensor
from constitutive.law import Law
from constitutive.whole_file import replace_file, replace_text
from fem.mesh import Mesh

UNITS = {
    "displacement": "m",
    "velocity": "m/s",
    "stress": "Pa",
    "von_mises": "Pa",
    "pressure": "Pa",
    "deviatoric_strain": "1",
    "volumetric_strain": "1",
}
COMPONENTS = {3: ("x", "y", "z"), 6: ("11", "22", "33", "12", "23", "13")}
VTK_HEXAHEDRON = 12
VTK_TYPES = {"<f4": "Float32", "<f8": "Float64", "<i4": "Int32", "<i8": "Int64", "|u1": "UInt8"}


class OutputError(RuntimeError):
    """A file of results that cannot be read or continued; the message says what and what to do."""


def cell_fields(law: Law, F: np.ndarray, stress: np.ndarray, state: np.ndarray) -> dict[str, np.ndarray]:
    """The fields of each cell from F (m, 3, 3), Cauchy stress (m, 6) in Pa and state (m, k).

    stress (m, 6), von_mises, pressure (positive in compression), deviatoric_strain (e_d, see
    `constitutive.tensor.deviatoric_strain`), volumetric_strain (det F - 1), and what the law names, such as
    equivalent_plastic_strain.
    """
    fields = {
        "stress": stress,
        "von_mises": tensor.von_mises(stress),
        "pressure": -stress[:, :3].mean(axis=1),
        "deviatoric_strain": tensor.deviatoric_strain(F),
        "volumetric_strain": tensor.volumetric_strain(F),
    }
    return fields | law.output_fields(F, state)


def field_units(law: Law) -> dict[str, str]:
    """Units of all fields by name; a field that the law derives from its states without naming a unit is left out."""
    return UNITS | law.units


class FieldWriter:
    """Writes the frames of one run into `folder`, which may hold frames of an earlier start of the same run.

    Raises OutputError where those cannot be continued, OSError where the folder cannot be written.
    """

    def __init__(self, folder: str | Path, mesh: Mesh, units: Mapping[str, str] = UNITS):
        self.folder, self.mesh, self.units = Path(folder), mesh, units
        self.list_file = self.folder / "fields.pvd"
        (self.folder / "fields").mkdir(parents=True, exist_ok=True)
        self.frames = frame_times(self.list_file) if self.list_file.exists() else []

    def truncate(self, keep: int) -> None:
        """Forget all frames but the first `keep`, in the list and then on the disk."""
        if keep > len(self.frames):
            raise OutputError(
                f"{self.list_file} lists {len(self.frames)} frames but {keep} are needed: start the run afresh"
            )
        self.frames = self.frames[:keep]
        self._write_list()
        kept = {name for _, name in self.frames}
        for path in (self.folder / "fields").glob("frame_*"):
            if f"fields/{path.name}" not in kept:
                path.unlink()

    def write(
        self,
        index: int,
        time: float,
        displacement: np.ndarray,
        velocity: np.ndarray,
        cells: Mapping[str, np.ndarray],
    ) -> Path:
        """Write frame `index`, from 0; frames that were there from `index` on are forgotten. Returns the frame's file.

        time in s, displacement and velocity (n, 3) in m and m/s, cell fields (m,) or (m, c).
        """
        if index != len(self.frames):
            self.truncate(index)
        time = float(time)
        name = f"fields/frame_{index:04d}.vtu"
        points = {"displacement": displacement, "velocity": velocity}
        position = self.mesh.points + displacement
        replace_file(self.folder / name, _vtu(time, position, self.mesh.hexes, points, cells, self.units))
        self.frames.append((time, name))
        self._write_list()
        return self.folder / name

    def _write_list(self) -> None:
        lines = [f'<DataSet timestep="{time!r}" part="0" file="{name}"/>' for time, name in self.frames]
        text = "\n".join(
            [
                '<?xml version="1.0"?>',
                "<!-- times in s -->",
                '<VTKFile type="Collection" version="0.1" byte_order="LittleEndian">',
                "<Collection>",
                *lines,
                "</Collection>",
                "</VTKFile>\n",
            ]
        )
        replace_text(self.list_file, text)


def frame_times(list_file: str | Path) -> list[tuple[float, str]]:
    """Time (s) and file of each frame that a `fields.pvd` lists; raises OutputError where it is damaged."""
    try:
        entries = ElementTree.parse(list_file).getroot().iter("DataSet")
        return [(float(entry.attrib["timestep"]), entry.attrib["file"]) for entry in entries]
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise OutputError(f"{list_file} is damaged ({error}): start the run afresh") from None


def read_frame(path: str | Path) -> Any:
    """A frame as a meshio.Mesh: points, hexahedra, fields. Raises OutputError where it is damaged, and OSError."""
    from meshio import vtu  # meshio.read would print, and end the process

    try:
        return vtu.read(path)
    except OSError:
        raise
    except Exception as error:  # whatever a reader meets
        raise OutputError(f"{path} is damaged ({str(error) or 'no VTU file'}): start the run afresh") from None


def _vtu(
    time: float,
    position: np.ndarray,
    hexes: np.ndarray,
    points: Mapping[str, np.ndarray],
    cells: Mapping[str, np.ndarray],
    units: Mapping[str, str],
) -> Iterable[bytes]:
    """The bytes of a VTU file: an XML header that describes the arrays, then the raw arrays, each after its length.

    The raw arrays lie in the reverse order: meshio looks for them by their offsets, and while it does so gives those
    that it has found other offsets, of which some may be those of arrays that come later in the file.
    """
    m = len(hexes)
    sections = {
        "PointData": {name: np.asarray(values, "<f4") for name, values in points.items()},
        "CellData": {name: np.asarray(values, "<f4") for name, values in cells.items()},
        "Points": {"points": np.asarray(position, "<f8")},
        "Cells": {
            "connectivity": np.asarray(hexes, "<i4").reshape(-1),
            "offsets": np.arange(8, 8 * m + 1, 8, dtype="<i8"),
            "types": np.full(m, VTK_HEXAHEDRON, np.uint8),
        },
    }
    arrays = [np.ascontiguousarray(values) for members in sections.values() for values in members.values()]
    offset = sum(8 + values.nbytes for values in arrays)
    header = [
        '<?xml version="1.0"?>',
        '<VTKFile type="UnstructuredGrid" version="1.0" byte_order="LittleEndian" header_type="UInt64">',
        '<UnstructuredGrid><FieldData><DataArray type="Float64" Name="TimeValue" NumberOfTuples="1" format="ascii">'
        f"{time!r}</DataArray></FieldData>",
        f'<Piece NumberOfPoints="{len(position)}" NumberOfCells="{m}">',
    ]
    for section, members in sections.items():
        header.append(f"<{section}>")
        for name, values in members.items():
            offset -= 8 + values.nbytes
            header.append(_data_array(name, values, offset, "m" if section == "Points" else units.get(name)))
        header.append(f"</{section}>")
    header.append('</Piece></UnstructuredGrid><AppendedData encoding="raw">')
    yield ("\n".join(header) + "\n_").encode()
    for values in reversed(arrays):
        yield np.uint64(values.nbytes).astype("<u8").tobytes()
        yield values.tobytes()
    yield b"\n</AppendedData></VTKFile>\n"


def _data_array(name: str, values: np.ndarray, offset: int, unit: str | None) -> str:
    """The XML element that describes one array."""
    columns = 1 if values.ndim == 1 else values.shape[1]
    labels = "".join(f' ComponentName{k}="{label}"' for k, label in enumerate(COMPONENTS.get(columns, ())))
    key = '<InformationKey name="UNITS_LABEL" location="vtkDataArray">{}</InformationKey>'.format(escape(unit or ""))
    return (
        f'<DataArray type="{VTK_TYPES[values.dtype.str]}" Name={quoteattr(name)} NumberOfComponents="{columns}"'
        f'{labels} format="appended" offset="{offset}">{key if unit else ""}</DataArray>'
    )
