"""What a session makes of what a job says, from its beginning to its end."""

import pytest

from device_agent import wire as w
from targets import connection, deadlines, errors, plausible
from targets import session as session_module
from targets.session import RUNNING
from tests.support.scripted_board import ADDRESS, CUT, ended, event, failed


def test_a_job_from_its_beginning_to_its_end(board, session, waits, job):
    session.submit(job.launches, "test")
    waits.clear()
    records = [event(1), failed(2, 0), event(3, 1), failed(4, 1)]
    board.answers["Follow"] = [[*records, ended(job)]]
    assert list(session.follow(job.job_id)) == records
    assert board.heard[-1] == w.Follow(job.job_id, 0)
    assert (session._job_id, job.job_id in RUNNING) == (None, False)
    doing = [each for each, _ in waits]
    assert doing == [
        "answer launch 1 of 2 of the job (started)",
        "answer launch 1 of 2 of the job (timed)",
        "answer launch 2 of 2 of the job (started)",
        "answer launch 2 of 2 of the job (timed)",
        "end the job",
    ]
    assert waits[-1][1] == deadlines.ANSWER_S
    assert waits[0][1] == pytest.approx(waits[1][1], abs=20)
    session.forget_fetched()
    assert board.heard[-1] == w.Forget(job.job_id)
    session.forget_fetched()
    assert board.heard.count(w.Forget(job.job_id)) == 1


def test_a_job_of_another_run(board, session, waits):
    board.answers["Follow"] = [[failed(1, 0), w.Ended(0, "2" * 32, w.FINISHED, "")]]
    assert list(session.follow("2" * 32, 1)) == [failed(1, 0)]
    assert [each for each, _ in waits] == ["answer launch 1 of 1 of the job (started)", "end the job"]
    board.answers["Follow"] = [[failed(1, 0, "damaged"), w.Ended(0, "2" * 32, w.FINISHED, "")]]
    assert list(session.follow("2" * 32)) == [failed(1, 0, "damaged")]  # not ours to cancel
    board.answers["Follow"] = [[failed(1, 0), failed(2, 1)]]
    with pytest.raises(errors.NotTheAgent, match=f"^{ADDRESS} sent a record of launch 2 where"):
        list(session.follow("2" * 32, 1))


@pytest.mark.parametrize("seq", [1, 3])
def test_a_record_that_is_missing_or_comes_twice(board, session, job, seq):
    session.submit(job.launches, "test")
    board.answers["Follow"] = [[event(1), event(seq)]]
    with pytest.raises(errors.NotTheAgent) as caught:
        list(session.follow(job.job_id))
    assert caught.value.message == f"{ADDRESS} sent record {seq} after 1"
    assert caught.value.hint == "Run again."
    assert job.job_id in RUNNING


def test_a_link_that_breaks_is_opened_again_and_asked_for_the_rest(board, session, said, job):
    session.submit(job.launches, "test")
    board.answers["Follow"] = [
        [event(1), failed(2, 0), CUT],
        *[CUT] * (connection.ROUNDS - 1),
        [event(3, 1), CUT],
        *[CUT] * (connection.ROUNDS - 1),
        [failed(4, 1), ended(job)],
    ]
    assert [record.seq for record in session.follow(job.job_id)] == [1, 2, 3, 4]
    asked = [each.after_seq for each in board.heard if isinstance(each, w.Follow)]
    assert asked == [0, *[2] * connection.ROUNDS, *[3] * connection.ROUNDS]
    assert said.count(f"{ADDRESS} is reachable again") == 2 * connection.ROUNDS


def test_a_link_that_always_breaks_is_given_up(board, session, said, job):
    session.submit(job.launches, "test")
    board.answers["Follow"] = [CUT]
    with pytest.raises(errors.ConnectionLost):
        list(session.follow(job.job_id))
    assert sum(isinstance(each, w.Follow) for each in board.heard) == 1 + connection.ROUNDS
    assert said[0] == "the link was cut; trying for 60 s to reach it again"


def test_a_wait_that_is_over_is_not_begun_again(board, session, job, monkeypatch):
    session.submit(job.launches, "test")
    board.answers["Follow"] = [CUT]
    monkeypatch.setattr(deadlines.Wait, "is_over", lambda self: True)
    with pytest.raises(errors.ConnectionLost):
        list(session.follow(job.job_id))
    assert sum(isinstance(each, w.Follow) for each in board.heard) == 1


