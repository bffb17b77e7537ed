"""The one key that a hop is logged in to with: from a file or from the ssh-agent. It never leaves this host."""

import base64
import contextlib
import functools
import logging
import shlex
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import paramiko
from paramiko.agent import AgentSSH

from targets.errors import AuthenticationRefused
from targets.ssh import known_hosts, passwords
from targets.ssh.route import Hop

AGENT_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class Credential:
    name: str  # for messages
    secret: str | paramiko.PKey = field(repr=False)  # a password, or a key that signs


@contextlib.contextmanager
def credential(hop: Hop) -> Iterator[Credential]:
    """What to log in with there; the agent that holds the key is let go of afterwards.

    AuthenticationRefused where there is none, or more than one.
    """
    with contextlib.ExitStack() as stack:
        if hop.password is not None:
            yield Credential("the password", passwords.reveal(hop.password))
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
        yield Credential(f"the key {hop.key}", _load(hop, hop.key))


class _Agent(AgentSSH):
    def __init__(self, path: str) -> None:
        super().__init__()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(AGENT_TIMEOUT_S)
        try:
            sock.connect(path)
            self._connect(sock)  # type: ignore[attr-defined]  # the stubs leave it out
        except (paramiko.SSHException, OSError) as error:
            sock.close()
            raise AuthenticationRefused(
                f"the ssh-agent at {path} does not answer: {error}", hint="Is it still running? Try ssh-add -l."
            ) from error
        self.close = sock.close

    def choose(self, hop: Hop) -> paramiko.PKey | None:
        """The key that `hop` names, or the only one. None: the agent has not got the key of `hop.key`."""
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
    """Of the public half of a key file, "" where there is none: the file itself may be it, or the .pub beside it."""
    for each in (path, path + ".pub"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            return known_hosts.fingerprint(
                "", base64.b64decode(Path(each).read_text().split()[1], validate=True)
            ).strip()
    return ""


def _load(hop: Hop, path: str) -> paramiko.PKey:
    passphrase = passwords.reveal(hop.passphrase).encode() if hop.passphrase else None
    try:
        if Path(path).stat().st_mode & 0o077:
            _warn_of_open_file(path)
        key: paramiko.PKey = paramiko.PKey.from_path(
            path, cast("Any", passphrase)
        )  # wants bytes; reads <path>-cert.pub too
        if hop.certificate is not None:
            key.load_certificate(hop.certificate)
    except TypeError as error:
        raise AuthenticationRefused(
            f"the key {path} has a passphrase",
            hint='Say `passphrase = "ask"` or `passphrase_env = "NAME"` in boards.toml, or load it into ssh-agent and set '
            "`ssh_agent = true` in place of `key`.",
        ) from error
    except OSError as error:
        raise AuthenticationRefused(
            f"the key {path} can not be read: {error.strerror}", hint="Check `key` in boards.toml."
        ) from error
    except (ValueError, paramiko.SSHException) as error:
        if hop.passphrase:
            passwords.forget(hop.passphrase)
        raise AuthenticationRefused(
            f"{path} is not a private key{', or its passphrase is another' if passphrase else ''}: {error}",
            hint="Check `key` in boards.toml.",
        ) from error
    return key


@functools.cache
def _warn_of_open_file(path: str) -> None:
    logging.getLogger("edgepress").warning(
        "the private key %s can be read by others (ssh would refuse it); do: chmod 600 %s", path, shlex.quote(path)
    )
