"""Jobs that are cancelled, killed, stopped, out of memory or out of luck, at any moment: the truth is told about each."""

import random
import select
import time
from pathlib import Path

import pytest

from device_agent import wire
from device_agent.record import replace
from tests.device_agent.agent_process import LAUNCH, is_alive, names, sleep_model, wait_until

pytestmark = pytest.mark.faults

NAMED_LIMIT_S = 30.0  # from the fault to its true name
GONE_LIMIT_S = 5.0  # from its name to the end of the last process


def short(agent, count=2):
    model = agent.store(sleep_model(latency_us=200))
    return [replace(LAUNCH, model_sha256=model, warmup_min_ns=0, timed_min_ns=10_000_000)] * count


def processes_of(agent, job_id):
    """Of a job, by what they were started with."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes()
        except OSError:
            continue
        if str(agent.root).encode() in command and (job_id.encode() in command or b"/tmp/agent-" in command):
            found.append(int(path.name))
    return [pid for pid in found if is_alive(pid)]


def state_of(agent, job_id):
    (job,) = [job for job in agent.ask(wire.Jobs()).jobs if job.job_id == job_id]
    return job


def test_a_job_is_cancelled_at_any_moment(agent, share):
    states = []
    for number in range(share(10, 200)):
        source = random.Random(number)
        assert isinstance(agent.submit(*short(agent)), wire.Accepted)
        if number % 2:
            time.sleep(source.uniform(0, 0.5))
        else:  # as it ends
            events = agent.root / "jobs" / agent.last_job / "events"
            wait_until(lambda events=events: events.read_bytes().count(b'{"kind":"Launched"') == 2)
            time.sleep(source.uniform(0, 0.005))
        answer = agent.ask(wire.Cancel(agent.last_job))
        states.append(answer.state)
        job = state_of(agent, agent.last_job)
        assert answer.state in {wire.CANCELLED, wire.FINISHED}, (number, job)
        assert job.state == answer.state
        assert job.done <= 2 if answer.state == wire.CANCELLED else job.done == 2
        wait_until(lambda: not processes_of(agent, agent.last_job), 1)
        assert names(agent.root / "tmp") == [], number
        agent.ask(wire.Forget(agent.last_job))
    assert wire.CANCELLED in states


def test_a_job_that_is_just_starting_is_not_taken_for_dead(agent, start, share):
    """Another host lists the jobs all the time."""
    other = start()
    for number in range(share(5, 100)):
        request = wire.Submit(f"{number:032x}", "tester", 10**12, tuple(short(agent, 1)))
        agent.write(wire.encode(request))
        while not select.select([agent.process.stdout], [], [], 0)[0]:
            for job in other.ask(wire.Jobs()).jobs:
                assert job.state in {wire.RUNNING, wire.FINISHED}, (number, job)
        assert agent.receive() == wire.Accepted(request.job_id, wire.RUNNING, 0)
        launched, ended = agent.follow(request.job_id)
        assert (type(launched), ended.state) == (wire.Launched, wire.FINISHED), (number, ended)
        agent.ask(wire.Forget(request.job_id))
