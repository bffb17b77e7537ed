"""A child is bounded in time and memory, is heard of, and what runs in it cannot break its answer."""

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline import child, child_watch
from pipeline.child_watch import Bounds
from pipeline.errors import ChildError, DataError
from pipeline.plan_tables import HostTable
from pipeline.records import TensorSpec
from tests.pipeline import child_helpers

ARGUMENT = TensorSpec(name="a", shape=(1, None), dtype="int8")
ROOMY = Bounds(60, "minutes", 2**33)
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def helpers(monkeypatch):
    """The child finds them, too."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture(
    autouse=True, params=["started", pytest.param("forked", marks=[pytest.mark.frameworks, pytest.mark.whole])]
)
def forked(request, monkeypatch):
    """How the child begins: in an interpreter of its own, or forked where TensorFlow is imported already."""
    of_run = functools.partial(child.run, imports_tensorflow=request.param == "forked")
    monkeypatch.setattr(child, "run", of_run)
    return request.param == "forked"


def called(name, argument=ARGUMENT, limits=ROOMY, **options):
    return child.run(
        getattr(child_helpers, name), argument, TensorSpec, lambda *_: None, doing="trying", limits=limits, **options
    )


# --- time


@pytest.mark.parametrize("name", ["sleeps", "talks"])
def test_a_child_without_an_end_is_ended(name):
    """Also one that talks all the time: the limit is that of the whole."""
    with pytest.raises(ChildError, match="trying was ended: it took longer than 3 s") as caught:
        called(name, limits=Bounds(3, "minutes", 2**33))
    assert "raise minutes in [host] of the plan" in caught.value.hint
    assert not child._LIVE


def test_silence_is_said_with_what_is_waited_for_and_since_when(monkeypatch):
    monkeypatch.setattr(child_watch, "SILENT_S", (0.2, 0.4, 0.6))
    said = []

    class EnoughError(Exception):
        pass

    def say(line):
        said.append(line)
        if "(last: asleep)" in line and len(said) >= 3:
            raise EnoughError

    with pytest.raises(EnoughError):
        called("sleeps", say=say)
    assert all(line.startswith("still trying, since ") and "it may take 60 s in all" in line for line in said)
    assert not child._LIVE


def test_when_silence_is_said():
    assert [child_watch._mark(said) for said in range(6)] == [10, 30, 60, 120, 180, 240]


def test_no_word_of_a_child_that_talks(monkeypatch):
    monkeypatch.setattr(child_watch, "SILENT_S", (2.0, 30.0, 60.0))
    watch = child_watch.Watch.__new__(child_watch.Watch)
    watch.__dict__ |= {"began": 0.0, "heard": 0.0, "said": 0, "note": "", "since": "", "doing": "trying", "looked": 1e9}
    watch.limits, said = Bounds(1e9, "minutes", 1), []
    watch.say = said.append
    for now in (1.0, 2.5, 2.6):
        monkeypatch.setattr(child_watch.time, "monotonic", lambda now=now: now)
        watch.look()
    assert len(said) == 1
    watch.news("something")
    watch.look()
    assert len(said) == 1


def test_the_plan_raises_the_limits():
    host = HostTable(minutes=2, compress_minutes=3, memory_bytes=2**31)
    assert child_watch.of_plan(host) == (120, "minutes", 2**31)
    assert child_watch.of_plan(host, compress=True) == (180, "compress_minutes", 2**31)


# --- memory


@pytest.mark.parametrize("name", ["grows", "grows_in_another"])
def test_a_child_that_takes_too_much_memory_is_ended(name):
    """Also by way of a process that it starts."""
    with pytest.raises(ChildError, match=r"trying was ended: it took more than 300 MiB of memory") as caught:
        called(name, limits=Bounds(60, "minutes", 300 * 2**20))
    assert "raise memory_bytes in [host] of the plan" in caught.value.hint


def test_rows_that_are_mapped_from_a_file_are_no_memory_taken(tmp_path, forked):
    mebibytes = 500 if forked else 80  # TensorFlow takes 230
    path = tmp_path / "rows"
    with path.open("wb") as file:
        file.truncate(mebibytes + 20 << 20)
    limits = Bounds(60, "minutes", mebibytes << 20)
    assert called("maps", TensorSpec(name=str(path), shape=(), dtype=""), limits).dtype == ""


def test_what_children_take_is_added_up():
    child_watch.Watch.together[-1] = 2**33
    try:
        said = called("where", limits=Bounds(60, "minutes", 2**20))
    finally:
        del child_watch.Watch.together[-1]
    assert said.name  # the other is the larger one: this one is not ended


def test_one_that_is_ended_for_what_all_take_says_so(monkeypatch):
    monkeypatch.setattr(child_watch, "session_bytes", lambda _: 200 * 2**20)
    monkeypatch.setitem(child_watch.Watch.together, -1, 150 * 2**20)
    limits = Bounds(60, "minutes", 300 * 2**20)
    watch = child_watch.Watch(SimpleNamespace(pid=-2), None, limits, "trying", lambda _: None)
    try:
        with pytest.raises(
            ChildError, match=r"it took 200 MiB, and with what runs in parallel more than 300 MiB of memory"
        ):
            watch._memory()
    finally:
        watch.end()


def test_no_memory_left_is_said():
    with pytest.raises(ChildError, match="there is not enough memory: Unable to allocate 1"):
        called("runs_out")


# --- what runs in it


@pytest.mark.parametrize("name", ["overwrites", "floods", "closes", "closes_and_stays"])
def test_descriptors_that_are_not_its_own(name):
    with pytest.raises(
        DataError, match=r"where its answer was expected, its process wrote|by which its process answers"
    ) as caught:
        called(name, fault=DataError)
    assert "[data]" in caught.value.hint
    assert len(caught.value.message) < 300


def test_the_small_descriptors_are_out_of_the_answers_way():
    assert called("overwrites_low") == ARGUMENT


@pytest.mark.parametrize("line", ["[]", "{", '{"tell": [1, 2]}', '{"error": "Nothing"}', '{"answer": 3}', "[" * 9999])
def test_lines_that_are_no_answer(line):
    with pytest.raises(ChildError, match="where its answer was expected, its process wrote"):
        called("forges", TensorSpec(name=line, shape=(), dtype=""))


def test_an_end_without_an_answer():
    with pytest.raises(ChildError, match=r"its process ended with exit code 0\n    the last words"):
        called("vanishes")


def test_something_left_behind_does_not_hold_us_up():
    began = time.monotonic()
    with pytest.raises(ChildError, match="exit code 3"):
        called("leaves_one_behind")
    assert time.monotonic() - began < 50


def test_what_it_prints_does_not_fill_the_disk(monkeypatch):
    monkeypatch.setattr(child_watch, "LOG_MOST_BYTES", 2**20)
    sizes = []
    look = child_watch.Watch.look
    monkeypatch.setattr(
        child_watch.Watch, "look", lambda watch: (look(watch), sizes.append(os.fstat(watch.log.fileno()).st_size))[0]
    )
    assert called("prints") == ARGUMENT
    assert min(sizes[len(sizes) // 2 :]) < 60 * 2**20


def test_the_cause_is_shown_though_much_stands_behind_it():
    with pytest.raises(ChildError) as caught:
        called("buries")
    assert "ValueError: the cause\n" in caught.value.message
    assert len(caught.value.message) < 13 * 310


def test_it_works_in_the_folder_that_it_is_given(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    assert called("where", folder=str(folder)).name == str(folder)
    assert called("where").name == str(Path.cwd())


def test_a_child_of_a_background_job_can_be_interrupted(tmp_path):
    """A shell without job control starts `command &` with SIGINT ignored, and that is inherited."""
    script = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN);"
        "sys.path.insert(0, sys.argv[1]);"
        "from tests.pipeline.test_child_bounds import called; print(called('where').dtype)"
    )
    said = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == str(signal.SIG_DFL)
