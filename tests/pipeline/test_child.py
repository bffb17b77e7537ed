"""Work in a child process: its errors arrive as themselves, its death is an error, its noise stays away."""

import threading
import time

import pytest

from pipeline import child
from pipeline.errors import ChildError, DataError
from pipeline.records import Record, TensorSpec

HELPERS = """
import ctypes, os, signal, time
from pathlib import Path
from pipeline.errors import DataError
from pipeline.records import TensorSpec
from pipeline.store import Store

def echo(argument: TensorSpec, tell) -> TensorSpec:
    print("noise on stdout")
    tell(1, 2, "half")
    return argument

def refuses(argument: TensorSpec, tell) -> TensorSpec:
    raise DataError("no good", hint="better")

def raises(argument: TensorSpec, tell) -> TensorSpec:
    raise ValueError("of no kind that we know")

def crashes(argument: TensorSpec, tell) -> TensorSpec:
    ctypes.string_at(0)

def killed(argument: TensorSpec, tell) -> TensorSpec:
    Store(Path(argument.name), tmp=Path(argument.dtype)).tmp.joinpath("half").write_text("written")
    os.kill(os.getpid(), signal.SIGKILL)

def sleeps(argument: TensorSpec, tell) -> TensorSpec:
    tell(0, 0, "asleep")
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def helpers(tmp_path, monkeypatch):
    (tmp_path / "helpers.py").write_text(HELPERS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def run(name, argument=None, tell=lambda *_: None) -> Record:
    argument = argument or TensorSpec(name="a", shape=(1, None), dtype="int8")
    return child.run(f"helpers:{name}", argument, TensorSpec, tell, doing="trying")


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
