"""Blobs in and out: Have, Put, Get.

A blob appears under its hash when every byte has arrived, has the right hash and is on the disk; never before. The received part
of an upload that was cut off stays in partial/, and the next upload resumes there.
"""

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import queue
import threading
import zlib
from typing import Any, Iterator, Optional

from device_agent import wire
from device_agent.channel import Channel, HostGone, Refused
from device_agent.files.layout import CHUNK_BYTES, Layout, commit, sync, touch

PIECES_AHEAD = 2  # of a blob, received and not yet written: at most 1 MiB each
WRITE = 2  # SYNC_FILE_RANGE_WRITE of linux/fs.h
TROUBLE = {
    errno.ENOSPC: "no_space", errno.EFBIG: "no_space", errno.EDQUOT: "quota", errno.EROFS: "read_only",
    errno.EACCES: "not_writable", errno.EPERM: "not_writable",
}  # fmt: skip


def have(layout: Layout, request: wire.Have) -> wire.Present:
    """Serve wire.Have. What is here counts as in use: it is not removed while this agent runs, nor soon after."""
    layout.use()
    blobs = tuple(sha256 for sha256 in request.blobs if os.path.isfile(layout.blob(sha256)))
    sites = tuple(sha256 for sha256 in request.sites if os.path.isdir(layout.site(sha256)))
    for path in (*map(layout.blob, blobs), *map(layout.site, sites)):
        touch(path)
    return wire.Present(blobs, sites)


def put(layout: Layout, channel: Channel, request: wire.Put) -> Optional[wire.Stored]:
    """Answer Ready, read frames of what is missing, return Stored; or send Failure as soon as something fails, and return None.

    Failures: no_space, not_writable, busy, bad_upload. The conversation stays in step after each of them. A blob that is
    already here (the host sends Have first, so another host was faster) is received again: the host gets the answers that it
    expects, and a copy that was damaged on the disk is replaced.
    """
    if request.size_bytes < 0:
        raise Refused("bad_request", f"size_bytes is {request.size_bytes}")
    partial = layout.partial(request.sha256)
    layout.use()
    try:
        with _only_receiver(partial, request.sha256) as file:
            upload = _Upload(file, partial, request, layout)
            try:
                layout.require_room(request.size_bytes - upload.offset)
            except Refused:
                upload.discard()
                raise
            channel.send(wire.Ready(request.sha256, upload.offset))
            if not upload.take(channel):
                return None
            try:
                sync(partial)
            except OSError:
                upload.discard()  # the kernel reports a failed write once (fsync(2)): the next fsync would succeed
                raise
            commit(partial, layout.blob(request.sha256))
    except OSError as error:
        raise explained(error, layout) from error
    return wire.Stored(request.sha256)


def get(layout: Layout, channel: Channel, request: wire.Get) -> None:
    """Send Blob, then the bytes. Refused: not_found."""
    try:
        file = open(layout.blob(request.sha256), "rb")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        raise Refused("not_found", f"there is no blob {request.sha256}") from None
    with file:
        size_bytes = os.fstat(file.fileno()).st_size
        channel.send(wire.Blob(request.sha256, size_bytes))
        channel.send_file(file, size_bytes)


@contextlib.contextmanager
def _only_receiver(path: str, sha256: str) -> Iterator[Any]:
    """Open and lock the partial file: only one host at a time sends a blob. Refused "busy" for the others."""
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b", buffering=0)
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Refused("busy", f"another host is sending {sha256[:12]}") from None
            if not _is_still(path, file):
                continue  # another host has just finished, or an agent has removed it
            yield file
            return


def _is_still(path: str, file: Any) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


