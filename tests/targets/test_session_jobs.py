"""A job that a session submits: accepted, refused, busy, one that the board had already."""

import re
import time

import pytest

from device_agent import wire as w
from device_agent.record import replace
from targets import busy_retry, errors, open_session, plausible
from targets import session as session_module
from targets.session import RUNNING, Cooling
from targets.submission import submission
from tests.support.scripted_board import ADDRESS, BUSY
from tests.support.sessions import LONG, MODEL, SHA, launch, until_timed


def test_a_job_that_is_submitted(board, session, said, waits, job):
    before = plausible.now_s()
    assert session.submit((launch(), launch()), "test") == job.job_id
    assert board.heard == [job]
    assert RUNNING[job.job_id] == ADDRESS
    assert session._job_id == job.job_id
    assert session._submitted == {job.job_id: job}
    assert before <= session._began_s[job.job_id] <= plausible.now_s()
    assert said == []
    assert waits == [("start the job", 120)]


def test_a_job_of_pairs_with_cooling(board, session):
    pair = w.Pair(launch(mode="turns"), launch(mode="turns"), "AB", ("ABBA",), 1, 1, 9)
    cooling = Cooling(2000, 10**9, 45_000)
    request = submission((), "test", (pair,), cooling, session.agent_sha256)
    board.answers["Submit"] = [w.Accepted(request.job_id, w.RUNNING, 0, "")]
    assert session.submit((), "test", (pair,), cooling) == request.job_id
    assert board.heard == [request]
    RUNNING.pop(request.job_id)


def test_a_job_that_the_board_had_already(board, session, said):
    launches = (launch(timeout_ns=6000 * 10**9),)
    job = submission(launches, "test", agent_sha256=session.agent_sha256)
    board.answers["Submit"] = [w.Accepted(job.job_id, w.RUNNING, 5000 * 10**9, "")]
    before = plausible.now_s()
    session.submit(launches, "test")
    assert board.heard == [job]  # it runs: however old it is, it is not begun anew
    assert said == [f"{ADDRESS} has had this job for 5000 s: continuing with it"]
    assert before - 5000 <= session._began_s[job.job_id] <= plausible.now_s() - 5000


@pytest.mark.parametrize(
    ("accepted", "said_of_it"),
    [
        ({"age_ns": 10**18}, "Accepted.age_ns = 1000000000000000000 for a job that is RUNNING"),
        ({"state": "LOST"}, "a job that it has just accepted is LOST"),
        ({"job_id": "b" * 32}, "Accepted.job_id = bbbbbbbbbbbb..., not the requested"),
    ],
)
def test_a_job_that_cannot_be(board, session, job, accepted, said_of_it):
    board.answers["Submit"] = [replace(board.answers["Submit"][0], **accepted)]
    with pytest.raises(errors.Implausible, match=re.escape(said_of_it)):
        session.submit(job.launches, "test")


def test_results_that_are_old_each_time(board, session, job):
    """Of a board that has forgotten the job and says once more that it ended years ago."""
    board.answers["Submit"] = [w.Accepted(job.job_id, w.FINISHED, 10**17, "")]
    with pytest.raises(errors.Implausible, match="for a job that is FINISHED: it can be 3600 s at most"):
        session.submit(job.launches, "test")


@pytest.mark.parametrize(
    ("asked", "told", "said_of_it"),
    [
        (w.Unpack("x.whl", "a" * 64), w.Unpacked("b" * 64), "Unpacked.sha256 = bbbbbbbbbbbb..., not the requested aaaaaaaaaaaa"),
        (w.Cancel("a" * 32), w.Cancelled("b" * 32, w.CANCELLED), "Cancelled.job_id"),
        (w.Get("a" * 64), w.Blob("b" * 64, 1), "Blob.sha256"),
        (w.Follow("a" * 32, 0), w.Ended(1, "b" * 32, w.FINISHED, ""), "Ended.job_id"),
        (w.Have(("a" * 64,), ()), w.Present(("a" * 64, "b" * 64), ()), "reports that it has bbbbbbbbbbbb..., which was not requested"),
    ],
)  # fmt: skip
def test_an_answer_about_something_else(asked, told, said_of_it):
    with pytest.raises(errors.Implausible, match=re.escape(said_of_it)):
        plausible.answer(ADDRESS, asked, told)


