"""Who may import whom: each contract of pyproject.toml is broken by a line that it forbids."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "The host decides, targets reach boards, the agent measures": ("targets/wheel_tags.py", "import pipeline.units"),
    "The public face is for users: nothing inside imports it": ("pipeline/commands/run.py", "import edgepress"),
    "Commands -> flow -> the seven stages -> records, store, units, errors": (
        "pipeline/records/base.py",
        "import pipeline.flow",
    ),
    "Only deploy and measure reach boards (and the commands that are about boards)": (
        "pipeline/compare/limits/size.py",
        "import targets.inventory",
    ),
    "Of the agent, the host imports the wire and nothing else": (
        "pipeline/doctor.py",
        "from device_agent.runtimes import _profile",
    ),
    "The agent: its process -> jobs -> launches -> runtimes, meters, files -> what the board is -> the wire": (
        "device_agent/board/procfs.py",
        "import device_agent.jobs.job",
    ),
    "Compress: the chain -> passes -> what they share -> kinds of models": (
        "pipeline/compress/sparsity/masks.py",
        "import pipeline.compress.keras_passes.prune_weights",
    ),
    "Measure: pairs -> energy -> a launch and its doubts": (
        "pipeline/measure/summary.py",
        "import pipeline.measure.pairs.run",
    ),
    "Compare: limits -> pairs, intervals -> reasons": (
        "pipeline/compare/by_interval.py",
        "import pipeline.compare.limits.size",
    ),
    "Report: renderers -> pictures, words -> tables -> the view": (
        "pipeline/report/view.py",
        "import pipeline.report.renderers.html",
    ),
    "paramiko has one home": ("targets/upload.py", "import paramiko"),
    "Frameworks live in load, compress and convert, and in the agent's runtimes": (
        "pipeline/baseline.py",
        "import onnx",
    ),
    "No circles": ("targets/shape.py", "import targets.inventory"),
}
"""Contract -> a file, and a line in it that breaks the contract."""


def contracts() -> list[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return [contract["name"] for contract in settings["tool"]["importlinter"]["contracts"]]


def test_each_contract_has_a_line_that_breaks_it():
    assert list(FORBIDDEN) == contracts()


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy to break; what is unchanged is analysed once."""
    folder = tmp_path_factory.mktemp("tree")
    for package in ("edgepress", "pipeline", "targets", "device_agent"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@pytest.mark.parametrize("contract", FORBIDDEN)
def test_each_contract_can_fail(tree, contract):
    file, line = FORBIDDEN[contract]
    source = tree / file
    before = source.read_text()
    source.write_text(f"{before}\n{line}\n")
    try:
        done = subprocess.run(
            [Path(sys.executable).with_name("lint-imports")], cwd=tree, capture_output=True, text=True, check=False,
            env={"COLUMNS": "400"},
        )  # fmt: skip
    finally:
        source.write_text(before)
    assert done.returncode == 1
    assert f"{contract} BROKEN" in done.stdout
