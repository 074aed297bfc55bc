"""Both READMEs under test: Python runs as printed, reference runs give the printed numbers, named files exist."""

import json
import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import meshio
import numpy as np
import pytest

from cases.options import named_material
from constitutive.material import load_material
from fem.meshing import box
from learning import neighbours
from learning.checks import roughness

ROOT = Path(__file__).resolve().parents[1]
README, LEARNING = (ROOT / "README.md").read_text(), (ROOT / "learning" / "README.md").read_text()
LONG = "--law johnson_cook --length 32.4e-3 --diameter 6.4e-3 --symmetry quarter"


def table(header: str, text: str = README) -> list[list[str]]:
    """Rows of the Markdown table whose header line starts so, as lists of cells."""
    lines = text[text.index(header) :].splitlines()[2:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def blocks(language: str, heading: str) -> list[str]:
    """The programs or files of a language that README prints behind a heading."""
    return re.findall(rf"```{language}\n(.*?)```", README[README.index(heading) :], re.S)


NAMES = ["elements", "steps", "final_length", "final_radius", "back_face_deflection"]
RUNS = table("| command | elements |")


def test_the_users_own_case_runs_as_printed(tmp_path):
    program = blocks("python", "## Your own case")[0]
    assert len(program.strip().splitlines()) <= 25
    mesh = box((40.0, 10.0, 10.0), (24, 6, 6))  # millimetres
    sets = {
        "bolts": np.flatnonzero(mesh.points[:, 0] == 0.0),
        "tip": np.flatnonzero((mesh.points[:, 0] == 40.0) & (mesh.points[:, 2] == 0.0)),
    }
    meshio.write(tmp_path / "bracket.inp", meshio.Mesh(mesh.points, {"hexahedron": mesh.hexes}, point_sets=sets))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    sag, error = re.fullmatch(r"(\S+) mm\nenergy error (\S+)\n", done.stdout).groups()
    assert float(error) < 0.01
    assert 0.0 < abs(float(sag)) < 1.0
    assert json.loads((tmp_path / "runs/bracket/summary.json").read_text())["completed"]


def test_the_users_own_law_runs_as_printed(tmp_path):
    entry, material = blocks("toml", "## Your own law")[:2]
    (tmp_path / "mylaws").mkdir()
    (tmp_path / "mylaws" / "softening.py").write_text(blocks("python", "## Your own law")[0])
    (tmp_path / "rubber.toml").write_text(material)
    package = tmp_path / "mylaws-1.dist-info"  # as pip would install it
    package.mkdir()
    package.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: mylaws\nVersion: 1\n")
    package.joinpath("entry_points.txt").write_text(entry.replace("project.entry-points.", "").replace('"', ""))
    point, rod = blocks("bash", "## Your own law")[0].splitlines()
    paths = os.pathsep.join([str(ROOT), str(tmp_path)])
    small = " --elements-across 6 --symmetry quarter --no-picture --threads 1 --output rod"
    for command in (point, rod + small):
        words = [sys.executable, *shlex.split(command)[1:], "--quiet"]
        done = subprocess.run(
            words, cwd=tmp_path, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0 and not done.stderr, done.stderr
    table = np.genfromtxt(tmp_path / "material_point.csv", delimiter=",", names=True)
    shear = np.linspace(0.0, 0.5, len(table))
    energy = 0.5 * 1e6 * shear**2
    assert table["damage"] == pytest.approx(energy / (energy + 1e6), rel=1e-6)
    assert table["s12"] == pytest.approx((1.0 - table["damage"]) * 1e6 * shear, rel=1e-6)
    summary = json.loads((tmp_path / "rod" / "summary.json").read_text())
    assert summary["law"] == "softening" and summary["max_energy_error"] < 0.01


@pytest.mark.parametrize("row", RUNS, ids=[row[0].strip("`")[:60] for row in RUNS])
def test_reference_runs_give_the_printed_numbers(tmp_path, row):
    module, *options = shlex.split(row[0].strip("`").replace("LONG", LONG))
    folder = tmp_path / "run"
    quick = ["--quiet", "--no-picture", "--no-fields", "--threads", "1", "--output", str(folder)]
    import_module(module).main([*options, *quick])
    summary = json.loads((folder / "summary.json").read_text())
    for name, printed in zip(NAMES, row[1:], strict=True):
        if not printed:
            continue
        if name == "steps":  # an ulp elsewhere can add a step
            assert summary["steps"] == pytest.approx(int(printed), rel=0.02)
        elif name == "elements":
            assert summary["elements"] == int(printed)
        else:
            assert summary[name] * 1e3 == pytest.approx(float(printed), rel=1e-3), name
    assert summary["max_energy_error"] < 0.01
    assert summary["hourglass_energy_ratio"] < 0.05


IN_SITU = {row[0]: row[1:] for row in table("| law | rod: radius |")}
CHANGE = {"rod": "radius_error", "plate": "deflection_error"}


@pytest.mark.parametrize("case", ["rod", pytest.param("plate", marks=pytest.mark.slow)])
def test_laws_in_situ_differ_from_the_concurrent_run_as_printed(tmp_path, case):
    """Differences in per cent; those of the learned laws are within the project's bars."""
    learned = {"recurrent": "`recurrent`", "magnesium_liu2022_wide": "`recurrent`, `magnesium_liu2022_wide`"}
    laws = learned | {"magnesium_empirical": "`magnesium_empirical` (Johnson-Cook)"}
    options = ["--cases", case, "--laws", "taylor", *laws, "--threads", "1", "--quiet", "--output", str(tmp_path / "v")]
    import_module("cases.validation").main(options)
    runs = json.loads((tmp_path / "v" / "validation.json").read_text())["cases"][case]["runs"]
    found = {}
    for run in runs[1:]:
        fields = [run["fields"][name]["final"] for name in ("von_mises", "deviatoric_strain")]
        found[run["label"]] = [100.0 * x for x in (run[CHANGE[case]], *fields, run["contact_force_error"])]
    for law, name in laws.items():
        printed = IN_SITU[name][:4] if case == "rod" else IN_SITU[name][4:]
        assert found[law] == pytest.approx([float(cell) for cell in printed], rel=0.05, abs=0.1)
    for law in learned:
        change, stress, strain, _ = found[law]
        assert abs(change) < (0.5 if case == "rod" else 2.0) and stress < 5.0 and strain < 3.0


def test_128_grains_jump_and_their_learned_law_does_not_as_printed():
    for label, *printed in table("| turn, radians |", LEARNING):
        law = load_material("magnesium_liu2022", "recurrent" if "recurrent" in label else "taylor").law
        found = [100.0 * x for x in roughness(law, 1e-6, 20260)["rough"]]  # the seed of learning.evaluate
        assert found == pytest.approx([float(cell) for cell in printed], rel=0.2), label


def test_errors_of_neighbouring_walks_are_as_printed():
    seed = 20260  # of learning.evaluate
    truth = neighbours.answer(load_material("magnesium_liu2022", "taylor").law, 1e-6, seed)
    rows = table("| walks moved aside by |", LEARNING)
    assert len(rows) == 2
    for label, error, *printed in rows:
        law = named_material(re.findall("`(.*?)`", label)[0]).law
        found = neighbours.likeness(law, 1e-6, seed, truth)
        assert 100.0 * found["error"] == pytest.approx(float(error), rel=0.02), label
        assert found["alike"] == pytest.approx([float(cell) for cell in printed], abs=0.02), label
    assert [round(100.0 * x) for x in found["moved"]] == [4, 9, 18, 35]


@pytest.mark.parametrize(("text", "folder"), [(README, ROOT), (LEARNING, ROOT / "learning")], ids=["main", "learning"])
def test_files_and_headings_that_readme_names_exist(text, folder):
    for link in re.findall(r"\]\(([^)]+)\)", text):
        name, _, anchor = link.partition("#")
        target = (folder / name).read_text() if name.endswith(".md") else text
        assert not name or (folder / name).exists(), link
        headings = re.findall(r"^#+ (.*)$", target, re.M)
        assert not anchor or anchor in [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings], link
    for name in re.findall(r"`((?:fem|constitutive|cases|learning|tests)/[\w/.]*)`", text):
        assert (ROOT / name).exists(), name


def test_files_of_the_code_walk_exist():
    for line in README[README.index("cases/taylor_anvil.py     ") :].split("```")[0].splitlines():
        for name in re.findall(r"\b(?:fem|constitutive|cases)/\w+\.py", line):
            assert (ROOT / name).exists(), name


def test_materials_that_readme_names_ship():
    for row in table("| name | law |"):
        for name in re.findall(r"`(\w+)`", row[0]):
            assert (ROOT / "constitutive" / "materials" / f"{name}.toml").exists(), name
