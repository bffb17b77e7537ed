"""What a session asks of a board, to the last field, in which time, and what it makes of the answer."""

import contextlib
import hashlib
import os
import re
import time

import pytest

from device_agent import wire as w
from device_agent.record import replace
from targets import connection, errors, patience, plausible, waiting
from targets import session as session_module
from targets.session import RUNNING, Cooling, Session
from targets.submission import submission
from targets.upload import limit_s
from tests.support.scripted_board import CUT, HELLO, ScriptedBoard
from tests.support.sessions import SHA, launch

ADDRESS = ScriptedBoard.address
DATA = os.urandom(50_000)  # rounded to 0.1 MB
DATA_SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def board(monkeypatch):
    monkeypatch.setattr(connection, "PAUSE_S", 0.0)
    return ScriptedBoard()


@pytest.fixture
def waits(monkeypatch):
    """(what is waited for, at most how long), of each wait and of its news."""
    found = []

    class Wait(waiting.Wait):
        def __init__(self, address, doing, limit_s, *rest):
            found.append((doing, limit_s))
            super().__init__(address, doing, limit_s, *rest)

        def news(self, doing=None, limit_s=None):
            if doing:
                found.append((doing, limit_s))
            super().news(doing, limit_s)

    monkeypatch.setattr(connection, "Wait", Wait)
    return found


@pytest.fixture
def said():
    return []


@pytest.fixture
def session(board, said, waits):
    with Session(lambda limit_s: board, "python3", "/root", said.append) as opened:
        waits.clear()
        yield opened
        opened._job_id = None  # nobody would answer


def test_what_a_session_knows_from_its_beginning(board):
    tried = []

    def connect(limit_s):
        tried.append(limit_s)
        time.sleep(0.05)
        return board

    start = board.start
    board.start = lambda argv: (time.sleep(0.1), start(argv))[1]
    session = Session(connect, "python-x", "/the/root")
    assert tried == [connection.FIRST_TRY_S]
    assert 0.05 <= session.connect_s < 5
    assert 0.1 <= session.first_answer_s < 5
    assert session.connect_s < session.first_answer_s
    assert session.note == ""
    assert session.address == ADDRESS
    assert (session.agent_sent_bytes, session.agent_sha256) == (0, board.asked["sha256"])
    assert session.machine == w.Machine(**HELLO)
    assert board.asked["root"] == "/the/root"
    assert session._board._name == "the board"
    assert session._spoiled is None
    session.close()
    assert Session(connect, "python-x", "/the/root", name="pi")._board._name == "pi"


def test_the_interpreter_is_the_one_that_was_named(board):
    started = []
    start = board.start
    board.start = lambda argv: (started.append(argv), start(argv))[1]
    Session(lambda _: board, "python-x", "/root").close()
    assert started[0][0] == "python-x"


CONDITIONS = w.Conditions(
    t_ns=1, wall_offset_ns=0, temperature_mc=None, cpu_khz=None, cores=(), gpu_khz=None, gpu_min_khz=None, gpu_max_khz=None, governor=None,
    power_mode=None, throttle_flags=None, throttle_count=None, cooling_states=None, undervoltage=None, supply_mv=None, load_average_milli=None,
    cpu_pressure_centi=None, cpu_stalled_us=None, memory_stalled_us=None, io_stalled_us=None, swapped_in_pages=None, busy_us=None, steal_us=None,
    own_us=0, busiest="", busiest_us=0, available_bytes=None,
)  # fmt: skip
METER = w.MeterInfo("ina219", "VDD", "measured", 10, False, "")
USE = w.MeterUse("ina219", (("bus", "1"),))
JOB = w.JobInfo("1" * 32, "me", w.FINISHED, 5, 2, 2, "")
CLEANED = w.Cleaned(1, 2, 3, 4, 5, 6)
TUNED = w.Tuned(("a",), (), ())
GONE = w.Uninstalled("/root", 5, ())


