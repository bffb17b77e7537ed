"""A user's own pipeline.py, targets.py, device_agent.py or edgepress.py, beside the plan and in the working folder, shadows nothing of ours;
a data function finds its own files.
"""

import shutil

import pytest

from tests.support.commands import edgepress
from tests.support.tiny_model import QUICK

OURS = ("pipeline", "targets", "device_agent", "edgepress")
MARK = "a file of the user's was run in place of one of ours"
ONLY_FOR_ROWS = (
    f'import sys\n\nif "rows" not in sys.modules:\n    raise RuntimeError("{MARK}")\nFILE = "{{name}}.npz"\n'
)
"""Of a module that the user's data functions import, and nobody else."""
ROWS = """
from pathlib import Path

import numpy as np

import edgepress
import targets


def read(name):
    rows = np.load(Path(__file__).with_name(name))
    return rows["x"], rows["y"]


def calibration():
    return read(targets.FILE)


def evaluation():
    return read(edgepress.FILE)
"""
PLAN = """
[model]
path = "tiny.keras"
[data]
training = "rows:calibration"
calibration = "rows:calibration"
evaluation = "rows:evaluation"
[[compress]]
pass = "prune_weights"
sparsity = 0.5
[convert]
formats = ["tflite-int8"]
[board]
name = "local"
"""


@pytest.fixture
def folder(tmp_path):
    for name in OURS:
        (tmp_path / f"{name}.py").write_text(f'raise RuntimeError("{MARK}: {name}")\n')
    return tmp_path


@pytest.mark.parametrize("arguments", [["--help"], ["boards", "--help"], ["doctor"], ["run", "edge.toml"]])
def test_in_the_working_folder(folder, arguments):
    said = edgepress(*arguments, cwd=folder)
    assert MARK not in said.stdout + said.stderr
    assert "Traceback" not in said.stderr
    assert said.returncode == (2 if arguments[0] == "run" else 0), said.stderr  # there is no plan


@pytest.mark.frameworks
def test_beside_the_plan_in_a_whole_run(folder, tiny_folder):
    shutil.copytree(tiny_folder, folder, dirs_exist_ok=True)
    (folder / "rows.py").write_text(ROWS)
    for name, file in (("targets", "calibration"), ("edgepress", "evaluation")):
        (folder / f"{name}.py").write_text(ONLY_FOR_ROWS.format(name=file))
    (folder / "edge.toml").write_text(PLAN + QUICK)
    said = edgepress("run", "edge.toml", cwd=folder)
    assert said.returncode == 0, said.stderr
    assert "compressed tflite-int8" in said.stdout
    assert MARK not in said.stdout + said.stderr
