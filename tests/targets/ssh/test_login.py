"""One configured way to log in, tried once; secrets are asked for or taken from where boards.toml says, and shown to nobody."""

import contextlib
import logging
import os
import pty
import socket
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import paramiko
import pytest

from targets.errors import AuthenticationRefused, ConnectionLost
from targets.inventory import Target
from targets.ssh import SshLink, key_file, passwords, tcp
from tests.support.own_sshd import fingerprint, keygen, own_sshd, public
from tests.support.ssh_agent import agent

PASSWORD = "correct horse"


@pytest.fixture
def own(tmp_path):
    with own_sshd(tmp_path / "sshd") as target:
        yield target


@pytest.fixture(autouse=True)
def nothing_remembered():
    passwords._asked.clear()


class PasswordServer(paramiko.ServerInterface):
    """An SSH server that knows one password and counts the attempts; OpenSSH would need an account of the system."""

    def __init__(self, folder, allowed="password", partial=False):
        self.attempts, self.allowed, self.partial, self.folder = [], allowed, partial, folder
        self._key = paramiko.PKey.from_path(keygen(folder / "server_key"))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        (folder / "known").write_text(f"[127.0.0.1]:{self.port} {public(folder / 'server_key')}")
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                transport = paramiko.Transport(near)
                transport.add_server_key(self._key)
                with contextlib.suppress(EOFError, paramiko.SSHException):
                    transport.start_server(server=self)

    def check_auth_password(self, username, password):
        self.attempts.append(("password", password))
        if password != PASSWORD:
            return paramiko.AUTH_FAILED
        return paramiko.AUTH_PARTIALLY_SUCCESSFUL if self.partial else paramiko.AUTH_SUCCESSFUL

    def check_auth_publickey(self, username, key):
        self.attempts.append(("publickey", ""))
        return paramiko.AUTH_FAILED

    def check_auth_interactive(self, username, submethods):
        self.attempts.append(("keyboard-interactive", ""))
        return paramiko.AUTH_FAILED

    def check_auth_none(self, username):
        self.attempts.append(("none", ""))
        return paramiko.AUTH_FAILED

    def get_allowed_auths(self, username):
        return self.allowed

    def target(self, **changes):
        known = str(self.folder / "known")
        return Target(name="pw", host="127.0.0.1", port=self.port, user="pi", known_hosts=known, **changes)


def test_a_password_from_the_environment(tmp_path, monkeypatch):
    server = PasswordServer(tmp_path)
    monkeypatch.setenv("BOARD_PASSWORD", PASSWORD)
    SshLink(server.target(password_env="BOARD_PASSWORD")).close()
    assert server.attempts == [("password", PASSWORD)]


@pytest.mark.parametrize("allowed", ["password", "password,keyboard-interactive", "publickey,keyboard-interactive"])
def test_a_wrong_password_is_tried_once(tmp_path, monkeypatch, allowed, caplog):
    server = PasswordServer(tmp_path, allowed)
    monkeypatch.setenv("BOARD_PASSWORD", "hunter2hunter2")
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(AuthenticationRefused, match="does not accept the password") as caught,
    ):
        SshLink(server.target(password_env="BOARD_PASSWORD"))
    assert server.attempts == [("password", "hunter2hunter2")]
    said = caplog.text + repr(caught.value) + caught.value.hint + repr(server.target(password_env="BOARD_PASSWORD"))
    assert "hunter2hunter2" not in said


def test_a_server_that_wants_two_ways_is_refused(tmp_path, monkeypatch):
    server = PasswordServer(tmp_path, "password,publickey", partial=True)
    monkeypatch.setenv("BOARD_PASSWORD", PASSWORD)
    with pytest.raises(AuthenticationRefused, match="requires a second way"):
        SshLink(server.target(password_env="BOARD_PASSWORD"))
    assert len(server.attempts) == 1


def test_a_variable_that_is_not_set(tmp_path, monkeypatch):
    server = PasswordServer(tmp_path)
    monkeypatch.delenv("BOARD_PASSWORD", raising=False)
    with pytest.raises(AuthenticationRefused, match="BOARD_PASSWORD, which is not set"):
        SshLink(server.target(password_env="BOARD_PASSWORD"))
    assert server.attempts == []


ASK = (
    "import sys; from targets.inventory import Target; from targets.ssh import SshLink; from targets.errors import TargetError\n"
    "try:\n"
    "    for _ in range(2): SshLink(Target(name='pw', host='127.0.0.1', port=int(sys.argv[1]), user='pi', known_hosts=sys.argv[2],"
    " password='ask')).close()\n"
    "    print('in')\n"
    "except TargetError as error: print(error.message, error.hint)\n"
)


def test_a_password_asked_for_is_not_echoed_and_asked_for_once(tmp_path):
    """In a terminal of its own. The second link of the process, as after a lost connection, asks nobody."""
    server = PasswordServer(tmp_path)
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", ASK, str(server.port), str(tmp_path / "known")])
    said = b""
    while b": " not in said:
        said += os.read(terminal, 1000)
    os.write(terminal, PASSWORD.encode() + b"\n")
    with contextlib.suppress(OSError):  # EIO: the child closed the terminal
        while data := os.read(terminal, 1000):
            said += data
    os.waitpid(child, 0)
    os.close(terminal)
    assert f"Password of pi@127.0.0.1:{server.port}: ".encode() in said
    assert said.strip().endswith(b"in"), said
    assert PASSWORD.encode() not in said
    assert server.attempts == [("password", PASSWORD)] * 2