class _Upload:
    """The received part of a blob, and its hash."""

    def __init__(self, file: Any, path: str, request: wire.Put, layout: Layout) -> None:
        self.file, self.path, self.request, self.layout = file, path, request, layout
        self.digest = hashlib.sha256()
        if os.fstat(file.fileno()).st_size > request.size_bytes:
            file.truncate(0)
        for data in iter(lambda: file.read(CHUNK_BYTES), b""):
            self.digest.update(data)
        self.offset: int = file.tell()

    def take(self, channel: Channel) -> bool:
        """Receive the rest; whether the blob is complete and right. If not, Failure was sent at once and all frames were read."""
        sound, writer = True, _Writer(self.file, self.digest)
        try:
            while self.offset < self.request.size_bytes:
                coding, coded_bytes, size_bytes = wire.FRAME.unpack(channel.read_exactly(wire.FRAME.size))
                if coding == wire.END:
                    writer.stop()
                    return self._failed(channel, Refused("bad_upload", "the host ended the upload"), sound)
                left = self.request.size_bytes - self.offset
                if not 0 < size_bytes <= min(left, wire.MAX_FRAME_BYTES) or coded_bytes > wire.MAX_FRAME_BYTES:
                    raise HostGone(f"a frame of {coded_bytes} bytes for {size_bytes} of {left} that are missing")
                data = channel.read_exactly(coded_bytes)
                self.offset += size_bytes
                if sound:
                    try:
                        writer.put(_decoded(coding, data, size_bytes))
                        if self.offset == self.request.size_bytes:
                            writer.finish()
                    except (Refused, OSError) as error:
                        writer.stop()
                        self.discard()  # frees its space now
                        sound = self._failed(channel, error, sound)
        finally:
            writer.stop()
        if sound and self.digest.hexdigest() != self.request.sha256:
            self.discard()
            wrong = f"{self.offset} bytes are here, with the hash {self.digest.hexdigest()}"
            sound = self._failed(channel, Refused("bad_upload", wrong), sound)
        return sound

    def discard(self) -> None:
        self.file.truncate(0)
        os.unlink(self.path)

    def _failed(self, channel: Channel, error: "Refused | OSError", first: bool) -> bool:
        """Send the failure if it is the first. Returns False."""
        refused = error if isinstance(error, Refused) else explained(error, self.layout)
        if first:
            channel.send(refused.failure())
        return False


class _Writer:
    """Hashes and writes the pieces of a blob in its own thread while the next ones arrive: a tenth faster."""

    def __init__(self, file: Any, digest: Any) -> None:
        self.file, self.digest = file, digest
        self.pieces: Any = queue.Queue(PIECES_AHEAD)
        self.error: Optional[OSError] = None
        self.sync_file_range = _sync_file_range()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def put(self, data: "bytes | bytearray") -> None:
        """Queue a piece. OSError of an earlier piece."""
        if self.error is not None:
            raise self.error
        self.pieces.put(data)

    def finish(self) -> None:
        """Wait until all is written. OSError as put()."""
        self.stop()
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        if self.thread.is_alive():
            self.pieces.put(None)
            self.thread.join()

    def _run(self) -> None:
        for data in iter(self.pieces.get, None):
            try:
                if self.error is None:
                    self.digest.update(data)
                    view = memoryview(data)
                    while view:
                        view = view[self.file.write(view) :]
                    self._write_out(len(data))
            except OSError as error:
                self.error = error

    def _write_out(self, size: int) -> None:
        """Let the kernel start writing now, so that the final sync waits less (sync_file_range(2)). Only a hint."""
        if self.sync_file_range is not None:
            start, length = ctypes.c_int64(self.file.tell() - size), ctypes.c_int64(size)
            self.sync_file_range(self.file.fileno(), start, length, WRITE)


def _sync_file_range() -> Any:
    """Return sync_file_range of the C library; None if it has none."""
    try:
        return getattr(ctypes.CDLL(None), "sync_file_range", None)
    except OSError:
        return None


def _decoded(coding: int, data: "bytes | bytearray", size_bytes: int) -> "bytes | bytearray":
    """Return the blob's bytes in a frame. Refused "bad_upload" for anything but exactly `size_bytes`."""
    if coding == wire.DEFLATED:
        inflater = zlib.decompressobj()
        try:
            data = inflater.decompress(data, size_bytes + 1)
        except zlib.error as error:
            raise Refused("bad_upload", f"a frame cannot be inflated: {error}") from error
    if len(data) != size_bytes or coding not in (wire.RAW, wire.DEFLATED):
        raise Refused("bad_upload", f"a frame of coding {coding} holds {len(data)} bytes, not {size_bytes}")
    return data


def explained(error: OSError, layout: Layout) -> Refused:
    """Return the kernel's error for the host. ENOSPC may also mean that the file system is out of inodes."""
    name = errno.errorcode.get(error.errno or 0, "")
    kind = TROUBLE.get(error.errno or 0, "internal")
    if kind == "no_space" and layout.is_out_of_inodes():
        kind = "no_inodes"
    return Refused(kind, f"{error.strerror}: {error.filename or 'while writing'}", name)
