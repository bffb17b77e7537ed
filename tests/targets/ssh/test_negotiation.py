"""Whatever listens where sshd should, or an sshd with which nothing can be agreed on: said by what it said."""

import contextlib
import os
import socket
import subprocess
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from targets.errors import AuthenticationRefused, ConnectionLost, TargetError, Unreachable
from targets.inventory import Target
from targets.ssh import SshLink
from tests.support.own_sshd import keygen, own_sshd, public


@contextlib.contextmanager
def server(*said, wait=False):
    """Says this to whoever connects; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    near, _ = listener.accept()
                    for each in said:
                        near.sendall(each)
                    if wait:
                        near.recv(1 << 16)
                        threading.Event().wait(30)
                    near.shutdown(socket.SHUT_WR)
                    while near.recv(1 << 16):
                        pass

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def target_at(port, folder):
    key = folder / "key"
    if not key.exists():
        keygen(key)
    return Target(name="pi", host="127.0.0.1", port=port, user="pi", key=str(key), known_hosts="/dev/null")


@pytest.mark.parametrize(
    ("option", "theirs"),
    [
        ("Ciphers aes256-cbc,chacha20-poly1305@openssh.com", "Ciphers in common: it has aes256-cbc"),
        ("KexAlgorithms sntrup761x25519-sha512@openssh.com", "KexAlgorithms in common: it has sntrup761"),
        ("MACs umac-64@openssh.com", "MACs in common: it has umac-64@openssh.com"),
        ("HostKeyAlgorithms ssh-rsa", "HostKeyAlgorithms in common: it has ssh-rsa"),
    ],
)
def test_an_sshd_with_nothing_in_common(tmp_path, option, theirs):
    keys = ("rsa",) if "ssh-rsa" in option else ("ed25519",)
    with own_sshd(tmp_path / "sshd", option, host_keys=keys) as target:
        with pytest.raises(Unreachable) as caught:
            SshLink(target)
        assert theirs in caught.value.message
        name = option.split()[0]
        offered = (
            caught.value.hint.partition(f"as {name} in its sshd_config: ")[2].rstrip(".").split(" and ")[0].split(", ")
        )
        allowed = subprocess.run(
            ["ssh", "-Q", name], capture_output=True, text=True, check=False
        ).stdout.split()  # what the hint names is known to OpenSSH under that option
        assert len(set(offered) & set(allowed)) > 1


@pytest.mark.parametrize(
    ("said", "says", "hints"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it began with HTTP/1.1 400 Bad Request", "check `port`"),
        (b"\x15\x03\x01\x00\x02\x02\x46\r\n", "does not speak SSH", "check `port`"),
        (b"SSH-1.5-OpenSSH_1.2\r\n", "speaks SSH 1 only: SSH-1.5-OpenSSH_1.2", "newer sshd"),
        (b"SSH-2.0-odd\r\n\xff\xff\xff\xff" + bytes(40), "calls itself SSH-2.0-odd", "log"),
        (b"SSH-2.0-odd\r\n", "it closed the connection", "log"),
        (b"", "before it sent anything", "its log says which"),
        (b"Not allowed at this time\r\n", "because of earlier failed logins", "Wait a minute"),
    ],
)
def test_something_else_listens(tmp_path, monkeypatch, said, says, hints):
    monkeypatch.setattr("targets.ssh.tcp.TRIES", 1)
    with server(said) as port, pytest.raises(Unreachable) as caught:
        SshLink(target_at(port, tmp_path), connect_timeout_s=5)
    assert says in caught.value.message
    assert hints in caught.value.hint


def test_something_that_waits_for_us_to_begin(tmp_path):
    with server(wait=True) as port, pytest.raises(ConnectionLost, match="waiting for its SSH version") as caught:
        SshLink(target_at(port, tmp_path), connect_timeout_s=0.5)
    assert "accepted the connection and sent nothing" in caught.value.hint


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """What a real sshd says before it has heard anything: its version and what it can."""
    with (
        own_sshd(tmp_path_factory.mktemp("sshd")) as target,
        socket.create_connection(("127.0.0.1", target.port)) as near,
    ):
        near.sendall(b"SSH-2.0-test\r\n")
        said = b""
        while len(said) < 800:
            said += near.recv(1 << 16)
    return said


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_answer_of_a_server_is_a_traceback(recorded, tmp_path_factory, data):
    changed = bytearray(recorded)
    for place in data.draw(st.lists(st.integers(0, len(changed) - 1), min_size=1, max_size=4)):
        changed[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(changed)))
    with server(bytes(changed[:cut])) as port, pytest.raises(TargetError) as caught:
        SshLink(target_at(port, tmp_path_factory.getbasetemp()), connect_timeout_s=0.3)
    assert caught.value.hint


def test_what_the_server_tells_whoever_logs_in(tmp_path):
    (tmp_path / "banner").write_text("This board is being moved.\nCall Ann.\x1b[2J\n")
    with own_sshd(tmp_path / "sshd", f"Banner {tmp_path}/banner") as target:
        other = keygen(tmp_path / "other")
        with pytest.raises(AuthenticationRefused) as caught:
            SshLink(msgspec.structs.replace(target, key=str(other)))
        assert "it said: This board is being moved. / Call Ann." in caught.value.message
        assert "\x1b" not in caught.value.message


def test_each_file_on_the_way_is_looked_at_before_the_first_host_is_connected_to(tmp_path):
    """Nobody listens at the jump host; the board's key is a public one."""
    from targets import inventory

    (tmp_path / "pub").write_text(public(keygen(tmp_path / "good")))
    (tmp_path / "ssh_config").write_text(
        f"Host gate\n  HostName 127.0.0.1\n  Port 1\n  User x\n  IdentityFile {tmp_path}/good\n  IdentityAgent none\n"
        f"Host board\n  HostName 192.0.2.1\n  User x\n  IdentityFile {tmp_path}/pub\n  IdentityAgent none\n  ProxyJump gate\n"
    )
    (tmp_path / "boards.toml").write_text('[pi]\nssh = "board"\nssh_config = "ssh_config"\n')
    with pytest.raises(AuthenticationRefused, match="public half"):
        SshLink(inventory.find("pi", tmp_path))


def test_files_of_host_keys_that_can_not_be_read(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    os.mkfifo(tmp_path / "pipe")
    for path, says in ((folder, "is a folder"), (tmp_path / "pipe", "it is not a file")):
        with pytest.raises(TargetError, match=says) as caught:
            SshLink(msgspec.structs.replace(target_at(1, tmp_path), known_hosts=str(path)))
        assert str(path) in caught.value.message
        assert "known_hosts" in caught.value.hint


def test_lines_that_can_not_be_understood_are_told_of_where_the_host_is_unknown(tmp_path):
    with own_sshd(tmp_path / "sshd") as target:
        sound = Path(target.known_hosts).read_bytes()
        garbage = tmp_path / "known"
        garbage.write_bytes(b"# mine\n\x00\xff garbage\n" + sound)
        garbled = msgspec.structs.replace(target, known_hosts=str(garbage))
        SshLink(garbled).close()
        garbage.write_bytes(sound[:60] + b"\n# mine\nhost only\n")
        with pytest.raises(TargetError, match=rf"2 of its lines cannot be parsed, the first is {garbage}:1"):
            SshLink(garbled)
