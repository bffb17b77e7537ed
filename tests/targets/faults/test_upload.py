"""Uploads that are killed at a random moment, over a real sshd: nothing torn, nothing left, and the truth is told."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from device_agent import wire
from targets import connection, errors, open_session
from targets.conversation import Conversation
from tests.support import faults
from tests.support.processes import eventually, leftovers

pytestmark = pytest.mark.faults

SIZE_BYTES = 3_000_000
# What a cut may cost: the frame in work, and what had left the host and not yet reached the file: sshd's window of the
# channel (2 MiB), the pipe, and the socket between the proxy and sshd.
RESENT_LIMIT_BYTES = (1 << 20) + (6 << 20)
OVERHEAD_BYTES = 200_000  # of the handshake, the agent's start and the frames of SSH, for two connections


def whole_count(quick, whole, share):
    """EDGEPRESS_FAULT_UPLOADS: another whole count, for a night."""
    return share(quick, int(os.environ.get("EDGEPRESS_FAULT_UPLOADS", whole)))


class Killer:
    """Kills one thing after `delay_s`, in a thread of its own."""

    KINDS = ("session", "receiver", "reset")

    def __init__(self, kind, target, proxy, delay_s, before=lambda: None):
        self.kind, self.target, self.proxy, self.before = kind, target, proxy, before
        self.timer = threading.Timer(delay_s, self._strike)

    def _strike(self):
        self.before()
        if self.kind == "reset":
            self.proxy.cut()
        else:
            faults.kill(faults.sessions(self.target) if self.kind == "session" else faults.agents(self.target))

    def __enter__(self):
        self.timer.start()
        return self

    def __exit__(self, *_):
        self.timer.join()


@pytest.fixture(scope="module")
def upload_s(sshd):
    """How long one undisturbed upload takes here, its connection already open."""
    with open_session(sshd) as session:
        data = os.urandom(SIZE_BYTES)
        began = time.monotonic()
        session.put(data, faults.sha256(data))
        return time.monotonic() - began


def test_an_upload_that_is_killed_goes_on_and_ends(proxied, upload_s, share):
    target, proxy = proxied
    said, sent, resent = [], [], []
    for number in range(whole_count(12, 500, share)):
        source = faults.seeded("goes on", number)
        data = source.randbytes(SIZE_BYTES)
        sha = faults.sha256(data)
        kind = Killer.KINDS[number % 3]
        with open_session(target, said.append) as session:
            passed, heard = proxy.passed("up"), len(said)
            with Killer(kind, target, proxy, source.uniform(0, 1.1 * upload_s)):
                session.put(data, sha)
            assert faults.blob(target.root, sha) == data, (kind, number)
            assert session.have((sha,), ()).blobs == (sha,)
            struck = len(said) > heard
            extra = proxy.passed("up") - passed - SIZE_BYTES
            (resent if struck else sent).append(extra)
            assert extra <= (RESENT_LIMIT_BYTES if struck else 0) + OVERHEAD_BYTES, (kind, number)
            assert not faults.unfinished(target.root), (kind, number)
        Path(target.root, "blobs", sha).unlink()
    faults.told("sent beside the file, not struck", [size / 1e6 for size in sent], "MB")
    faults.told("sent again", [size / 1e6 for size in resent], "MB")
    assert resent, "nothing was struck: the test tests nothing"
    assert eventually(lambda: not leftovers(target.root))


def test_where_nobody_can_reconnect_the_error_and_the_next_session_tell_the_truth(
    proxied, upload_s, share, monkeypatch
):
    target, proxy = proxied
    monkeypatch.setattr(connection, "RETURN_S", 0.0)
    monkeypatch.setattr(connection, "PAUSE_S", 0.01)
    failed = 0
    for number in range(whole_count(3, 100, share)):
        source = faults.seeded("no return", number)
        data = source.randbytes(SIZE_BYTES)
        sha = faults.sha256(data)
        error = None
        with open_session(target) as session:
            struck = Killer(Killer.KINDS[number % 3], target, proxy, source.uniform(0, 1.1 * upload_s), proxy.refuse)
            with struck:
                try:
                    session.put(data, sha)
                except errors.ConnectionLost as lost:
                    error = lost
        proxy.resume()
        assert faults.blob(target.root, sha) in (None, data), number
        with open_session(target) as session:
            there = session.have((sha,), ()).blobs == (sha,)
            assert there == (faults.blob(target.root, sha) is not None), number
            if error is None:
                assert there, number
            else:
                failed += 1
                assert "run again" in error.hint
                session.put(data, sha)
            assert faults.blob(target.root, sha) == data, number
            assert not faults.unfinished(target.root), number
        Path(target.root, "blobs", sha).unlink()
    assert failed, "nothing was struck: the test tests nothing"
    assert eventually(lambda: not leftovers(target.root))


def test_only_the_acknowledgement_is_lost(proxied, monkeypatch):
    """The file is there: it is not sent a second time."""
    target, proxy = proxied
    data = os.urandom(SIZE_BYTES)
    expect, lost = Conversation.expect, []

    def expect_once(talk, kind, *limit):
        record = expect(talk, kind, *limit)
        if kind is wire.Stored and not lost:
            lost.append(record)
            raise errors.ConnectionLost("cut", hint="")
        return record

    monkeypatch.setattr(Conversation, "expect", expect_once)
    with open_session(target) as session:
        passed = proxy.passed("up")
        session.put(data, faults.sha256(data))
        assert lost
        assert proxy.passed("up") - passed < SIZE_BYTES + OVERHEAD_BYTES


def test_the_receiver_of_the_broken_link_is_still_at_it(proxied):
    """As in the sync of a slow card: it has the file until it notices that its host is gone."""
    target, proxy = proxied
    data = os.urandom(SIZE_BYTES)
    sha = faults.sha256(data)
    stopped = []

    def stop():
        if not stopped:
            stopped.extend(faults.agents(target))
            os.kill(stopped[0], signal.SIGSTOP)
            proxy.cut()
            threading.Timer(2, os.kill, (stopped[0], signal.SIGCONT)).start()

    began = time.monotonic()
    with open_session(target) as session:
        session.put(data, sha, lambda there: there > SIZE_BYTES / 2 and stop())
        assert time.monotonic() - began > 2
        assert faults.blob(target.root, sha) == data
    assert eventually(lambda: not leftovers(target.root))


def test_what_lies_there_of_an_earlier_upload_is_damaged(sshd):
    data = os.urandom(SIZE_BYTES)
    sha = faults.sha256(data)
    with open_session(sshd) as session:
        Path(sshd.root, "partial", sha).write_bytes(bytes(SIZE_BYTES // 2))
        session.put(data, sha)
    assert faults.blob(sshd.root, sha) == data
    assert not faults.unfinished(sshd.root)
