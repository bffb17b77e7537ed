"""A TCP proxy in front of a board's sshd with the delay, the rate and the faults of a link. It needs no privileges.

    with Proxy(port, delay_s=0.010, rate_bytes_s=1_250_000) as proxy:
        ...  # connect to 127.0.0.1, proxy.port
        proxy.cut()

"up" is from the host to the board, "down" the opposite direction. The rate applies to each direction and is shared by all
connections, like a board's link. It cannot imitate everything: TCP ends in the proxy, so connecting costs no round trip and
congestion control never sees the link.
"""

import asyncio
import contextlib
import dataclasses
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Literal, Self, TypeVar

Way = Literal["up", "down"]

CHUNK_BYTES = 64 * 1024
# On a shaped link, a chunk is what passes in this time, but at least a packet (1500 bytes on Ethernet).
CHUNK_S = 0.005
PACKET_BYTES = 1500
# The queue in front of a slow link, as in a router; beyond it the sender is slowed down.
QUEUE_S = 0.1
# The most in transit, for each connection and direction: 256 chunks are 16 MiB.
QUEUE_CHUNKS = 256
CONNECT_BACKLOG = 1024
CALL_TIMEOUT_S = 10.0
# SO_LINGER on, 0 s: close() sends RST (socket(7)).
RESET_ON_CLOSE = struct.pack("ii", 1, 0)

R = TypeVar("R")


@dataclasses.dataclass
class _Way:
    """One direction of the link, for all connections together."""

    delay_s: float
    rate_bytes_s: float | None
    passed: int = 0
    free_at: float = 0.0  # when the last accepted byte has left the sender's end
    trip_at: int | None = None
    trip: Callable[[], None] | None = None
    flip_at: int | None = None

    @property
    def chunk_bytes(self) -> int:
        if self.rate_bytes_s is None:
            return CHUNK_BYTES
        return min(CHUNK_BYTES, max(PACKET_BYTES, int(self.rate_bytes_s * CHUNK_S)))

    def occupy(self, size: int, now: float) -> float:
        """Put `size` bytes onto the link. Returns when the last of them arrives."""
        self.free_at = max(self.free_at, now) + (size / self.rate_bytes_s if self.rate_bytes_s else 0.0)
        return self.free_at + self.delay_s

    def next_piece(self, data: bytes) -> bytes:
        """Return the part of `data` that passes before the next fault, damaged if requested."""
        piece = data if self.trip_at is None else data[: self.trip_at - self.passed]
        if self.flip_at is not None and self.flip_at < self.passed + len(piece):
            damaged = bytearray(piece)
            damaged[self.flip_at - self.passed] ^= 1
            piece, self.flip_at = bytes(damaged), None
        self.passed += len(piece)
        return piece


