"""Checks of a mesh, its surface, and the import of a user's mesh."""

import warnings

import gmsh
import meshio
import numpy as np
import pytest
import pyvista

from fem.hex8 import gauss_gradients
from fem.mesh import (
    Mesh,
    MeshError,
    MeshWarning,
    check_mesh,
    drop_unused_nodes,
    scaled_jacobian,
    surface_faces,
    surface_nodes,
)
from fem.mesh_formats import read_mesh
from fem.meshing import box


@pytest.fixture
def block() -> Mesh:
    return box((0.1, 0.2, 0.3), (3, 4, 5))


def changed(mesh: Mesh, points=None, hexes=None, node_sets=None) -> Mesh:
    return Mesh(
        mesh.points if points is None else points,
        mesh.hexes if hexes is None else hexes,
        mesh.node_sets if node_sets is None else node_sets,
    )


def test_a_sound_mesh_passes_without_a_word(block):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_mesh(block)
    assert scaled_jacobian(block) == pytest.approx(1.0, abs=1e-12)


def test_tangled_element_is_named_with_its_place(block):
    hexes = block.hexes.copy()
    hexes[7, [0, 1]] = hexes[7, [1, 0]]
    centre = block.points[hexes[7]].mean(axis=0)
    with pytest.raises(MeshError, match=rf"element 7 at \({centre[0]:.4g}, {centre[1]:.4g}, .*\) m is tangled"):
        check_mesh(changed(block, hexes=hexes))


def test_node_moved_through_its_element_is_found(block):
    points = block.points.copy()
    corner = block.hexes[0, 0]
    points[corner] = 1.2 * points[block.hexes[0, 6]]
    with pytest.raises(MeshError, match=r"element 0 at .* tangled or flat .*1 such elements of 60"):
        check_mesh(changed(block, points=points))


def test_an_element_that_is_tangled_between_sound_corners_is_refused():
    """Found by chance among random ones: `hex8` would have points of negative mass there."""
    corners = [[0.891, 0.569, -0.803], [1.106, 0.615, 0.212], [1.24, 0.256, 0.445], [-0.382, 1.624, 1.164],
               [0.994, 0.466, 0.72], [1.224, 0.828, 0.923], [0.057, 1.049, 1.096], [0.483, 0.579, 0.868]]  # fmt: skip
    mesh = Mesh(corners, [range(8)])
    assert scaled_jacobian(mesh) > 0.0 and gauss_gradients(mesh.points[mesh.hexes])[1].min() < 0.0
    with pytest.raises(MeshError, match=r"element 0 at .* tangled or flat .*2 of 8 Gauss points without volume"):
        check_mesh(mesh)


def test_mirrored_mesh_is_told_how_to_mend(block):
    mirrored = changed(block, hexes=block.hexes[:, [4, 5, 6, 7, 0, 1, 2, 3]])
    with pytest.raises(MeshError, match=r"every element is mirrored .* hexes\[:, \[4, 5, 6, 7, 0, 1, 2, 3\]\]"):
        check_mesh(mirrored)
    check_mesh(changed(mirrored, hexes=mirrored.hexes[:, [4, 5, 6, 7, 0, 1, 2, 3]]))


def test_bad_indices_coordinates_and_shapes_are_refused(block):
    hexes, points = block.hexes.copy(), block.points.copy()
    hexes[3, 2] = 999
    with pytest.raises(MeshError, match=r"element 3 has nodes .* numbered 0 to 119"):
        check_mesh(changed(block, hexes=hexes))
    hexes[3, 2] = hexes[3, 1]
    with pytest.raises(MeshError, match=r"element 3 at .* uses a node twice"):
        check_mesh(changed(block, hexes=hexes))
    points[17, 1] = np.nan
    with pytest.raises(MeshError, match="node 17 has coordinates"):
        check_mesh(changed(block, points=points))
    with pytest.raises(MeshError, match="node set 'clamped' has node 120"):
        check_mesh(changed(block, node_sets={"clamped": [3, 120]}))
    with pytest.raises(MeshError, match=r"points have shape \(120, 2\)"):
        changed(block, points=block.points[:, :2])
    with pytest.raises(MeshError, match=r"hexes have shape \(0, 8\)"):
        changed(block, hexes=block.hexes[:0])
    with pytest.raises(MeshError, match=r"no node set 'face'; it has: x_max, x_min"):
        block.nodes("face")


