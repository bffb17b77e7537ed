"""Jobs that lie on the disk, followed, cancelled, listed and forgotten in this process: each answer, each bound, each race."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from device_agent import wire
from device_agent.channel import Channel, HostGone
from device_agent.files.layout import locked
from device_agent.jobs import requests
from device_agent.record import replace
from tests.support.agent_inside import GONE, ID, made_job, process_of, refused, write_process

EVENT = wire.Event(1, 0, "load", 1, 2)
IGNORES = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"


@pytest.fixture
def slept(monkeypatch):
    """How long was slept, each time; what is put into `slept.then` is called instead, once."""

    class Slept(list):
        then = staticmethod(lambda: None)

    slept, sleep = Slept(), time.sleep

    def told(seconds):
        slept.append(seconds)
        then, slept.then = slept.then, lambda: None
        then()
        sleep(min(seconds, 0.01))

    monkeypatch.setattr(time, "sleep", told)
    return slept


@pytest.fixture
def waited(host, monkeypatch):
    """How long the following waited, each time; then it does what is next in `waited.then`."""

    class Waited(list):
        then = ()

    waited = Waited()

    class Watched(Channel):
        def has_input(self, limit_s):
            if limit_s:
                waited.append(limit_s)
                if waited.then:
                    waited.then.pop(0)()
            return super().has_input(min(limit_s, 0.01))

    host.channel = Watched(host.channel.input_fd, host.channel.output_fd)
    host.channel.next_working = time.monotonic() + 1000
    return waited


def nothing() -> None:
    pass


def follow(place, host, after: int = 0):
    return requests.follow(place, host.channel, wire.Follow(ID, after))


# --- follow


@pytest.mark.parametrize(("after", "seen"), [(0, [1, 2, 3]), (1, [2, 3]), (2, [3]), (3, [3]), (9, [3])])
def test_what_is_behind_the_last_one_seen_and_always_the_end(place, host, after, seen):
    made_job(place, 1, wire.FINISHED, EVENT, replace(EVENT, seq=2))
    assert follow(place, host, after) is None
    assert [record.seq for record in host.records()] == seen


def test_a_record_comes_when_it_is_whole_and_the_job_is_looked_at_less_and_less(place, host, waited, process):
    job = made_job(place, 1, process=process_of(process.pid))
    line, end = wire.encode(EVENT), wire.encode(wire.Ended(2, ID, wire.FINISHED, ""))
    file = Path(job.folder, "events").open("ab", buffering=0)  # noqa: SIM115 - closed below
    steps = {0: line[:20], 2: line[20:], 9: end}
    waited.then = [lambda step=step: file.write(steps.get(step, b"")) for step in range(10)]
    assert follow(place, host) is None
    file.close()
    assert host.records() == [EVENT, wire.Ended(2, ID, wire.FINISHED, "")]
    assert waited == [0.01, 0.02, 0.04, 0.08, 0.16, *[requests.LOOK_S] * 5]


def test_half_a_line_is_left_out_where_the_job_is_gone(place, host):
    job = made_job(place, 1, "", EVENT, process=GONE)
    with Path(job.folder, "events").open("ab") as file:
        file.write(b'{"kind":"Launched","seq":2,"index"')
    assert follow(place, host) is None
    event, ended = host.records()
    assert (event, ended.seq, ended.state) == (EVENT, 2, wire.KILLED)


def test_records_that_somebody_replaced_have_no_end(place, host, waited, process):
    job = made_job(place, 1, "", EVENT, process=process_of(process.pid))

    def replaced():
        Path(job.folder, "new").write_bytes(wire.encode(wire.Ended(2, ID, wire.FINISHED, "")))
        Path(job.folder, "new").rename(Path(job.folder, "events"))

    waited.then = [nothing, replaced]
    assert refused(follow, place, host) == ("internal", f"the records of the job {ID} have no end", "")


def test_another_request_pauses_it(place, host, process):
    made_job(place, 1, "", EVENT, process=process_of(process.pid))
    os.write(host.out, b"another")
    assert follow(place, host) == wire.Paused(ID)
    assert (host.records()[0], host.channel.buffer) == (EVENT, b"another")


def test_a_request_that_has_been_read_already_pauses_it(place, host, waited, process):
    made_job(place, 1, "", EVENT, process=process_of(process.pid))
    host.channel.buffer += b"another"
    waited.then = [process.kill]  # else it would go on for ever
    assert follow(place, host) == wire.Paused(ID)
    assert waited == []


def test_a_host_that_is_gone_ends_it(place, host, process):
    made_job(place, 1, "", EVENT, process=process_of(process.pid))
    host.close_out()
    with pytest.raises(HostGone):
        follow(place, host)


@pytest.mark.parametrize(("due_s", "said"), [(0.0, 1), (0.001, 0)])
def test_silence_is_broken_in_time(place, host, waited, process, monkeypatch, due_s, said):
    made_job(place, 1, "", process=process_of(process.pid))
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    host.channel.next_working, records = 100.0 + due_s, []
    waited.then = [nothing, lambda: records.extend(host.records()) or os.write(host.out, b"x")]
    follow(place, host)
    assert records == [wire.Working()] * said


def test_a_record_that_is_none(place, host):
    line = b'{"kind":"Launched","index":0,"seq":' + b"1" * 80
    Path(made_job(place, 1).folder, "events").write_bytes(line + b"\n")
    said = f"a record of the job is damaged: {line[:80]!r}"
    assert refused(follow, place, host) == ("internal", said, "")


# --- what is not there, and what is of another version


def test_no_job_and_one_that_nobody_here_can_read(place, host):
    assert refused(follow, place, host) == ("not_found", f"there is no job {ID}", "")
    assert refused(requests.cancel, place, wire.Cancel(ID)) == ("not_found", f"there is no job {ID}", "")
    job = made_job(place, 1)
    Path(job.folder, "submit").write_bytes(b'{"kind":"Submit","new":1}\n')
    words = f"the job {ID} belongs to another version of edgepress, and only that can read it"
    assert refused(follow, place, host) == ("other_version", words, "")


# --- cancel


def test_cancel_asks_the_process_to_end(place, process, slept):
    """The lock on its folder, which a job's process holds to its end, is not waited for."""
    job = made_job(place, 1, process=process_of(process.pid))
    with locked(job.folder):
        cancelled = requests.cancel(place, wire.Cancel(ID))
    assert process.wait() == -signal.SIGTERM
    assert cancelled == wire.Cancelled(ID, wire.KILLED)  # it has not said that it was cancelled
    assert set(slept) <= {0.005}


