"""What listens there is no sshd, or hangs: its own words are shown, and whoever waits is told."""

import contextlib
import re
import socket
import threading

import pytest

from targets import deadlines
from targets.errors import ConnectionLost, TargetError
from targets.inventory import Target
from targets.ssh import SshLink, host_key, link
from tests.support.own_sshd import keygen


@contextlib.contextmanager
def server(words):
    """It says that to everybody, and then nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        taken = []

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    taken.append(connection)
                    connection.sendall(words)

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        for each in taken:
            each.close()


@pytest.fixture
def target(tmp_path):
    key = keygen(tmp_path / "key")
    return lambda port: Target(
        name="it", host="127.0.0.1", port=port, user="me", key=str(key), known_hosts=str(tmp_path / "known")
    )


def test_a_telnet_server_s_words_are_shown(target):
    """It was "has not answered", though it had said what it is."""
    with server(b"\xff\xfd\x18login: ") as port, pytest.raises(ConnectionLost) as lost:
        SshLink(target(port), connect_timeout_s=1.0)
    assert re.search(r"has not answered for 1 s \(agreeing on keys; it began with .*login:\)", lost.value.message)
    assert "Something other than sshd listens there" in lost.value.hint


def test_an_sshd_that_hangs_is_not_called_something_else(target):
    with server(b"SSH-2.0-OpenSSH_9.2\r\n") as port, pytest.raises(ConnectionLost) as lost:
        SshLink(target(port), connect_timeout_s=1.0)
    assert (lost.value.message.endswith("(agreeing on keys)"), "Something else" in lost.value.hint) == (True, False)


def test_whoever_pins_a_key_is_told_what_is_waited_for(target, monkeypatch):
    """`boards trust` was silent for up to 15 s for each host on the way, twice."""
    monkeypatch.setattr(deadlines, "NEWS_S", (0.2, 0.4))
    monkeypatch.setattr(link, "CONNECT_TIMEOUT_S", 1.0)
    said = []
    with server(b"") as port, pytest.raises(TargetError):
        host_key(target(port), say=said.append)
    assert said
    assert re.fullmatch(r"waiting for me@127.0.0.1:\d+ to show its host key, since \d\d:\d\d:\d\d", said[0])