def test_a_password_to_be_asked_for_without_a_terminal(tmp_path):
    server = PasswordServer(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(server.port), str(tmp_path / "known")],
        input=PASSWORD, capture_output=True, text=True, check=True, start_new_session=True,
    )  # fmt: skip
    assert "but there is no terminal" in done.stdout
    assert server.attempts == []


def test_a_passphrase(own, tmp_path, monkeypatch):
    key = keygen(tmp_path / "locked", passphrase="open sesame")
    Path(own.key).with_name("authorized_keys").write_text(public(key))
    locked = msgspec.structs.replace(own, key=str(key))
    with pytest.raises(AuthenticationRefused, match="has a passphrase"):
        SshLink(locked)
    monkeypatch.setenv("KEY_PASSPHRASE", "wrong passphrase")
    with pytest.raises(AuthenticationRefused, match="or its passphrase is wrong") as caught:
        SshLink(msgspec.structs.replace(locked, passphrase_env="KEY_PASSPHRASE"))
    assert "wrong passphrase" not in repr(caught.value) + caught.value.hint
    monkeypatch.setenv("KEY_PASSPHRASE", "open sesame")
    SshLink(msgspec.structs.replace(locked, passphrase_env="KEY_PASSPHRASE")).close()


def test_the_only_key_of_the_agent(own):
    with agent(own.key):
        SshLink(msgspec.structs.replace(own, key=None, ssh_agent=True)).close()


def test_one_of_several_keys_of_the_agent_is_named(own, tmp_path):
    others = [keygen(tmp_path / f"other{number}") for number in range(6)]
    with agent(*others, own.key):
        by_agent = msgspec.structs.replace(own, key=None, ssh_agent=True)
        with pytest.raises(AuthenticationRefused, match=r"SHA256:.*SHA256:"):
            SshLink(by_agent)
        SshLink(msgspec.structs.replace(by_agent, ssh_agent=fingerprint(own.key))).close()
        with pytest.raises(AuthenticationRefused, match="not SHA256:none"):
            SshLink(msgspec.structs.replace(by_agent, ssh_agent="SHA256:none"))
    log = Path(own.key).with_name("log").read_text()
    assert "Failed publickey" not in log  # what is refused here is never sent


def test_an_agent_that_is_gone(own, monkeypatch, tmp_path):
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "none"))
    by_agent = msgspec.structs.replace(own, key=None, ssh_agent=True)
    with pytest.raises(AuthenticationRefused, match="gives no usable answer"):
        SshLink(by_agent)
    monkeypatch.delenv("SSH_AUTH_SOCK")
    with pytest.raises(AuthenticationRefused, match="no ssh-agent"):
        SshLink(by_agent)


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_other_types_of_user_key(own, tmp_path, kind):
    key = keygen(tmp_path / kind, kind=kind)
    Path(own.key).with_name("authorized_keys").write_text(public(key))
    SshLink(msgspec.structs.replace(own, key=str(key))).close()
    with agent(key):
        SshLink(msgspec.structs.replace(own, key=None, ssh_agent=True)).close()


def test_a_refused_key_is_offered_once(own, tmp_path):
    key = keygen(tmp_path / "stranger")
    with pytest.raises(AuthenticationRefused, match="does not accept the key"):
        SshLink(msgspec.structs.replace(own, key=str(key)))
    log = Path(own.key).with_name("log").read_text()
    assert log.count("Connection closed by authenticating user") + log.count("Connection reset by authenticating") <= 1
    assert "Too many authentication failures" not in log


def test_a_key_that_others_can_read_is_said_once(own, caplog):
    key_file._warn_of_open_file.cache_clear()
    Path(own.key).chmod(0o644)
    SshLink(own).close()
    SshLink(own).close()
    assert [record.message for record in caplog.records if "can be read by others" in record.message] == [
        f"the private key {own.key} can be read by others (ssh would refuse it); do: chmod 600 {own.key}"
    ]


def test_a_server_that_hangs_up_at_the_login(tmp_path, monkeypatch):
    server = PasswordServer(tmp_path)
    monkeypatch.setenv("BOARD_PASSWORD", PASSWORD)

    def hang_up(*_):
        for each in [
            each for each in threading.enumerate() if isinstance(each, paramiko.Transport) and each.server_mode
        ]:
            each.close()
        return paramiko.AUTH_FAILED

    monkeypatch.setattr(server, "check_auth_password", hang_up)
    with pytest.raises(ConnectionLost, match="closed the connection at the login"):
        SshLink(server.target(password_env="BOARD_PASSWORD"))


def test_waiting_for_others_that_log_in_there_has_an_end(monkeypatch):
    monkeypatch.setattr(tcp, "SLOT_S", 0.05)
    with contextlib.ExitStack() as held:
        for _ in range(tcp.UNAUTHENTICATED_AT_ONCE):
            held.enter_context(tcp.startup_slot("board.invalid", 22))
        with (
            pytest.raises(ConnectionLost, match="other links of this process"),
            tcp.startup_slot("board.invalid", 22),
        ):
            pass
    with tcp.startup_slot("board.invalid", 22):
        pass