def test_a_node_set_may_be_a_mask(block):
    mask = block.points[:, 0] == 0
    assert np.array_equal(changed(block, node_sets={"left": mask}).nodes("left"), block.nodes("x_min"))
    for bad in (mask[:-1], block.nodes("x_min") + 0.5):
        with pytest.raises(MeshError, match=r"nodes of set 'left' are .* give node numbers, or a mask of 120 bools"):
            changed(block, node_sets={"left": bad})


def test_unused_nodes_are_refused_or_dropped(block):
    points = np.insert(block.points, 5, [[9.0, 9.0, 9.0]], axis=0)
    shift = block.hexes + (block.hexes >= 5)
    loose = Mesh(points, shift, {"some": [4, 5, 6]})
    with pytest.raises(MeshError, match="1 nodes belong to no element, the first is node 5"):
        check_mesh(loose)
    mended = drop_unused_nodes(loose)
    assert np.array_equal(mended.points, block.points) and np.array_equal(mended.hexes, block.hexes)
    assert mended.nodes("some").tolist() == [4, 5]


def test_elements_that_are_there_twice_are_named(block):
    turned = block.hexes[9][[1, 2, 3, 0, 5, 6, 7, 4]]
    with pytest.raises(MeshError, match=r"elements 9 and 60 at \(.*\) m have the same eight nodes \(1 such pairs\)"):
        check_mesh(changed(block, hexes=[*block.hexes, turned]))


def test_a_face_of_three_elements_is_refused(block):
    top = block.hexes[-1, 4:]
    points = np.concatenate([block.points, block.points[top] + [0.0, 0.0, 0.1], block.points[top] + [0.0, 0.01, 0.2]])
    on_top = [[*top, *range(120, 124)], [*top, *range(124, 128)]]
    check_mesh(changed(block, points[:124], [*block.hexes, on_top[0]]))
    with pytest.raises(MeshError, match=r"elements 59, 60 and 61 at \(.*\) m share one face, which can join only two"):
        check_mesh(changed(block, points, [*block.hexes, *on_top]))


def test_unmerged_parts_and_millimetres_are_warned_of(block):
    other = block.points + np.array([0.1, 0.0, 0.0])
    points = np.concatenate([block.points, other])
    with pytest.warns(MeshWarning, match="30 nodes lie on top of another"):
        check_mesh(Mesh(points, np.concatenate([block.hexes, block.hexes + len(other)])))
    with pytest.warns(MeshWarning, match=r"300 m long: .* millimetres"):
        check_mesh(changed(block, points=1e3 * block.points))


def test_surface_faces_enclose_the_volume(block):
    faces = surface_faces(block)
    assert len(faces) == 2 * (3 * 4 + 4 * 5 + 5 * 3)
    corners = block.points[faces]
    normal = 0.5 * np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    flux = np.einsum("fi,fi", normal, corners.mean(axis=1)) / 3
    assert flux == pytest.approx(0.1 * 0.2 * 0.3, rel=1e-12)
    inside = (block.points > 1e-9).all(axis=1) & (block.points < np.array([0.1, 0.2, 0.3]) - 1e-9).all(axis=1)
    assert np.array_equal(surface_nodes(block), np.flatnonzero(~inside))


