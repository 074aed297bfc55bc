"""The cost comparison: its arithmetic, the structure of what it measures, refused input. Not the speed of anything."""

import json
import sys
from pathlib import Path

import pytest

from cases import cost_comparison, cost_measurement
from cases.cost_measurement import LOOP, PARTS, Measurement
from cases.cost_report import duration, markdown, plot, relate, scaled
from cases.off_line_cost import OffLineCost, break_even, off_line_cost
from cases.options import chosen_laws
from cases.report import number
from constitutive.artefact import read_artefact, save_artefact
from constitutive.law import LawError
from fem.elements import MaterialError
from fem.run import Result

COARSE = ["--elements-across", "4", "--elements-through", "2", "--end-time", "2e-7", "--rounds", "2"]
TRAINING = {
    "paths": 500, "iterations": 9, "seconds": 30.0, "device": "cpu",
    "data": {"paths": 1000, "steps": 100, "throughput": {"processor_seconds": 200.0},
             "sessions": [{"machine": "x, 2 cores"}]},
}  # fmt: skip


@pytest.fixture(scope="module")
def artefact(small_recurrent):
    """A function that writes a recurrent law to a path: elastic, for it relaxes at a vanishing rate."""

    def write(path: Path, **header) -> Path:
        header, arrays = small_recurrent(**{"training": TRAINING, **header})
        arrays["last_weight"][0], arrays["last_bias"][0] = 0.0, -50.0
        return save_artefact(path, "recurrent", header, arrays)

    return write


@pytest.fixture(scope="module")
def compared(tmp_path_factory, artefact):
    folder = tmp_path_factory.mktemp("cost")
    learned = artefact(folder / "learned.npz")
    laws = ["--laws", "johnson_cook", str(learned), "taylor:magnesium_liu2022:grains=2"]
    return cost_comparison.main([*COARSE, *laws, "--output", str(folder / "out"), "--quiet"]), folder / "out"


def test_every_law_of_every_case_is_measured(compared):
    report, folder = compared
    assert {path.name for path in folder.iterdir()} == {"cost.md", "cost.json", "cost.png"}
    assert json.loads((folder / "cost.json").read_text()) == report
    assert set(report["cases"]) == {"rod", "plate"}
    for laws in report["cases"].values():
        assert list(laws) == ["johnson_cook", "learned", "taylor:magnesium_liu2022:grains=2"]
        assert [one["law"] for one in laws.values()] == ["johnson_cook", "recurrent", "taylor"]
        assert len({one["elements"] for one in laws.values()}) == 1
        for one in laws.values():
            assert len(one["runs"]) == 2 and one["spread"] >= 1.0
            for run in one["runs"]:
                assert sum(run[part] for part in PARTS) == pytest.approx(run["whole"], rel=1e-9)
                assert min(run.values()) > 0.0
            assert one["memory_per_point"] > 8 * 15
    assert report["cases"]["rod"]["johnson_cook"]["ratio"] == 1.0


def test_errors_are_against_the_concurrent_run(compared):
    report, _ = compared
    rod, plate = report["cases"]["rod"], report["cases"]["plate"]
    assert rod[report["concurrent"]]["error"] == {}
    assert {"length", "radius", "impulse", "von_mises", "deviatoric_strain"} <= set(rod["learned"]["error"])
    assert "deflection" in plate["learned"]["error"]
    assert rod["learned"]["error"]["von_mises"] > rod["johnson_cook"]["error"]["von_mises"] > 0.01  # it is elastic


def test_a_law_that_failed_in_one_case_is_told_in_the_other(compared, tmp_path):
    report, _ = compared
    rod = {label: one for label, one in report["cases"]["rod"].items() if label != "learned"}
    partial = report | {"cases": report["cases"] | {"rod": rod}}
    assert "| `learned` | failed |" in markdown(partial)
    plot(tmp_path / "cost.png", partial)
    assert (tmp_path / "cost.png").exists()


def test_a_law_that_others_are_related_to_may_fail(tmp_path, monkeypatch):
    compute = cost_measurement.compute

    def failing(name, options, *rest):
        if options.law == "johnson_cook":
            raise MaterialError("no")
        return compute(name, options, *rest)

    monkeypatch.setattr(cost_measurement, "compute", failing)
    laws = ["--laws", "johnson_cook", "j2", "--cases", "rod"]
    report = cost_comparison.main([*COARSE, *laws, "--output", str(tmp_path / "out"), "--quiet"])
    assert list(report["cases"]["rod"]) == ["j2"] and "ratio" not in report["cases"]["rod"]["j2"]


def test_the_tables_say_it_all(compared):
    report, folder = compared
    text = (folder / "cost.md").read_text()
    for words in ("cases.cost_comparison --elements-across 4", "### Rod", "### Plate", "von Mises field error",
                  "### Before the first run", "Scaled, not measured", "numba", "1 thread"):  # fmt: skip
        assert words in text
    assert text == markdown(report)
    lines = [line for line in text.splitlines() if line.startswith("| `learned`")]
    assert len(lines) == 6  # two of each case, off line, scaled
    assert f"{report['cases']['rod']['learned']['break_even_runs']} |" in lines[0]


