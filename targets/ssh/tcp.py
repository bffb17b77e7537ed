"""The TCP connection below SSH, and a limit on how many are opened to one address at a time."""

import contextlib
import queue
import random
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from targets.errors import ConnectionLost, DroppedByServer, Unreachable

# sshd's MaxStartups is 10:30:100 by default: from the tenth unauthenticated connection on it drops some. 8 at once lost none
# of 200, 50 at once lost 15 (measured, OpenSSH 9.2).
UNAUTHENTICATED_AT_ONCE = 8
SLOT_S = 300.0  # to wait for others, each with its own limits
TRIES = 4  # for a connection that sshd dropped for MaxStartups
# before the second try; doubled each time, with jitter so that many hosts do not return together
RETRY_PAUSE_S = 0.4
PEEK_BYTES = 64
# What sshd writes in place of its version before it drops a connection (sshd.c; the second from OpenSSH 9.8 on).
TOO_MANY, PENALTY = b"Exceeded MaxStartups", b"Not allowed at this time"

_Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]  # as returned by socket.getaddrinfo

_slots: dict[tuple[str, int], threading.BoundedSemaphore] = {}
_slots_lock = threading.Lock()


@contextlib.contextmanager
def startup_slot(host: str, port: int) -> Iterator[None]:
    """A slot from connecting to login, for at most UNAUTHENTICATED_AT_ONCE links of this process to an address."""
    with _slots_lock:
        slot = _slots.setdefault((host, port), threading.BoundedSemaphore(UNAUTHENTICATED_AT_ONCE))
    if not slot.acquire(timeout=SLOT_S):
        raise silent(f"{host}:{port}", SLOT_S, "other links of this process are still logging in there")
    try:
        yield
    finally:
        slot.release()


def pause(attempt: int) -> None:
    """Wait before the next try of a connection that was dropped; `attempt` counts from 0."""
    time.sleep(RETRY_PAUSE_S * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load, guards nothing


def connect(host: str, port: int, *, timeout_s: float, dead_s: float) -> socket.socket:
    """Return a connection on which the server has begun to speak.

    Raises Unreachable (refused, no such host, no route), DroppedByServer (closed before SSH began; worth another
    try) and ConnectionLost (no answer for `timeout_s`). The kernel breaks the connection when sent bytes stay
    unacknowledged for `dead_s`.
    """
    sock = _dial(host, port, timeout_s)
    try:
        # Nagle's algorithm with delayed acknowledgements made a 40 kB message take 44 ms instead of 0.5 (measured).
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(dead_s * 1000))
        _first_word(sock, f"{host}:{port}", timeout_s)
    except BaseException:
        sock.close()
        raise
    return sock


def begins(sock: object) -> bytes:
    """Return the first bytes from the server; b"" if unknown, as through a jump host."""
    if not isinstance(sock, socket.socket):
        return b""
    try:
        return sock.recv(PEEK_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return b""


def silent(address: str, seconds: float, doing: str, hint: str = "") -> ConnectionLost:
    """Return the error for a wait without an answer."""
    return ConnectionLost(
        f"{address} has not answered for {seconds:.3g} s ({doing})",
        hint=hint or "Is the board still up and on the network? Nothing was left half-written there; run again.",
    )


def _dial(host: str, port: int, timeout_s: float) -> socket.socket:
    address, deadline = f"{host}:{port}", time.monotonic() + timeout_s
    error: OSError = OSError("the name has no address")
    found = _addresses(host, port, timeout_s)
    for number, (family, kind, protocol, _, where) in enumerate(found):
        sock = socket.socket(family, kind, protocol)
        try:
            # a share, so that a dead address leaves time for the next
            left_s = (deadline - time.monotonic()) / (len(found) - number)
            sock.settimeout(max(0.05, left_s))
            sock.connect(where)
        except OSError as problem:
            sock.close()
            error = problem
        else:
            return sock
    if isinstance(error, TimeoutError):
        raise silent(address, timeout_s, "connecting") from error
    if isinstance(error, ConnectionResetError):
        raise _broken(address, error) from error
    if isinstance(error, ConnectionRefusedError):
        raise Unreachable(
            f"{address} refused the connection: nothing listens there",
            hint="Is sshd running there, and on this port? Check `host` and `port` in boards.toml.",
        ) from error
    raise _unreachable(address, error.strerror or str(error)) from error


def _addresses(host: str, port: int, timeout_s: float) -> Sequence[_Address]:
    """Look up the addresses. The name service has no timeout, so a thread without an answer is abandoned."""
    answer: queue.SimpleQueue[Sequence[_Address] | OSError | UnicodeError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answer.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as problem:
            answer.put(problem)

    threading.Thread(target=ask, name=f"name of {host}", daemon=True).start()
    try:
        found = answer.get(timeout=timeout_s)
    except queue.Empty:
        raise Unreachable(
            f"{host}:{port} cannot be reached: the name service has not answered for {timeout_s:.3g} s",
            hint="Write the board's IP address as `host` in boards.toml, or repair the name service (/etc/resolv.conf).",
        ) from None
    if isinstance(found, Exception):
        raise _unreachable(f"{host}:{port}", getattr(found, "strerror", None) or str(found)) from found
    return found


def _broken(address: str, error: OSError) -> DroppedByServer:
    return DroppedByServer(
        f"{address} broke the connection before it sent anything: {error.strerror or error}",
        hint="Does something other than sshd listen there, or is a firewall in between?",
    )


def _first_word(sock: socket.socket, address: str, timeout_s: float) -> None:
    sock.settimeout(timeout_s)
    try:
        said = sock.recv(PEEK_BYTES, socket.MSG_PEEK)
    except TimeoutError as error:
        hint = "It accepted the connection and sent nothing: does something other than sshd listen on that port, or does the board hang?"
        raise silent(address, timeout_s, "waiting for its SSH version", hint) from error
    except OSError as error:
        raise _broken(address, error) from error
    if said.startswith(PENALTY):
        raise Unreachable(
            f"sshd at {address} rejects this host for a while because of earlier failed logins (PerSourcePenalties)",
            hint="Wait a minute, and check `user` and the key in boards.toml before the next try.",
        )
    if not said or said.startswith(TOO_MANY):
        raise DroppedByServer(
            f"{address} dropped the connection before it sent anything"
            if not said
            else f"sshd at {address} dropped the connection: too many logins at once",
            hint="sshd does this if too many log in at once (MaxStartups in its sshd_config), or if it does not allow this host "
            "(hosts.deny, AllowUsers): its log says which."
            if not said
            else "Raise MaxStartups in its sshd_config, or reach fewer boards through it at a time.",
        )


def _unreachable(address: str, why: str) -> Unreachable:
    return Unreachable(
        f"{address} cannot be reached: {why}",
        hint="Is it switched on and on this network? Check `host` and `port` in boards.toml.",
    )
