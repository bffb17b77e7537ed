"""What a session asks of a board, to the last field, in which time, and what it makes of the answer."""

import contextlib
import hashlib
import os
import time

import pytest

from device_agent import wire as w
from targets import busy_retry, connection, deadlines, errors
from targets.session import RUNNING, Session
from targets.upload import limit_s
from tests.support.scripted_board import ADDRESS, BUSY, CUT, HELLO, event
from tests.support.sessions import SHA

DATA = os.urandom(50_000)  # rounded to 0.1 MB
DATA_SHA = hashlib.sha256(DATA).hexdigest()


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
    assert waits == [(deadlines.DOING[type(request_)], limit_s)]


@pytest.mark.parametrize(
    ("ask", "kind", "answer", "match"),
    [
        (lambda s: s.meters((USE,)), "Meters", w.MeterList(()), f"^{ADDRESS} reports the meters"),
        (lambda s: s.jobs(), "Jobs", w.JobList((w.JobInfo("1" * 32, "me", w.FINISHED, 5, 2, 3, ""),)), f"^{ADDRESS} reports done = 3"),
        (lambda s: s.get(DATA_SHA, 9), "Get", w.Blob(DATA_SHA, 10), f"^{ADDRESS} reports Blob.size_bytes = 10"),
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


def test_a_busy_board_is_waited_for_with_a_file_too(board, session, monkeypatch):
    monkeypatch.setattr(busy_retry, "LOOK_S", 0.0)
    board.answers["Stored"] = [w.Stored(DATA_SHA)]
    board.answers["Put"] = [BUSY, w.Ready(DATA_SHA, 0)]
    session.busy_retry.left_s = 10.0
    session.put(DATA, DATA_SHA)
    assert board.uploaded == DATA


def test_a_file_that_is_fetched(board, session, waits):
    board.answers["Get"] = [[w.Blob(DATA_SHA, len(DATA)), DATA]]
    assert session.get(DATA_SHA, len(DATA)) == DATA
    assert board.heard == [w.Get(DATA_SHA)]
    assert waits == [
        ("send a file", 120.0),
        ("send a file of 0.1 MB", 120.0 + len(DATA) / deadlines.SLOWEST_BYTES_S),
    ]


def test_a_file_that_comes_damaged(board, session):
    board.answers["Get"] = [[w.Blob(DATA_SHA, len(DATA)), DATA[:-1] + bytes([DATA[-1] ^ 1])]]
    with pytest.raises(errors.ConnectionLost) as caught:
        session.get(DATA_SHA, len(DATA))
    assert caught.value.message == f"the file {DATA_SHA[:12]} arrived damaged from {ADDRESS}"
    assert caught.value.hint == "Run again."


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
    words = f"{ADDRESS} did not confirm that the job {job.job_id} was cancelled: it may still be running there"
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
    session.busy_retry._say("waiting")
    assert said == ["waiting"]
    assert session.busy_retry.left_s == 0