def test_cancel_of_one_that_is_starting_waits_for_its_process(place, process, slept):
    job = made_job(place, 1)
    slept.then = lambda: write_process(Path(job.folder), process_of(process.pid))
    with locked(job.folder):
        requests.cancel(place, wire.Cancel(ID))
    assert process.wait() == -signal.SIGTERM
    assert slept[0] == 0.01


def test_cancel_of_one_that_does_not_obey(place, monkeypatch):
    waits, real = [], requests._wait_for_end

    def wait(process, limit_s):
        waits.append(limit_s)
        real(process, 0.05 if len(waits) == 1 else limit_s)

    monkeypatch.setattr(requests, "_wait_for_end", wait)
    with subprocess.Popen([sys.executable, "-c", IGNORES], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        job = made_job(place, 1, "", EVENT, process=process_of(process.pid))
        assert requests.cancel(place, wire.Cancel(ID)) == wire.Cancelled(ID, wire.CANCELLED)
    assert process.returncode == -signal.SIGKILL
    assert job.ended().evidence == "it was cancelled, and killed because it did not end by itself"
    assert waits == [5.0, 5.0]


@pytest.mark.parametrize("process_", [None, GONE])
def test_cancel_of_one_that_is_gone(place, process_):
    made_job(place, 1, process=process_)
    assert requests.cancel(place, wire.Cancel(ID)) == wire.Cancelled(ID, wire.KILLED)


def test_the_end_is_waited_for_no_longer_than_that(process, slept, monkeypatch):
    began = time.monotonic()
    requests._wait_for_end(process_of(process.pid), 0.2)
    assert time.monotonic() - began >= 0.2
    assert set(slept) == {0.005}
    slept.clear()
    requests._wait_for_end(GONE, 60)
    assert slept == []
    times = iter((100.0, 100.25, 100.5))
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    requests._wait_for_end(process_of(process.pid), 0.5)
    assert slept == [0.005]
