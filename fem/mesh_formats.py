"""`read_mesh`: a user's mesh from a file.

Each reader gives points (n, 3) in the file's unit, hexes (m, 8) and node sets, or raises ValueError.
meshio reads what nothing here reads better. For `.msh` that is Gmsh itself (meshio 5.3.5 keeps one physical group of an
entity and loses the rest), for `.vtu` VTK (meshio rejects files with text in them, such as PyVista's), for `.inp`
`fem/abaqus.py`.
"""

import io
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np

from fem.abaqus import read_inp
from fem.mesh import Mesh, MeshError, check_mesh, drop_unused_nodes, require_hexahedra
from fem.meshing import gmsh_model

MeshData = tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]

GMSH_HEXAHEDRON = 5  # element type number of the MSH format
KINDS = ("point", "curve", "surface", "volume")  # by dimension: names of Gmsh groups that have none


def read_msh(path: Path) -> MeshData:
    """A Gmsh mesh of any MSH version; physical groups of any dimension become sets of their nodes."""
    with open(path, "rb") as file:
        if not file.read(11).startswith((b"$MeshFormat", b"$Comments", b"$NOD")):
            raise ValueError("this is not a Gmsh mesh: it does not begin with $MeshFormat")
    try:
        import gmsh
    except (ImportError, OSError) as error:
        raise ValueError(
            f"Gmsh cannot be loaded ({error}): install that library, or convert the mesh to .vtu"
        ) from None
    with gmsh_model(gmsh):
        try:
            gmsh.merge(str(path))
        except Exception as error:
            raise ValueError(f"Gmsh cannot read it: {error}") from None
        mesh = gmsh.model.mesh
        tags, coordinates, _ = mesh.getNodes()
        counts = {}
        for kind in mesh.getElementTypes(3):
            name = mesh.getElementProperties(kind)[0]
            counts[name] = 0 if kind == GMSH_HEXAHEDRON else len(mesh.getElementsByType(kind)[0])
        require_hexahedra(counts, found="Hexahedron 8" in counts)
        _, hexes = mesh.getElementsByType(GMSH_HEXAHEDRON)
        groups: dict[str, np.ndarray] = {}
        for dimension, tag in gmsh.model.getPhysicalGroups():
            name = gmsh.model.getPhysicalName(dimension, tag) or f"{KINDS[dimension]}_{tag}"
            nodes, _ = mesh.getNodesForPhysicalGroup(dimension, tag)
            groups[name] = np.union1d(groups.get(name, nodes), nodes)
    order = np.argsort(tags)

    def index(some_tags):
        return order[np.searchsorted(tags, some_tags, sorter=order)]

    sets = {name: index(nodes) for name, nodes in groups.items()}
    return coordinates.reshape(-1, 3), index(hexes).reshape(-1, 8), sets


def read_vtu(path: Path) -> MeshData:
    """A VTK unstructured grid; integer point data of 0 and 1 become node sets."""
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkCommonDataModel import VTK_HEXAHEDRON, vtkGenericCell
    from vtkmodules.vtkIOXML import vtkXMLUnstructuredGridReader

    reader = vtkXMLUnstructuredGridReader()
    reader.SetFileName(str(path))
    with _vtk_errors() as errors:
        reader.Update()
    if text := errors():
        raise ValueError(f"this is not a VTU file that can be read: {text}")
    grid = reader.GetOutput()
    if not grid.GetNumberOfCells():
        require_hexahedra({}, found=False)
    kinds, counts = np.unique(vtk_to_numpy(grid.GetCellTypes()), return_counts=True)
    cells = [vtkGenericCell.InstantiateCell(int(kind)) for kind in kinds]
    solids = [(cell, count) for cell, count in zip(cells, counts, strict=True) if cell.GetCellDimension() == 3]
    others = {cell.GetClassName().removeprefix("vtk"): int(count) for cell, count in solids}
    others.pop("Hexahedron", None)
    require_hexahedra(others, found=VTK_HEXAHEDRON in kinds)
    is_hexahedron = vtk_to_numpy(grid.GetCellTypes()) == VTK_HEXAHEDRON
    first = vtk_to_numpy(grid.GetCells().GetOffsetsArray())[:-1][is_hexahedron]
    hexes = vtk_to_numpy(grid.GetCells().GetConnectivityArray())[first[:, None] + np.arange(8)]
    data = grid.GetPointData()
    arrays = {data.GetArrayName(k): data.GetArray(k) for k in range(data.GetNumberOfArrays())}
    fields = {name: vtk_to_numpy(array) for name, array in arrays.items() if array is not None}
    return vtk_to_numpy(grid.GetPoints().GetData()).astype(float), hexes, _masks(fields)


