"""Material files: what ships is sound, what is wrong is answered by one line that says what to do."""

import math
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import constitutive.material
from constitutive.artefact import save_artefact
from constitutive.law import Law, LawDefinition, LawError, Parameter, law_definition, law_names
from constitutive.material import DEFAULTS, Material, default_material, load_material, material_names
from constitutive.validation import checked_values, in_range

J2_FILE = """
law = "j2"
name = "copper"
source = "somewhere"
density = 8930.0
youngs_modulus = 117e9
poissons_ratio = 0.35
yield_stress = 400e6
hardening_modulus = 100e6
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.toml"

    def write(text: str):
        path.write_text(text)
        return path

    return write


def complaint(*args, **kwargs) -> str:
    with pytest.raises(LawError) as caught:
        load_material(*args, **kwargs)
    message = str(caught.value)
    assert message and "\n" not in message
    return message


@pytest.mark.parametrize("name", material_names())
def test_shipped_materials_load_and_state_their_source(name):
    material = load_material(name)
    assert len(material.source) > 20
    assert material.path.stem == name
    assert 100.0 < material.law.wave_speed < 20000.0


@pytest.mark.parametrize("name", material_names())
def test_a_written_material_loads_as_the_very_same(name, tmp_path):
    material = load_material(name, overrides={"density": 1234.5678901234567})
    copy = tmp_path / "material.toml"
    copy.write_text(material.to_toml())
    again = load_material(copy)
    assert again.values == material.values
    assert (again.name, again.source, again.law.name) == (material.name, material.source, material.law.name)
    assert (again.law.params == material.law.params).all()
    assert again.to_toml() == material.to_toml()


@pytest.mark.parametrize("law", law_names())
def test_the_default_material_of_a_law_runs_with_it(law):
    try:
        name = default_material(law)
    except LawError as error:
        pytest.skip(str(error))
    assert load_material(name, law).law.name == law


def test_johnson_cook_constants_are_those_of_1983():
    table = {
        "ofhc_copper": (90e6, 292e6, 0.31, 0.025, 1.09, 1356.0, 8960.0, 383.0),
        "armco_iron": (175e6, 380e6, 0.32, 0.06, 0.55, 1811.0, 7890.0, 452.0),
        "steel_4340": (792e6, 510e6, 0.26, 0.014, 1.03, 1793.0, 7830.0, 477.0),
    }
    keys = ("A", "B", "n", "C", "m", "melting_temperature", "density", "specific_heat")
    for name, row in table.items():
        assert tuple(load_material(name).values[key] for key in keys) == row


@pytest.mark.parametrize("melting", [298.0, 300.0])
def test_a_metal_that_melts_below_its_reference_temperature_is_refused(melting):
    overrides = {"reference_temperature": 300.0, "melting_temperature": melting}
    assert f"melting_temperature = {melting:g} K is not above" in complaint("ofhc_copper", overrides=overrides)


def test_both_pairs_of_elastic_constants_give_the_same_law(file):
    by_youngs = load_material(file(J2_FILE)).law
    G, K = by_youngs.shear_modulus, by_youngs.p_wave_modulus - 4.0 / 3.0 * by_youngs.shear_modulus
    E, nu = 9.0 * K * G / (3.0 * K + G), (3.0 * K - 2.0 * G) / (2.0 * (3.0 * K + G))
    assert (E, nu) == pytest.approx((117e9, 0.35))
    text = J2_FILE.replace("youngs_modulus = 117e9", f"shear_modulus = {G}").replace(
        "poissons_ratio = 0.35", f"bulk_modulus = {K}"
    )
    assert load_material(file(text)).law.params == pytest.approx(by_youngs.params)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("density", "densty", ["unknown key 'densty'", "did you mean 'density'?"]),
        ("density = 8930.0", "", ["density is missing", "kg/m3"]),
        ("density = 8930.0", "density = -1.0", ["density = -1.0", "at least 100"]),
        ("density = 8930.0", "density = 8.93", ["density = 8.93", "8.93 g/cm3 would be 8930"]),
        ("density = 8930.0", "density = 8.93e-9", ["8.93e-09 t/mm3 would be 8930"]),
        ("density = 8930.0", 'density = "heavy"', ["density = 'heavy'", "must be a number"]),
        ("density = 8930.0", "density = true", ["density = True", "must be a number"]),
        ("density = 8930.0", "density = nan", ["density = nan", "must be a number"]),
        ("density = 8930.0", "density = inf", ["density = inf", "must be a number"]),
        ("density = 8930.0", "density = [1, 2]", ["must be a number"]),
        ("density = 8930.0", "density = 1" + "0" * 400, ["density = 1000", "must be a number"]),
        ("yield_stress = 400e6", "yield_stress = 400", ["400 MPa would be 4e+08"]),
        ("youngs_modulus = 117e9", "youngs_modulus = 117", ["117 GPa would be 1.17e+11"]),
        ("youngs_modulus = 117e9", "", ["give shear_modulus and bulk_modulus, or", "given: poissons_ratio"]),
        ("poissons_ratio = 0.35", "poissons_ratio = 0.5", ["poissons_ratio = 0.5", "at most 0.4999"]),
        ('law = "j2"', "", ["no law"]),
        ('law = "j2"', 'law = "j3"', ["no law is called 'j3'", "did you mean 'j2'?"]),
        ('law = "j2"', "law = 3", ["no law"]),
        ('name = "copper"', "name = 3", ["name = 3"]),
        ('name = "copper"', "name = ", ["not a TOML file", "line 3"]),
    ],
)
def test_a_wrong_file_is_answered_in_one_line(file, old, new, words):
    assert old in J2_FILE
    path = file(J2_FILE.replace(old, new))
    message = complaint(path)
    assert str(path) in message
    for word in words:
        assert word in message


def test_files_that_cannot_be_read(tmp_path):
    assert "no such material file" in complaint(tmp_path / "none.toml")
    assert "did you mean 'ofhc_copper'?" in complaint("ofhc_coper")
    assert "no such material file" in complaint(tmp_path)
    (tmp_path / "binary.toml").write_bytes(bytes(range(256)))
    assert "not a TOML file" in complaint(tmp_path / "binary.toml")


def test_a_file_may_begin_with_a_byte_order_mark(file):
    assert load_material(file("\ufeff" + J2_FILE)).name == "copper"


def test_overrides():
    assert load_material("copper_j2", overrides=["yield_stress=1e8"]).values["yield_stress"] == 1e8
    assert load_material("copper_j2", overrides={"yield_stress": 10**8}).values["yield_stress"] == 1e8
    assert load_material("copper_j2", overrides=["name=my copper"]).name == "my copper"
    assert "must be KEY=VALUE" in complaint("copper_j2", overrides=["yield_stress"])
    assert "did you mean 'yield_stress'?" in complaint("copper_j2", overrides=["yield_stres=1e8"])
    assert "chosen by --law" in complaint("copper_j2", overrides=["law=j2"])
    assert "there is no 'slip' to reach into" in complaint("copper_j2", overrides=["slip.0.h=1"])


def test_files_of_overrides_lie_in_the_present_folder(tmp_path, monkeypatch):
    (tmp_path / "few.ori").write_text("0 0 0\n10 20 30\n")
    monkeypatch.chdir(tmp_path)
    material = load_material("magnesium_liu2022", overrides=["texture_file=few.ori"])
    assert int(material.law.params[5]) == 2 and Path(material.values["texture_file"]).is_absolute()


def test_overrides_reach_into_tables():
    material = load_material("magnesium_liu2022", overrides=["slip.1.tau_0=60e6", "grains=2"])
    assert [slip["tau_0"] for slip in material.values["slip"]][1] == 60e6
    assert "there is no '7'" in complaint("magnesium_liu2022", overrides=["slip.7.tau_0=60e6"])
    assert "slip" in complaint("magnesium_liu2022", overrides=["slip.0.tau=60e6"])


def test_another_law_with_the_same_file():
    assert load_material("ofhc_copper", "neo_hookean").law.name == "neo_hookean"
    assert load_material("ofhc_copper", "j2", ["yield_stress=1e8"]).law.name == "j2"
    message = complaint("ofhc_copper", "j2")
    for words in ("yield_stress is missing", "for law 'johnson_cook', run with 'j2'", "made for 'j2': copper_j2"):
        assert words in message
    assert "did you mean 'johnson_cook'?" in complaint("copper_j2", "jonson_cook")


def test_every_kind_of_parameter(tmp_path):
    table = (Parameter("plane", "1", "indices", kind=list), Parameter("h", "Pa", "hardening", 0.0))
    parameters = (
        Parameter("grains", "1", "number", 1, 100, kind=int, default=8),
        Parameter("lattice", "", "crystal", kind=str),
        Parameter("texture", "", "file", kind=Path, default=""),
        Parameter("slip", "", "slip systems", kind=table),
    )
    good = {"lattice": "hcp", "texture": "t.csv", "slip": [{"plane": [0, 0, 1], "h": 1}]}
    values = checked_values(parameters, good, "f", tmp_path)
    assert values["grains"] == 8 and values["texture"] == str(tmp_path / "t.csv") and values["slip"][0]["h"] == 1.0
    for change, words in [
        ({"grains": 2.0}, "whole number"),
        ({"grains": 0}, "at least 1"),
        ({"lattice": 3}, "word in quotes"),
        ({"slip": []}, ""),
        ({"slip": {"plane": [1]}}, "[[slip]]"),
        ({"slip": [{"plane": [1]}]}, "[[slip]] number 0: h is missing"),
        ({"slip": [{"plane": ["a"], "h": 1}]}, "list of numbers"),
        ({"slip": [{"plane": [1], "h": 1, "H": 2}]}, "unknown key 'H'"),
    ]:
        if words:
            with pytest.raises(LawError) as caught:
                checked_values(parameters, good | change, "f", tmp_path)
            assert words in str(caught.value)


def test_the_ends_of_a_range_belong_to_it_unless_they_are_excluded():
    closed, half_open = Parameter("x", "1", "", 1.0, 2.0), Parameter("x", "1", "", 1.0, 2.0, exclusive=True)
    or_zero = Parameter("x", "1", "", 1.0, 2.0, or_zero=True)
    numbers = [-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    for parameter, expected in ((closed, [1.0, 1.5, 2.0]), (half_open, [1.5, 2.0]), (or_zero, [0.0, 1.0, 1.5, 2.0])):
        assert [number for number in numbers if in_range(parameter, number)] == expected


@pytest.fixture
def learned(tmp_path, monkeypatch):
    """A learned law `net`, and the artefact of it that ships for magnesium_liu2022."""

    def build(values):
        density = values["density"] or 500.0
        return Law("net", density, 1e9, 1e8, np.zeros(1), (), lambda *_: 0)

    parameters = (
        Parameter("artefact", "", "file", kind=Path),
        Parameter("density", "kg/m3", "density", 0.0, exclusive=True, required=False),
    )
    net = LawDefinition("net", parameters, build)
    trained = tmp_path / "trained"
    header = {"material": 'law = "taylor"\nname = "magnesium"', "command": "learning.train"}
    file = save_artefact(trained / "net_magnesium_liu2022.npz", "net", header, {})
    monkeypatch.setattr(constitutive.material, "TRAINED", trained)
    known = constitutive.material.law_definition
    monkeypatch.setattr(constitutive.material, "law_definition", lambda n: net if n == "net" else known(n))
    return file


def test_a_learned_law_finds_the_artefact_that_ships_for_the_fine_scale(learned, tmp_path):
    material = load_material("magnesium_liu2022", "net", ["density=1800"])
    assert material.values == {"artefact": str(learned), "density": 1800.0}
    assert material.law.density == 1800.0
    (tmp_path / "again.toml").write_text(material.to_toml())
    assert 'artefact = "net_magnesium_liu2022"' in material.to_toml()  # found wherever the project lies
    again = load_material(tmp_path / "again.toml")
    assert (again.values, again.law.name, again.to_toml()) == (material.values, "net", material.to_toml())


def test_a_material_is_named_by_its_artefact_alone(learned, tmp_path):
    mine = tmp_path / "mine.npz"
    mine.write_bytes(learned.read_bytes())
    for law in (None, "net"):
        material = load_material(mine, law, {"density": 7.0})
        assert (material.law.name, material.law.density, material.name) == ("net", 7.0, "magnesium")
    (tmp_path / "again.toml").write_text(material.to_toml())
    assert load_material(tmp_path / "again.toml").values == material.values == {"artefact": str(mine), "density": 7.0}
    assert "made for law 'net', not for 'recurrent'" in complaint(mine, "recurrent")
    assert "no such material file" in complaint(tmp_path / "none.npz")
    mine.write_bytes(b"nonsense")
    assert "not a trained law" in complaint(mine)


def test_a_law_that_is_not_trained_is_answered_with_the_command_that_trains(learned, file):
    message = complaint("magnesium", "net")
    for words in ("no trained law 'net_magnesium' ships", "net_magnesium_liu2022", "learning.train --kind net"):
        assert words in message
    own = file('law = "taylor"\nname = "mine"\n')
    own = own.rename(own.with_name("magnesium_liu2022.toml"))
    assert "no trained law" in complaint(own, "net")  # it is not the material that the artefact was trained on
    assert "law 'net' has no such parameter" in complaint("magnesium_liu2022", "net", ["grains=8"])


KEYS = st.sampled_from([p.name for p in law_definition("johnson_cook").parameters]) | st.text(max_size=12)
NUMBERS = st.floats(allow_nan=True) | st.integers()
VALUES = st.recursive(
    NUMBERS | st.booleans() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def loads_or_complains(*args, **kwargs) -> None:
    try:
        material = load_material(*args, **kwargs)
    except LawError as error:
        assert "\n" not in str(error) and 10 < len(str(error)) < 1000
    else:
        assert isinstance(material, Material) and math.isfinite(material.law.wave_speed)
        assert tomllib.loads(material.to_toml())["law"] == material.law.name


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["ofhc_copper", "copper_j2", "elastic_steel"]), st.dictionaries(KEYS, VALUES, max_size=3))
def test_any_values_work_or_are_answered_in_one_line(name, changes):
    loads_or_complains(name, overrides=changes)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(KEYS, st.text(max_size=12) | NUMBERS.map(str)).map("=".join) | st.text(max_size=12), max_size=3)
)
def test_any_set_options_work_or_are_answered_in_one_line(texts):
    loads_or_complains("ofhc_copper", overrides=texts)


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=200), where=st.integers(0, len(J2_FILE)))
def test_any_file_works_or_is_answered_in_one_line(tmp_path_factory, text, where):
    path = tmp_path_factory.getbasetemp() / "fuzz.toml"
    path.write_text(J2_FILE[:where] + text + J2_FILE[where:], "utf-8", "surrogatepass")
    loads_or_complains(path)


def test_defaults_name_shipped_materials():
    assert set(DEFAULTS.values()) <= set(material_names())


@pytest.mark.parametrize("asked", ["grains=4", "texture_seed=3"])
def test_random_grains_are_refused_where_a_texture_file_gives_the_grains(asked):
    with pytest.raises(LawError, match=r"grains are those of texture_file = 'uniform_128.tex'; .* --set texture_file="):
        load_material("magnesium_liu2022_isotropic", None, [asked])
    random = load_material("magnesium_liu2022_isotropic", None, ["grains=4", "texture_file="])
    assert int(random.law.params[5]) == 4


def test_a_shipped_texture_is_found_by_its_name(tmp_path):
    """Also by a copy of the material that a run folder keeps."""
    material = load_material("magnesium_liu2022_isotropic")
    assert 'texture_file = "uniform_128.tex"' in material.to_toml()
    (tmp_path / "material.toml").write_text(material.to_toml())
    assert np.array_equal(load_material(tmp_path / "material.toml").law.params, material.law.params)
