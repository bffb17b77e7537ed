"""The process that has imported TensorFlow: who gets a child of it, and that nothing of it stays."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline import child, child_watch, warm
from pipeline.errors import ChildError
from pipeline.records import TensorSpec
from tests.pipeline import child_helpers
from tests.support.processes import gone

pytestmark = pytest.mark.frameworks
ROOT = Path(__file__).parents[2]
ARGUMENT = TensorSpec(name="a", shape=(1, None), dtype="int8")


@pytest.fixture(autouse=True)
def helpers(monkeypatch):
    """The child finds them, too."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def called(name, argument=ARGUMENT, tell=lambda *_: None):
    return child.run(getattr(child_helpers, name), argument, TensorSpec, tell, doing="trying", imports_tensorflow=True)


def started_by(process):
    """Every process that it started, and those that they started."""
    return child_watch.family(process) - {process}


def test_children_have_it_imported_and_share_one_parent():
    first, second = (called("parent_and_modules") for _ in range(2))
    assert first.dtype == second.dtype == "tensorflow"
    assert first.name == second.name == str(warm._warm.process.pid)
    assert first.tensor != second.tensor  # what they draw
    assert child.run(
        child_helpers.parent_and_modules, ARGUMENT, TensorSpec, lambda *_: None, doing="trying"
    ).name == str(os.getpid())


def test_another_environment_or_folder_gets_another_one(monkeypatch, tmp_path):
    before = called("parent_and_modules").name
    monkeypatch.setenv("EDGEPRESS_TRIED", "yes")
    changed = called("parent_and_modules").name
    assert changed != before
    monkeypatch.chdir(tmp_path)
    assert called("parent_and_modules").name not in (before, changed)
    assert called("where").name == str(tmp_path)
    assert gone(int(before))
    assert gone(int(changed))


def test_one_that_was_killed_is_started_again():
    warm_one = int(called("parent_and_modules").name)
    os.kill(warm_one, signal.SIGKILL)
    assert gone(warm_one)
    assert called("parent_and_modules").dtype == "tensorflow"


def test_killed_with_a_child_the_child_is_an_error_and_dies(tmp_path):
    begun, found = threading.Event(), []

    def target():
        try:
            called("sleeps", tell=lambda *_: begun.set())
        except ChildError as error:
            found.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    assert begun.wait(120)
    (process,) = {each.pid for each in child._LIVE}
    os.kill(warm._warm.process.pid, signal.SIGKILL)
    thread.join(30)
    assert "SIGKILL" in found[0].message
    assert gone(process)


def test_without_it_a_child_is_started(monkeypatch, tmp_path):
    """TensorFlow that cannot be imported is said by what needs it, in a child of its own."""
    (tmp_path / "tensorflow.py").write_text("raise ImportError('broken')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    found = called("parent_and_modules")
    assert (found.name, found.dtype) == (str(os.getpid()), "")


@pytest.mark.parametrize("when", ["importing", "at work"])
def test_a_killed_host_leaves_nothing(when):
    program = (
        "from tests.pipeline.test_warm import called\ncalled('sleeps', tell=lambda *_: print('asleep', flush=True))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE) as host:
        if when == "at work":
            assert host.stdout.readline() == b"asleep\n"
            assert len(started_by(host.pid)) == 2
        until = time.monotonic() + 60
        while not (started := started_by(host.pid)) and time.monotonic() < until:
            time.sleep(0.02)
        assert started
        host.kill()
    assert all(map(gone, started))


def test_one_that_another_thread_has_started_since_stays():
    first = called("parent_and_modules").name
    dead = warm._warm
    dead.process.kill()
    dead.process.wait()
    second = called("parent_and_modules").name
    warm._end(dead)
    assert called("parent_and_modules").name == second != first


def test_a_second_ctrl_c_while_a_child_is_being_started_ends_it():
    with warm._LOCK:  # the signal comes in the thread that holds it
        child.kill_all()
    assert warm._warm is None
