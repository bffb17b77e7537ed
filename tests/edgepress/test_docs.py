"""docs/python.md: its examples run, one after the other, in a folder with a tiny model and this machine as its board."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
INSIDE = re.compile(r"^\s*(?:from|import) (?:pipeline|targets|device_agent)\b", re.MULTILINE)
QUICK = "timed_seconds = 0.02\nlaunches = 6\n"
"""After the last table of the page's plan, which is [measure]."""


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.frameworks
def test_the_examples_run(tiny_folder, tmp_path):
    shutil.copytree(tiny_folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "tiny.keras").rename(tmp_path / "model.keras")
    (plan,) = blocks("python.md", "toml")
    (tmp_path / "edge.toml").write_text(plan + QUICK)
    (tmp_path / "examples.py").write_text("\n".join(blocks("python.md", "python")))
    said = subprocess.run(
        [sys.executable, "examples.py"], cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert re.search(r"^(PASS|INVALID|INCONCLUSIVE)$", said.stdout, re.MULTILINE), said.stdout
    assert "original tflite-int8 @ ai_edge_litert" in said.stdout
    assert "the plan another.toml cannot be read" in said.stdout
    assert {"manifest.json", "report.json"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert [path.suffix for path in (tmp_path / "files").glob("*.tflite")]


@pytest.mark.parametrize("page", [page.name for page in DOCS.glob("*.md") if not page.name.startswith("add-a-")])
def test_no_page_for_users_imports_what_is_inside(page):
    text = (DOCS / page).read_text()
    assert not any(INSIDE.search(each) for each in (*blocks(page, "python"), *re.findall(r"`([^`\n]+)`", text)))
