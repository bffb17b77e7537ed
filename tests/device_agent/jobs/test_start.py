"""A job is started in this process, with the real process of the job: what that gets, what it holds, and what keeps it from starting."""

import fcntl
import gc
import json
import os
import re
import signal
import stat
import sys
import time
from pathlib import Path

import pytest

from device_agent import wire
from device_agent.board import procfs
from device_agent.board.processes import boottime_ns
from device_agent.files import layout as places
from device_agent.files.layout import MARGIN_BYTES, locked
from device_agent.jobs import requests
from device_agent.jobs.job import Job
from device_agent.record import replace
from tests.support.agent_inside import GONE, is_locked, job_id, made_job, process_of, refused, request
from tests.support.agent_process import LAUNCH, is_alive, names, sha256, sleep_model, wait_until

ID = job_id(1)
HASH = sha256(sleep_model(hang=True))
HANGS = replace(LAUNCH, model_sha256=HASH, timeout_ns=10**12)


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """The folder of the machine's lock. Nothing stays open, and no job runs on."""
    (tmp_path / "machine").mkdir()
    monkeypatch.setenv("EDGEPRESS_LOCK_FOLDER", str(tmp_path / "machine"))
    gc.collect()  # what earlier tests left to the collector would be closed in the midst of this one
    before = names(Path("/proc/self/fd"))
    yield tmp_path / "machine"
    for file in (tmp_path / "edge" / "jobs").glob("*/process.json"):
        process = Job(str(file.parent)).process()
        if process.pid != os.getpid() and process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
    assert len(names(Path("/proc/self/fd"))) == len(before)


def end_of(place, number: int = 1) -> wire.Ended:
    job = Job(place.job(job_id(number)))
    wait_until(lambda: job.state() != wire.RUNNING, 60)
    return job.ended()


@pytest.fixture
def running(place):
    """A job that does not end, and its process."""
    Path(place.blob(HASH)).write_bytes(sleep_model(hang=True))
    assert requests.submit(place, request(1, HANGS)) == wire.Accepted(ID, wire.RUNNING, 0, "")
    return Job(place.job(ID))


# --- what it gets, and what it holds


