"""The command `python -m cases.material_point`: its files, and one line for every mistake."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cases.material_point import main
from cases.options import chosen_material
from cases.path_file import COLUMNS
from constitutive.jit import ROOT

HEADER = ",".join(COLUMNS)
IDENTITY = "1,0,0,0,1,0,0,0,1"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(name: str = "out.csv") -> dict[str, np.ndarray]:
    with open(name) as file:
        header = file.readline().strip().split(",")
    return dict(zip(header, np.loadtxt(name, delimiter=",", skiprows=1).T, strict=True))


def fails(capsys, *arguments: str) -> str:
    """The one line that the command leaves with, exit code 2."""
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    assert caught.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_uniaxial_stretch_of_copper(capsys):
    files = ["--output", "out.csv", "--picture", "out.png"]
    main(["--material", "ofhc_copper", "--strain", "-2e-1", "--steps", "50", *files])
    table = read()
    assert list(table)[:7] == ["t", "s11", "s22", "s33", "s12", "s23", "s13"]
    assert {"equivalent_plastic_strain", "temperature"} <= set(table)
    assert len(table["t"]) == 51 and table["t"][-1] == pytest.approx(1e-6)
    assert table["s11"][0] == 0.0 and table["s11"][-1] < 0.0 < table["s22"][-1]
    assert table["s11"] + 2 * table["s22"] == pytest.approx(0.0, abs=1.0)
    assert table["equivalent_plastic_strain"][-1] == pytest.approx(0.2, rel=0.02)
    units = json.loads(Path("out.units.json").read_text())
    assert set(units) == set(table) and units["temperature"] == "K"
    assert Path("out.png").read_bytes()[:4] == b"\x89PNG"
    said = capsys.readouterr().out
    assert "johnson_cook" in said and re.search(r"temperature, at the end +[\d.]+ K\n", said)


def test_a_longer_end_time_is_slower_straining(capsys):
    """Copper by Johnson-Cook is stronger by its C = 0.025 times the logarithm of the rates' ratio; isothermal here."""
    strength = []
    for end in ("1e-6", "2e-3"):
        main(["--material", "ofhc_copper", "--end-time", end, "--set", "taylor_quinney=0", "--output", "out.csv",
              "--overwrite"])  # fmt: skip
        table = read()
        assert table["t"][-1] == pytest.approx(float(end))
        q = np.abs(table["s11"] - table["s22"])  # of uniaxial stretch
        told = capsys.readouterr().out.split("von Mises stress, largest")[1].split()
        assert float(told[0]) == pytest.approx(q.max(), rel=1e-5) and told[1] == "Pa"
        strength.append(q[-1])
    rates = 0.5 / np.array([1e-6, 2e-3])
    fast, slow = 1.0 + 0.025 * np.log(rates)
    assert strength[0] / strength[1] == pytest.approx(fast / slow, rel=2e-3)


@pytest.mark.parametrize(("path", "component"), [("shear", "s12"), ("uniaxial-strain", "s11")])
def test_the_other_paths_against_closed_forms(path, component):
    main(
        [
            "--material",
            "elastic_steel",
            "--path",
            path,
            "--strain",
            "0.1",
            "--steps",
            "1",
            "--output",
            "out.csv",
            "--quiet",
        ]
    )
    G, K = 82.2e9, 169.2e9
    if path == "shear":
        expected = G * 0.1
    else:
        J = np.exp(0.1)
        expected = G * J ** (-5 / 3) * 2 / 3 * (J**2 - 1) + K * (J - 1)
    assert read()[component][-1] == pytest.approx(expected, rel=1e-12)


def test_a_path_file_gives_what_the_built_in_path_gives():
    main(["--output", "a.csv", "--steps", "20", "--quiet"])
    rows = [",".join(reversed(COLUMNS))]
    for e in np.linspace(0.0, 0.5, 21):
        F = np.diag([np.exp(e), np.exp(-e / 2), np.exp(-e / 2)]).ravel()
        rows.append(",".join(map(repr, [*map(float, reversed(F)), float(e * 2e-6)])))
    Path("path.csv").write_text("\n".join([*rows, "", "# the end"]))
    main(["--path", "path.csv", "--output", "b.csv", "--quiet"])
    assert np.allclose(read("a.csv")["s11"], read("b.csv")["s11"], rtol=1e-9)


