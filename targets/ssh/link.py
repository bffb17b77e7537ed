"""The link over SSH: one connection per board, closed by the watchdog if the board no longer answers."""

import contextlib
import logging
import time
from collections.abc import Sequence

import paramiko

from targets import deadlines, diagnosis
from targets.errors import ConnectionLost
from targets.inventory import Target
from targets.ssh import key_file, tcp, watchdog
from targets.ssh.command import command_line
from targets.ssh.hop import Hop
from targets.ssh.known_hosts import HostKey
from targets.ssh.login import BROKE, greet, log_in, shown
from targets.ssh.packets import Packets
from targets.ssh.route import route

logging.getLogger("paramiko").addHandler(logging.NullHandler())  # our own errors report what it logs
CONNECT_TIMEOUT_S = 15.0  # for each of: TCP and the first bytes, key exchange, login, opening a channel
KEEPALIVE_S = 13.0  # given up after three: a vanished board is noticed within 41 s
STDERR_TAIL_BYTES = 4000
STDERR_READS = 64  # at a time: endless output must not block us
# paramiko's sendall() copies all the rest for each packet; a packet to sshd holds at most this (channels.h).
PACKET_BYTES = 32 * 1024


class SshChannel:
    def __init__(self, channel: paramiko.Channel, link: "SshLink") -> None:
        self._channel, self._link, self._stderr = channel, link, b""

    def send(self, data: bytes | memoryview, timeout_s: float) -> int:
        self._channel.settimeout(timeout_s)
        self._drain_errors()  # a program whose output is blocked reads nothing
        try:
            taken = self._channel.send(bytes(data[:PACKET_BYTES]))
            if not taken:
                raise EOFError("it accepts no more data")
        except TimeoutError:
            raise
        except BROKE as error:
            words = diagnosis.last_words(self.errors())
            raise self._link.given_up() or ConnectionLost(
                f"the connection to {self._link.address} broke while sending: {error or type(error).__name__}"
                + (diagnosis.quoted(words) if words else ""),
                hint="Is the board still up and on the network? Nothing was left half-written there; run again.",
            ) from error
        else:
            return taken

    def receive(self, limit_bytes: int, timeout_s: float) -> bytes:
        self._channel.settimeout(timeout_s)
        self._drain_errors()
        try:
            data = self._channel.recv(limit_bytes)
        except TimeoutError:
            raise
        except BROKE:
            data = b""
        if not data and (lost := self._link.given_up()):
            raise lost
        return data

    def errors(self) -> str:
        self._drain_errors()
        return self._stderr.decode(errors="replace").strip()

    def _drain_errors(self) -> None:
        for _ in range(STDERR_READS):
            if not self._channel.recv_stderr_ready():  # else a full window would stop the agent
                return
            self._stderr = (self._stderr + self._channel.recv_stderr(1 << 16))[-STDERR_TAIL_BYTES:]

    def finish(self, timeout_s: float) -> int | None:
        with contextlib.suppress(BROKE):
            self._channel.shutdown_write()
        deadline = time.monotonic() + timeout_s
        while not self._channel.exit_status_ready():
            if time.monotonic() > deadline or self._channel.closed:
                return None
            self._drain_errors()
            if self._channel.recv_ready():  # so that its last output does not block it
                self._channel.recv(1 << 16)
            else:
                self._channel.status_event.wait(0.002)
        status = self._channel.exit_status
        return status if status >= 0 else self._link.killed_by(self._channel)

    def close(self) -> None:
        self._channel.close()


class SshLink:
    def __init__(
        self, target: Target, *, connect_timeout_s: float = CONNECT_TIMEOUT_S, keepalive_s: float = KEEPALIVE_S
    ) -> None:
        """Connect, check the host keys and log in, through the jump hosts if there are any.

        Each wait ends after `connect_timeout_s`, so a host that never answers costs little more than that. Later, a board that
        was silent for `keepalive_s` gets a keepalive request, and is given up after three times that.
        Raises a TargetError that names the host and what to do; ConnectionLost if there was no answer.
        """
        self.keepalive_s = keepalive_s
        self._timeout_s = connect_timeout_s
        self._silent_s: float | None = None  # the silence after which it was given up
        self._transports: list[paramiko.Transport] = []
        try:
            hops = route(target)
            for hop in hops[1:]:  # before the first connection, which checks its own
                if hop.key is not None and not hop.agent:
                    key_file.look(hop.key)
            for hop in hops:
                self.address = hop.address
                last = self._transports[-1] if self._transports else None
                self._transports.append(log_in(hop, last, connect_timeout_s, keepalive_s))
        except BaseException:
            self.close()
            raise
        watchdog.watch(self)

    def start(self, argv: Sequence[str]) -> SshChannel:
        transport = self._transports[-1]
        try:
            channel = transport.open_session(timeout=self._timeout_s)
            channel.exec_command(command_line(argv))
        except BROKE as error:
            raise self.given_up() or (
                tcp.silent(self.address, self._timeout_s, "opening a channel")
                if "Timeout opening" in str(error)
                else ConnectionLost(
                    f"no program could be started on {self.address}: {diagnosis.last_words(str(error)) or type(error).__name__}",
                    hint="Its log says why (journalctl -u ssh).",
                )
            ) from error
        return SshChannel(channel, self)

    def close(self) -> None:
        watchdog.unwatch(self)
        for transport in reversed(self._transports):
            transport.close()

    def given_up(self) -> ConnectionLost | None:
        """Return why the watchdog closed this link, if it did."""
        return None if self._silent_s is None else tcp.silent(self.address, self._silent_s, "not even to a keepalive")

    def killed_by(self, channel: paramiko.Channel) -> int | None:
        """Return 128 + the number of the signal that ended the channel's program; None: sshd has not reported one."""
        return self._packets().signals.get(channel.get_id())

    def _packets(self) -> Packets:
        packets = self._transports[-1].packetizer
        assert isinstance(packets, Packets)
        return packets

    # --- for the watchdog

    def silent_s(self) -> float:
        return time.monotonic() - self._packets().heard_s

    def ask(self) -> None:
        with contextlib.suppress(BROKE):  # sshd refuses an unknown request: an answer like any other
            self._transports[-1].global_request("keepalive@openssh.com", wait=True)

    def give_up(self, silent_s: float) -> None:
        self._silent_s = silent_s
        for transport in reversed(self._transports):
            transport.close()


def host_key(target: Target, number: int = -1, say: deadlines.Say | None = None) -> tuple[Hop, HostKey]:
    """Return the host key of hop `number` (of targets.ssh.route.route; the last is the board), without logging in there.

    The hops before it are logged in to, so their keys must be pinned. `say` is called with what is being waited for.
    """
    hops = route(target)
    with deadlines.Wait(hops[number].address, "show its host key", deadlines.ANSWER_S * len(hops), say):
        return _host_key(hops, number)


def _host_key(hops: Sequence[Hop], number: int) -> tuple[Hop, HostKey]:
    transports: list[paramiko.Transport] = []
    try:
        for hop in hops[: number % len(hops)]:
            before = transports[-1] if transports else None
            transports.append(log_in(hop, before, CONNECT_TIMEOUT_S, KEEPALIVE_S))
        hop = hops[number]
        transports.append(greet(hop, transports[-1] if transports else None, CONNECT_TIMEOUT_S, KEEPALIVE_S, set()))
        return hop, shown(transports[-1])
    finally:
        for transport in reversed(transports):
            transport.close()