def test_a_job_goes_its_way(place, monkeypatch, tmp_path):
    """Whatever Python would load elsewhere: the user's own modules are none of its."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "json.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    asked = request(1, owner="x" * 300)
    assert requests.submit(place, asked) == wire.Accepted(ID, wire.RUNNING, 0, "")
    assert end_of(place) == wire.Ended(1, ID, wire.FINISHED, "")
    assert Job(place.job(ID)).submitted() == asked
    assert stat.S_IMODE(Path(place.job(ID)).stat().st_mode) == 0o700
    assert names(Path(place.tmp)) == []


def test_what_its_process_holds(running, place, machine):
    pid = running.process().pid
    assert os.getsid(pid) == pid
    held = {name: str(Path(f"/proc/{pid}/fd/{name}").readlink()) for name in "012"}
    log = str(Path(running.folder, "log"))
    assert held == {"0": "/dev/null", "1": log, "2": log}
    assert is_locked(running.folder)
    assert is_locked(place.lock)
    assert is_locked(machine / "edgepress-measures")
    assert stat.S_IMODE(Path(place.lock).stat().st_mode) == 0o600
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    assert arguments[1] == b"-IB"


def test_who_has_the_board_is_written_into_the_lock(place, machine):
    Path(place.lock).write_text("x" * 1000)
    before_ns = boottime_ns()
    requests.submit(place, request(1, owner="x" * 300))
    held = json.loads(Path(place.lock).read_text())
    assert before_ns <= held.pop("since_ns") <= boottime_ns()
    assert held == {"owner": "x" * 200, "job_id": ID, "root": place.root}
    assert json.loads((machine / "edgepress-measures").read_text()).keys() == {*held, "since_ns"}
    end_of(place)


def test_a_machine_without_a_lock_is_told(place, monkeypatch):
    monkeypatch.setenv("EDGEPRESS_LOCK_FOLDER", place.root + "/nowhere")
    accepted = requests.submit(place, request(1))
    assert accepted.note.startswith("nothing keeps other users of this machine from measuring at the same time")
    assert end_of(place).state == wire.FINISHED


# --- the same job again


def test_one_that_runs_is_found(running, place):
    process = running.process()
    again = requests.submit(place, request(1, HANGS))
    assert (again.job_id, again.state, again.note, again.age_ns > 0) == (ID, wire.RUNNING, "", True)
    assert running.process() == process


def test_one_that_is_starting_is_found(place):
    with locked(made_job(place, 1).folder):
        assert requests.submit(place, request(1)) == wire.Accepted(ID, wire.RUNNING, 0, "")


FAILED = wire.LaunchFailed(1, 0, "load", "E", "no")


@pytest.mark.parametrize(
    ("state", "records", "boot", "is_kept"),
    [
        (wire.FINISHED, [], "", True),
        (wire.FINISHED, [FAILED], "", False),
        (wire.FINISHED, [], "another", False),
        (wire.CANCELLED, [], "", False),
    ],
)
def test_one_that_went_well_is_not_run_again(place, state, records, boot, is_kept):
    process = process_of(os.getpid(), boot=boot)
    made_job(place, 1, state, *records, process=process)
    accepted = requests.submit(place, request(1))
    assert accepted.state == (wire.FINISHED if is_kept else wire.RUNNING)
    assert (accepted.age_ns > 10**9) == is_kept
    assert end_of(place).evidence == ("so it ended" if is_kept else "")
    assert names(Path(place.tmp)) == []


# --- what keeps it from starting


@pytest.mark.parametrize("missing", [0, 1])
def test_room_for_its_records(place, monkeypatch, missing):
    monkeypatch.setattr(places, "free_bytes", lambda path: MARGIN_BYTES - missing)
    if missing:
        assert refused(requests.submit, place, request(1))[0] == "no_space"
        assert names(Path(place.root, "jobs")) == []
    else:
        assert requests.submit(place, request(1)).state == wire.RUNNING
        end_of(place)


def held(path, owner: str, age_ns: int) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    told = {"owner": owner, "job_id": job_id(7), "since_ns": boottime_ns() - age_ns, "root": "there"}
    os.write(descriptor, json.dumps(told).encode())
    return descriptor


def test_who_measures_under_this_root(place):
    lock = held(place.lock, "somebody", 2 * 10**18)
    error, words, _ = refused(requests.submit, place, request(1))
    os.close(lock)
    assert error == "busy"
    assert re.fullmatch(rf"somebody has been measuring on this board for 20000000\d\d s \(job {job_id(7)}\)", words)
    assert names(Path(place.root, "jobs")) == []


def test_who_measures_elsewhere_on_the_machine(place, machine):
    lock = held(machine / "edgepress-measures", "another", 10**9)
    error, words, _ = refused(requests.submit, place, request(1))
    os.close(lock)
    assert error == "busy"
    assert words.startswith("another has been measuring on this machine for ")
    assert not is_locked(place.lock)


def test_ended_jobs_make_room(place):
    for number in range(2, 14):
        made_job(place, number, wire.FINISHED, process=GONE)
    requests.submit(place, request(1))
    assert len(names(Path(place.root, "jobs"))) == requests.KEPT + 1
    end_of(place)


LONG = "import sys; sys.stderr.buffer.write(b'x' * 3000 + b'begin' + b'y' * 1990 + b' end\\xff\\n ')"


def test_a_process_that_does_not_come_up(place, monkeypatch):
    monkeypatch.setattr(requests, "START", LONG)
    monkeypatch.setattr(requests, "START_LIMIT_S", 10_000.0)  # that it has ended is seen at once
    said = refused(requests.submit, place, request(1))
    words = ("begin" + "y" * 1990 + " end\ufffd\n ")[-2000:].strip()
    assert said == ("internal", f"the job's process did not come up: {words}", "")
    assert names(Path(place.root, "jobs")) == names(Path(place.tmp)) == []
    assert not is_locked(place.lock)


def test_a_process_that_hangs_before_it_is_known(place, monkeypatch, tmp_path):
    pid = tmp_path / "pid"
    script = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    monkeypatch.setattr(requests, "START", script)
    slept, sleep, now = [], time.sleep, time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + 1000 * (pid.exists() and pid.read_text() != ""))
    monkeypatch.setattr(time, "sleep", lambda seconds: slept.append(seconds) or sleep(0.002))
    said = refused(requests.submit, place, request(1))
    assert said == ("internal", "the job's process did not come up: it printed nothing", "")
    assert set(slept) == {0.002}
    assert not is_alive(int(pid.read_text()))


# --- a scope of its own


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    """A stand-in for systemd-run, and a user whose manager stays; the stand-in becomes the command, as --scope does."""
    program = tmp_path / "bin" / "systemd-run"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n'
        'while [ "${1#--}" != "$1" ]; do [ "$1" = --unit ] && shift; shift; done\nexec "$@"\n'
    )
    program.chmod(0o755)
    (tmp_path / requests.LINGER).mkdir(parents=True)
    (tmp_path / requests.LINGER / "tester").write_text("")
    for name, value in (("PATH", f"{program.parent}:{os.environ['PATH']}"), ("USER", "tester"), ("EDGEPRESS_FS_ROOT", str(tmp_path))):  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(requests.VIRTUAL, raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(procfs, "LIMIT_S", 60.0)
    return program


def test_the_scope_of_a_user_who_lingers(systemd, tmp_path, monkeypatch):
    command = [str(systemd), "--user", "--scope", "--quiet", "--collect"]
    assert requests.scope("name") == [*command, "--unit", "edgepress-name"]
    assert (tmp_path / "asked").read_text() == "--user --scope --quiet --collect echo works\n"
    assert os.environ["XDG_RUNTIME_DIR"] == f"/run/user/{os.getuid()}"
    monkeypatch.setenv("XDG_RUNTIME_DIR", "as it was")
    requests.scope("name")
    assert os.environ["XDG_RUNTIME_DIR"] == "as it was"


def test_the_scope_is_that_of_the_job(systemd, place, tmp_path, monkeypatch):
    (tmp_path / "proc").symlink_to("/proc")
    requests.submit(place, request(1))
    assert end_of(place).state == wire.FINISHED
    assert f"--unit edgepress-{ID} {sys.executable} -IB -c" in (tmp_path / "asked").read_text()


@pytest.mark.parametrize("but", ["no user", "another user", "no program", "virtual", "silent", "not a program", "other words"])  # fmt: skip
def test_no_scope(systemd, monkeypatch, but):
    {
        "no user": lambda: monkeypatch.delenv("USER"),
        "another user": lambda: monkeypatch.setenv("USER", "other"),
        "no program": lambda: monkeypatch.setenv("PATH", "/nowhere"),
        "virtual": lambda: monkeypatch.setenv(requests.VIRTUAL, "1"),
        "silent": lambda: systemd.write_text("#!/bin/sh\nexit 1\n"),
        "not a program": lambda: systemd.write_text("#!/nowhere\n"),
        "other words": lambda: systemd.write_text("#!/bin/sh\necho it works not\n"),
    }[but]()
    assert requests.scope("name") == []
