"""benchmarks/: each script answers --help, is listed in the README, and runs from `make bench` or says why not."""

import ast
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import measure_all

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
SCRIPTS = sorted(path.relative_to(BENCHMARKS) for path in BENCHMARKS.glob("[!_]*/*.py"))
README = (BENCHMARKS / "README.md").read_text()
COMMANDS = (*measure_all.SHORT, *measure_all.WHOLE, *measure_all.BY_HAND)


def question(script):
    """The first paragraph of its docstring."""
    return " ".join(ast.get_docstring(ast.parse((BENCHMARKS / script).read_text())).split("\n\n")[0].split())


def row(script):
    """The cells of its line in the README, below the heading of its folder."""
    section = README.split(f"\n## {script.parent}\n")[1].split("\n## ")[0]
    (line,) = re.findall(rf"^\| \[{re.escape(script.name)}\]\({re.escape(str(script))}\) \|.*$", section, re.MULTILINE)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_room_holds_scripts_of_names_that_are_used_once():
    assert len(SCRIPTS) >= 24
    assert len({script.stem for script in SCRIPTS}) == len(SCRIPTS), "results/<name>.json would be shared"


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_a_script_begins_with_its_question_and_the_readme_has_it(script):
    assert question(script).endswith("?")
    name, asks, minutes, needs, figures = row(script)
    assert script.name in name
    assert asks == question(script)
    assert re.match(r"\d|hours", minutes)
    assert needs
    assert figures


def test_the_readme_lists_nothing_else():
    listed = re.findall(r"^\| \[[\w.]+\]\(([\w/.]+)\)", README, re.MULTILINE)
    assert sorted(listed) == [str(script) for script in SCRIPTS]
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (BENCHMARKS / link).exists(), link


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_a_script_answers_help(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    monkeypatch.setattr(sys, "path", [str((BENCHMARKS / script).parent), *sys.path])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(BENCHMARKS / script), run_name="__main__")
    assert ended.value.code == 0
    assert question(script) in " ".join(capsys.readouterr().out.split())


def test_help_loads_no_framework():
    """In a process of its own, for all scripts."""
    code = """
import contextlib, runpy, sys
for script in sys.argv[1:]:
    sys.argv = [script, "--help"]
    with contextlib.suppress(SystemExit):
        runpy.run_path(script, run_name="__main__")
print("LOADED", sorted({"keras", "onnx", "onnxruntime", "tensorflow"} & set(sys.modules)))
"""
    paths = [BENCHMARKS / script for script in SCRIPTS]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.endswith("LOADED []\n")


def test_a_script_runs_from_any_folder(tmp_path):
    command = [sys.executable, BENCHMARKS / "transport" / "link.py", "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert "usage: link.py" in done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_a_script_is_run_by_make_bench_or_has_a_reason(script):
    groups = [
        {command.split()[0] for command in commands}
        for commands in (measure_all.SHORT, measure_all.WHOLE, measure_all.BY_HAND)
    ]
    assert sum(str(script) in group for group in groups) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_make_bench_names_only_scripts(command):
    assert Path(command.split()[0]) in SCRIPTS
