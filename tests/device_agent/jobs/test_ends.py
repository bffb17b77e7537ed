"""How a job ended is told truly: cancelled, killed, lost, out of time."""

import json
import os
import shutil
import signal
import time

import pytest

from device_agent import wire
from tests.device_agent.jobs.lasting import end_of, lasting, launch, nothing_runs
from tests.support.agent_process import is_alive, names, sleep_model, wait_until


def test_cancelled(hanging, start):
    agent, child = hanging
    agent.write(wire.encode(wire.Cancel(agent.last_job)))
    assert agent.until(wire.Paused, wire.Cancelled) == wire.Paused(agent.last_job)
    assert agent.until(wire.Cancelled).state == wire.CANCELLED
    nothing_runs(agent, child)
    assert (end_of(agent, agent.last_job).state, names(agent.root / "tmp")) == (wire.CANCELLED, [])


def test_killed(hanging, start):
    agent, child = hanging
    os.kill(agent.supervisor(), signal.SIGKILL)
    ended = agent.until(wire.Ended)
    assert ended.state == wire.KILLED
    assert "it left no record, and the kernel counted no OOM kill" in ended.evidence
    nothing_runs(agent, child)
    assert start().follow(agent.last_job)[-1] == ended
    assert names(agent.root / "tmp") == []  # by the new agent


def test_two_agents_agree_on_the_end(hanging, start):
    agent, _ = hanging
    os.kill(agent.supervisor(), signal.SIGKILL)
    ends = [end_of(other, agent.last_job) for other in (start(), start())]
    assert ends[0] == ends[1] == agent.until(wire.Ended)


def test_lost(hanging):
    """Another boot: what process.json says of the boot is changed, because this machine cannot be restarted here."""
    agent, child = hanging
    path = agent.root / "jobs" / agent.last_job / "process.json"
    supervisor = agent.supervisor()
    path.with_name("new").write_text(json.dumps({**json.loads(path.read_text()), "boot_id": "another"}))
    path.with_name("new").rename(path)
    ended = agent.until(wire.Ended)
    assert (ended.state, ended.evidence) == (wire.LOST, "the board restarted while the job ran")
    (info,) = agent.ask(wire.Jobs()).jobs
    assert (info.state, info.age_ns) == (wire.LOST, None)
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: not is_alive(child))


def test_a_line_that_the_power_cut_in_the_middle_is_no_record(hanging, start):
    agent, _ = hanging
    agent.kill()  # it follows, and would say first how the job ended
    os.kill(agent.supervisor(), signal.SIGKILL)
    wait_until(lambda: not is_alive(agent.supervisor()))
    with (agent.root / "jobs" / agent.last_job / "events").open("ab") as events:
        events.write(b'{"kind":"Launched","seq":4,"index":0,"runtime_ver')
    (ended,) = start().follow(agent.last_job)
    assert ended.state == wire.KILLED


def test_out_of_time(agent):
    launches = [launch(agent.store(sleep_model(hang=True)), timeout_ns=10**12)]
    for timeout_ns in (700_000_000, 20_000_000_000):  # a busy machine needs more until the model hangs
        agent.submit(*launches, timeout_ns=timeout_ns)
        ended = end_of(agent, agent.last_job)
        assert ended.state == wire.TIMEOUT
        if "phase golden" in ended.evidence:
            break
    assert "phase golden" in ended.evidence


@pytest.mark.whole
def test_a_hang_is_found_without_waiting_for_the_time_to_be_over(agent):
    hang, good = agent.store(sleep_model(hang=True)), agent.store(sleep_model())
    began = time.monotonic()
    failed, launched, _ = agent.run(launch(hang, timeout_ns=10**12), launch(good))
    assert time.monotonic() - began < 30
    assert (failed.error, "no message and no CPU time for 20 s" in failed.message) == ("timeout", True)
    assert isinstance(launched, wire.Launched)


@pytest.mark.whole
def test_a_supervisor_that_hangs_is_found(hanging):
    agent, child = hanging
    os.kill(agent.supervisor(), signal.SIGSTOP)
    began = time.monotonic()
    ended = agent.until(wire.Ended)
    assert time.monotonic() - began < 30
    assert (ended.state, "hung and was killed" in ended.evidence) == (wire.TIMEOUT, True)
    nothing_runs(agent, child)


def test_a_fault_of_the_supervisor_is_told(agent):
    """Somebody removes its folder for temporary files."""
    agent.start(*lasting(agent, 0.3, count=2))
    while agent.until(wire.Event).phase != "golden":
        pass
    for work in (agent.root / "tmp").iterdir():
        shutil.rmtree(work)
    assert isinstance(agent.until(wire.Launched), wire.Launched)
    ended = agent.until(wire.Ended)
    assert (ended.state, "FileNotFoundError" in ended.evidence) == (wire.FAILED, True)
