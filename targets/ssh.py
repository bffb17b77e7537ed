"""The link over SSH. The only file that imports paramiko.

Host keys are checked against a pinned file, one named key is tried once, and the socket is made here, because paramiko sets
no TCP_NODELAY: with Nagle's algorithm a 40 kB message takes 44 s instead of 0.5 ms (measured on the loopback).
"""

import base64
import contextlib
import hashlib
import logging
import os
import shlex
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import paramiko

from targets.errors import (
    AuthenticationRefused,
    ConnectionLost,
    HostKeyChanged,
    HostKeyUnknown,
    TargetError,
    Unreachable,
)
from targets.inventory import Target

SSH_PORT = 22
logging.getLogger("paramiko").addHandler(logging.NullHandler())  # what it logs is said by our own errors
CONNECT_TIMEOUT_S = 15.0
SEND_TIMEOUT_S = 60.0
KEEPALIVE_S = 15
DEAD_PEER_MS = 45_000  # three keepalives unanswered
CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr")  # fastest first
STDERR_TAIL_BYTES = 4000
# paramiko's sendall() copies all that is left for each packet; a packet of sshd's takes no more than this (channels.h).
PACKET_BYTES = 32 * 1024


class SshChannel:
    def __init__(self, channel: paramiko.Channel, address: str) -> None:
        self._channel, self._address, self._stderr = channel, address, b""

    def send(self, data: bytes) -> None:
        self._channel.settimeout(SEND_TIMEOUT_S)
        try:
            view = memoryview(data)
            while view:
                view = view[self._channel.send(bytes(view[:PACKET_BYTES])) :]
        except (OSError, EOFError) as error:
            said = self.errors()
            raise ConnectionLost(
                f"the connection to {self._address} broke while sending: {error or type(error).__name__}"
                + (f"; it said: {said[-500:]}" if said else ""),
                hint="Is the board still up and on the network? Nothing was left half-written there; run again.",
            ) from error

    def receive(self, limit_bytes: int, timeout_s: float) -> bytes:
        self._channel.settimeout(timeout_s)
        self._drain_errors()
        try:
            return self._channel.recv(limit_bytes)
        except TimeoutError:
            raise
        except (OSError, EOFError):
            return b""

    def errors(self) -> str:
        self._drain_errors()
        return self._stderr.decode(errors="replace").strip()

    def _drain_errors(self) -> None:
        while self._channel.recv_stderr_ready():  # else a full window would stop the agent
            self._stderr = (self._stderr + self._channel.recv_stderr(1 << 16))[-STDERR_TAIL_BYTES:]

    def finish(self, timeout_s: float) -> int | None:
        with contextlib.suppress(OSError, EOFError):
            self._channel.shutdown_write()
        deadline = time.monotonic() + timeout_s
        while not self._channel.exit_status_ready():
            if time.monotonic() > deadline or self._channel.closed:
                return None
            self._drain_errors()
            if self._channel.recv_ready():  # so that its last words do not block it
                self._channel.recv(1 << 16)
            else:
                time.sleep(0.002)
        return self._channel.recv_exit_status()

    def close(self) -> None:
        self._channel.close()


class SshLink:
    def __init__(self, target: Target) -> None:
        """Connect and authenticate. Raises a TargetError that names the board and what to do."""
        self.address = f"{target.user}@{target.host}:{target.port}"
        self._client = paramiko.SSHClient()
        self._client.set_missing_host_key_policy(paramiko.RejectPolicy())
        try:
            with contextlib.suppress(FileNotFoundError):
                self._client.load_host_keys(target.known_hosts)
        except (OSError, ValueError, paramiko.SSHException) as error:
            raise HostKeyUnknown(
                f"{target.known_hosts} can not be read: {error}",
                hint="Correct the file: one line a key, as ssh-keyscan writes.",
            ) from error
        try:
            self._connect(target)
        except BaseException:
            self._client.close()
            raise

    def _connect(self, target: Target) -> None:
        sock = _open_socket(target)
        try:
            self._client.connect(
                target.host, target.port, target.user, sock=sock, transport_factory=_transport, timeout=CONNECT_TIMEOUT_S,
                banner_timeout=CONNECT_TIMEOUT_S, auth_timeout=CONNECT_TIMEOUT_S, look_for_keys=False,
                allow_agent=target.ssh_agent, key_filename=str(Path(target.key).expanduser()) if target.key else None,
            )  # fmt: skip
        except BaseException as error:
            sock.close()
            if isinstance(error, (paramiko.SSHException, OSError, EOFError, ValueError)):
                raise _explain(error, target, self.address) from error
            raise
        transport = self._client.get_transport()
        assert transport is not None
        transport.set_keepalive(KEEPALIVE_S)
        self._transport = transport

    def start(self, argv: Sequence[str]) -> SshChannel:
        try:
            channel = self._transport.open_session(timeout=CONNECT_TIMEOUT_S)
            channel.exec_command(shlex.join(argv))
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise ConnectionLost(
                f"{self.address} lets no program be started: {error}", hint="Is sshd there overloaded?"
            ) from error
        return SshChannel(channel, self.address)

    def close(self) -> None:
        self._client.close()


