"""Jobs outlive whoever started them, tell their records by number, and say truly how they ended."""

import os
import signal
from pathlib import Path

import pytest

from device_agent import wire
from tests.device_agent.jobs.lasting import end_of, lasting, launch, nothing_runs
from tests.support.agent_process import is_alive, names, sleep_model

# --- who goes away


@pytest.mark.parametrize("how", ["end of input", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_a_job_outlives_the_agent_that_started_it(agent, start, how):
    agent.start(*lasting(agent, 0.7, count=2))
    job_id = agent.last_job
    agent.until(wire.Event)
    if how == "end of input":
        agent.end()
    else:
        agent.process.send_signal(signal.Signals[how])
        agent.process.wait(10)
    first, second, ended = start().follow(job_id)
    assert (first.index, second.index, ended.state) == (0, 1, wire.FINISHED)


def test_each_record_comes_once_behind_the_last_one_seen(agent, start):
    agent.start(*lasting(agent, 0.3, count=2))
    job_id, seen = agent.last_job, []
    while len(seen) < 3:
        if not isinstance(record := agent.receive(), wire.Working):
            seen.append(record)
    agent.kill()
    other = start()
    other.write(wire.encode(wire.Follow(job_id, seen[-1].seq)))
    while not isinstance(seen[-1], wire.Ended):
        if not isinstance(record := other.receive(), wire.Working):
            seen.append(record)
    assert [record.seq for record in seen] == list(range(1, len(seen) + 1))
    assert sum(isinstance(record, wire.Launched) for record in seen) == 2


def test_following_to_the_end_again_and_again(agent):
    agent.run(*lasting(agent, 0.01))
    again = agent.follow(agent.last_job)
    assert [type(record) for record in again] == [wire.Launched, wire.Ended]
    (ended,) = agent.follow(agent.last_job, again[-1].seq)  # all was seen: the end is said all the same
    assert ended == again[-1]


def test_another_request_ends_the_following(agent):
    agent.start(*lasting(agent, 1))
    agent.write(wire.encode(wire.Have((), ())) * 2)
    assert agent.until(wire.Paused) == wire.Paused(agent.last_job)
    assert [agent.receive() for _ in range(2)] == [wire.Present((), ())] * 2
    assert end_of(agent, agent.last_job).state == wire.FINISHED


def test_a_host_that_no_longer_reads(agent, start):
    model = agent.store(sleep_model())
    assert isinstance(agent.submit(launch(model)), wire.Accepted)
    agent.process.stdout.close()
    agent.write(wire.encode(wire.Follow(agent.last_job, 0)))
    assert agent.process.wait(10) == 0
    assert "Traceback" not in agent.errors()
    assert end_of(start(), agent.last_job).state == wire.FINISHED


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_between_requests(agent, number):
    agent.process.send_signal(number)
    assert agent.process.wait(10) == 0
    assert names(agent.root / "tmp") == []


# --- starting


def test_asked_twice_it_starts_once(agent, start):
    launches = lasting(agent, 8)
    assert agent.submit(*launches, job_id="a" * 32) == wire.Accepted("a" * 32, wire.RUNNING, 0, "")
    supervisor = agent.supervisor()
    again = start().submit(*launches, job_id="a" * 32)
    assert (again.state, again.age_ns > 0, agent.supervisor()) == (wire.RUNNING, True, supervisor)
    agent.follow("a" * 32)
    assert agent.submit(*launches, job_id="a" * 32).state == wire.FINISHED


def test_a_job_that_ended_badly_starts_anew(agent):
    launches = lasting(agent, 0.2)
    agent.submit(*launches, job_id="a" * 32)
    assert agent.ask(wire.Cancel("a" * 32)).state == wire.CANCELLED
    assert agent.submit(*launches, job_id="a" * 32) == wire.Accepted("a" * 32, wire.RUNNING, 0, "")
    assert end_of(agent, "a" * 32).state == wire.FINISHED


def test_one_job_at_a_time_and_the_loser_is_told_who_and_since_when(hanging, start):
    agent, child = hanging
    other = start()
    model = other.store(sleep_model())
    (failure,) = other.run(launch(model))
    assert is_alive(child)  # it was not waited for
    assert failure.error == "busy"
    assert "tester has been measuring on this board for" in failure.message
    assert agent.last_job in failure.message
    assert other.ask(wire.Cancel(agent.last_job)).state == wire.CANCELLED
    nothing_runs(agent, child)
    launched, _ = other.run(launch(model))
    assert isinstance(launched, wire.Launched)


def test_a_supervisor_that_does_not_come_up_is_told(agent, monkeypatch):
    installed = next((agent.root / "agents").iterdir()) / "device_agent/jobs/supervisor.py"
    installed.write_text("raise SystemExit('no supervisor today')\n")
    failure = agent.submit(*lasting(agent, 1))
    assert (failure.error, "no supervisor today" in failure.message) == ("internal", True)
    assert names(agent.root / "jobs") == []


@pytest.mark.parametrize("lingers", [True, False])
def test_with_a_stand_in_for_systemd_run_a_job_runs_in_a_scope_of_its_own(start, tmp_path, lingers):
    """The stand-in does what systemd-run --scope does for us: it becomes the command, with the same open files."""
    program = tmp_path / "bin" / "systemd-run"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n'
        'while [ "${1#--}" != "$1" ]; do [ "$1" = --unit ] && shift; shift; done\nexec "$@"\n'
    )
    program.chmod(0o755)
    (tmp_path / "var/lib/systemd/linger").mkdir(parents=True)
    if lingers:
        (tmp_path / "var/lib/systemd/linger/tester").write_text("")
    environment = {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "USER": "tester",
        "EDGEPRESS_FS_ROOT": str(tmp_path),
    }
    agent = start(env=environment)
    launched, ended = agent.run(*lasting(agent, 0.1))
    assert (type(launched), ended.state) == (wire.Launched, wire.FINISHED)
    asked = (tmp_path / "asked").read_text().splitlines() if lingers else []
    assert [f"--unit edgepress-{agent.last_job}" in line for line in asked] == ([False, True] if lingers else [])
    assert (tmp_path / "asked").exists() == lingers


# --- what stays, and what goes


def test_jobs_are_listed_and_forgotten(agent, start):
    agent.run(*lasting(agent, 0.01, count=2))
    first = agent.last_job
    other = start()
    other.start(*lasting(other, 5))
    done, running = agent.ask(wire.Jobs()).jobs
    assert (done.job_id, done.owner, done.state, done.launches, done.done) == (first, "tester", wire.FINISHED, 2, 2)
    assert (running.state, running.done) == (wire.RUNNING, 0)
    assert 0 < running.age_ns < 60 * 10**9
    assert agent.ask(wire.Forget(running.job_id)).error == "busy"
    assert agent.ask(wire.Forget(first)) == wire.Forgotten(first)
    assert agent.ask(wire.Forget(first)) == wire.Forgotten(first)  # the first answer may have been lost with the link
    assert not list((agent.root / "tmp").glob("job-*"))
    agent.ask(wire.Cancel(running.job_id))


@pytest.mark.parametrize("ask", [wire.Cancel, lambda job_id: wire.Follow(job_id, 0)])
def test_what_is_not_there_is_said(agent, ask):
    assert agent.ask(ask("0" * 32)).error == "not_found"


def test_jobs_that_nobody_fetches_do_not_pile_up(agent):
    model = agent.store(sleep_model(latency_us=1))
    for _ in range(11):
        agent.run(launch(model, timed_min_ns=0, timed_min_runs=1, warmup_min_ns=0, warmup_max_ns=0))
    assert len(agent.ask(wire.Jobs()).jobs) <= 9
    assert agent.last_job in names(agent.root / "jobs")


def test_old_agents_are_collected_but_not_those_that_run(start, tmp_path):
    living = start()
    assert isinstance(living.ask(wire.Observe()), wire.Conditions)  # it has collected
    agents = Path(living.root) / "agents"
    for age, letter in enumerate("abcd"):
        (agents / (letter * 64) / "device_agent").mkdir(parents=True)
        os.utime(agents / (letter * 64), (10**9 - age, 10**9 - age))
    holder = os.open(agents / ("d" * 64), os.O_RDONLY)
    import fcntl

    fcntl.flock(holder, fcntl.LOCK_SH)
    other = start()
    assert isinstance(other.ask(wire.Observe()), wire.Conditions)
    assert names(agents) == sorted([agents.joinpath(other.hello.agent_sha256).name, "a" * 64, "b" * 64, "d" * 64])
    os.close(holder)
