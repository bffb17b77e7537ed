"""Facts that are read from the packets of a connection on their way to paramiko."""

import contextlib
import signal
import socket
import time

from paramiko.message import Message
from paramiko.packet import Packetizer

from targets import diagnosis

KEXINIT, CHANNEL_REQUEST = 20, 98  # RFC 4253, 12; RFC 4254, 9
COOKIE_BYTES = 16
# The name-lists of KEXINIT in which both sides need a common entry (RFC 4253, 7.1), by their names in sshd_config.
LISTS = ("KexAlgorithms", "HostKeyAlgorithms", "Ciphers", "Ciphers", "MACs", "MACs")
MOST_SIGNALS = 1000


class Packets(Packetizer):
    """Records when the other side was last heard: a packet with a valid MAC comes from it and from no one in between.

    It also acknowledges it at once: until the first program runs, sshd holds back its next small packet for that (Nagle's
    algorithm), and the kernel would wait 40 ms. The first program took 46 ms to start, then 5 (measured, OpenSSH 9.2).
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._tcp = sock if isinstance(sock, socket.socket) else None  # else a channel through a jump host
        self.heard_s = time.monotonic()
        # what the server supports: (one of LISTS, its names)
        self.offered: tuple[tuple[str, tuple[str, ...]], ...] = ()
        # Channel -> 128 + n if signal n ended its program: paramiko does not report it.
        self.signals: dict[int, int] = {}

    def read_message(self) -> tuple[int, Message]:
        kind, message = super().read_message()
        self.heard_s = time.monotonic()
        if kind == KEXINIT:
            self.offered = _offered(Message(message.asbytes()))
        elif kind == CHANNEL_REQUEST and len(self.signals) < MOST_SIGNALS:
            self.signals |= _killed(Message(message.asbytes()))
        if self._tcp is not None:
            with contextlib.suppress(OSError):  # just closed
                self._tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return kind, message


def _offered(message: Message) -> tuple[tuple[str, tuple[str, ...]], ...]:
    message.get_bytes(COOKIE_BYTES)
    return tuple((name, tuple(message.get_binary().decode("ascii", "replace").split(","))) for name in LISTS)


def _killed(message: Message) -> dict[int, int]:
    """Read an exit-signal (RFC 4254, 6.10). It names only some signals: for SIGBUS, SIGSYS and others OpenSSH sends "SIG@openssh.com"."""
    channel, request = message.get_int(), message.get_binary()
    if request != b"exit-signal":
        return {}
    message.get_boolean()
    name = "SIG" + message.get_binary()[:20].decode("ascii", "replace").partition("@")[0]
    return {channel: 128 + signal.Signals[name] if name in signal.Signals.__members__ else diagnosis.UNNAMED_SIGNAL}