class HostKey(msgspec.Struct, frozen=True, kw_only=True):
    line: str  # of a known_hosts file
    fingerprint: str  # type and SHA256:...


def host_key(target: Target) -> HostKey:
    """What the server at this address shows, without logging in."""
    sock = _open_socket(target)
    transport = _transport(sock)
    try:
        transport.start_client(timeout=CONNECT_TIMEOUT_S)
        key = transport.get_remote_server_key()
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise Unreachable(
            f"{target.host}:{target.port} does not speak SSH: {error}", hint="Is this the right port?"
        ) from error
    finally:
        transport.close()
    name = target.host if target.port == SSH_PORT else f"[{target.host}]:{target.port}"
    return HostKey(line=f"{name} {key.get_name()} {key.get_base64()}", fingerprint=_fingerprint(key))


def pin(target: Target, key: HostKey) -> Path:
    """Add the key to the target's known_hosts and return that file. What is pinned there already stays."""
    path = Path(target.known_hosts)
    pinned = [line.split()[:3] for line in path.read_text().splitlines()] if path.exists() else []
    if key.line.split() in pinned:
        return path
    if any(line[:2] == key.line.split()[:2] for line in pinned):
        raise HostKeyChanged(
            f"another key of {target.host} is pinned in {path}, and this is not it: {key.fingerprint}",
            hint=f"Was the board set up anew? Then remove its line (it begins with {key.line.split()[0]}) and run this again.",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
        file.write(("" if file.read() in {"", "\n"} else "\n") + key.line + "\n")
        file.flush()
        os.fsync(file.fileno())
    return path


def _open_socket(target: Target) -> socket.socket:
    address = f"{target.host}:{target.port}"
    try:
        sock = socket.create_connection((target.host, target.port), timeout=CONNECT_TIMEOUT_S)
    except ConnectionRefusedError as error:
        raise Unreachable(
            f"the board {target.name} refused the connection: nothing listens on {address}",
            hint="Is sshd running there, and on this port? Check `host` and `port` in boards.toml.",
        ) from error
    except OSError as error:
        raise Unreachable(
            f"the board {target.name} can not be reached at {address}: {error.strerror or error}",
            hint="Is it switched on and on this network? Check `host` and `port` in boards.toml.",
        ) from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_MS)
    return sock


def _transport(sock: Any, **options: Any) -> paramiko.Transport:
    transport = paramiko.Transport(sock, **options)
    options_now = transport.get_security_options()
    options_now.ciphers = tuple(cipher for cipher in CIPHERS if cipher in options_now.ciphers)
    return transport


def _explain(error: Exception, target: Target, address: str) -> TargetError:
    """What the user can do about why no connection came about."""
    if isinstance(error, paramiko.BadHostKeyException):
        return HostKeyChanged(
            f"the host key of {address} has CHANGED: it shows {_fingerprint(error.key)}, pinned is "
            f"{_fingerprint(error.expected_key)} in {target.known_hosts}",
            hint="Was the board set up anew? If so, remove its line there and run "
            f"`edgepress boards trust {target.name}`. If not, something stands between you and the board.",
        )
    if isinstance(error, (paramiko.PasswordRequiredException,)):
        return AuthenticationRefused(
            f"the key {target.key} has a passphrase",
            hint="Load it into ssh-agent and set `ssh_agent = true` instead of `key`.",
        )
    if isinstance(error, paramiko.AuthenticationException) or "No authentication methods" in str(error):
        return AuthenticationRefused(
            f"{address} does not accept {f'the key {target.key}' if target.key else 'any key of the ssh-agent (is one running?)'}",
            hint=f"Put the public key into ~{target.user}/.ssh/authorized_keys there, or name another in boards.toml.",
        )
    if isinstance(error, (FileNotFoundError, PermissionError)) and target.key:
        return AuthenticationRefused(
            f"the key {target.key} can not be read: {error.strerror}", hint="Check `key` in boards.toml."
        )
    if "not found in known_hosts" in str(error):
        return HostKeyUnknown(
            f"the host key of {address} is unknown: it is not in {target.known_hosts}",
            hint=f"Run `edgepress boards trust {target.name}` and compare the fingerprint that it shows with the board's.",
        )
    if "not a valid" in str(error) or isinstance(error, ValueError):
        return AuthenticationRefused(f"{target.key} is not a private key: {error}", hint="Check `key` in boards.toml.")
    return Unreachable(
        f"{address} does not speak SSH as expected: {error or type(error).__name__}", hint="Is this the right port?"
    )


def _fingerprint(key: paramiko.PKey) -> str:
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return f"{key.get_name()} SHA256:{digest}"
