"""What nobody uses goes, by itself within bounds and when it is asked for; what is in use stays."""

import json
import os
import time

import pytest

from device_agent import wire
from device_agent.files import layout
from device_agent.record import replace
from tests.support.agent_process import LAUNCH, another, names, sha256, sleep_model, wheel

ALL = wire.Clean(0, 0, dry_run=False)
QUICK = {"timed_min_ns": 0, "timed_min_runs": 1, "warmup_min_ns": 0, "warmup_max_ns": 0}
CODE = {"pack/__init__.py": b"answer = 42\n"}


def unused(agent, name, seconds):
    """As if nobody had asked for it for so long."""
    for kind in ("blobs", "sites"):
        path = agent.root / kind / name
        if path.exists():
            told = path.stat()
            os.utime(path, (told.st_atime - seconds, told.st_mtime - seconds))


def launch(agent, **fields):
    return replace(LAUNCH, model_sha256=agent.store(sleep_model(**fields)), **QUICK)


def test_everything_that_no_job_needs(agent, start):
    data = wheel(CODE)
    agent.ask(wire.Unpack("pack.whl", agent.store(data)))
    free, used = agent.store(b"free"), launch(agent)
    agent.run(used)
    (agent.root / "agents" / ("a" * 64)).mkdir()
    other = another(start, agent)
    told = other.ask(replace(ALL, dry_run=True))
    assert (told.blob_count, told.site_count, told.agent_count, told.job_count) == (1, 1, 1, 0)
    assert names(agent.root / "blobs") == sorted([free, used.model_sha256])
    cleaned = other.ask(ALL)
    assert (cleaned.blob_count, cleaned.site_count, cleaned.agent_count, cleaned.removed_bytes) == (
        1,
        1,
        1,
        told.removed_bytes,
    )
    assert abs(cleaned.left_bytes - told.left_bytes) < 10_000
    assert names(agent.root / "blobs") == [used.model_sha256]  # its results are not fetched
    assert names(agent.root / "sites") == []
    assert names(agent.root / "agents") == [other.hello.agent_sha256]
    other.ask(wire.Forget(agent.last_job))
    assert other.ask(ALL).blob_count == 1
    assert names(agent.root / "blobs") == []


def test_what_a_running_job_needs_stays(agent, start):
    data = wheel(CODE)
    agent.ask(wire.Unpack("pack.whl", agent.store(data)))
    agent.submit(replace(launch(agent, hang=True), sites=(sha256(data),), timeout_ns=10**12))
    other = another(start, agent)
    unused(agent, sha256(data), 10**7)
    cleaned = other.ask(ALL)
    assert (cleaned.blob_count, cleaned.site_count, cleaned.job_count) == (0, 0, 0)
    assert other.ask(wire.Uninstall(dry_run=False)).error == "busy"
    other.ask(wire.Cancel(agent.last_job))
    assert other.ask(ALL).job_count == 1  # it has no results
    assert (names(agent.root / "blobs"), names(agent.root / "sites"), names(agent.root / "jobs")) == ([], [], [])


@pytest.mark.parametrize("form", ['["{}"]', '"{}"'], ids=["this version", "one of a single output"])
def test_what_was_answered_and_not_fetched_stays(agent, start, form):
    output = agent.store(b"what a job has answered")
    agent.run(launch(agent))
    events = agent.root / "jobs" / agent.last_job / "events"
    text = events.read_text()
    assert '"outputs_sha256":[]' in text
    events.write_text(text.replace('"outputs_sha256":[]', f'"outputs_sha256":{form.format(output)}'))
    another(start, agent).ask(ALL)
    assert output in names(agent.root / "blobs")


def test_a_host_between_its_question_and_its_job(agent, start):
    """It was told that a file is there; so it stays, whoever cleans up."""
    name = agent.store(b"free")
    agent.end()
    asking, other = start(agent.root), start(agent.root)
    assert asking.ask(wire.Have((name,), ())).blobs == (name,)
    unused(agent, name, 10**8)
    failure = other.ask(ALL)
    assert (failure.error, failure.message) == ("busy", "another edgepress is working with the files there")
    start(agent.root).end()  # nor by itself
    assert asking.ask(wire.Have((name,), ())).blobs == (name,)
    asking.end()
    assert other.ask(wire.Clean(60 * 10**9, 0, dry_run=False)).blob_count == 0  # that question was its last use
    assert other.ask(ALL).blob_count == 1


def test_to_look_at_a_blob_does_not_change_it(agent):
    """A job tells by the time of its last change that nobody has written to it."""
    name = agent.store(b"free")
    before = (agent.root / "blobs" / name).stat().st_mtime_ns
    agent.ask(wire.Have((name,), ()))
    assert (agent.root / "blobs" / name).stat().st_mtime_ns == before


def test_whoever_asks_for_a_blob_does_not_spoil_the_job_that_uses_it(agent, start):
    wanted = replace(launch(agent, latency_us=1000), timed_min_ns=700_000_000, timed_max_runs=10**5)
    agent.start(wanted)
    agent.until(wire.Event)
    start(agent.root).ask(wire.Have((wanted.model_sha256,), ()))
    assert agent.until(wire.Launched).model_sha256 == wanted.model_sha256


