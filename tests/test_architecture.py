"""The house rules that no other tool checks."""

import ast
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import errors
from pipeline.commands import COMMANDS
from pipeline.flow import STAGES, STEPS
from targets import errors as target_errors

ROOT = Path(__file__).parents[1]
SOURCES = [
    path
    for folder in ("edgepress", "pipeline", "targets", "device_agent")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
TESTS = [path for path in sorted((ROOT / "tests").rglob("*.py")) if not path.is_relative_to(ROOT / "tests" / "boards")]
LONGEST = 300
LONGER = {
    "device_agent/wire.py": "all records of host and agent after the bootstrap, in one file",
    "tests/support/hostile_board.py": "one program, started in the place of a board's python3",
    "tests/support/sample_run.py": "one run in which every kind of record occurs",
}
"""Files above LONGEST lines, each with its reason."""
FOLDERS_OF_TESTS = {
    "tests/device_agent/faults": "a fault is injected into the whole agent",
    "tests/targets/faults": "a fault is injected between the host and the whole agent",
}
"""Folders of tests that the source does not have, each with its reason."""


def test_stages_are_folders_commands_and_calls_in_one_order():
    folders = {path.name for path in (ROOT / "pipeline").iterdir() if (path / "__init__.py").exists()}
    assert list(STAGES) == list(STEPS)
    assert set(STAGES) <= folders
    assert folders - set(STAGES) == {"audit", "commands", "frameworks", "quality", "records", "statistics", "store"}
    assert list(STAGES) == [name for name in COMMANDS if name in STAGES]


def test_help_lists_the_stages_in_order():
    text = subprocess.run(
        [sys.executable, "-m", "pipeline", "--help"], check=True, capture_output=True, text=True
    ).stdout
    places = [text.index(f"\n  {name} ") for name in STAGES]
    assert places == sorted(places)


def test_help_is_quick_and_imports_no_framework():
    script = (
        "import sys, time; began = time.perf_counter(); import pipeline.commands; from click.testing import CliRunner;"
        "assert CliRunner().invoke(pipeline.commands.cli, ['--help']).exit_code == 0;"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & set(sys.argv[1:])))"
    )
    heavy = ["tensorflow", "keras", "onnx", "onnxruntime", "ai_edge_litert", "tf2onnx", "paramiko", "numpy", "rich"]
    said = subprocess.run([sys.executable, "-c", script, *heavy], check=True, capture_output=True, text=True).stdout
    assert said.strip() == "[]"


def test_help_takes_less_than_the_limit():
    """0.3 s of CPU time, in the quickest of five: other tests share the machine. It waits for nothing else."""
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([Path(sys.executable).with_name("edgepress"), "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times) < 0.3


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_small(path):
    name, lines = str(path.relative_to(ROOT)), len(path.read_text().splitlines())
    assert lines <= LONGEST or name in LONGER, f"{name} has {lines} lines"


def test_no_reason_is_kept_for_a_file_that_became_short():
    for name in LONGER:
        assert len((ROOT / name).read_text().splitlines()) > LONGEST, f"{name} needs no exception"


def test_a_test_lies_in_the_folder_of_what_it_tests():
    """tests/pipeline/load/ holds the tests of pipeline/load/; what belongs to several folders lies in the folder above."""
    folders = {str(path.parent.relative_to(ROOT)) for path in TESTS if path.parent.parent != ROOT}
    sources = {f"tests/{path.parent.relative_to(ROOT)}" for path in SOURCES}
    assert folders - sources == {"tests/support", "tests/models", *FOLDERS_OF_TESTS}
    for name in FOLDERS_OF_TESTS:
        assert not (ROOT / name.removeprefix("tests/")).exists(), f"{name} needs no exception"


def test_no_test_file_imports_from_another():
    """What two of them share lies in tests/support, in a conftest.py, or beside them under a name of its own."""
    found = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in [*TESTS, *sorted((ROOT / "benchmarks").rglob("*.py")), *sorted((ROOT / "scripts").glob("*.py"))]
        for line in path.read_text().splitlines()
        if re.match(r"\s*(from|import) [\w.]*\btest_\w+", line)
        or re.match(r"\s*from tests[\w.]* import .*\btest_", line)
    ]
    assert found == []


def test_only_commands_print():
    printing = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.parts[len(ROOT.parts)] != "device_agent" and re.search(r"(?<![\w.])print\(", path.read_text())
    ]
    assert printing == []


def test_every_error_says_what_to_do_and_has_an_exit_code():
    kinds = [*errors.KINDS.values(), *(each for each in vars(target_errors).values() if isinstance(each, type))]
    for kind in kinds:
        error = kind("what was wrong", hint="what to do")
        assert (error.message, error.hint) == ("what was wrong", "what to do")
        assert error.exit_code in {2, 4, 5}
        assert kind.__name__ in (errors.__doc__ + target_errors.__doc__)


def test_no_todo_without_an_issue():
    for path in SOURCES:
        for line in path.read_text().splitlines():
            assert not re.search(r"\b(TODO|FIXME|XXX)\b(?! ?\(?#\d+)", line), f"{path}: {line}"


def test_the_host_never_unpickles_or_evaluates():
    """What a model file, a plan, a board or a network sends is data."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            name = (
                called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
            )
            assert name not in {"eval", "exec"}, f"{path}:{node.lineno}"
            module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else [module]
            assert not {"pickle", "marshal", "shelve"} & set(names), f"{path}:{getattr(node, 'lineno', 0)}"
