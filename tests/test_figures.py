"""docs/figures.md is made of benchmarks/results, and every benchmark keeps what it finds there."""

import re
import sys
from pathlib import Path

import pytest

from benchmarks import figures
from benchmarks import measure_all as every
from benchmarks._support import results

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
RESULTS = sorted((BENCHMARKS / "results").glob("*.json"))
FIGURES = {path.stem: results.read(path) for path in RESULTS}
SCRIPTS = sorted(path for path in BENCHMARKS.rglob("*.py") if "def main(" in path.read_text())
NO_FIGURES = {"measure_all.py", "figures.py", "tfmot_side.py"}  # they run others, render, or are one side of another
RENAMED = {  # since their figures were measured: a row keeps the command that was run at its commit
    "against_tfmot": "beside_tfmot",
    "channel_surgery": "surgery",
    "energy_curves": "energy",
    "energy_real_time": "energy_fed",
    "interference": "disturbed",
}


def test_the_page_is_that_of_the_results():
    assert figures.PAGE.read_text() == figures.page(), "run benchmarks/figures.py"


def test_there_are_results_of_many_benchmarks():
    assert len(RESULTS) >= 18
    assert sum(map(len, FIGURES.values())) >= 200


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_each_result_belongs_to_a_script_that_make_bench_runs_or_says_why_not(path):
    script = str(figures.script_of(path).relative_to(BENCHMARKS))
    assert script in {command.split()[0] for command in (*every.SHORT, *every.WHOLE)} | every.BY_HAND.keys()


@pytest.mark.parametrize("command", [*every.SHORT, *every.WHOLE, *every.BY_HAND])
def test_what_make_bench_runs_is_there(command):
    assert (BENCHMARKS / command.split()[0]).exists()


@pytest.mark.parametrize("path", [path for path in SCRIPTS if path.name not in NO_FIGURES], ids=lambda path: path.stem)
def test_every_benchmark_keeps_its_figures(path):
    text = path.read_text()
    assert "with results(__file__) as add" in text
    assert "add(" in text


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_says_where_it_comes_from(name):
    for one in FIGURES[name]:
        assert re.fullmatch(r"[0-9a-f]{7}\+?", one.commit), one
        assert re.fullmatch(r"20[0-9]{2}-[01][0-9]-[0-3][0-9]", one.date), one
        assert one.machine
        script = one.command.split()[0]
        now, before = figures.script_of(Path(name)).relative_to(ROOT), f"benchmarks/{RENAMED.get(name, name)}.py"
        assert one.command == "make demo" or script in {str(now), before}, one
        if one.interval:
            low, high = one.interval
            assert low <= high, one
            assert one.interval_is, one


@pytest.mark.parametrize("name", FIGURES)
def test_a_ratio_is_said_one_way(name):
    for one in FIGURES[name]:
        assert "times" not in one.unit.split()
        if one.unit.startswith("x"):
            assert one.unit in {"x faster", "x slower", "x smaller"}
            assert one.value >= 1, one


def test_a_run_replaces_what_it_measured_and_keeps_the_rest(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(sys, "argv", ["some.py", "--short", str(tmp_path / "other")])
    with results.results(str(BENCHMARKS / "latency" / "some.py")) as add:
        add("a", 1, "s")
        add("b", 2, "s", of="one", interval=[1, 3], interval_is="95 %")
    with results.results(str(BENCHMARKS / "latency" / "some.py")) as add:
        add("b", 5, "s", of="one")
    a, b = results.read(tmp_path / "some.json")
    assert (a.value, b.value, b.interval, b.command) == (1, 5, None, "benchmarks/latency/some.py --short other")
    assert re.fullmatch(r"[0-9a-f]{7}\+?|unknown", a.commit)
    assert re.fullmatch(r"[0-9.]+ to [0-9.]+", a.load)


def test_a_run_that_fails_keeps_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    with pytest.raises(RuntimeError), results.results(str(BENCHMARKS / "latency" / "some.py")) as add:
        add("a", 1, "s")
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_a_ratio_is_turned_round_where_it_is_below_one():
    assert results.change(3.571) == (3.57, "x faster")
    assert results.change(0.875) == (1.14, "x slower")


def test_what_was_measured_on_other_code_is_listed():
    carried = [one for figures_of in FIGURES.values() for one in figures_of if one.commit == "8c92e9e"]
    assert sum("8c92e9e" in line for line in figures.old()) == len(carried)
