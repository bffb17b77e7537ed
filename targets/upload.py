"""A blob to the board: in frames, from where the last try ended, deflated where that is quicker."""

import time
import zlib
from collections.abc import Callable

from device_agent import wire
from targets import plausible, waiting
from targets.conversation import Conversation
from targets.errors import Busy, NotTheAgent, UploadDamaged
from targets.waiting import SLOWEST_BYTES_S, Wait

SAMPLE_BYTES = 4096  # of a piece: tells in 0.1 ms whether zlib is of use at all
WORTH = 0.9  # of its size: less gain is not worth the board's time
LEVEL = 3
# What the windows and buffers on the way take in before anything has arrived: sshd's window of a channel is 2 MiB.
BUFFERED_BYTES = 4 << 20
OTHER_RECEIVER_S = 60.0  # for an agent that has lost its host, or is about to (channel.SILENT_S), and its last sync


class Pace:
    """Deflate a piece, or send it as it is? Deflated pieces are sent until the link shows that it is quicker than zlib."""

    def __init__(self) -> None:
        self._sent_bytes, self._sending_s = 0, 0.0
        self._deflate_s_per_byte = 0.0

    def coded(self, piece: memoryview) -> tuple[int, bytes | memoryview]:
        """(coding, bytes)."""
        sample = piece[:SAMPLE_BYTES]
        if len(zlib.compress(sample, 1)) > WORTH * len(sample) or not self._pays():
            return wire.RAW, piece
        began = time.monotonic()
        deflated = zlib.compress(piece, LEVEL)
        self._deflate_s_per_byte = (time.monotonic() - began) / max(len(piece) - len(deflated), 1)
        return (wire.DEFLATED, deflated) if len(deflated) < len(piece) else (wire.RAW, piece)

    def sent(self, size: int, seconds: float) -> None:
        """`seconds`: what the link took to take it; nothing, as long as it is quicker than zlib."""
        self._sent_bytes += size
        self._sending_s += seconds

    def _pays(self) -> bool:
        """Whether it takes less time to save a byte than to send one."""
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
    """Send what is missing of a blob; it is complete and durable on the board when this returns. `sent` is told the bytes
    that are there so far. Returns the bytes that went over the link. TargetErrors, as the agent or the link say.
    """
    try:
        return _send(talk, data, sha256, sent, wait, deflate)
    except UploadDamaged:  # what was there of an earlier try was damaged, as after a power cut; it is gone now
        wait.news(limit_s=limit_s(len(data)))
        return _send(talk, data, sha256, sent, wait, deflate)


def limit_s(size_bytes: int) -> float:
    """Of a whole upload: the board hashes what it has of it, takes the rest, and syncs it."""
    return 2 * waiting.ANSWER_S + size_bytes / SLOWEST_BYTES_S


def send_rest(
    talk: Conversation, data: bytes | memoryview, sha256: str, sent: Callable[[int], None] | None, wait: Wait
) -> None:
    """send_blob after the link broke in the middle of it: the blob may be complete, only its acknowledgement was lost; or
    the agent of the broken link may still be busy writing it.
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
    talk: Conversation, data: bytes | memoryview, sha256: str, sent: Callable[[int], None] | None, wait: Wait, deflate: bool,
) -> int:  # fmt: skip
    offset = talk.ask(wire.Put(sha256, len(data)), wire.Ready, wait).offset_bytes
    if not 0 <= offset <= len(data):
        raise NotTheAgent(f"{talk.address} wants the bytes from {offset} on, of {len(data)}", hint="Run again.")
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
        wait.detail = f" ({offset / 1e6:.1f} MB went so far)"
        if sent is not None:
            wait.news()  # it is shown
            sent(offset)
        if offset < len(data) and talk.has_answer():  # it can only be a failure
            talk.send(wire.FRAME.pack(wire.END, 0, 0), wait)
            break
    plausible.answer(talk.address, wire.Get(sha256), talk.expect(wire.Stored, wait))
    return sent_bytes
