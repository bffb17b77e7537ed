"""`edgepress boards tune` and `[board] tune`, on a tree of a board."""

import json
import os
import shutil

import pytest

from device_agent import wire
from pipeline.measure.tuning import tuned
from pipeline.plan import read
from pipeline.progress import Silent
from targets import inventory, open_session
from tests.support import board_trees
from tests.support.commands import edgepress

GOVERNOR = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"


def _takes_nothing(governor):
    """Not even from root."""
    governor.unlink()
    governor.symlink_to("/proc/sys/kernel/ostype")


@pytest.fixture
def tree(tmp_path):
    return board_trees.tree("pi5", tmp_path)


@pytest.fixture
def here(tree, tmp_path):
    """The environment in which `local` is that board, with a folder of its own."""
    return {"EDGEPRESS_FS_ROOT": str(tree), "XDG_CACHE_HOME": str(tmp_path / "cache")}


def test_tune_and_restore(tree, here):
    env = os.environ | here
    said = edgepress("boards", "tune", "local", "--for", "2m", env=env)
    assert said.returncode == 0, said.stderr
    assert f"set  /{GOVERNOR}: ondemand -> performance" in said.stdout
    assert "everything is put back in 120" in said.stdout
    assert (tree / GOVERNOR).read_text() == "performance\n"
    again = edgepress("boards", "tune", "local", "--restore", "--json", env=env)
    assert f"/{GOVERNOR}: performance -> ondemand" in json.loads(again.stdout)["restored"]
    assert (tree / GOVERNOR).read_text() == "ondemand\n"
    nothing = edgepress("boards", "tune", "local", "--restore", env=env)
    assert (nothing.returncode, nothing.stdout) == (0, "local was not tuned, or everything is as it was\n")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda governor: governor.write_text("performance\n"), "it is tuned as far as it can be already: governor performance"),
        (lambda governor: shutil.rmtree(governor.parent), "its kernel offers no control of clocks (no cpufreq)"),
        (_takes_nothing, "its user may not do what the lines above do"),
    ],
    ids=["already", "no cpufreq", "may not"],
)  # fmt: skip
def test_where_nothing_is_changed_it_is_said_why(tree, here, spoil, why):
    for governor in tree.glob("sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"):
        spoil(governor)
    said = edgepress("boards", "tune", "local", env=os.environ | here)
    assert said.returncode == 0, said.stderr
    assert f"nothing was changed on local: {why}" in said.stdout
    assert ("sudo tee" in said.stdout) is ("lines above" in why)


@pytest.mark.parametrize("time", ["0", "-1m", "25h", "2d", "", "30 m", "1.5h"])
def test_a_time_that_is_none(time, here):
    said = edgepress("boards", "tune", "local", f"--for={time}", env=os.environ | here)
    assert said.returncode == 2
    assert "30m" in said.stderr


@pytest.mark.parametrize("wanted", [True, False])
def test_a_plan_tunes_around_its_measurement(tree, here, tmp_path, monkeypatch, wanted):
    for name, value in here.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "edge.toml"
    path.write_text(f'[model]\npath = "m.onnx"\n[board]\ntune = {str(wanted).lower()}\n')
    with open_session(inventory.find("local", tmp_path)) as session:
        with tuned(session, read(path), Silent()):
            assert session.observe().governor == ("performance" if wanted else "ondemand")
        assert session.observe().governor == "ondemand"


def test_what_a_plan_may_not_tune_is_said(tree, here, tmp_path, monkeypatch):
    for name, value in here.items():
        monkeypatch.setenv(name, value)
    _takes_nothing(tree / GOVERNOR)
    said = []

    class Heard(Silent):
        def say(self, sentence: str) -> None:
            said.append(sentence)

    path = tmp_path / "edge.toml"
    path.write_text('[model]\npath = "m.onnx"\n[board]\ntune = true\n')
    with open_session(inventory.find("local", tmp_path)) as session, tuned(session, read(path), Heard()):
        assert isinstance(session.observe(), wire.Conditions)
    assert len(said) == 1
    assert said[0].endswith(f"echo performance | sudo tee /{GOVERNOR}")