def read_by_meshio(path: Path) -> MeshData:
    """Any other format that meshio knows; its point sets, and integer point data of 0 and 1, become node sets."""
    import meshio

    noise = io.StringIO()
    try:
        with redirect_stdout(noise), redirect_stderr(noise):
            mesh = meshio.read(path)
    except (Exception, SystemExit) as error:  # meshio 5.3.5 ends the process where a reader fails
        reason = str(error) if isinstance(error, Exception) else noise.getvalue()
        raise ValueError(f"meshio cannot read it: {' '.join(reason.split())}") from None
    others: dict[str, int] = {}
    for block in mesh.cells:
        if block.dim == 3 and block.type != "hexahedron":
            others[block.type] = others.get(block.type, 0) + len(block.data)
    hexes = [block.data for block in mesh.cells if block.type == "hexahedron"]
    require_hexahedra(others, found=bool(hexes))
    return mesh.points, np.concatenate(hexes), _masks(mesh.point_data) | mesh.point_sets


def _masks(fields: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The node sets that integer point data of only 0 and 1 stand for."""
    scalars = {name: data for name, data in fields.items() if data.ndim == 1 and data.dtype.kind in "iub"}
    return {name: np.flatnonzero(data) for name, data in scalars.items() if np.isin(data, (0, 1)).all()}


@contextmanager
def _vtk_errors() -> Iterator[Callable[[], str]]:
    """Keep VTK's errors off the terminal; gives a function that returns the first of them, or nothing."""
    from vtkmodules.vtkCommonCore import vtkLogger, vtkOutputWindow, vtkStringOutputWindow

    window, before = vtkStringOutputWindow(), vtkOutputWindow.GetInstance()
    verbosity = vtkLogger.GetCurrentVerbosityCutoff()
    vtkOutputWindow.SetInstance(window)
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)
    try:
        yield lambda: next(iter(re.findall(r"\): (.*)", window.GetOutput())), "")
    finally:
        vtkOutputWindow.SetInstance(before)
        vtkLogger.SetStderrVerbosity(verbosity)


READERS: dict[str, Callable[[Path], MeshData]] = {".msh": read_msh, ".inp": read_inp, ".vtu": read_vtu}


def read_mesh(path: str | Path, scale: float = 1.0) -> Mesh:
    """Read and check a hexahedral mesh: Gmsh `.msh`, Abaqus `.inp`, VTK `.vtu`, or another format that meshio knows.

    Coordinates are multiplied by `scale` (1e-3 for a file in millimetres). Node sets come from Gmsh physical groups,
    Abaqus *NSET and *NODE, NSET=, and from integer point data of a .vtu that holds only 0 and 1. Nodes that no
    hexahedron uses are dropped; cells of lower dimension serve only their groups. Raises MeshError.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower(), read_by_meshio)
    if not path.is_file():
        raise MeshError(f"{path}: {'this is a folder' if path.is_dir() else 'there is no such file'}")
    if not (np.isfinite(scale) and scale > 0):
        raise MeshError(f"scale is {scale}; give a positive factor to metres, such as 1e-3 for millimetres")
    try:
        points, hexes, node_sets = reader(path)
        mesh = drop_unused_nodes(Mesh(points * scale, hexes, node_sets))
        check_mesh(mesh)
    except MeshError as error:  # which knows no labels of the file's
        raise MeshError(f"{path}, elements and nodes counted from 0: {error}") from None
    except (ValueError, OSError) as error:
        raise MeshError(f"{path}: {error}") from None
    return mesh
