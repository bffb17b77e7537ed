"""Keys that lie in a token: an agent signs with them."""

import base64
import socket
import struct
import threading
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from targets.errors import AuthenticationRefused
from targets.inventory import Target
from targets.ssh import SshLink
from tests.support.own_sshd import own_sshd
from tests.targets.ssh.packed import SK, text


class TokenAgent:
    """An ssh-agent that signs as a hardware token does (OpenSSH's PROTOCOL.u2f)."""

    def __init__(self, path):
        self.key = Ed25519PrivateKey.generate()
        raw = self.key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.blob = text(SK) + text(raw) + text(b"ssh:")
        self.answers = socket.socket(socket.AF_UNIX)
        self.answers.bind(str(path))
        self.answers.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        near, _ = self.answers.accept()
        with near, near.makefile("rb") as asked:
            while size := asked.read(4):
                answer = self._answer(asked.read(struct.unpack(">I", size)[0]))
                near.sendall(text(answer))

    def _answer(self, request):
        if request[0] == 11:  # SSH_AGENTC_REQUEST_IDENTITIES
            return b"\x0c" + struct.pack(">I", 1) + text(self.blob) + text(b"token")
        data = request[1 + 4 + len(self.blob) + 4 : -4]
        touched = b"\x01" + struct.pack(">I", 7)
        signature = self.key.sign(sha256(b"ssh:").digest() + touched + sha256(data).digest())
        return b"\x0e" + text(text(SK) + text(signature) + touched)


def test_a_token_signs_through_the_agent(tmp_path, monkeypatch):
    """What is said to do about a token's key file works."""
    agent = TokenAgent(tmp_path / "agent")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    with own_sshd(tmp_path / "sshd") as target:
        line = f"{SK.decode()} {base64.b64encode(agent.blob).decode()}\n"
        Path(target.key).with_name("authorized_keys").write_text(line)
        SshLink(msgspec.structs.replace(target, key=None, ssh_agent=True)).close()


@pytest.mark.parametrize(
    "answer",
    [b"", b"\0\0\0\1\x05", b"\0\0\0\0", b"\0\0\0\5\x0c\xff\xff\xff\xff"],
)
def test_an_agent_that_answers_nonsense(tmp_path, monkeypatch, answer):
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "agent"))
    server.listen()

    def serve():
        near, _ = server.accept()
        near.recv(100)
        near.sendall(answer)
        near.close()

    threading.Thread(target=serve, daemon=True).start()
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    with pytest.raises(AuthenticationRefused, match="ssh-agent"):
        SshLink(Target(name="pi", host="127.0.0.1", port=1, user="pi", ssh_agent=True, known_hosts="/dev/null"))
