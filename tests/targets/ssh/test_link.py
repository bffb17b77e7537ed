"""The link to a real sshd: a board that vanishes is noticed in every state, whatever stands between."""

import contextlib
import socket
import threading
import time
from functools import partial

import msgspec
import paramiko
import pytest

from targets.errors import ConnectionLost
from targets.session import Session
from targets.ssh import SshLink, login, watchdog
from tests.support.own_sshd import StallingWire
from tests.support.timing import quickest_s

SHORT = {"connect_timeout_s": 1.0, "keepalive_s": 0.5}  # given up after 1.5 s
NOTICED_S = 5.0  # with SHORT, on a machine that is busy


@pytest.fixture
def stalling(sshd):
    wire = StallingWire(sshd.port)
    yield wire.through(sshd), wire
    wire.close()


def noticed(call, limit_s=NOTICED_S):
    """Run it; it must end with ConnectionLost that says for how long the board has not answered."""
    began = time.monotonic()
    with pytest.raises(ConnectionLost, match=r"has not answered for [0-9.]+ s") as caught:
        call()
    assert time.monotonic() - began < limit_s, caught.value.message


@contextlib.contextmanager
def unanswered():
    """A port whose SYN nobody answers: the backlog of a listener that accepts nobody is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        time.sleep(0.05)
        try:
            yield listener.getsockname()[1]
        finally:
            for filler in fillers:
                filler.close()


def connecting(target, wire, limits):
    with unanswered() as port:
        SshLink(msgspec.structs.replace(target, port=port), **limits)


def first_word(target, wire, limits):
    wire.stalled = True
    SshLink(target, **limits)


def agreeing_on_keys(target, wire, limits):
    wire.stall_after_answers = 1  # its version passes
    SshLink(target, **limits)


def logging_in(target, wire, limits):
    real = login._authenticate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(login, "_authenticate", lambda *arguments: (setattr(wire, "stalled", True), real(*arguments)))
        SshLink(target, **limits)


def opening_a_channel(target, wire, limits):
    with contextlib.closing(SshLink(target, **limits)) as board:
        wire.stalled = True
        board.start(["true"])


def starting_a_program(target, wire, limits):
    real = paramiko.Channel.exec_command
    with contextlib.closing(SshLink(target, **limits)) as board, pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            paramiko.Channel, "exec_command", lambda *arguments: (setattr(wire, "stalled", True), real(*arguments))
        )
        board.start(["true"])


def sending(target, wire, limits):
    with contextlib.closing(SshLink(target, **limits)) as board:
        channel = board.start(["sh", "-c", "cat > /dev/null"])
        channel.send(bytes(1 << 20), 300)
        wire.stalled = True
        while True:
            channel.send(bytes(1 << 20), 300)


def waiting_for_a_result(target, wire, limits):
    with contextlib.closing(SshLink(target, **limits)) as board:
        channel = board.start(["sh", "-c", "echo begun; sleep 600"])
        assert channel.receive(100, 10) == b"begun\n"
        wire.stalled = True
        channel.receive(100, 300)


STATES = [connecting, first_word, agreeing_on_keys, logging_in, opening_a_channel, starting_a_program, sending, waiting_for_a_result]  # fmt: skip


@pytest.mark.parametrize("state", STATES)
def test_a_board_that_vanished_is_noticed(stalling, state):
    target, wire = stalling
    noticed(lambda: state(target, wire, SHORT))


@pytest.mark.whole
@pytest.mark.parametrize("state", STATES)
def test_a_board_that_vanished_is_noticed_within_45_s(stalling, state):
    target, wire = stalling
    noticed(lambda: state(target, wire, {}), limit_s=45)


def test_an_attempt_against_a_black_hole_is_short(stalling):
    target, wire = stalling
    wire.stalled = True
    attempt = partial(noticed, lambda: SshLink(target, connect_timeout_s=0.5))
    assert quickest_s(attempt, below_s=1.5) < 1.5


def test_a_dead_address_of_a_name_leaves_time_for_the_next(sshd, monkeypatch):
    with unanswered() as dead:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in (dead, sshd.port)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        SshLink(sshd, connect_timeout_s=3).close()


def test_a_link_opens_again_after_the_stall(stalling):
    target, wire = stalling
    noticed(lambda: waiting_for_a_result(target, wire, SHORT))
    wire.stalled = False
    with contextlib.closing(SshLink(target, **SHORT)) as board:
        assert board.start(["echo", "again"]).receive(100, 10) == b"again\n"


def test_a_quiet_board_that_lives_is_kept(sshd):
    """It says nothing for many times the limit, but sshd answers."""
    with contextlib.closing(SshLink(sshd, keepalive_s=0.3)) as board:
        channel = board.start(["sh", "-c", "sleep 4; echo done"])
        assert channel.receive(100, 20) == b"done\n"
        assert channel.finish(5) == 0


def test_a_link_whose_socket_takes_nothing_does_not_hold_up_the_watch_over_others(sshd):
    """Its question blocks in the kernel: the network takes no more bytes."""

    class Stuck:
        keepalive_s = 0.2
        asked, lost = threading.Event(), threading.Event()
        released = threading.Event()

        def silent_s(self):
            return 0.2 if not self.released.is_set() else 10.0

        def ask(self):
            self.asked.set()
            self.released.wait(30)

        def give_up(self, silent_s):
            self.lost.set()

    stuck = Stuck()
    watchdog.watch(stuck)
    assert stuck.asked.wait(10)
    wire = StallingWire(sshd.port)
    try:
        noticed(lambda: waiting_for_a_result(wire.through(sshd), wire, SHORT))
    finally:
        stuck.released.set()
        assert stuck.lost.wait(10)
        wire.close()


def test_a_process_that_was_stopped_while_it_asked_hears_the_answer_first():
    """After Ctrl-Z and fg, the clock says that the board was silent for minutes; what it said waits in the kernel."""

    class Stopped:
        keepalive_s = 1.0
        silence_s = 1.5
        asked, lost = threading.Event(), threading.Event()

        def silent_s(self):
            return self.silence_s

        def ask(self):
            self.silence_s = 300.0  # the process is stopped right after it asked
            self.asked.set()

        def give_up(self, silent_s):
            self.lost.set()

    link = Stopped()
    watchdog.watch(link)
    assert link.asked.wait(10)
    assert not link.lost.wait(1.2)
    link.silence_s = 0.0  # the answer is read
    assert not link.lost.wait(1.5)
    link.silence_s = 300.0
    assert link.lost.wait(10)  # and where no answer comes, it is given up


def test_the_agent_s_start_says_that_the_board_is_silent(stalling):
    """Not that it did not start, with an exit code that nobody sent."""
    target, wire = stalling

    class StallsAfterStart(SshLink):
        def start(self, argv):
            channel = super().start(argv)
            wire.stalled = True
            return channel

    with contextlib.closing(StallsAfterStart(target, **SHORT)) as board:
        noticed(lambda: Session(lambda _: board, target.python, target.root))


def test_the_watch_ends_with_the_last_link(sshd):
    SshLink(sshd).close()
    deadline = time.monotonic() + 10
    while watchdog._watching and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not watchdog._watching
    assert not [each for each in threading.enumerate() if each.name == "edgepress-watchdog"]
