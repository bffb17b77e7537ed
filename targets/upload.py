"""Upload a blob to the board: in frames, from where the last attempt ended, deflated if that is faster."""

import time
import zlib
from collections.abc import Callable

from device_agent import wire
from targets import deadlines, plausible
from targets.conversation import Conversation
from targets.deadlines import SLOWEST_BYTES_S, Wait
from targets.errors import Busy, NotTheAgent, UploadDamaged

SAMPLE_BYTES = 4096  # of a piece: shows in 0.1 ms whether zlib helps at all
WORTH = 0.9  # of its size: a smaller gain is not worth the board's time
LEVEL = 3
# What windows and buffers on the way hold before anything arrives: sshd's channel window is 2 MiB.
BUFFERED_BYTES = 4 << 20
OTHER_RECEIVER_S = 60.0  # for an agent to notice that its host has left (channel.SILENT_S), and its last sync


class Pace:
    """Decides whether to deflate a piece. Pieces are deflated until the link proves faster than zlib."""

    def __init__(self) -> None:
        self._sent_bytes, self._sending_s = 0, 0.0
        self._deflate_s_per_byte = 0.0

    def coded(self, piece: memoryview) -> tuple[int, bytes | memoryview]:
        """Return (coding, bytes) of a piece."""
        sample = piece[:SAMPLE_BYTES]
        if len(zlib.compress(sample, 1)) > WORTH * len(sample) or not self._pays():
            return wire.RAW, piece
        began = time.monotonic()
        deflated = zlib.compress(piece, LEVEL)
        self._deflate_s_per_byte = (time.monotonic() - began) / max(len(piece) - len(deflated), 1)
        return (wire.DEFLATED, deflated) if len(deflated) < len(piece) else (wire.RAW, piece)

    def sent(self, size: int, seconds: float) -> None:
        """Record what was sent. `seconds`: how long the link took to accept it; 0 as long as it is faster than zlib."""
        self._sent_bytes += size
        self._sending_s += seconds

    def _pays(self) -> bool:
        """Whether saving a byte takes less time than sending one."""
        arrived = self._sent_bytes - BUFFERED_BYTES
        if arrived <= 0 or not self._deflate_s_per_byte:
            return True
        return self._deflate_s_per_byte < self._sending_s / arrived


def send_blob(
    talk: Conversation,
    data: bytes | memoryview,
    sha256: str,
    sent: Callable[[int], None] | None,
    wait: Wait,
    *,
    deflate: bool = True,
) -> int:
    """Send the missing part of a blob; it is complete and durable on the board when this returns. `sent` is called with the bytes
    that are there so far. Returns the bytes that went over the link. TargetErrors of the agent and the link.
    """
    try:
        return _send(talk, data, sha256, sent, wait, deflate)
    except UploadDamaged:  # an earlier partial upload was damaged, as by a power cut; the board has removed it
        wait.news(limit_s=limit_s(len(data)))
        return _send(talk, data, sha256, sent, wait, deflate)


def limit_s(size_bytes: int) -> float:
    """Return the limit for a whole upload: the board hashes what it has of it, receives the rest, and syncs it."""
    return 2 * deadlines.ANSWER_S + size_bytes / SLOWEST_BYTES_S


def send_rest(
    talk: Conversation, data: bytes | memoryview, sha256: str, sent: Callable[[int], None] | None, wait: Wait
) -> None:
    """Send a blob again after the link broke: it may be complete, with only the acknowledgement lost, or the agent of the
    broken link may still be writing it.
    """
    deadline = time.monotonic() + OTHER_RECEIVER_S
    while sha256 not in talk.ask(wire.Have((sha256,), ()), wire.Present, wait).blobs:
        try:
            send_blob(talk, data, sha256, sent, wait)
        except Busy:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _send(
    talk: Conversation,
    data: bytes | memoryview,
    sha256: str,
    sent: Callable[[int], None] | None,
    wait: Wait,
    deflate: bool,
) -> int:
    offset = talk.ask(wire.Put(sha256, len(data)), wire.Ready, wait).offset_bytes
    if not 0 <= offset <= len(data):
        raise NotTheAgent(f"{talk.address} asks for the bytes from {offset} on, of {len(data)}", hint="Run again.")
    view, pace, sent_bytes = memoryview(data), Pace(), 0
    while offset < len(data):
        piece = view[offset : offset + wire.MAX_FRAME_BYTES]
        coding, coded = pace.coded(piece) if deflate else (wire.RAW, piece)
        began = time.monotonic()
        talk.send(wire.FRAME.pack(coding, len(coded), len(piece)), wait)
        talk.send(coded, wait)
        pace.sent(len(coded), time.monotonic() - began)
        sent_bytes += len(coded)
        offset += len(piece)
        wait.detail = f" ({offset / 1e6:.1f} MB sent so far)"
        if sent is not None:
            wait.news()  # the caller shows it
            sent(offset)
        if offset < len(data) and talk.has_answer():  # it can only be a failure
            talk.send(wire.FRAME.pack(wire.END, 0, 0), wait)
            break
    plausible.answer(talk.address, wire.Get(sha256), talk.expect(wire.Stored, wait))
    return sent_bytes
