"""Field frames: read back as ParaView would, cut back as a restart does, whole at every instant."""

import meshio
import numpy as np
import pytest
import pyvista

from constitutive import tensor
from constitutive.law import law_definition, law_names
from constitutive.material import default_material, load_material
from fem import history
from fem.meshing import box
from fem.output import UNITS, FieldWriter, OutputError, cell_fields, field_units, frame_times, read_frame

MESH = box((1.0, 1.0, 2.0), (2, 3, 4))
NODES, CELLS = len(MESH.points), len(MESH.hexes)


@pytest.fixture(scope="module")
def law():
    numbers = {"density": 8960.0, "youngs_modulus": 1.2e11, "poissons_ratio": 0.34}
    return law_definition("j2").build(numbers | {"yield_stress": 1e8, "hardening_modulus": 1e8})


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def frame(rng, law):
    F = np.eye(3) + 0.1 * rng.normal(size=(CELLS, 3, 3))
    state = law.initial_state(CELLS)
    state[:, law.state_slice("equivalent_plastic_strain")] = rng.random((CELLS, 1))
    fields = cell_fields(law, F, 1e8 * rng.normal(size=(CELLS, 6)), state)
    return 0.1 * rng.normal(size=(NODES, 3)), 100 * rng.normal(size=(NODES, 3)), fields


def write(folder, frames, law):
    writer = FieldWriter(folder, MESH, field_units(law))
    for index, (displacement, velocity, fields) in enumerate(frames):
        writer.write(index, index * 1e-7, displacement, velocity, fields)
    return writer


def test_cell_fields_are_what_their_names_say(law, rng):
    F = np.eye(3) + 0.1 * rng.normal(size=(5, 3, 3))
    stress = 1e8 * rng.normal(size=(5, 6))
    fields = cell_fields(law, F, stress, law.initial_state(5))
    for k in range(5):
        full = tensor.full(stress[k])
        deviator = full - np.trace(full) / 3 * np.eye(3)
        assert fields["von_mises"][k] == pytest.approx(np.sqrt(1.5 * (deviator * deviator).sum()))
        assert fields["pressure"][k] == pytest.approx(-np.trace(full) / 3)
        J = np.linalg.det(F[k])
        assert fields["volumetric_strain"][k] == pytest.approx(J - 1)
        e_d = np.linalg.norm(F[k].T @ F[k] / J ** (2 / 3) - np.eye(3)) / 2
        assert fields["deviatoric_strain"][k] == pytest.approx(e_d)
    assert (fields["equivalent_plastic_strain"] == 0).all() and fields["stress"].shape == (5, 6)


def test_pvd_reads_back_with_times_moving_points_and_all_fields(tmp_path, law, rng):
    frames = [frame(rng, law) for _ in range(3)]
    write(tmp_path, frames, law)
    reader = pyvista.PVDReader(tmp_path / "fields.pvd")
    assert reader.time_values == [0.0, 1e-7, 2e-7]
    for time, (displacement, velocity, fields) in zip(reader.time_values, frames, strict=True):
        reader.set_active_time_value(time)
        grid = reader.read()[0]
        assert np.array_equal(grid.points, MESH.points + displacement)
        assert np.array_equal(grid.cells.reshape(-1, 9)[:, 1:], MESH.hexes)
        assert np.array_equal(grid.point_data["displacement"], displacement.astype(np.float32))
        assert np.array_equal(grid.point_data["velocity"], velocity.astype(np.float32))
        assert set(grid.cell_data) == set(fields) >= {
            "stress", "von_mises", "pressure", "deviatoric_strain", "volumetric_strain", "equivalent_plastic_strain",
        }  # fmt: skip
        for name, values in fields.items():
            assert np.array_equal(grid.cell_data[name], values.astype(np.float32))
        assert grid.field_data["TimeValue"][0] == time


def test_meshio_reads_a_frame(tmp_path, law, rng):
    displacement, velocity, fields = frame(rng, law)
    write(tmp_path, [(displacement, velocity, fields)], law)
    mesh = meshio.read(tmp_path / "fields/frame_0000.vtu")
    assert np.array_equal(mesh.points, MESH.points + displacement)
    assert np.array_equal(mesh.cells_dict["hexahedron"], MESH.hexes)
    assert np.array_equal(mesh.cell_data["stress"][0], fields["stress"].astype(np.float32))


def test_a_frame_of_any_mesh_is_read_back(tmp_path, law, rng):
    """Of some sizes, 1 x 1 x 2 for one, meshio took one array for another and the frame for damaged."""
    for cells in ((1, 1, 1), (1, 1, 2), (1, 2, 2), (1, 3, 8), (2, 2, 3), (2, 3, 4)):
        mesh, count = box((1.0, 1.0, 1.0), cells), int(np.prod(cells))
        displacement, F = rng.normal(size=mesh.points.shape), np.eye(3) + 0.1 * rng.normal(size=(count, 3, 3))
        fields = cell_fields(law, F, rng.normal(size=(count, 6)), law.initial_state(count))
        path = FieldWriter(tmp_path / "x".join(map(str, cells)), mesh).write(0, 0.0, displacement, displacement, fields)
        found = read_frame(path)
        assert np.array_equal(found.points, mesh.points + displacement)
        assert np.array_equal(found.point_data["displacement"], displacement.astype(np.float32))
        for name, values in fields.items():
            assert np.array_equal(np.squeeze(found.cell_data[name][0]), np.squeeze(values.astype(np.float32)))