def test_by_age_and_by_size(agent, start):
    sizes = [agent.store(bytes([number]) * 1000) for number in range(4)]
    for age, name in enumerate(sizes):
        unused(agent, name, 100 * age)
    other = another(start, agent)
    assert other.ask(wire.Clean(250 * 10**9, 1500, dry_run=False)).blob_count == 1
    assert names(agent.root / "blobs") == sorted(sizes[:3])
    assert other.ask(wire.Clean(0, 1500, dry_run=False)).blob_count == 2
    assert names(agent.root / "blobs") == sizes[:1]


def test_by_itself_what_was_not_used_for_weeks(agent, start):
    data = wheel(CODE)
    agent.ask(wire.Unpack("pack.whl", agent.store(data)))
    old, young = agent.store(b"old"), agent.store(b"young")
    for name in (old, sha256(data)):
        unused(agent, name, layout.KEPT_NS / 1e9 + 60)
    unused(agent, young, layout.KEPT_NS / 1e9 - 3600)
    another(start, agent).ask(wire.Jobs())
    assert (names(agent.root / "blobs"), names(agent.root / "sites")) == ([young], [])


def test_by_itself_what_is_beyond_the_bound():
    now = time.time_ns()
    stored = [layout.Entry(str(age_h), "blobs", now - age_h * 3600 * 10**9, 200 << 20) for age_h in (9, 0, 3, 5)]
    stored.append(layout.Entry("site", "sites", now - 8 * 3600 * 10**9, 0))
    gone = layout.beyond(stored, layout.KEPT_NS, layout.KEPT_BYTES, layout.LEAST_NS)
    assert [each.path for each in gone] == ["5", "9"]
    much = [layout.Entry(str(number), "blobs", now, 200 << 20) for number in range(9)]
    assert layout.beyond(much, layout.KEPT_NS, layout.KEPT_BYTES, layout.LEAST_NS) == []  # of the run that is going on


def test_a_wheel_is_kept_once(agent):
    data = wheel(CODE)
    assert agent.ask(wire.Unpack("pack.whl", agent.store(data))) == wire.Unpacked(sha256(data))
    assert names(agent.root / "blobs") == []
    assert agent.ask(wire.Unpack("pack.whl", sha256(data))) == wire.Unpacked(sha256(data))  # asked twice


def test_all_of_it(agent, start):
    agent.run(launch(agent))
    (agent.root / "lock").touch()
    told = agent.ask(wire.Uninstall(dry_run=True))
    assert told.error == "busy"  # this agent itself has asked for files; a command asks for none
    other = another(start, agent)
    told = other.ask(wire.Uninstall(dry_run=True))
    assert (told.root, told.kept, told.removed_bytes > 100_000) == (str(agent.root), (), True)
    assert (agent.root / "blobs").exists()
    done = other.ask(wire.Uninstall(dry_run=False))
    assert abs(done.removed_bytes - told.removed_bytes) < 10_000
    assert other.process.wait(10) == 0
    assert not agent.root.exists()
    assert start(agent.root).boot_word == "NEED"


def test_all_but_what_is_not_its_own(agent, start):
    (agent.root / "notes.txt").write_text("mine")
    other = another(start, agent)
    assert other.ask(wire.Uninstall(dry_run=False)).kept == ("notes.txt",)
    assert names(agent.root) == ["notes.txt"]


# --- jobs that are of no use


def test_a_job_with_a_launch_that_failed_starts_anew(agent):
    """The cause may be mended by now: here the model is there at last."""
    model = sleep_model()
    wanted = replace(LAUNCH, model_sha256=sha256(model), **QUICK)
    agent.submit(wanted, job_id="a" * 32)
    assert isinstance(agent.follow("a" * 32)[0], wire.LaunchFailed)
    agent.store(model)
    assert agent.submit(wanted, job_id="a" * 32).state == wire.RUNNING
    assert isinstance(agent.follow("a" * 32)[0], wire.Launched)
    assert agent.submit(wanted, job_id="a" * 32).state == wire.FINISHED  # that one is taken as it is


@pytest.fixture
def foreign(agent):
    """A job of another version of the agent."""
    agent.run(launch(agent))
    folder = agent.root / "jobs" / agent.last_job
    (folder / "submit").write_text(json.dumps({"kind": "Submit", "job_id": agent.last_job, "priority": 1}) + "\n")
    return folder


@pytest.mark.parametrize("ask", [wire.Cancel, lambda job_id: wire.Follow(job_id, 0)])
def test_a_job_of_another_version_is_said_to_be_that(agent, foreign, ask):
    failure = agent.ask(ask(foreign.name))
    assert failure.error == "other_version"
    assert (
        failure.message == f"the job {foreign.name} belongs to another version of edgepress, and only that can read it"
    )
    assert agent.ask(wire.Jobs()).jobs == ()


@pytest.mark.parametrize("text", ["", "{}", '{"pid": 1}', "[]", "no JSON"])
def test_another_form_of_its_process(agent, text):
    agent.run(launch(agent))
    (agent.root / "jobs" / agent.last_job / "process.json").write_text(text)
    assert agent.ask(wire.Follow(agent.last_job, 0)).error == "other_version"


def test_a_job_of_another_version_can_be_forgotten_and_cleaned_up(agent, foreign, start):
    assert agent.ask(wire.Forget(foreign.name)) == wire.Forgotten(foreign.name)
    assert not foreign.exists()
    foreign.mkdir()
    (foreign / "submit").write_text("{}")
    assert another(start, agent).ask(ALL).job_count == 1
