"""Any options at all: a case either runs or says in one line what is wrong."""

import contextlib
import io
import json
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cases import plate_impact, taylor_anvil
from cases.options import OptionError, new_file, user_errors
from fem.doubts import RunWarning

NUMBERS = st.sampled_from(["-1", "0", "nan", "inf", "1e-3", "abc", "", "1e400", "2", "200"])
OPTIONS = {
    "--velocity": NUMBERS,
    "--end-time": st.sampled_from(["1e-8", "0", "-1", "nan", "x"]),
    "--element": st.sampled_from(["hex8r", "hex8", "hex20", ""]),
    "--hourglass": st.sampled_from(["viscous", "stiffness", "none"]),
    "--contact": st.sampled_from(["kinematic", "penalty", "glue"]),
    "--friction": st.sampled_from(["0", "0.3", "-0.1", "nan", "much"]),
    "--symmetry": st.sampled_from(["full", "quarter", "half"]),
    "--frames": st.sampled_from(["1", "3", "0", "-2", "1.5"]),
    "--threads": st.sampled_from(["1", "2", "0", "64", "two"]),
    "--law": st.sampled_from(["j2", "johnson_cook", "neo_hookean", "", "J2", "none"]),
    "--material": st.sampled_from(["ofhc_copper", "copper_j2", "elastic_steel", "gold", "/", "pyproject.toml"]),
    "--set": st.sampled_from(["density=7800", "density=-1", "A=1e8", "A=nan", "=1", "A", "x=1", "density='heavy'"]),
}


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(options=st.fixed_dictionaries({}, optional=OPTIONS), plate=st.booleans())
def test_options_run_or_are_refused_in_one_line(tmp_path_factory, options, plate):
    folder = tmp_path_factory.mktemp("any") / "run"
    small = ["--elements-through", "2"] if plate else ["--elements-across", "4"]
    given_options = [word for pair in options.items() for word in pair]
    end = [] if "--end-time" in options else ["--end-time", "1e-8"]
    arguments = [*small, *end, *given_options, "--quiet", "--no-picture", "--output", str(folder)]
    error = io.StringIO()
    main = plate_impact.main if plate else taylor_anvil.main
    try:
        with contextlib.redirect_stderr(error):
            main(arguments)
    except SystemExit as stop:
        assert stop.code == 2
        assert len(error.getvalue().strip().splitlines()) == 1
        assert not folder.exists() or not (folder / "summary.json").exists()
    else:
        assert json.loads((folder / "summary.json").read_text())["completed"]


@pytest.mark.parametrize("case", [taylor_anvil, plate_impact])
def test_help_shows_defaults_units_and_an_example(case, capsys):
    with pytest.raises(SystemExit) as stop:
        case.main(["--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert "example:" in shown and f"python -m cases.{case.__name__.split('.')[-1]} " in shown
    assert "m/s (default: 200.0)" in shown


def test_an_interruption_is_one_line(capsys):
    @user_errors
    def main():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 130 and capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_folder_is_no_file_to_write(tmp_path, overwrite):
    with pytest.raises(OptionError, match="is a folder: name a file"):
        new_file(tmp_path, overwrite)


def test_a_mesh_beyond_the_memory_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        taylor_anvil.main(["--length", "1e12", "--elements-across", "4", "--output", str(tmp_path)])
    lines = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2 and len(lines) == 1 and "the memory does not suffice" in lines[0]


def test_a_warning_is_one_line_without_its_place(capsys):
    """Of a program's own warnings the place stays: they are not for the user."""

    @user_errors
    def command():
        print(warnings.formatwarning("too coarse", RunWarning, "run.py", 3), end="")
        print(warnings.formatwarning("overflow", RuntimeWarning, "run.py", 3), end="")

    command()
    first, second = capsys.readouterr().out.splitlines()[:2]
    assert first == "warning: too coarse" and second.startswith("run.py:3: RuntimeWarning: overflow")
    assert "run.py:3" in warnings.formatwarning("too coarse", RunWarning, "run.py", 3)
