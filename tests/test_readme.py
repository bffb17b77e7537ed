"""The README and the docs cannot lie: their commands are run, their help text is compared, their links lead somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from pipeline.commands import COMMANDS
from pipeline.compress.table import PASSES, load_pass
from pipeline.convert.table import CONVERTERS
from pipeline.plan import read
from pipeline.plan_tables import Table, Tables
from targets.provision import RUNTIMES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "changes/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
EDGEPRESS = Path(sys.executable).with_name("edgepress")


def make(target):
    """As a user runs it: not as a part of the `make test` that we may be in."""
    inherited = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    environment = {name: value for name, value in os.environ.items() if name not in inherited}
    return subprocess.run(["make", target], cwd=ROOT, capture_output=True, text=True, check=False, env=environment)


def test_the_first_screen_says_what_for_whom_how_it_looks_and_the_two_commands():
    screen = "\n".join(README.splitlines()[:24])
    for needed in ("For people who", "docs/report.png", "make demo", "make test"):
        assert needed in screen


def test_help_in_the_readme_is_the_help():
    block = re.search(r"```text\n\$ edgepress --help\n(.*?)```", README, re.DOTALL)[1]
    said = subprocess.run(
        [EDGEPRESS, "--help"],
        check=True,
        capture_output=True,
        text=True,
        env={"COLUMNS": "110", "PATH": "/usr/bin:/bin"},
    ).stdout
    assert [line.rstrip() for line in said.strip().splitlines()] == [
        line.rstrip() for line in block.strip().splitlines()
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    said = subprocess.run([EDGEPRESS, command, "--help"], check=True, capture_output=True, text=True).stdout
    assert f"edgepress {command}" in said
    assert len(said.split("Options:")[0].split()) > 8  # it says what it does


@pytest.mark.whole
@pytest.mark.frameworks
@pytest.mark.timeout(3000)  # some five minutes on a quiet machine, and more than twenty at a load of 15
def test_make_demo():
    """The README's first command, whole: the set-up is done when the tests run, so this is the job itself."""
    said = make("demo")
    assert said.returncode == 0, said.stdout + said.stderr
    page = Path(next(line for line in said.stdout.splitlines() if line.startswith("page: ")).removeprefix("page: "))
    assert page.read_text().startswith("<!doctype html>")
    assert "compressed tflite-int8" in said.stdout


def test_make_help_lists_what_the_readme_names():
    said = make("help").stdout
    named = set(re.findall(r"(?:`|^    )make ([a-z]+)", README, re.MULTILINE))
    assert {"demo", "test", "setup", "help"} <= named
    for target in named:
        assert f"make {target} " in said


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_and_every_file_that_is_named_is_there(page):
    text = page.read_text()
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (page.parent / link).exists(), link
    for name in re.findall(r"`((?:pipeline|targets|device_agent|tests|examples|benchmarks|docs)/[\w./-]+)`", text):
        assert (ROOT / name).exists(), name


def keys(kind, prefix=""):
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, Table):
            yield from keys(field.type, field.name)
        else:
            yield prefix, field.encode_name


def test_the_plan_page_describes_every_key():
    text = (ROOT / "docs" / "plan.md").read_text()
    for table, key in keys(Tables):
        assert f"`{key}`" in text or f"[[{key}]]" in text, f"{table}.{key}"
        assert not table or f"[{table}]" in text


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, passes in PASSES.items() for name in passes])
def test_the_page_of_the_passes_describes_each_and_its_settings(kind, name):
    sections = dict(
        re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", (ROOT / "docs" / "passes.md").read_text(), re.MULTILINE | re.DOTALL)
    )
    text = sections[f"`{name}`" if kind == "keras" else "ONNX models"]
    assert kind == "keras" or f"`{name}`" in text
    if "has the keys of `recover`" in text:
        text += sections["`recover`"]
    for field in msgspec.structs.fields(load_pass(kind, name).Settings):
        assert f"`{field.name}`" in text


def test_the_plan_page_names_every_format_and_runtime():
    text = (ROOT / "docs" / "plan.md").read_text()
    for name in (*CONVERTERS, *(name for name, each in RUNTIMES.items() if each.distribution)):
        assert f"`{name}`" in text


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 130


def test_every_figure_of_the_readme_names_its_command_and_its_commit():
    section = README.split("## Figures")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    assert 5 <= len(rows) <= 6
    for row in rows:
        (command,) = re.findall(r"benchmarks/\w+/\w+\.py", row)
        assert (ROOT / command).exists()
        (commit,) = re.findall(r"\(([0-9a-f]{7})\)", row)
        kept = (ROOT / "benchmarks" / "results" / f"{Path(command).stem}.json").read_text()
        assert f'"commit": "{commit}"' in kept


def test_the_plan_of_the_readme_is_a_plan(tmp_path):
    (block,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    path = tmp_path / "edge.toml"
    path.write_text(block)
    plan = read(path)
    assert plan.tables.convert.formats == ("tflite-int8",)
    assert plan.tables.limits.latency_regression == 0.03