@pytest.mark.parametrize(("age_ns", "anew"), [(3600 * 10**9, False), (3600 * 10**9 + 1000, True)])
def test_results_of_more_than_an_hour_ago_are_measured_anew(board, session, said, job, age_ns, anew):
    old, new = (w.Accepted(job.job_id, state, age, "") for state, age in ((w.FINISHED, age_ns), (w.RUNNING, 0)))
    board.answers["Submit"] = [old, new]
    session.submit(job.launches, "test")
    assert board.heard == ([job, w.Forget(job.job_id), job] if anew else [job])
    assert bool(said) is not anew


def test_a_note_is_told_once(board, session, said, job):
    board.answers["Submit"] = [w.Accepted(job.job_id, w.RUNNING, 0, "no cgroup")] * 2
    session.submit(job.launches, "test")
    session.submit(job.launches, "test")
    assert said == [f"{ADDRESS}: no cgroup"]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("bad_request", errors.AgentFailed),
        ("busy", errors.Busy),
        ("no_space", errors.DiskFull),
        ("noexec", errors.RootUnusable),
    ],
)
def test_a_job_that_was_not_started_is_not_ours(board, session, job, kind, error):
    board.answers["Submit"] = [w.Failure(kind, "words", "")]
    with pytest.raises(error):
        session.submit(job.launches, "test")
    assert job.job_id not in RUNNING
    assert session._job_id is None
    assert len(board.heard) == 1


def test_a_job_whose_old_results_could_not_be_removed_is_not_ours(board, session, job):
    board.answers["Submit"] = [w.Accepted(job.job_id, w.FINISHED, 3601 * 10**9, "")]
    board.answers["Forget"] = [w.Failure("internal", "words", "")]
    with pytest.raises(errors.AgentFailed):
        session.submit(job.launches, "test")
    assert job.job_id not in RUNNING


def test_an_agent_that_is_still_starting_this_job_is_asked_again(board, session, job, monkeypatch):
    pauses = []
    monkeypatch.setattr(session_module.time, "sleep", pauses.append)
    own = w.Failure("busy", f"the job {job.job_id} is being started", "")
    board.answers["Submit"] = [own, own, w.Accepted(job.job_id, w.RUNNING, 0, "")]
    assert session.submit(job.launches, "test") == job.job_id
    assert board.heard == [job] * 3
    assert pauses == [0.1, 0.1]
    assert RUNNING[job.job_id] == ADDRESS


def test_and_not_for_ever(board, session, job, monkeypatch):
    monkeypatch.setattr(session_module, "SUBMIT_TRIES_S", 0.35)
    board.answers["Submit"] = [w.Failure("busy", f"the job {job.job_id} is being started", "")]
    began = time.monotonic()
    with pytest.raises(errors.Busy):
        session.submit(job.launches, "test")
    assert 0.35 <= time.monotonic() - began < 30
    assert len(board.heard) > 2
    assert job.job_id not in RUNNING


def test_a_busy_board_is_waited_for_with_a_job(board, session, said, job, monkeypatch):
    monkeypatch.setattr(busy_retry, "LOOK_S", 0.0)
    session.busy_retry.left_s = 10.0
    board.answers["Submit"] = [BUSY, w.Accepted(job.job_id, w.RUNNING, 0, "")]
    assert session.submit(job.launches, "test") == job.job_id
    assert "somebody else" in said[0]


def test_a_job_is_given_up_in_the_middle_of_its_records(sshd):
    """Over a real sshd: what arrives of it is passed over, and the session serves other requests."""
    with open_session(sshd) as session:
        session.put(MODEL, SHA)
        job_id = session.submit((launch(**LONG),), "test")
        until_timed(session, job_id)
        session.give_up(job_id)
        assert job_id not in RUNNING
        assert session.jobs() == ()
        assert session.observe().t_ns > 0
