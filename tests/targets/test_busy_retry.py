"""A board that somebody else has is waited for, if that was asked for, and no longer."""

import signal
import threading
import time

import msgspec
import pytest

from targets import busy_retry, errors, open_session
from targets.busy_retry import BusyRetry
from tests.support.sessions import LONG, MODEL, SHA, launch, until_timed


class Board:
    """Busy for so many questions."""

    def __init__(self, times):
        self.times = times

    def __call__(self):
        self.times -= 1
        if self.times >= 0:
            raise errors.Busy("pi5 is busy: ada has it for 3 s", hint="Wait.")
        return "free"


@pytest.fixture
def clock(monkeypatch):
    """Time passes only where somebody waits."""
    now = [100.0]
    monkeypatch.setattr(busy_retry.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(busy_retry.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


def test_without_it_a_busy_board_is_said_at_once(clock):
    said = []
    with pytest.raises(errors.Busy):
        BusyRetry(said.append).until_free(Board(1))
    assert (said, clock) == ([], [100.0])


def test_it_waits_says_who_has_it_each_minute_and_goes_on(clock):
    said = []
    waiting = BusyRetry(said.append)
    waiting.left_s = 600.0
    assert waiting.until_free(Board(130)) == "free"
    assert said == [
        f"pi5 is busy: ada has it for 3 s; waiting for it for at most {left} s" for left in (600, 540, 480)
    ]  # fmt: skip
    assert waiting.left_s == 470.0


def test_the_seconds_are_for_all_waiting_together(clock):
    waiting = BusyRetry([].append)
    waiting.left_s = 10.0
    waiting.until_free(Board(6))
    with pytest.raises(errors.Busy):
        waiting.until_free(Board(6))
    assert (waiting.left_s, clock) == (0.0, [110.0])


@pytest.fixture
def busy(sshd):
    """A board with a long job of somebody else."""
    with open_session(sshd) as other:
        other.put(MODEL, SHA)
        job_id = other.submit((launch(**LONG),), "the first")
        until_timed(other, job_id)
        yield job_id


def test_a_real_board_that_becomes_free(sshd, busy):
    said = []
    with open_session(sshd, said.append) as session, open_session(sshd) as third:
        session.busy_retry.left_s = 60.0
        threading.Timer(1.5, lambda: third.cancel(busy)).start()
        mine = session.submit((launch(),), "the second")
        assert [record.seq for record in session.follow(mine)][-1] > 0
        session.forget_fetched()
    assert len(said) == 1
    assert "the first has been measuring on this board for" in said[0]


def test_a_real_board_that_does_not(sshd, busy):
    began = time.monotonic()
    with open_session(sshd) as session:
        session.busy_retry.left_s = 1.0
        with pytest.raises(errors.Busy, match="the first"):
            session.submit((launch(),), "the second")
    assert time.monotonic() - began < 30


def test_control_c_ends_the_waiting_at_once(sshd, busy):
    def stop(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    said = []
    try:
        with open_session(sshd, said.append) as session:
            session.busy_retry.left_s = 300.0
            signal.setitimer(signal.ITIMER_REAL, 1.5)
            began = time.monotonic()
            with pytest.raises(KeyboardInterrupt):
                session.submit((launch(),), "the second")
        assert time.monotonic() - began < 10
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(said) == 1  # and nothing of a job that could not be told to stop: none was started


def test_another_root_on_the_machine_is_waited_for_too(sshd, busy, tmp_path):
    elsewhere = msgspec.structs.replace(sshd, root=str(tmp_path / "edge"))
    with open_session(elsewhere) as session:
        session.put(MODEL, SHA)
        with pytest.raises(errors.Busy, match=f"the first has been measuring on this machine for .* under {sshd.root}"):
            session.submit((launch(),), "the second")
