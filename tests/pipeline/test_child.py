"""Work in a child process: its errors arrive as themselves, its death is an error, its noise stays away."""

import functools
import threading
import time
from pathlib import Path

import pytest

from pipeline import child
from pipeline.errors import ChildError, DataError
from pipeline.records import Record, TensorSpec
from tests.pipeline import child_helpers

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def helpers(monkeypatch):
    """The child finds them, too."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture(autouse=True, params=["started", pytest.param("forked", marks=pytest.mark.frameworks)])
def forked(request, monkeypatch):
    """How the child begins: in an interpreter of its own, or forked where TensorFlow is imported already."""
    of_run = functools.partial(child.run, imports_tensorflow=request.param == "forked")
    monkeypatch.setattr(child, "run", of_run)
    return request.param == "forked"


def run(name, argument=None, tell=lambda *_: None) -> Record:
    argument = argument or TensorSpec(name="a", shape=(1, None), dtype="int8")
    return child.run(getattr(child_helpers, name), argument, TensorSpec, tell, doing="trying")


def test_answer_and_progress():
    told = []
    assert run("echo", tell=lambda *step: told.append(step)) == TensorSpec(name="a", shape=(1, None), dtype="int8")
    assert told == [(1, 2, "half")]


def test_an_error_of_ours_arrives_as_itself():
    with pytest.raises(DataError, match="no good") as caught:
        run("refuses")
    assert caught.value.hint == "better"


def test_any_other_error_shows_the_last_lines():
    with pytest.raises(ChildError, match="trying failed: its process ended with exit code 1") as caught:
        run("raises")
    assert "ValueError: of no kind that we know" in caught.value.message


def test_a_crash_in_native_code():
    with pytest.raises(ChildError, match="killed by SIGSEGV") as caught:
        run("crashes")
    assert caught.value.exit_code == 5
    assert "new interpreter" not in caught.value.message  # what a library warned of before is not why


def test_a_killed_child_leaves_nothing(empty):
    with pytest.raises(ChildError, match="killed by SIGKILL"), empty.store.scratch() as scratch:
        run("killed", TensorSpec(name=str(empty.store.root), shape=(), dtype=str(scratch)))
    assert not list(empty.store.tmp.iterdir())


def test_kill_all_ends_children_of_other_threads():
    asleep, caught = threading.Event(), []

    def target():
        try:
            run("sleeps", tell=lambda *_: asleep.set())
        except ChildError as error:
            caught.append(error)

    thread = threading.Thread(target=target)
    began = time.monotonic()
    thread.start()
    assert asleep.wait(20)
    child.kill_all()
    thread.join(10)
    assert "SIGKILL" in caught[0].message
    assert time.monotonic() - began < 30