def test_names_that_a_csv_file_must_quote():
    main(["--law", "crystal", "--steps", "2", "--set", "slip.0.family=basal, <a>", "--output", "out.csv", "--quiet"])
    with open("out.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert "slip_basal, <a>" in rows[0]
    assert {len(row) for row in rows} == {len(rows[0])}


def test_nothing_is_overwritten_unless_told(capsys):
    main(["--output", "out.csv", "--steps", "2", "--quiet"])
    before = Path("out.csv").read_text()
    assert "out.csv exists" in fails(capsys, "--output", "out.csv", "--steps", "3")
    assert Path("out.csv").read_text() == before
    main(["--output", "out.csv", "--steps", "3", "--quiet", "--overwrite"])
    assert len(read()["t"]) == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--law", "jonson_cook"], "did you mean 'johnson_cook'?"),
        (["--material", "ofhc_coper"], "did you mean 'ofhc_copper'?"),
        (["--material", "nowhere.toml"], "no such material file"),
        (["--law", "j2", "--material", "ofhc_copper"], "yield_stress is missing"),
        (["--set", "density=8.96"], "8.96 g/cm3 would be 8960"),
        (["--set", "density"], "must be KEY=VALUE"),
        (["--path", "uniaxal"], "did you mean 'uniaxial'?"),
        (["--path", "nowhere.csv"], "nowhere.csv: No such file"),
        (["--path", "."], "Is a directory"),
        (["--strain", "nan"], "nan is not a finite number"),
        (["--strain", "much"], "invalid number value: 'much'"),
        (["--end-time", "-1"], "-1 is not above zero"),
        (["--end-time", "-1e-6"], "-1e-6 is not above zero"),
        (["--steps", "0"], "0 is not from 1"),
        (["--step", "3"], "unrecognized arguments"),
        (["--output", "nowhere/out.csv"], "nowhere is not a folder"),
        (["--output", "/proc/out.csv"], "/proc/out"),
        (["--picture", "out.tiff"], "must end in .png"),
        (["--picture", "out.png", "--output", "./out.png"], "is the file of --output"),
        (["--output", ".", "--overwrite"], ". is a folder"),
        (["--output", "..", "--overwrite"], ".. is a folder"),
        (["--path", "uniaxial-strain", "--strain", "-800"], "failed on path 0 in step"),
    ],
)
def test_mistakes_are_answered_in_one_line(capsys, arguments, words):
    assert words in fails(capsys, *arguments)
    assert not os.path.exists("material_point.csv")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a header t,F11"),
        (f"{HEADER}\n0,{IDENTITY}\n", "at least two rows"),
        (f"{HEADER.replace('F22', 'F2')}\n0,{IDENTITY}\n1,{IDENTITY}\n", "line 1: column F22 is missing"),
        (f"{HEADER}\n0,{IDENTITY}\n1,{IDENTITY}\n".replace(",", ";"), "the columns, with commas between, are t,F11,"),
        (
            f"{HEADER}\n0,0,{IDENTITY}\n1,{IDENTITY}\n",
            "line 2: 11 values where the header names 10 columns; decimals have",
        ),
        (f"{HEADER},F11\n0,{IDENTITY},1\n1,{IDENTITY},1\n", "line 1: column F11 is there more than once"),
        (f"{HEADER}\n0,{IDENTITY}\n\n1,1,0,0,0,x,0,0,0,1\n", "line 4, column F22: 'x' is not a finite number"),
        (f"{HEADER}\n0,{IDENTITY}\n1,1,0,0,0,1,0,0,0,nan\n", "line 3, column F33: 'nan'"),
        (f"{HEADER}\n0,{IDENTITY}\n1,1,0,0\n", "line 3: 4 values where the header names 10"),
        (f"{HEADER}\n0,{IDENTITY}\n0,{IDENTITY}\n", "line 3, column t: 0 is not later"),
        (f"{HEADER}\n0,{IDENTITY}\n1,1,0,0,0,1,0,0,0,-1\n", "line 3: det F = -1"),
        (f"{HEADER}\n0,2,0,0,0,1,0,0,0,1\n1,{IDENTITY}\n", "line 2: the first row must be undeformed"),
        ("\x00\x01,2\n1\n2\n", "path.csv"),
    ],
)
def test_a_bad_path_file_is_answered_with_line_and_column(capsys, text, words):
    Path("path.csv").write_text(text)
    message = fails(capsys, "--path", "path.csv")
    assert "path.csv" in message and words in message


def test_a_path_file_that_is_not_text(capsys):
    Path("path.csv").write_bytes(b"\xff\xfe\x00" * 100)
    assert "not a CSV file" in fails(capsys, "--path", "path.csv")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet=st.sampled_from("0123456789.,-+eEnaif \n\"'#\t;F"), max_size=120))
def test_any_path_file_works_or_is_answered_in_one_line(capsys, text):
    Path("path.csv").write_text(f"{HEADER}\n0,{IDENTITY}\n{text}")
    try:
        main(["--path", "path.csv", "--output", "out.csv", "--overwrite", "--quiet"])
    except SystemExit as left:
        assert left.code == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_help_shows_units_defaults_and_an_example(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "time at the end, s (default: 1e-06)",
        "example: python -m cases.material_point",
        "ofhc_copper",
        "SI units",
    ):
        assert words in text


def test_a_bug_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(f"{chosen_material.__module__}.load_material", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["--output", "out.csv"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--law", "johnson_cook", "--set", "A=x"], "A = 'x' must be a number"),
        (["--path", "path.csv"], "path.csv, line 3, column F33: 'nan'"),
    ],
)
def test_as_a_process(arguments, words):
    """Where the command's own module is called __main__."""
    Path("path.csv").write_text(f"{HEADER}\n0,{IDENTITY}\n1,1,0,0,0,1,0,0,0,nan\n")
    command = [sys.executable, "-m", "cases.material_point", *arguments]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and words in done.stderr