def test_costs_before_the_first_run_are_those_of_the_artefact(tmp_path, artefact):
    cost = off_line_cost(read_artefact(artefact(tmp_path / "a.npz")))
    assert cost == OffLineCost(100.0, 30.0, "cpu", 500, 100, 9, "x, 2 cores")  # half of the paths were used
    assert cost.total == 130.0
    again = TRAINING | {"begun_with": {"generation": 7.0, "training": 5.0, "iterations": 2}}
    cost = off_line_cost(read_artefact(artefact(tmp_path / "d.npz", training=again)))
    assert (cost.generation, cost.training, cost.iterations) == (107.0, 35.0, 11)
    cost = off_line_cost(read_artefact(artefact(tmp_path / "e.npz", training=TRAINING | {"threads": 2})))
    assert cost.training == 60.0
    silent = TRAINING | {"data": {"paths": 1000, "steps": 100}}
    assert off_line_cost(read_artefact(artefact(tmp_path / "c.npz", training=silent))).total is None
    with pytest.raises(LawError, match="lacks training"):
        off_line_cost(read_artefact(artefact(tmp_path / "b.npz", training={})))


def test_break_even_is_the_first_run_that_has_paid():
    assert break_even(130.0, 15.0, 2.0) == 10
    assert break_even(130.1, 15.0, 2.0) == 11
    assert break_even(1.0, 2.0, 2.0) is None


def test_break_even_counts_processor_time_of_all_threads():
    laws = {name: {"whole_time": time, "time_per_element_step": time, "per_element_step": {"law_time": time / 2}}
            for name, time in (("a", 1.0), ("b", 4.0), ("c", 10.0))}  # fmt: skip
    off_line = {"b": OffLineCost(20.0, 4.0, "cpu", 1, 1, 1, "")}
    relate(laws, off_line, "a", "c", threads=2)
    assert laws["b"]["break_even_runs"] == 2
    assert [one["ratio"] for one in laws.values()] == [1.0, 4.0, 10.0]
    assert "break_even_runs" not in laws["c"]


def test_a_mesh_eight_times_finer_takes_sixteen_times_as_long():
    one = {"steps": 50, "elements": 1000, "time_per_element_step": 1e-7}
    assert scaled(one, 1000) == pytest.approx(5e-3)
    assert scaled(one, 8000) == pytest.approx(16 * 5e-3)


def test_medians_and_spread(tmp_path):
    result = Result({"elements": 10, "steps": 5}, None, None)  # type: ignore[arg-type]
    runs = [dict.fromkeys(PARTS, time) | {"whole": 6 * time} for time in (1.0, 9.0, 2.0)]
    one = Measurement("j2", tmp_path, runs, result)
    assert (one.whole, one.spread, one.spent) == (12.0, 9.0, 72.0)
    assert one.per_element_step(*LOOP) == pytest.approx(4 * 2.0 / 50)


def test_a_law_that_has_used_its_time_has_two_rounds(tmp_path):
    arguments = [*COARSE, "--cases", "rod", "--laws", "johnson_cook", "--rounds", "5", "--seconds", "1e-9"]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "cost.png").write_text("of a comparison before")
    report = cost_comparison.main([*arguments, "--output", str(tmp_path / "out"), "--overwrite", "--quiet"])
    assert report["cases"]["rod"]["johnson_cook"]["rounds"] == 2
    assert report["cases"]["rod"]["johnson_cook"]["error"] == {}
    assert not (tmp_path / "out" / "cost.png").exists()  # nothing to be compared with


def test_laws_that_do_not_ship_are_left_out_with_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.modules["constitutive.material"], "TRAINED", tmp_path)
    words, left_out = chosen_laws(None, cost_comparison.LAWS)
    assert list(words) == ["johnson_cook", "taylor"]
    assert len(left_out) == 2 and "`recurrent`: " in left_out[0] and "`pca_net`: " in left_out[1]
    with pytest.raises(LawError, match="none is trained yet"):
        chosen_laws(["johnson_cook", "recurrent"], cost_comparison.LAWS)


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (2.0512, "2.05"), (2377.4, "2377"), (16384, "16384")])
def test_numbers_in_tables_have_no_exponent_where_they_are_large(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.02, "0.02 s"), (119.0, "119 s"), (600.0, "10 min"), (7.2e4, "20 h"), (1e6, "11.6 days")]
)
def test_durations_in_the_unit_that_reads_best(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--laws", "johnson_cok"], "no material is called"),
        (["--laws", "j2", "j2"], "two are called 'j2'"),
        (["--laws", "nowhere.npz"], "nowhere.npz"),
        (["--rounds", "0"], "--rounds"),
        (["--elements-across", "5"], "even"),
        (["--output", "FILE"], "cost.md exists"),
    ],
)
def test_mistakes_are_answered_in_one_line(tmp_path, capsys, arguments, words):
    (tmp_path / "cost.md").write_text("mine")
    given = ["--laws", "johnson_cook", "--output", str(tmp_path / "out"), "--quiet"]
    with pytest.raises(SystemExit) as caught:
        cost_comparison.main([*given, *(str(tmp_path) if word == "FILE" else word for word in arguments)])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert words in error and len(error.splitlines()) == 1
    assert (tmp_path / "cost.md").read_text() == "mine"
