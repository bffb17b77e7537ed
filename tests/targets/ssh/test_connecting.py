"""How the link to a real sshd is made: what is agreed on, what is said on the way, and many at once."""

import contextlib
import socket
import threading
import time

import msgspec
import pytest

from targets.errors import ConnectionLost, DroppedByServer, Unreachable
from targets.ssh import SshLink, link, login, tcp
from targets.ssh.route import route
from tests.support.own_sshd import own_sshd


def test_what_is_said_when_the_connection_is_simply_cut(proxied):
    target, link = proxied
    with contextlib.closing(SshLink(target)) as board:
        channel = board.start(["sh", "-c", "echo begun; sleep 600"])
        assert channel.receive(100, 10) == b"begun\n"
        link.cut()
        assert channel.receive(100, 10) == b""
        with pytest.raises(ConnectionLost, match="no program could be started on"):
            board.start(["true"])


def test_a_server_that_is_gone_once_keys_are_agreed_on(sshd):
    (hop,) = route(sshd)
    transport = login.greet(hop, None, 10, 10, set())
    assert login.shown(transport).fingerprint.startswith("ssh-ed25519 SHA256:")
    transport.close()
    with pytest.raises(ConnectionLost, match="right after the key exchange"):
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
    with pytest.raises(Unreachable, match="the name service has not answered") as raised:
        tcp.connect("board.example", 22, timeout_s=0.2, dead_s=1.0)
    answered.set()
    assert time.monotonic() - began < 5
    assert "IP address" in raised.value.hint


def test_no_more_than_eight_log_in_at_one_address_at_once():
    inside, most, lock, full = 0, 0, threading.Lock(), threading.Event()

    def visit():
        nonlocal inside, most
        with tcp.startup_slot("192.0.2.1", 22):
            with lock:
                inside += 1
                most = max(most, inside)
                if inside == tcp.UNAUTHENTICATED_AT_ONCE:
                    full.set()
            full.wait(30)
            time.sleep(0.01)  # a ninth would come in now
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
        (b"", DroppedByServer, "before it sent anything"),
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