@pytest.mark.parametrize(
    ("ask", "request_", "answer", "made", "limit_s"),
    [
        (lambda s: s.have((SHA,), ("site",)), w.Have((SHA,), ("site",)), w.Present((SHA,), ()), w.Present((SHA,), ()), 120),
        (lambda s: s.unpack("x.whl", SHA), w.Unpack("x.whl", SHA), w.Unpacked(SHA), None, 900),
        (lambda s: s.observe(), w.Observe(), CONDITIONS, CONDITIONS, 120),
        (lambda s: s.tune(1.5), w.Tune(1_500_000_000, False), TUNED, TUNED, 120),
        (lambda s: s.tune(0, while_used=True), w.Tune(0, True), TUNED, TUNED, 120),
        (lambda s: s.meters(), w.Meters(()), w.MeterList((METER,)), (METER,), 120),
        (lambda s: s.meters((USE,)), w.Meters((USE,)), w.MeterList((METER,)), (METER,), 120),
        (lambda s: s.cancel("1" * 32), w.Cancel("1" * 32), w.Cancelled("1" * 32, w.CANCELLED), w.CANCELLED, 120),
        (lambda s: s.forget("1" * 32), w.Forget("1" * 32), w.Forgotten("1" * 32), None, 120),
        (lambda s: s.clean(1.5), w.Clean(1_500_000_000, 0, False), CLEANED, CLEANED, 900),
        (lambda s: s.clean(0, 7, dry_run=True), w.Clean(0, 7, True), CLEANED, CLEANED, 900),
        (lambda s: s.uninstall(), w.Uninstall(False), GONE, GONE, 900),
        (lambda s: s.uninstall(dry_run=True), w.Uninstall(True), GONE, GONE, 900),
        (lambda s: s.jobs(), w.Jobs(), w.JobList((JOB,)), (JOB,), 120),
    ],
)  # fmt: skip
def test_a_request_and_its_answer(board, session, waits, ask, request_, answer, made, limit_s):
    board.answers[type(request_).__name__] = [answer]
    assert ask(session) == made
    assert board.heard == [request_]
    assert waits == [(waiting.DOING[type(request_)], limit_s)]


@pytest.mark.parametrize(
    ("ask", "kind", "answer", "match"),
    [
        (lambda s: s.meters((USE,)), "Meters", w.MeterList(()), f"^{ADDRESS} told of the meters"),
        (lambda s: s.jobs(), "Jobs", w.JobList((w.JobInfo("1" * 32, "me", w.FINISHED, 5, 2, 3, ""),)), f"^{ADDRESS} says done = 3"),
        (lambda s: s.get(DATA_SHA, 9), "Get", w.Blob(DATA_SHA, 10), f"^{ADDRESS} says Blob.size_bytes = 10"),
    ],
)  # fmt: skip
def test_an_answer_that_can_not_be(board, session, ask, kind, answer, match):
    board.answers[kind] = [answer]
    with pytest.raises(errors.Implausible, match=match):
        ask(session)


@pytest.mark.parametrize(
    ("ask", "kind"),
    [
        (lambda s: s.observe(), "Observe"),
        (lambda s: s.uninstall(), "Uninstall"),
        (lambda s: s.get(DATA_SHA, len(DATA)), "Get"),
    ],
)
def test_an_answer_of_another_kind(board, session, ask, kind):
    board.answers[kind] = [w.Forgotten("1" * 32)]
    with pytest.raises(errors.NotTheAgent, match="answered out of turn: Forgotten"):
        ask(session)


# --- files


def test_a_file_that_is_sent(board, session, waits):
    board.answers["Put"], board.answers["Stored"] = [w.Ready(DATA_SHA, 0)], [w.Stored(DATA_SHA)]
    shown = []
    session.put(DATA, DATA_SHA, shown.append)
    assert board.heard == [w.Put(DATA_SHA, len(DATA))]
    assert board.uploaded == DATA
    assert shown == [len(DATA)]
    assert waits == [("take a file of 0.1 MB", limit_s(len(DATA)))]


def test_a_file_that_was_cut_off_is_looked_for_before_it_is_sent_again(board, session):
    board.answers["Put"], board.answers["Stored"] = [CUT, w.Ready(DATA_SHA, 0)], [w.Stored(DATA_SHA)]
    board.answers["Have"] = [w.Present((), ())]
    shown = []
    session.put(DATA, DATA_SHA, shown.append)
    assert [type(each) for each in board.heard] == [w.Put, w.Have, w.Put]
    assert board.uploaded == DATA
    assert shown == [len(DATA)]


