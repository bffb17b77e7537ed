"""What a stranger meets: troubleshooting is whole, the glossary and the index too, the diagrams are those that are drawn, CI calls .ci/run."""

import ast
import re
import signal
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from pipeline import errors as host_errors
from pipeline.measure.validity import RULES
from pipeline.records import Outcome
from targets import errors as board_errors

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TROUBLES = (DOCS / "troubleshooting.md").read_text()
sys.path.insert(0, str(ROOT / "scripts"))

import draw_diagrams as draw  # noqa: E402

sys.path.remove(str(ROOT / "scripts"))


def rows(section):
    """First cells of the tables in a section, with the number of their cells."""
    text = TROUBLES.split(f"\n## {section}\n")[1].split("\n## ")[0]
    lines = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {cells[0].strip(): [cell.strip() for cell in cells] for cells in lines[1:]}


def exit_codes():
    """Of results, errors of the host and errors of boards; what a signal ends is 128 and its number."""
    kinds = [each for module in (host_errors, board_errors) for each in vars(module).values() if isinstance(each, type)]
    codes = {each.exit_code for each in kinds if hasattr(each, "exit_code")} | {each.exit_code for each in Outcome}
    return codes | {128 + number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}


def said_of_doubts():
    """The `what` of each Doubt that is written in the source: constants, and the beginning of formatted texts."""
    found = set(RULES)
    for path in (ROOT / "pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Doubt":
                (what,) = (each.value for each in node.keywords if each.arg == "what")
                found.add(
                    what.value if isinstance(what, ast.Constant)
                    else what.values[0].value.strip() if isinstance(what, ast.JoinedStr)
                    else ""
                )  # fmt: skip
    return found - {""}


def test_each_exit_code_is_explained():
    codes = {int(code) for cell in rows("Exit codes") for code in cell.split(", ")}
    assert codes == exit_codes()


def test_each_doubt_is_explained():
    explained = rows("Doubts")
    for what in said_of_doubts():
        assert any(name == what or name.startswith(f"{what} ") for name in explained), what
    assert len(said_of_doubts()) >= 30


def test_no_doubt_is_explained_that_nothing_raises():
    raised = said_of_doubts()
    for name in rows("Doubts"):
        assert name in raised or any(name.startswith(f"{what} ") for what in raised), name


def test_each_explanation_says_what_to_do():
    for section in ("Exit codes", "Board trouble (exit code 4)", "Doubts"):
        for cells in rows(section).values():
            assert all(cells), cells


def test_invalid_rules_are_called_invalid():
    """The kinds of the table are those of tuning.md."""
    tuning = (DOCS / "tuning.md").read_text()
    for name, cells in rows("Doubts").items():
        line = next(
            (line for line in tuning.splitlines() if re.match(rf"\| [^|]*\b{re.escape(name)}\b[^|]*\|", line)), None
        )
        if line is not None and name in RULES:
            assert line.rstrip(" |").rpartition("|")[2].strip().startswith("invalid") == (cells[1] == "invalid"), name


def test_the_glossary_has_its_words_in_order():
    lines = [line for line in (DOCS / "glossary.md").read_text().splitlines() if line.startswith("| ")]
    words = [line.split("|")[1].strip() for line in lines[1:]]
    assert len(words) >= 25
    assert words == sorted(words)
    assert all(len(line.split("|")) == 5 and all(cell.strip() for cell in line.split("|")[1:4]) for line in lines)


def test_the_index_leads_to_every_page():
    index = (DOCS / "index.md").read_text()
    for page in DOCS.glob("*.md"):
        assert page.name == "index.md" or f"({page.name})" in index, page.name


@pytest.mark.parametrize("name", draw.DIAGRAMS)
def test_a_diagram_is_as_it_is_drawn_in_light_and_dark_and_used(name):
    path = DOCS / "diagrams" / f"{name}.svg"
    text = path.read_text()
    assert text == draw.drawn(name), "run scripts/draw_diagrams.py"
    assert "prefers-color-scheme:dark" in text
    root = ET.fromstring(text)
    assert root.get("aria-label")
    assert float(root.get("width")) <= 480  # scaled down to a phone, 13 px are still read
    pages = [ROOT / "README.md", *DOCS.glob("*.md")]
    assert any(f"diagrams/{name}.svg)" in page.read_text() for page in pages)


def test_what_one_page_is_stays_one_page():
    for name in ("CONTRIBUTING.md", "SECURITY.md"):
        assert len((ROOT / name).read_text().splitlines()) <= 60


def test_the_workflow_calls_ci_run_and_pins_what_it_uses():
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        text = path.read_text()
        assert "- run: .ci/run" in text
        assert "://" not in text
        used = re.findall(r"uses: (\S+)", text)
        assert used
        assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+\.\d+\.\d+", each) for each in used)


def test_the_fragments_of_changes_are_named_as_their_page_says():
    named = [path.name for path in (ROOT / "changes").iterdir() if path.name not in ("README.md", ".gitignore")]
    for name in named:
        assert re.fullmatch(r"(?:\d+|\+[a-z0-9-]+)\.(?:added|changed|fixed|removed|security)\.md", name), name
