"""Jobs that are cancelled, killed, stopped, out of memory or out of luck, at any moment: the truth is told about each."""

import os
import random
import select
import signal
import time
from pathlib import Path

import pytest

from device_agent import wire
from device_agent.record import replace
from tests.support.agent_process import LAUNCH, children_of, is_alive, names, sleep_model, wait_until

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
        request = wire.Submit(f"{number:032x}", "tester", 10**12, tuple(short(agent, 1)), (), 0, 0, None)
        agent.write(wire.encode(request))
        while not select.select([agent.process.stdout], [], [], 0)[0]:
            for job in other.ask(wire.Jobs()).jobs:
                assert job.state in {wire.RUNNING, wire.FINISHED}, (number, job)
        assert agent.receive() == wire.Accepted(request.job_id, wire.RUNNING, 0, "")
        launched, ended = agent.follow(request.job_id)
        assert (type(launched), ended.state) == (wire.Launched, wire.FINISHED), (number, ended)
        agent.ask(wire.Forget(request.job_id))


@pytest.fixture
def small_memory():
    """A control group for processes that shall run out of memory: a function that puts one into it, with a limit in bytes."""
    groups = [Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")]
    names = ["memory.limit_in_bytes", "memory.max"]
    name, group = next(
        ((name, group) for name, group in zip(names, groups, strict=True) if (group / "memory.oom_control").exists()
         or "memory" in (group / "cgroup.subtree_control").read_text().split()), (None, None),
    ) if os.geteuid() == 0 else (None, None)  # fmt: skip
    if group is None:
        pytest.skip("a control group that limits memory needs root and a controller of memory (cgroup v1 or v2)")
    own = group / f"edgepress-test-{os.getpid()}"
    own.mkdir()

    def put(pid, limit_bytes):
        (own / name).write_text(str(limit_bytes))
        (own / "cgroup.procs").write_text(str(pid))

    yield put
    wait_until(lambda: not (own / "cgroup.procs").read_text())
    own.rmdir()


def test_a_model_that_is_too_large_for_the_memory(agent, small_memory, share):
    """The kernel kills the launch, not the job, which says so and goes on."""
    large = replace(LAUNCH, model_sha256=agent.store(sleep_model(prints="x" * 50_000_000)))
    for _ in range(share(1, 10)):
        assert isinstance(agent.submit(large, *short(agent, 1)), wire.Accepted)
        small_memory(agent.supervisor(), 96 << 20)
        began = time.monotonic()
        failed, launched, ended = agent.follow(agent.last_job)
        assert time.monotonic() - began < NAMED_LIMIT_S
        assert (failed.error, failed.phase) == ("SIGKILL", "load")
        assert "the kernel has killed a process for lack of memory since it started" in failed.message
        assert (type(launched), ended.state) == (wire.Launched, wire.FINISHED)
        wait_until(lambda: not processes_of(agent, agent.last_job), GONE_LIMIT_S)


def test_a_job_whose_own_process_is_killed_for_lack_of_memory(agent, small_memory, share):
    """It takes in an error message of 20 MB when it has hardly any memory left."""
    wordy = replace(LAUNCH, model_sha256=agent.store(sleep_model(crash="X" * 20_000_000)))
    for _ in range(share(1, 10)):
        assert isinstance(agent.submit(wordy), wire.Accepted)
        wait_until(lambda: children_of(agent.supervisor()))
        small_memory(agent.supervisor(), 6 << 20)
        began = time.monotonic()
        (ended,) = agent.follow(agent.last_job)
        assert time.monotonic() - began < NAMED_LIMIT_S
        assert (type(ended), ended.state) == (wire.Ended, wire.KILLED)
        assert "the kernel has killed a process for lack of memory since it started" in ended.evidence
        wait_until(lambda: not processes_of(agent, agent.last_job), GONE_LIMIT_S)
        assert (state_of(agent, agent.last_job).state, state_of(agent, agent.last_job).done) == (wire.KILLED, 0)


@pytest.mark.whole
@pytest.mark.parametrize("fault", ["launch hangs", "process stopped", "process killed"])
def test_named_truly_in_time(agent, fault):
    """What the kernel does not tell is found by silence: of the launch for 20 s, of the job's heart for 20 s."""
    agent.start(replace(LAUNCH, model_sha256=agent.store(sleep_model(hang=True)), timeout_ns=10**12))
    while not isinstance(record := agent.receive(), wire.Event) or record.phase != "warmup":
        pass
    if fault != "launch hangs":
        os.kill(agent.supervisor(), signal.SIGSTOP if fault == "process stopped" else signal.SIGKILL)
    began = time.monotonic()
    record = agent.until(wire.Launched, wire.LaunchFailed, wire.Ended)
    took_s = time.monotonic() - began
    print(f"{fault}: {record} after {took_s:.1f} s")
    assert took_s < NAMED_LIMIT_S
    if fault == "launch hangs":
        assert (record.error, "it hangs" in record.message) == ("timeout", True)
    else:
        assert record.state == (wire.TIMEOUT if fault == "process stopped" else wire.KILLED)
    wait_until(lambda: not processes_of(agent, agent.last_job), GONE_LIMIT_S)