def test_a_file_that_had_come_before_the_cut_is_not_sent_again(board, session):
    board.answers["Put"], board.answers["Have"] = [CUT], [w.Present((DATA_SHA,), ())]
    session.put(DATA, DATA_SHA)
    assert board.heard == [w.Put(DATA_SHA, len(DATA)), w.Have((DATA_SHA,), ())]


BUSY = w.Failure("busy", "somebody else", "")


def test_a_busy_board_is_waited_for_with_a_file_too(board, session, monkeypatch):
    monkeypatch.setattr(patience, "LOOK_S", 0.0)
    board.answers["Stored"] = [w.Stored(DATA_SHA)]
    board.answers["Put"] = [BUSY, w.Ready(DATA_SHA, 0)]
    session.patience.left_s = 10.0
    session.put(DATA, DATA_SHA)
    assert board.uploaded == DATA


def test_a_file_that_is_fetched(board, session, waits):
    board.answers["Get"] = [[w.Blob(DATA_SHA, len(DATA)), DATA]]
    assert session.get(DATA_SHA, len(DATA)) == DATA
    assert board.heard == [w.Get(DATA_SHA)]
    assert waits == [
        ("send a file", 120.0),
        ("send a file of 0.1 MB", 120.0 + len(DATA) / waiting.SLOWEST_BYTES_S),
    ]


def test_a_file_that_comes_damaged(board, session):
    board.answers["Get"] = [[w.Blob(DATA_SHA, len(DATA)), DATA[:-1] + bytes([DATA[-1] ^ 1])]]
    with pytest.raises(errors.ConnectionLost) as caught:
        session.get(DATA_SHA, len(DATA))
    assert caught.value.message == f"the file {DATA_SHA[:12]} came damaged from {ADDRESS}"
    assert caught.value.hint == "Run again."


# --- jobs


@pytest.fixture
def job(board, session):
    """A job of two launches: its Submit, as the session is to send it."""
    request = submission((launch(), launch()), "test", agent_sha256=session.agent_sha256)
    board.answers["Submit"] = [w.Accepted(request.job_id, w.RUNNING, 0, "")]
    board.answers["Forget"] = [w.Forgotten(request.job_id)]
    yield request
    RUNNING.pop(request.job_id, None)


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
    assert said == [f"{ADDRESS} has had this job for 5000 s: going on with it"]
    assert before - 5000 <= session._began_s[job.job_id] <= plausible.now_s() - 5000


@pytest.mark.parametrize(
    ("accepted", "said_of_it"),
    [
        ({"age_ns": 10**18}, "Accepted.age_ns = 1000000000000000000 of a job that is RUNNING"),
        ({"state": "LOST"}, "a job that it has just taken is LOST"),
        ({"job_id": "b" * 32}, "Accepted.job_id = bbbbbbbbbbbb..., and was asked for"),
    ],
)
def test_a_job_that_cannot_be(board, session, job, accepted, said_of_it):
    board.answers["Submit"] = [replace(board.answers["Submit"][0], **accepted)]
    with pytest.raises(errors.Implausible, match=re.escape(said_of_it)):
        session.submit(job.launches, "test")


def test_results_that_are_old_each_time(board, session, job):
    """Of a board that has forgotten the job and says once more that it ended years ago."""
    board.answers["Submit"] = [w.Accepted(job.job_id, w.FINISHED, 10**17, "")]
    with pytest.raises(errors.Implausible, match="of a job that is FINISHED: it has 3600 s at most"):
        session.submit(job.launches, "test")