def test_arrays_carry_units_and_component_names(tmp_path, law, rng):
    write(tmp_path, [frame(rng, law)], law)
    grid = pyvista.read(tmp_path / "fields/frame_0000.vtu")
    stress = grid.GetCellData().GetArray("stress")
    assert "UNITS_LABEL: Pa" in str(stress.GetInformation())
    assert [stress.GetComponentName(k) for k in range(6)] == ["11", "22", "33", "12", "23", "13"]
    assert "UNITS_LABEL: m/s" in str(grid.GetPointData().GetArray("velocity").GetInformation())


@pytest.mark.parametrize("name", law_names())
def test_every_field_has_a_unit(name):
    law = load_material(default_material(name), name).law
    fields = cell_fields(law, np.eye(3)[None], np.zeros((1, 6)), law.initial_state(1))
    assert set(fields) <= set(field_units(law))


def test_units_are_si_without_prefixes():
    """Of what each run gives: those of fields, and those of the history before what they are of."""
    fields = {"displacement": "m", "velocity": "m/s", "deviatoric_strain": "1", "volumetric_strain": "1"}
    assert fields | dict.fromkeys(("stress", "von_mises", "pressure"), "Pa") == UNITS
    for columns, unit in (
        (("time", "dt"), "s"), (("kinetic", "internal", "hourglass", "viscous", "contact", "external", "total"), "J"),
        (("error",), "1"), (("momentum_x", "momentum_y", "momentum_z"), "kg m/s"), (("contact_force",), "N"),
    ):  # fmt: skip
        assert {history.UNITS[column].partition(",")[0] for column in columns} == {unit}


def test_fields_that_a_law_derives_carry_units():
    """Those of a polycrystal are strains, fractions and a metric, beside the states by name."""
    crystals = load_material("magnesium_liu2022", overrides={"grains": 2}).law
    fields = cell_fields(crystals, np.eye(3)[None], np.zeros((1, 6)), crystals.initial_state(1))
    units = field_units(crystals)
    assert set(fields) <= set(units)
    assert units["inelastic_metric"] == units["twin_fraction"] == units["slip_basal"] == "1"
    assert units["plastic_work"] == "J/m3"


def test_resumed_run_leaves_the_files_of_an_unbroken_one(tmp_path, law, rng):
    frames = [frame(rng, law) for _ in range(5)]
    write(tmp_path / "whole", frames, law)
    write(tmp_path / "broken", [*frames[:3], frames[0]], law)  # frame 3 lies after the last checkpoint
    (tmp_path / "broken/fields/frame_0004.vtu.tmp").write_bytes(b"half a frame")
    resumed = FieldWriter(tmp_path / "broken", MESH, field_units(law))
    resumed.truncate(3)
    assert [time for time, _ in frame_times(tmp_path / "broken/fields.pvd")] == [0.0, 1e-7, 2e-7]
    assert len(list((tmp_path / "broken/fields").iterdir())) == 3
    for index in (3, 4):
        resumed.write(index, index * 1e-7, *frames[index])
    files = sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*.*"))
    assert len(files) == 6
    for path in files:
        assert (tmp_path / "whole" / path).read_bytes() == (tmp_path / "broken" / path).read_bytes()


def test_writing_an_earlier_frame_forgets_the_later_ones(tmp_path, law, rng):
    frames = [frame(rng, law) for _ in range(3)]
    writer = write(tmp_path, frames, law)
    writer.write(1, 5e-7, *frames[2])
    assert frame_times(tmp_path / "fields.pvd") == [(0.0, "fields/frame_0000.vtu"), (5e-7, "fields/frame_0001.vtu")]


def test_missing_frames_and_a_damaged_list_are_named(tmp_path, law, rng):
    writer = write(tmp_path, [frame(rng, law)], law)
    with pytest.raises(OutputError, match="lists 1 frames but 4 are needed: start the run afresh"):
        writer.truncate(4)
    (tmp_path / "fields.pvd").write_text("<VTKFile")
    with pytest.raises(OutputError, match=r"fields.pvd is damaged .*: start the run afresh"):
        FieldWriter(tmp_path, MESH)


def test_a_damaged_frame_is_named(tmp_path, law, rng, capfd):
    write(tmp_path, [frame(rng, law)], law)
    file = tmp_path / "fields/frame_0000.vtu"
    data = file.read_bytes()
    assert np.array_equal(read_frame(file).cells[0].data, MESH.hexes)
    for damaged in (b"", data[:200], data[: len(data) // 2], data[:-100], bytes(len(data))):
        file.write_bytes(damaged)
        with pytest.raises(OutputError, match=r"frame_0000.vtu is damaged \(.+\): start the run afresh"):
            read_frame(file)
    assert capfd.readouterr() == ("", "")
    file.unlink()
    with pytest.raises(OSError, match=r"frame_0000\.vtu"):
        read_frame(file)


def test_failed_write_leaves_list_and_folder_whole(tmp_path, law, rng, monkeypatch):
    first = frame(rng, law)
    writer = write(tmp_path, [first], law)
    before = (tmp_path / "fields.pvd").read_bytes()

    def full_disk(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        writer.write(1, 1e-7, *first)
    assert (tmp_path / "fields.pvd").read_bytes() == before
    assert [path.name for path in (tmp_path / "fields").iterdir()] == ["frame_0000.vtu"]


def test_names_and_units_are_escaped(tmp_path):
    zeros = np.zeros((NODES, 3))
    writer = FieldWriter(tmp_path, MESH, {"a<b & c": "<1>"})
    writer.write(0, np.float64(0.0), zeros, zeros, {"a<b & c": np.arange(CELLS)})
    grid = pyvista.read(tmp_path / "fields/frame_0000.vtu")
    assert np.array_equal(grid.cell_data["a<b & c"], np.arange(CELLS))
    assert pyvista.PVDReader(tmp_path / "fields.pvd").time_values == [0.0]
