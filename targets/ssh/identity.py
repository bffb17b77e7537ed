"""The credential for one hop: a password, or a key from a file or the ssh-agent. Keys never leave this host."""

import base64
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import paramiko
from paramiko.agent import AgentKey, AgentSSH

from targets import diagnosis
from targets.errors import AuthenticationRefused
from targets.host import small_file
from targets.ssh import key_file, known_hosts, passwords
from targets.ssh.hop import Hop

AGENT_TIMEOUT_S = 15.0
REQUEST_IDENTITIES, IDENTITIES_ANSWER = b"\x0b", 12  # in the agent's protocol, draft-ietf-sshm-ssh-agent
MOST_KEYS = 1000


@dataclass(frozen=True)
class Credential:
    name: str  # for messages
    secret: str | paramiko.PKey = field(repr=False)  # a password, or a key that signs
    certificate: str = ""  # the file of the key's certificate


@contextlib.contextmanager
def credential(hop: Hop) -> Iterator[Credential]:
    """Yield the credential for this hop, and close the connection to the ssh-agent afterwards.

    AuthenticationRefused if there is none, or more than one.
    """
    with contextlib.ExitStack() as stack:
        if hop.password is not None:
            yield Credential("the password", passwords.reveal_text(hop.password))
            return
        if hop.agent:
            agent = _Agent(hop.agent)
            stack.callback(agent.close)
            key = agent.choose(hop)
            if key is not None:
                yield Credential(
                    f"the key {known_hosts.fingerprint(key.get_name(), key.asbytes())} of the ssh-agent", key
                )
                return
        if hop.key is None:
            raise AuthenticationRefused(
                f"no ssh-agent runs here to log in to {hop.address}",
                hint="Start one (ssh-agent, ssh-add), or name a `key` in boards.toml.",
            )
        certificate = key_file.certificate_of(hop.key, hop.certificate)
        name = f"the key {hop.key}" + (f" with the certificate {certificate}" if certificate else "")
        yield Credential(name, key_file.load(hop.key, hop.certificate, hop.passphrase), certificate or "")


class _Agent(AgentSSH):
    def __init__(self, path: str) -> None:
        super().__init__()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(AGENT_TIMEOUT_S)
        try:
            sock.connect(path)
            self._read_keys(sock)
        except Exception as error:  # paramiko raises anything for an answer that it cannot read
            sock.close()
            raise AuthenticationRefused(
                f"the ssh-agent at {path} gives no usable answer: {diagnosis.last_words(str(error)) or type(error).__name__}",
                hint="Is it still running? Try ssh-add -l.",
            ) from error
        self.close = sock.close

    def _read_keys(self, sock: socket.socket) -> None:
        """Do what AgentSSH._connect() does, but bound the number of keys, and allow comments that are not UTF-8."""
        self._conn = sock
        kind, answer = self._send_message(REQUEST_IDENTITIES)  # type: ignore[attr-defined]  # the stubs leave it out
        count = answer.get_int()
        if kind != IDENTITIES_ANSWER or count > MOST_KEYS:
            raise paramiko.SSHException(f"answer {kind}, {count} keys")
        keys = []
        for _ in range(count):
            keys.append(AgentKey(self, answer.get_binary()))
            answer.get_binary()  # its comment
        self._keys = tuple(keys)

    def choose(self, hop: Hop) -> paramiko.PKey | None:
        """Return the key that `hop` names, or the only one. None: the agent does not have the key of `hop.key`."""
        keys = {known_hosts.fingerprint("", key.asbytes()).strip(): key for key in self.get_keys()}
        if hop.key is not None:
            return keys.get(_public_fingerprint(hop.key))
        if hop.agent_key in keys:
            return keys[hop.agent_key]
        if hop.agent_key or len(keys) != 1:
            raise AuthenticationRefused(
                f"the ssh-agent has {', '.join(keys) or 'no key'}"
                + (f", not {hop.agent_key}" if hop.agent_key else ""),
                hint='Name the one to use in boards.toml, `ssh_agent = "SHA256:..."`, or load it with ssh-add.',
            )
        return next(iter(keys.values()))


def _public_fingerprint(path: str) -> str:
    """Return the fingerprint of the public half: the file itself or its .pub; "" if there is none."""
    for each in (path, path + ".pub"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            blob = small_file(each, key_file.LIMIT_BYTES).split()[1]
            return known_hosts.fingerprint("", base64.b64decode(blob, validate=True)).strip()
    return ""