@pytest.mark.parametrize(
    ("asked", "told", "said_of_it"),
    [
        (w.Unpack("x.whl", "a" * 64), w.Unpacked("b" * 64), "Unpacked.sha256 = bbbbbbbbbbbb..., and was asked for aaaaaaaaaaaa"),
        (w.Cancel("a" * 32), w.Cancelled("b" * 32, w.CANCELLED), "Cancelled.job_id"),
        (w.Get("a" * 64), w.Blob("b" * 64, 1), "Blob.sha256"),
        (w.Follow("a" * 32, 0), w.Ended(1, "b" * 32, w.FINISHED, ""), "Ended.job_id"),
        (w.Have(("a" * 64,), ()), w.Present(("a" * 64, "b" * 64), ()), "says that it has bbbbbbbbbbbb..., which was not asked for"),
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
    monkeypatch.setattr(patience, "LOOK_S", 0.0)
    session.patience.left_s = 10.0
    board.answers["Submit"] = [BUSY, w.Accepted(job.job_id, w.RUNNING, 0, "")]
    assert session.submit(job.launches, "test") == job.job_id
    assert "somebody else" in said[0]


# --- what a job says


def event(seq, index=0, phase="timed"):
    return w.Event(seq, index, phase, 1, 2)


def failed(seq, index, error="KeyError"):
    return w.LaunchFailed(seq, index, "load", error, "what it said")


def ended(job, state=w.FINISHED):
    return w.Ended(0, job.job_id, state, "" if state == w.FINISHED else "why")


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
    assert waits[-1][1] == waiting.ANSWER_S
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
    assert said.count(f"{ADDRESS} is there again") == 2 * connection.ROUNDS


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
    monkeypatch.setattr(waiting.Wait, "is_over", lambda self: True)
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
    hold = waiting.Wait.hold
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waiting.Wait, "hold", lambda self: (held.append(1), hold(self)))
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
    with pytest.raises(errors.SentAgain) as caught:
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


# --- the end


@pytest.mark.parametrize(("hurry", "limit_s"), [(False, 10.0), (True, 3.0)])
@pytest.mark.parametrize("spoiled", [False, True])
def test_leaving_while_a_job_runs_cancels_it(board, session, said, waits, job, hurry, limit_s, spoiled):
    session.submit(job.launches, "test")
    session._spoiled = job.job_id if spoiled else "3" * 32
    waits.clear()
    board.answers["Cancel"] = [[event(1), w.Cancelled(job.job_id, w.CANCELLED)]]
    limits = []
    close = session._board.close
    session._board.close = lambda limit_s, *rest: (limits.append(limit_s), close(limit_s, *rest))[1]
    session.close(hurry=hurry)
    assert limits == [limit_s]
    assert waits == [("cancel the job", pytest.approx(0.7 * limit_s))]
    forgets = [w.Forget(job.job_id)] if spoiled else []
    assert board.heard[1:] == [w.Cancel(job.job_id), *forgets]
    assert (session._job_id, job.job_id in RUNNING) == (None, False)
    assert said == []


@pytest.mark.parametrize("hurry", [False, True])
def test_a_cancel_that_was_refused_is_an_answer(board, session, said, job, hurry):
    session.submit(job.launches, "test")
    board.answers["Cancel"] = [w.Failure("not_found", "no such job", "")]
    session.close(hurry=hurry)
    assert said == []
    assert job.job_id not in RUNNING


@pytest.mark.parametrize("hurry", [False, True])
def test_a_cancel_that_nobody_acknowledged_is_told(board, session, said, job, hurry):
    session.submit(job.launches, "test")
    board.answers["Cancel"] = [CUT]
    session.close(hurry=hurry)
    words = f"{ADDRESS} did not say that it has cancelled the job {job.job_id}: it may go on there"
    assert said == ([] if hurry else [words])
    assert job.job_id in RUNNING


def test_leaving_without_a_job_asks_nothing(board, session):
    limits = []
    session._board.close = lambda *given: limits.append(given)
    session.close()
    session.close(hurry=True)
    assert limits == [(10.0,), (3.0,)]
    assert board.heard == []


@pytest.mark.parametrize(
    ("error", "hurry"),
    [(None, False), (errors.Busy("x", hint=""), False), (ValueError(), False), (KeyboardInterrupt(), True), (SystemExit(), True)],
)  # fmt: skip
def test_only_who_was_interrupted_is_in_a_hurry(board, error, hurry):
    given = []
    session = Session(lambda _: board, "python3", "/root")
    session.close = lambda **how: given.append(how)
    with contextlib.suppress(BaseException), session as entered:
        assert entered is session
        if error:
            raise error
    assert given == [{"hurry": hurry}]
    Session.close(session)


def test_without_anybody_to_tell_nothing_is_told(board):
    with Session(lambda _: board, "python3", "/root") as session:
        board.answers["Observe"] = [CUT, CONDITIONS]
        assert session.observe() == CONDITIONS


def test_patience_tells_whoever_the_session_tells(session, said):
    session.patience._say("waiting")
    assert said == ["waiting"]
    assert session.patience.left_s == 0
