"""The cost comparison: its arithmetic, the structure of what it measures, refused input. Not the speed of anything."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from cases import cost_comparison, cost_measurement
from cases.cost_measurement import LOOP, PARTS, Measurement
from cases.cost_report import duration, environment, law_numbers, markdown, plot, relate, scaled
from cases.off_line_cost import OffLineCost, break_even, off_line_cost
from cases.options import chosen_laws
from cases.report import number, percent
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
    laws += ["--scaled-elements", "50000"]
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
            assert one["scaled_time"] == scaled(one, 50_000)
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


def fail_where(condition, monkeypatch):
    """Let runs fail whose options meet a condition."""
    compute = cost_measurement.compute

    def failing(options, *rest):
        if condition(options):
            raise MaterialError("no")
        return compute(options, *rest)

    monkeypatch.setattr(cost_measurement, "compute", failing)


def test_a_law_that_others_are_related_to_may_fail(tmp_path, monkeypatch):
    fail_where(lambda options: options.law == "johnson_cook", monkeypatch)
    laws = ["--laws", "johnson_cook", "j2", "--cases", "rod"]
    report = cost_comparison.main([*COARSE, *laws, "--output", str(tmp_path / "out"), "--quiet"])
    assert list(report["cases"]["rod"]) == ["j2"] and "ratio" not in report["cases"]["rod"]["j2"]


def test_a_case_in_which_every_law_fails_is_left_out(tmp_path, monkeypatch):
    fail_where(lambda options: options.case == "plate_impact", monkeypatch)
    report = cost_comparison.main([*COARSE, "--laws", "j2", "--output", str(tmp_path), "--quiet"])
    assert list(report["cases"]) == ["rod"] and list(report["cases"]["rod"]) == ["j2"]
    assert "Left out: plate: every law failed" in (tmp_path / "cost.md").read_text()


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
    resumed = TRAINING | {"earlier": [{"throughput": {"processor_seconds": 40.0}}, {}]}
    assert off_line_cost(read_artefact(artefact(tmp_path / "f.npz", training=resumed))).generation == 140.0
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


def test_numbers_of_a_law_are_those_of_its_runs(tmp_path):
    """Ten elements and five steps; of the loop what its four parts took, medians over the runs."""
    summary = {"law": "j2", "material": "copper", "elements": 10, "steps": 5, "outside_envelope_fraction": 0.2}
    solver = SimpleNamespace(model=SimpleNamespace(law=SimpleNamespace(memory_per_point=120)),
                             elements=SimpleNamespace(memory=7000))  # fmt: skip
    runs = [
        {part: k * factor for k, part in enumerate(PARTS, 1)} | {"whole": 30.0 * factor} for factor in (1.0, 4.0, 2.0)
    ]
    found = law_numbers(Measurement("j2", tmp_path, runs, Result(summary, None, solver)))  # type: ignore[arg-type]
    assert found["time_per_element_step"] == pytest.approx(2.0 * (1 + 2 + 3 + 4) / 50)
    assert found["per_element_step"] == pytest.approx({part: 2.0 * k / 50 for k, part in enumerate(PARTS, 1)})
    assert (found["whole_time"], found["spread"], found["rounds"]) == (60.0, 4.0, 3)
    assert (found["memory_per_point"], found["solver_memory"]) == (120, 7000)


def test_each_number_is_in_its_column():
    parts = {part: k * 1e-9 for k, part in enumerate(PARTS, 1)}
    one = {"elements": 10, "steps": 5, "whole_time": 60.0, "spread": 4.0, "rounds": 3, "time_per_element_step": 99e-9,
           "per_element_step": parts, "ratio": 5.0, "law_ratio": 8.0, "memory_per_point": 120, "solver_memory": 7000,
           "break_even_runs": 17, "scaled_time": 600.0,
           "error": {"length": 0.01, "radius": -0.02, "impulse": 0.03, "von_mises": 0.04}}  # fmt: skip
    off_line = asdict(OffLineCost(1000.0, 200.0, "cpu", 64, 50, 9, "x"))
    report = {"command": "c", "environment": environment(1), "concurrent": "taylor", "off_line": {"a": off_line},
              "scaled_elements": 50_000, "left_out": [], "cases": {"rod": {"a": one}}}  # fmt: skip
    rows = [[cell.strip() for cell in line.strip("|").split("|")]
            for line in markdown(report).splitlines() if line.startswith(("| law", "| `a`"))]  # fmt: skip
    trade, split, spent, later = ((head, row[1:]) for head, row in zip(rows[::2], rows[1::2], strict=True))
    assert trade[0] == ["law", "whole run, s", "spread (rounds)", "ns per element-step", "x empirical",
                        "bytes per point", "length error, %", "radius error, %", "impulse error, %",
                        "von Mises field error, %", "paid after, runs"]  # fmt: skip
    assert trade[1] == ["60", "4.00 (3)", "99", "5", "120", "1", "-2", "3", "4", "17"]
    assert split[0] == ["law", "law", "x empirical", "element work", "contact", "nodes", "output", "set-up"]
    assert split[1] == ["1", "8", "2", "3", "4", "5", "6"]
    assert PARTS == ("law_time", "element_time", "contact_time", "node_time", "output_time", "set_up_time")
    assert spent[0][1:4] == ["paths x steps", "generation, processor s", "training, s"]
    assert spent[1] == ["64 x 50", "1,000", "200", "cpu", "9", "1,200"] and later[1] == ["10 min"]


def planned(case, *given):
    return cost_comparison.plan(case, cost_comparison.parser().parse_args([*given]))


def test_a_plan_has_what_was_asked_for():
    for case, name, usual, quick in (("rod", "elements_across", 12, 8), ("plate", "elements_through", 8, 4)):
        parse = cost_comparison.CASES[case].parser().parse_args
        given = ("--element", "hex8", "--symmetry", "full", "--end-time", "3e-7", "--threads", "2", "--seconds", "7")
        options, plan = parse(planned(case, *given).arguments), planned(case, *given)
        assert (options.element, options.symmetry, options.end_time, options.threads) == ("hex8", "full", 3e-7, 2)
        assert getattr(options, name) == usual and (plan.rounds, plan.seconds) == (5, 7.0)
        plan = planned(case, "--quick")
        assert getattr(parse(plan.arguments), name) == quick and plan.rounds == 3
        plan = planned(case, "--quick", f"--{name.replace('_', '-')}", "6", "--rounds", "9")
        assert getattr(parse(plan.arguments), name) == 6 and plan.rounds == 9


def test_each_law_is_warmed_up_before_all_rounds(tmp_path, monkeypatch):
    """By a twentieth of the run's time, which no figure counts."""
    ran = []

    def compute(options, *rest):
        ran.append((options.law, options.end_time))
        return Result({"wall_time": 0.0, "output_time": 0.0}, None, None)  # type: ignore[arg-type]

    monkeypatch.setattr(cost_measurement, "compute", compute)
    plan = planned("rod", "--end-time", "4e-7", "--rounds", "2")
    found = cost_measurement.measure("rod", {"a": "j2", "b": "johnson_cook"}, plan, tmp_path, print)
    begun, laws = 4e-7 * cost_measurement.WARM_UP, ("j2", "johnson_cook")
    assert ran == [(law, time) for time in (begun, 4e-7, 4e-7) for law in laws] and begun == pytest.approx(2e-8)
    assert [len(one.runs) for one in found.values()] == [2, 2]


def test_errors_of_fields_are_those_at_the_end(monkeypatch, tmp_path):
    row = {"length_error": 0.1, "impulse_error": 0.3, "contact_force_error": 0.4,
           "fields": {"von_mises": {"final": 0.5, "all": 0.6, "frames": []}}}  # fmt: skip
    monkeypatch.setattr(cost_comparison, "read_run", lambda label, folder: label)
    monkeypatch.setattr(cost_comparison, "compare", lambda run, reference: row)
    found = {label: Measurement(label, tmp_path) for label in ("a", "b")}
    expected = {"length": 0.1, "impulse": 0.3, "von_mises": 0.5}
    assert cost_comparison.errors(found, "b") == {"a": expected, "b": {}}
    assert cost_comparison.errors(found, None) == {"a": {}, "b": {}}


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
    ("value", "text"), [(None, "-"), (0.12345, "12.3"), (-0.5, "-50"), (1.0, "100"), (12.345, "1234")]
)
def test_relative_numbers_are_told_in_per_cent(value, text):
    assert percent(value) == text


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