def write_gmsh(path, version=4.1, binary=False, hexahedra=True, order=1, nodes_of_groups=True) -> None:
    """A unit cube of 3 x 3 x 3 elements with physical groups: some share a face, one has no name."""
    gmsh.initialize(interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.option.setNumber("Mesh.MshFileVersion", version)
        gmsh.option.setNumber("Mesh.Binary", binary)
        gmsh.option.setNumber("Mesh.SaveGroupsOfNodes", nodes_of_groups)
        volume = gmsh.model.occ.addBox(0, 0, 0, 1, 1, 1)
        gmsh.model.occ.synchronize()
        for _, curve in gmsh.model.getEntities(1):
            gmsh.model.mesh.setTransfiniteCurve(curve, 4)
        for _, surface in gmsh.model.getEntities(2):
            gmsh.model.mesh.setTransfiniteSurface(surface)
            if hexahedra:
                gmsh.model.mesh.setRecombine(2, surface)
        gmsh.model.mesh.setTransfiniteVolume(volume)
        gmsh.model.addPhysicalGroup(3, [volume], 1, "rod")
        gmsh.model.addPhysicalGroup(2, [1], 1, "left")
        gmsh.model.addPhysicalGroup(2, [1, 2], 2, "sides")
        gmsh.model.addPhysicalGroup(2, [3], 7)
        gmsh.model.addPhysicalGroup(0, [1], 1, "corner")
        gmsh.model.mesh.generate(3)
        gmsh.model.mesh.setOrder(order)
        gmsh.write(str(path))
    finally:
        gmsh.finalize()


@pytest.mark.parametrize(("version", "binary"), [(4.1, False), (4.1, True), (2.2, False), (2.2, True)])
def test_gmsh_groups_become_node_sets(tmp_path, version, binary):
    write_gmsh(path := tmp_path / "cube.msh", version, binary)
    mesh = read_mesh(path, scale=1e-3)
    assert (len(mesh.points), len(mesh.hexes)) == (64, 27)
    assert {name: len(nodes) for name, nodes in mesh.node_sets.items()} == {
        "rod": 64, "left": 16, "sides": 32, "surface_7": 16, "corner": 1,
    }  # fmt: skip
    assert mesh.points[mesh.nodes("left"), 0] == pytest.approx(0.0, abs=1e-15)
    assert mesh.points.max() == pytest.approx(1e-3)


def test_gmsh_session_of_the_user_survives_the_import(tmp_path):
    write_gmsh(path := tmp_path / "cube.msh")
    gmsh.initialize(interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.model.add("mine")
        read_mesh(path)
        assert gmsh.isInitialized() and gmsh.model.getCurrent() == "mine"
    finally:
        gmsh.finalize()


def test_abaqus_file_of_gmsh(tmp_path):
    write_gmsh(path := tmp_path / "cube.inp")
    mesh = read_mesh(path)
    assert (len(mesh.points), len(mesh.hexes)) == (64, 27)
    assert [len(mesh.nodes(name)) for name in ("left", "sides", "corner", "rod")] == [16, 32, 1, 64]


ABAQUS = """*Heading
** two cubes in a row, written in several ways
*Node, nset=Lower
  1, , 0.,
  2, 1., 0., 0.
  3, 1., 1., 0.
 14, 0., 1., 0.
*NODE
  5, 0., 0., 1.
  6, 1., 0., 1.
  7, 1., 1., 1.
  8, 0., 1., 1.
*node, NSET="Upper"
  9, 0., 0., 2.
 10, 1., 0., 2.
 11, 1., 1., 2.
 12, 0., 1., 2.
 99, 5., 5., 5.
*Element, type=c3d8r, elset=Body
 1, 1, 2, 3, 14, 5, 6, 7,
    8
*ELEMENT, TYPE=C3D8,
 2, 5, 6, 7, 8, 9, 10, 11, 12,
*Element, type=S4R,
  elset=Skin
 3, 9, 10, 11, 12
*NSET, NSET=Middle, GENERATE
 5, 8, 1
*Nset, nset=Even, generate
 2, 12, 2
*Nset, nset=List
 1, 2,
 3
*Nset, nset=Both, instance=Part-1
 LOWER, Middle
*Nset, nset=Bolts, elset=BODY
 12
*Material, name=copper
*Density
 8960.,
*Element, type=M3D4, elset=Film
 4, 9, 10, 11, 12,
 8, 5, 6, 10, 9,
"""
QUADRATIC = """*Element, type=C3D20R
 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
 16, 17, 18, 19, 20
 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
 16, 17, 18, 19, 20
"""


def test_every_form_of_abaqus_set(tmp_path):
    (path := tmp_path / "two.inp").write_text(ABAQUS.replace("*Nset, nset=Even, generate\n 2, 12, 2\n", ""))
    mesh = read_mesh(path)
    assert mesh.points.shape == (12, 3) and mesh.hexes.tolist() == [
        [0, 1, 2, 3, 4, 5, 6, 7],
        [4, 5, 6, 7, 8, 9, 10, 11],
    ]
    sets = {name: nodes.tolist() for name, nodes in mesh.node_sets.items()}
    assert sets == {
        "Lower": [0, 1, 2, 3],
        "Upper": [8, 9, 10, 11],
        "Middle": [4, 5, 6, 7],
        "List": [0, 1, 2],
        "Both": [0, 1, 2, 3, 4, 5, 6, 7],
        "Bolts": [0, 1, 2, 3, 4, 5, 6, 7, 11],
        "Body": [0, 1, 2, 3, 4, 5, 6, 7],
        "Skin": [8, 9, 10, 11],
        "Film": [4, 5, 8, 9, 10, 11],
    }


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("", "", "set 'Even' uses node 4, which is not defined"),  # GENERATE 2, 12, 2 names it
        ("  2, 1., 0., 0.", "  2, 1., zero, 0.", r"line 5: '2,1.,zero,0.' is not a node"),
        ("  2, 1., 0., 0.", "  1, 1., 0., 0.", r"line 5: node 1 is defined twice"),
        (" 2, 5, 6, 7, 8, 9, 10, 11, 12", " 1, 5, 6, 7, 8, 9, 10, 11, 12", "element 1 is defined twice"),
        (" 2, 5, 6, 7, 8, 9, 10, 11, 12", " 2, 5, 6, 7, 8, 9, 10, 11", "element 2 has 7 nodes; a hexahedron has 8"),
        (
            " 2, 5, 6, 7, 8, 9, 10, 11, 12",
            " 2, 5, 6, 7, 8, 9, 10, 11, 13",
            "element 2 uses node 13, which is not defined",
        ),
        (" 2, 5, 6, 7, 8, 9, 10, 11, 12", " 2, 5, 6, 7, x", "'2,5,6,7,x' is not a list of whole numbers"),
        (" 1, 1, 2, 3, 14, 5, 6, 7,\n    8", ",,,,,,,,,", "',,,,,,,,' is not a list of whole numbers"),
        ("LOWER", "Lowest", "there is no set 'Lowest' before this line"),
        (", nset=List", "", r"\*NSET has no name"),
        ("*Heading", "*Include, input=other.inp", r"line 1: \*INCLUDE is not followed"),
        ("*Material, name=copper", "*Instance, name=a\n1., 0., 0.", r"line 36: \*INSTANCE that is moved"),
        ("*NODE\n", "*NODE, INPUT=nodes.txt\n", r"line 8: \*NODE is not followed to another file"),
        ("*NODE\n", "*NODE, SYSTEM=C\n", r"line 8: \*NODE in an own coordinate system"),
        ("*NODE\n", "*SYSTEM\n1., 0., 0.\n*NODE\n", r"line 8: \*SYSTEM in an own coordinate system"),
        ("*Material, name=copper", "*NGEN, NSET=row\n1, 5, 1", r"line 36: \*NGEN is not followed: write out"),
        ("*Material, name=copper", "*Elcopy, old set=Body", r"\*ELCOPY is not followed: write out all nodes"),
        (" 5, 8, 1\n", " 5\n", "line 28: '5' is not first, last and a step of 1 or more"),
        (" 5, 8, 1\n", " 5, 8, 0\n", "line 28: '5,8,0' is not first, last and a step"),
        (" 5, 8, 1\n", " 5, 6, 1, 7\n", "line 28: '5,6,1,7' is not first, last and a step"),
        (" 5, 8, 1\n", " 8, 5, 1\n", "line 28: '8,5,1' is not first, last and a step"),
        ("elset=BODY", "elset=Tip", "line 34: there is no set 'Tip' before this line"),
        ("C3D8,\n", "C3D4\n", r"not 8-node hexahedra \(1 of type C3D4\)"),
        ("*Material, name=copper\n", QUADRATIC, r"not 8-node hexahedra \(2 of type C3D20R\)"),
    ],
)
def test_abaqus_errors_name_the_line(tmp_path, old, new, message):
    text = ABAQUS if not old else ABAQUS.replace("*Nset, nset=Even, generate\n 2, 12, 2\n", "").replace(old, new)
    (path := tmp_path / "two.inp").write_text(text)
    with pytest.raises(MeshError, match=message) as error:
        read_mesh(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_abaqus_nodes_in_the_global_system_are_read(tmp_path):
    text = ABAQUS.replace("*Nset, nset=Even, generate\n 2, 12, 2\n", "").replace(
        "*NODE\n", "*SYSTEM\n*NODE, SYSTEM=R\n"
    )
    (path := tmp_path / "two.inp").write_text(text)
    assert len(read_mesh(path).hexes) == 2


def test_abaqus_files_may_begin_with_a_byte_order_mark(tmp_path):
    text = ABAQUS[ABAQUS.index("*Node") :].replace("*Nset, nset=Even, generate\n 2, 12, 2\n", "")
    (path := tmp_path / "two.inp").write_text(text, encoding="utf-8-sig")
    assert len(read_mesh(path).hexes) == 2


def test_vtu_masks_become_node_sets(tmp_path, block):
    mask = np.isin(np.arange(len(block.points)), block.nodes("x_max"))
    data = {"clamped": mask.astype(np.int32), "temperature": np.linspace(0, 1, 120), "label": np.arange(120)}
    blocks = [("quad", surface_faces(block)), ("hexahedron", block.hexes)]
    meshio.Mesh(block.points, blocks, point_data=data).write(path := tmp_path / "block.vtu")
    mesh = read_mesh(path)
    assert np.array_equal(mesh.points, block.points) and np.array_equal(mesh.hexes, block.hexes)
    assert list(mesh.node_sets) == ["clamped"] and np.array_equal(mesh.nodes("clamped"), block.nodes("x_max"))


def test_vtu_of_pyvista_and_other_formats_of_meshio(tmp_path, block):
    grid = pyvista.UnstructuredGrid({pyvista.CellType.HEXAHEDRON: block.hexes}, block.points)
    grid.point_data["clamped"] = np.isin(np.arange(len(block.points)), block.nodes("z_min"))
    grid.save(tmp_path / "pyvista.vtu")
    mesh = read_mesh(tmp_path / "pyvista.vtu")
    assert np.array_equal(mesh.hexes, block.hexes) and np.array_equal(mesh.nodes("clamped"), block.nodes("z_min"))
    meshio.Mesh(block.points, [("hexahedron", block.hexes)]).write(tmp_path / "block.bdf")
    assert np.array_equal(read_mesh(tmp_path / "block.bdf").hexes, block.hexes)


GARBAGE = b"garbage\n1 2 3\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.msh", None, "there is no such file"),
        ("bad.msh", GARBAGE, r"does not begin with \$MeshFormat"),
        ("cut.msh", b"$MeshFormat\n4.1 0 8\n$EndMeshFormat\n$Nodes\nabc\n", "Gmsh cannot read it"),
        ("bad.vtu", GARBAGE, "not a VTU file that can be read"),
        ("cut.vtu", b'<?xml version="1.0"?>\n<VTKFile type="UnstructuredGrid">', "not a VTU file that can be read"),
        ("bad.inp", GARBAGE, "no hexahedra"),
        ("bytes.inp", bytes(range(256)), "no hexahedra"),
        ("bad.unknown", GARBAGE, "meshio cannot read it: Could not deduce file format"),
        ("bad.vtk", GARBAGE, "meshio cannot read it"),
    ],
)
def test_files_that_are_no_meshes(tmp_path, capfd, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(MeshError, match=message) as error:
        read_mesh(tmp_path / name)
    assert str(tmp_path / name) in str(error.value) and "\n" not in str(error.value)
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err == ""


def test_solids_of_other_types_are_named_and_counted(tmp_path, block):
    write_gmsh(tmp_path / "tetra.msh", hexahedra=False)
    with pytest.raises(MeshError, match="162 of type Tetrahedron 4"):
        read_mesh(tmp_path / "tetra.msh")
    write_gmsh(tmp_path / "second.msh", order=2)
    with pytest.raises(MeshError, match="27 of type Hexahedron 27"):
        read_mesh(tmp_path / "second.msh")
    mixed = [("hexahedron", block.hexes), ("wedge", block.hexes[:2, :6]), ("pyramid", block.hexes[:1, :5])]
    meshio.Mesh(block.points, mixed).write(tmp_path / "mixed.vtu")
    with pytest.raises(MeshError, match="2 of type Wedge, 1 of type Pyramid"):
        read_mesh(tmp_path / "mixed.vtu")
    meshio.Mesh(block.points, [("quad", surface_faces(block))]).write(tmp_path / "shell.vtu")
    with pytest.raises(MeshError, match="no hexahedra"):
        read_mesh(tmp_path / "shell.vtu")


def test_scale_must_be_positive(tmp_path, block):
    meshio.Mesh(block.points, [("hexahedron", block.hexes)]).write(path := tmp_path / "block.vtu")
    with pytest.raises(MeshError, match="this is a folder"):
        read_mesh(tmp_path)
    with pytest.raises(MeshError, match="scale is -1"):
        read_mesh(path, scale=-1)


def test_what_is_wrong_with_a_file_s_elements_is_counted_from_0_and_says_so(tmp_path, block):
    """Labels, Abaqus's say, are lost by then; the position is told."""
    hexes = np.vstack([block.hexes, block.hexes[:1]])
    meshio.Mesh(block.points, [("hexahedron", hexes)]).write(path := tmp_path / "double.vtu")
    with pytest.raises(MeshError, match=r"double.vtu, elements and nodes counted from 0: elements 0 and \d+ at \("):
        read_mesh(path)
