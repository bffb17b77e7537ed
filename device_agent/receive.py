"""Blobs in and out: Have, Put, Get.

A blob appears under its hash when every byte has arrived, has the right hash and lies on the disk; never before. What has
come of an upload that was cut off stays in partial/ and is gone on with.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import zlib
from typing import Any, Iterator, Optional

from device_agent import wire
from device_agent.channel import Channel, HostGone, Refused
from device_agent.place import CHUNK_BYTES, Place, commit, sync

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


def have(place: Place, request: wire.Have) -> wire.Present:
    return wire.Present(
        blobs=tuple(sha256 for sha256 in request.blobs if os.path.isfile(place.blob(sha256))),
        sites=tuple(sha256 for sha256 in request.sites if os.path.isdir(place.site(sha256))),
    )


def put(place: Place, channel: Channel, request: wire.Put) -> Optional[wire.Stored]:
    """Answer Ready, take frames of what is missing, return Stored; or answer Failure as soon as there is trouble: None then.

    Failures: no_space, not_writable, busy, bad_upload. The conversation stays in step after each of them. A blob that is
    already here (the host asks Have first, so somebody else has just been quicker) is taken once more: the host gets the
    answers that it expects, and a copy that was damaged on the disk is replaced.
    """
    if request.size_bytes < 0:
        raise Refused("bad_request", f"size_bytes is {request.size_bytes}")
    partial = place.partial(request.sha256)
    try:
        with _only_receiver(partial, request.sha256) as file:
            upload = _Upload(file, partial, request)
            try:
                place.require_room(request.size_bytes - upload.offset)
            except Refused:
                upload.discard()
                raise
            channel.send(wire.Ready(request.sha256, upload.offset))
            if not upload.take(channel):
                return None
            try:
                sync(partial)
            except OSError:
                upload.discard()  # the kernel reports a failed write once (fsync(2)): the next fsync would acknowledge it
                raise
            commit(partial, place.blob(request.sha256))
    except OSError as error:
        raise explained(error) from error
    return wire.Stored(request.sha256)


def get(place: Place, channel: Channel, request: wire.Get) -> None:
    """Send Blob, then the bytes. Refused: not_found."""
    try:
        file = open(place.blob(request.sha256), "rb")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        raise Refused("not_found", f"there is no blob {request.sha256}") from None
    with file:
        size_bytes = os.fstat(file.fileno()).st_size
        channel.send(wire.Blob(request.sha256, size_bytes))
        channel.send_file(file, size_bytes)


@contextlib.contextmanager
def _only_receiver(path: str, sha256: str) -> Iterator[Any]:
    """The partial file, locked: one host at a time sends a blob. Refused "busy" for the others."""
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b", buffering=0)
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Refused("busy", f"another host is sending {sha256[:12]}") from None
            if not _is_still(path, file):
                continue  # another host has just finished, or an agent has collected it
            yield file
            return


def _is_still(path: str, file: Any) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


class _Upload:
    """The blob as far as it is here, and its hash."""

    def __init__(self, file: Any, path: str, request: wire.Put) -> None:
        self.file, self.path, self.request = file, path, request
        self.digest = hashlib.sha256()
        if os.fstat(file.fileno()).st_size > request.size_bytes:
            file.truncate(0)
        for data in iter(lambda: file.read(CHUNK_BYTES), b""):
            self.digest.update(data)
        self.offset: int = file.tell()

    def take(self, channel: Channel) -> bool:
        """Whether the blob is here and right. If not, the host has been told at once, and the rest of its frames is consumed."""
        sound, room = True, memoryview(bytearray(wire.MAX_FRAME_BYTES))
        while self.offset < self.request.size_bytes:
            coding, coded_bytes, size_bytes = wire.FRAME.unpack(channel.read_exactly(wire.FRAME.size))
            if coding == wire.END:
                return self._failed(channel, Refused("bad_upload", "the host ended the upload"), sound)
            left = self.request.size_bytes - self.offset
            if not 0 < size_bytes <= min(left, wire.MAX_FRAME_BYTES) or coded_bytes > wire.MAX_FRAME_BYTES:
                raise HostGone(f"a frame of {coded_bytes} bytes for {size_bytes} of {left} that are missing")
            data = room[:coded_bytes]
            channel.read_into(data)
            self.offset += size_bytes
            if sound:
                try:
                    self._keep(_decoded(coding, data, size_bytes))
                except (Refused, OSError) as error:
                    self.discard()  # others need the room now
                    sound = self._failed(channel, error, sound)
        if sound and self.digest.hexdigest() != self.request.sha256:
            self.discard()
            wrong = f"{self.offset} bytes are here, with the hash {self.digest.hexdigest()}"
            sound = self._failed(channel, Refused("bad_upload", wrong), sound)
        return sound

    def discard(self) -> None:
        self.file.truncate(0)
        os.unlink(self.path)

    def _keep(self, data: "bytes | memoryview") -> None:
        self.digest.update(data)
        view = memoryview(data)
        while view:
            view = view[self.file.write(view) :]

    @staticmethod
    def _failed(channel: Channel, error: "Refused | OSError", first: bool) -> bool:
        """Tell the host, once."""
        refused = error if isinstance(error, Refused) else explained(error)
        if first:
            channel.send(refused.failure())
        return False


def _decoded(coding: int, data: "bytes | memoryview", size_bytes: int) -> "bytes | memoryview":
    """The bytes of the blob in a frame. Refused "bad_upload" for anything but exactly `size_bytes`."""
    if coding == wire.DEFLATED:
        inflater = zlib.decompressobj()
        try:
            data = inflater.decompress(data, size_bytes + 1)
        except zlib.error as error:
            raise Refused("bad_upload", f"a frame can not be inflated: {error}") from error
    if len(data) != size_bytes or coding not in (wire.RAW, wire.DEFLATED):
        raise Refused("bad_upload", f"a frame of coding {coding} holds {len(data)} bytes, not {size_bytes}")
    return data


def explained(error: OSError) -> Refused:
    """What the board's kernel said, for the host."""
    name = errno.errorcode.get(error.errno or 0, "")
    kinds = {**dict.fromkeys(NOT_WRITABLE, "not_writable"), **dict.fromkeys(DISK_FULL, "no_space")}
    kind = kinds.get(error.errno or 0, "internal")
    return Refused(kind, f"{error.strerror}: {error.filename or 'while writing'}", name)
