"""The link to a real sshd: a board that vanishes is noticed in every state, whatever stands between."""

import contextlib
import socket
import threading
import time
from functools import partial

import msgspec
import paramiko
import pytest

from targets.errors import ConnectionLost, DroppedByServer, Unreachable
from targets.session import Session
from targets.ssh import SshLink, link, login, tcp, watchdog
from targets.ssh.route import route
from tests.support.own_sshd import StallingWire, own_sshd
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


def test_what_is_said_when_the_connection_is_simply_cut(proxied):
    target, link = proxied
    with contextlib.closing(SshLink(target)) as board:
        channel = board.start(["sh", "-c", "echo begun; sleep 600"])
        assert channel.receive(100, 10) == b"begun\n"
        link.cut()
        assert channel.receive(100, 10) == b""
        with pytest.raises(ConnectionLost, match="lets no program be started"):
            board.start(["true"])


def test_a_server_that_is_gone_once_keys_are_agreed_on(sshd):
    (hop,) = route(sshd)
    transport = login.greet(hop, None, 10, 10, set())
    assert login.shown(transport).fingerprint.startswith("ssh-ed25519 SHA256:")
    transport.close()
    with pytest.raises(ConnectionLost, match="as soon as keys were agreed on"):
        login.shown(transport)


def test_nothing_is_forwarded_and_nothing_compressed(sshd):
    with contextlib.closing(SshLink(sshd)) as board:
        (transport,) = board._transports
        assert (transport.local_cipher, transport.remote_cipher) == (link_cipher(), link_cipher())
        assert (transport.local_compression, transport.remote_compression) == ("none", "none")
        channel = board.start(["sh", "-c", "env"])
        said = b""
        while data := channel.receive(65536, 10):
            said += data
        assert b"SSH_AUTH_SOCK" not in said
        assert b"DISPLAY" not in said
        assert transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 3000 * link.KEEPALIVE_S


def link_cipher():
    return login.CIPHERS[0]


def hanging_login(target):
    """A connection that sshd has let in and that says nothing."""
    while True:
        hanging = socket.create_connection((target.host, target.port))
        if hanging.recv(64).startswith(b"SSH-"):
            return hanging
        hanging.close()


def test_sshd_that_drops_connections_is_tried_again(tmp_path):
    """MaxStartups 1: while one hangs in its login, the next is dropped; when that one goes, it is let in."""
    with own_sshd(tmp_path / "sshd", "MaxStartups 1:100:1") as target:
        hanging = hanging_login(target)
        with pytest.MonkeyPatch.context() as patch, pytest.raises(DroppedByServer, match="too many"):
            patch.setattr(tcp, "RETRY_PAUSE_S", 0.01)
            SshLink(target)
        threading.Timer(0.3, hanging.close).start()
        SshLink(target).close()


def test_a_name_service_that_says_nothing_is_given_up(monkeypatch):
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait(30))
    began = time.monotonic()
    with pytest.raises(Unreachable, match="no name service") as raised:
        tcp.connect("board.example", 22, timeout_s=0.2, dead_s=1.0)
    answered.set()
    assert time.monotonic() - began < 5
    assert "IP address" in raised.value.hint


def test_no_more_than_eight_log_in_at_one_address_at_once():
    inside, most, lock = 0, 0, threading.Lock()

    def visit():
        nonlocal inside, most
        with tcp.startup_slot("192.0.2.1", 22):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.01)
            with lock:
                inside -= 1

    at_once(40, visit)
    assert most == tcp.UNAUTHENTICATED_AT_ONCE == 8


def test_sixty_connect_at_once_to_an_sshd_as_it_comes(tmp_path):
    """MaxStartups 10:30:100, which drops some of fifty that knock at once (transport without care: 15 of 50)."""
    with own_sshd(tmp_path / "sshd", "MaxStartups 10:30:100") as target:
        assert at_once(60, lambda: SshLink(target).close()) == []


def at_once(count, call):
    """Run it in so many threads; what went wrong in them."""
    problems = []

    def guarded():
        try:
            call()
        except Exception as error:  # noqa: BLE001
            problems.append(error)

    threads = [threading.Thread(target=guarded) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return problems


@pytest.mark.parametrize(
    ("said", "error", "match"),
    [
        (b"Not allowed at this time\r\n", Unreachable, "PerSourcePenalties"),
        (b"Exceeded MaxStartups\r\n", DroppedByServer, "too many"),
        (b"", DroppedByServer, "before it said anything"),
        (b"SSH-1.5-old\r\n", Unreachable, "Incompatible version"),
    ],
)
def test_what_is_said_before_ssh(sshd, said, error, match):
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tcp, "TRIES", 1)

        def answer():
            near, _ = server.accept()
            near.sendall(said)
            near.close()

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(error, match=match):
            SshLink(msgspec.structs.replace(sshd, port=server.getsockname()[1]))