class Proxy:
    """A context manager. Every fault may be called from any thread and has happened when the call returns."""

    def __init__(self, port: int, *, delay_s: float = 0.0, rate_bytes_s: float | None = None) -> None:
        """Forward to 127.0.0.1:`port`; `delay_s` is one way; `rate_bytes_s` None: unlimited."""
        self._server = ("127.0.0.1", port)
        self._ways: dict[Way, _Way] = {"up": _Way(delay_s, rate_bytes_s), "down": _Way(delay_s, rate_bytes_s)}
        self._endings: set[asyncio.Future[bool]] = set()  # one per open connection; the result: whether with a reset
        self._tasks: set[asyncio.Task[None]] = set()
        self._half_closed: list[socket.socket] = []
        self._door: list[socket.socket] = []  # the listening socket, and the one that fills its queue
        self.port = 0

    def __enter__(self) -> Self:
        # Bound but not listening: it keeps the port while new connections are refused.
        self._holder = _bound(0)
        self.port = self._holder.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._passing = asyncio.Event()
        self._passing.set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="edgepress-proxy", daemon=True)
        self._thread.start()
        self._call(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._holder.close()

    def passed(self, way: Way = "up") -> int:
        """Return the bytes that have passed so far."""
        return self._ways[way].passed

    # --- faults

    def cut(self, *, reset: bool = True) -> None:
        """End every connection, with a reset (RST) or as if the other side had closed it (FIN)."""
        self._call(self._cut(reset))

    def cut_after(self, size_bytes: int, way: Way = "up", *, reset: bool = True) -> None:
        """Cut once, after `size_bytes` more have passed that way; not one more is delivered."""
        self._call(self._trip_after(size_bytes, way, lambda: self._end_connections(reset)))

    def stall(self) -> None:
        """Pass nothing. Connections stay open and acknowledged, new ones are accepted, all until resume()."""
        self._call(self._stall())

    def stall_after(self, size_bytes: int, way: Way = "up") -> None:
        """Stall once, after `size_bytes` more have passed that way."""
        self._call(self._trip_after(size_bytes, way, self._passing.clear))

    def corrupt_after(self, size_bytes: int, way: Way = "up") -> None:
        """Flip one bit, once, in the byte after `size_bytes` more that way."""
        self._call(self._corrupt_after(size_bytes, way))

    def refuse(self) -> None:
        """Refuse new connections (RST) until resume(), like a board without a running sshd."""
        self._call(self._shut())

    def black_hole(self) -> None:
        """Leave new connections unanswered until resume(), like a board that is off."""
        self._call(self._black_hole())

    def resume(self) -> None:
        """Pass and accept connections again."""
        self._call(self._resume())

    # --- in the thread of the loop

    def _call(self, coroutine: Coroutine[Any, Any, R]) -> R:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(CALL_TIMEOUT_S)

    async def _open(self) -> None:
        listener = self._listen(CONNECT_BACKLOG)
        self._loop.add_reader(listener, self._accept, listener)

    async def _shut(self) -> None:
        for end in self._door:
            if self._loop.remove_reader(end):
                self._accept(end)  # it is already connected, so it is an old connection
            end.close()
        self._door.clear()

    async def _black_hole(self) -> None:
        await self._shut()
        # Linux does not answer a SYN if the queue of a listening socket is full; here one connection fills it.
        self._listen(0)
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", self.port))
        self._door.append(filler)

    def _listen(self, backlog: int) -> socket.socket:
        listener = _bound(self.port)
        self._door.append(listener)
        listener.listen(backlog)
        return listener

    async def _resume(self) -> None:
        self._passing.set()
        await self._shut()
        await self._open()

    async def _stall(self) -> None:
        self._passing.clear()

    async def _cut(self, reset: bool) -> None:
        self._end_connections(reset)
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _end(self) -> None:
        await self._shut()
        await self._cut(reset=True)
        for end in self._half_closed:
            end.close()

    async def _trip_after(self, size_bytes: int, way: Way, trip: Callable[[], None]) -> None:
        self._ways[way].trip_at, self._ways[way].trip = self._ways[way].passed + size_bytes, trip

    async def _corrupt_after(self, size_bytes: int, way: Way) -> None:
        self._ways[way].flip_at = self._ways[way].passed + size_bytes

    def _end_connections(self, reset: bool) -> None:
        for ending in self._endings:
            if not ending.done():
                ending.set_result(reset)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                near, _ = listener.accept()
                near.setblocking(False)
                task = self._loop.create_task(self._serve(near))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _serve(self, near: socket.socket) -> None:
        """Serve one connection from start to end."""
        far = socket.socket()
        ending: asyncio.Future[bool] = self._loop.create_future()
        self._endings.add(ending)
        passing = asyncio.create_task(self._pass_both(near, far, ending))
        first_of: set[asyncio.Future[Any]] = {passing, ending}
        await asyncio.wait(first_of, return_when=asyncio.FIRST_COMPLETED)
        self._endings.remove(ending)
        await _cancelled(passing)
        failed = not passing.cancelled() and passing.exception() is not None
        for end in (near, far):
            if ending.done() and not ending.result():
                # Linux turns closing a socket with unread bytes into a reset, so it is closed at the end.
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_WR)
                self._half_closed.append(end)
                continue
            if failed or ending.done():
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            end.close()

    async def _pass_both(self, near: socket.socket, far: socket.socket, ending: asyncio.Future[bool]) -> None:
        far.setblocking(False)
        await self._loop.sock_connect(far, self._server)
        async with asyncio.TaskGroup() as group:
            for source, sink, way in ((near, far, self._ways["up"]), (far, near, self._ways["down"])):
                sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUE_CHUNKS)
                group.create_task(self._take(source, line, way))
                group.create_task(self._deliver(line, sink, way, ending))

    async def _take(self, source: socket.socket, line: asyncio.Queue[tuple[float, bytes]], way: _Way) -> None:
        data = b"."
        while data:  # the empty read at the end is passed on, too
            data = await self._loop.sock_recv(source, way.chunk_bytes)
            await line.put((way.occupy(len(data), self._loop.time()), data))
            await _sleep(way.free_at - QUEUE_S - self._loop.time())

    async def _deliver(
        self, line: asyncio.Queue[tuple[float, bytes]], sink: socket.socket, way: _Way, ending: asyncio.Future[bool]
    ) -> None:
        while True:
            due, data = await line.get()
            await _sleep(due - self._loop.time())
            await self._passing.wait()
            if not data:
                sink.shutdown(socket.SHUT_WR)
                return
            while data and not ending.done():
                piece = way.next_piece(data)
                await self._loop.sock_sendall(sink, piece)
                data = data[len(piece) :]
                if way.trip is not None and way.trip_at == way.passed:
                    trip, way.trip, way.trip_at = way.trip, None, None
                    trip()
                    await self._passing.wait()


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setblocking(False)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", port))
    return bound


async def _sleep(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