def test_the_agent_is_to_say_every_so_often_that_it_is_at_it(board, session, job, monkeypatch):
    session.submit(job.launches, "test")
    monkeypatch.setattr(session_module, "SILENT_S", 0.05)
    board.answers["Follow"] = [event(1), [failed(2, 0), failed(3, 1), ended(job)]]
    said = []
    monkeypatch.setattr(session, "_say", said.append)
    session._board._say = said.append
    assert len(list(session.follow(job.job_id))) == 3
    assert "has not answered for" in said[0]


def test_what_comes_is_not_waited_for_while_it_is_used(board, session, job):
    session.submit(job.launches, "test")
    board.answers["Follow"] = [[event(1), failed(2, 0), failed(3, 1), ended(job)]]
    held = []
    hold = deadlines.Wait.hold
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deadlines.Wait, "hold", lambda self: (held.append(1), hold(self)))
        list(session.follow(job.job_id))
    assert len(held) == 3


@pytest.mark.parametrize("error", ["damaged", "not_found", "KeyError"])
def test_what_is_damaged_or_gone_on_the_board_ends_the_job(board, session, waits, job, error):
    session.submit(job.launches, "test")
    board.answers["Follow"] = [[failed(1, 0, error), *([failed(2, 1), ended(job)] if error == "KeyError" else [])]]
    board.answers["Cancel"] = [[event(2), w.Cancelled(job.job_id, w.CANCELLED)]]
    waits.clear()
    if error == "KeyError":
        assert len(list(session.follow(job.job_id))) == 2
        return
    with pytest.raises(errors.DamagedOnBoard) as caught:
        list(session.follow(job.job_id))
    assert caught.value.message == f"{ADDRESS}: what it said"
    assert caught.value.hint == "Run again: it is sent again."
    assert board.heard[-2:] == [w.Cancel(job.job_id), w.Forget(job.job_id)]
    assert waits[1:] == [("cancel the job", 120.0), ("remove the job's results", 120.0)]
    assert (session._job_id, job.job_id in RUNNING) == (None, False)


def test_a_job_that_ends_too_early(board, session, job):
    session.submit(job.launches, "test")
    board.answers["Follow"] = [[failed(1, 0), ended(job)]]
    with pytest.raises(errors.NotTheAgent, match=f"^{ADDRESS} sent the end of a job with 1 of 2 results"):
        list(session.follow(job.job_id))


def test_a_job_that_ends_without_results(board, session, job):
    session.submit(job.launches, "test")
    board.answers["Follow"] = [[ended(job, w.CANCELLED)]]
    with pytest.raises(errors.JobEnded, match=f"^the job on {ADDRESS} ended as CANCELLED") as caught:
        list(session.follow(job.job_id))
    assert caught.value.state == w.CANCELLED
    assert (session._job_id, job.job_id in RUNNING) == (None, False)
    session.forget_fetched()
    assert w.Forget(job.job_id) not in board.heard


def test_what_is_no_record_of_a_job(board, session, job):
    session.submit(job.launches, "test")
    board.answers["Follow"] = [w.Present((), ())]
    with pytest.raises(errors.NotTheAgent, match="answered out of turn: Present"):
        list(session.follow(job.job_id))


def test_a_line_may_be_as_long_as_what_was_asked_for(board, session, job):
    """A result of 2 MB: more than an answer may have."""
    session.submit(job.launches, "test")
    long = w.LaunchFailed(1, 0, "load", "E", "m" * 2_000_000)
    board.answers["Follow"] = [[long, failed(2, 1), ended(job)]]
    assert len(list(session.follow(job.job_id))) == 2


@pytest.mark.parametrize("ours", [True, False])
def test_results_that_can_not_be(board, session, job, ours):
    """They are held against what was asked, by the machine that was there, and the time that has passed."""
    if ours:
        session.submit(job.launches, "test")
        session._began_s[job.job_id] = 12.0
    seen = []

    class Results:
        def __init__(self, *known):
            seen.append(known)

        def check(self, record):
            seen.append(record)
            if record.seq == 2:
                raise errors.Implausible("x", hint="")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plausible, "Results", Results)
        board.answers["Follow"] = [[event(1), event(2)]]
        with pytest.raises(errors.Implausible):
            list(session.follow(job.job_id))
    assert seen == [(ADDRESS, session.machine, job if ours else None, 12.0 if ours else 0.0), event(1), event(2)]
    assert session._spoiled == job.job_id
