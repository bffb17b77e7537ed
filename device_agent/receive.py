"""Blobs in and out: Have, Put, Get.

A blob appears under its hash when every byte has arrived, has the right hash and lies on the disk; never before.
"""

import errno
import hashlib
import os
import tempfile
from typing import Optional, Tuple

from device_agent import wire
from device_agent.channel import CHUNK_BYTES, Channel, Refused
from device_agent.place import Place, commit

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def have(place: Place, request: wire.Have) -> wire.Present:
    return wire.Present(
        blobs=tuple(sha256 for sha256 in request.blobs if os.path.isfile(place.blob(sha256))),
        sites=tuple(sha256 for sha256 in request.sites if os.path.isdir(place.site(sha256))),
    )


def put(place: Place, work: str, channel: Channel, request: wire.Put) -> wire.Stored:
    """Answer Ready, take `size_bytes` bytes, return Stored.

    Refused: no_space, busy, bad_upload. Before Ready nothing of the stream is consumed, afterwards exactly `size_bytes`.
    A blob that is already here (the host asks Have first, so somebody else has just been quicker) is taken once more: the
    host gets the answers that it expects, and a copy that was damaged on the disk is replaced.
    """
    final = place.blob(request.sha256)
    if request.size_bytes < 0:
        raise Refused("bad_request", f"size_bytes is {request.size_bytes}")
    with place.only_sender(request.sha256):
        place.require_room(request.size_bytes)
        descriptor, temporary = tempfile.mkstemp(prefix="put-", dir=work)
        try:
            channel.send(wire.Ready(request.sha256))
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                actual, trouble = _take(channel, request.size_bytes, file.fileno())
            if trouble is not None:
                raise _explained(trouble)
            if actual != request.sha256:
                raise Refused("bad_upload", f"{request.size_bytes} bytes came, with the hash {actual}")
            try:
                commit(temporary, final)
            except OSError as error:
                raise _explained(error) from error
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)
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


def _take(channel: Channel, size_bytes: int, descriptor: int) -> Tuple[str, Optional[OSError]]:
    """Consume exactly `size_bytes`; return their hash and the first trouble in writing them.

    The rest is consumed also after a trouble, because the host does not listen before it has sent everything.
    """
    digest, trouble = hashlib.sha256(), None
    while size_bytes:
        data = channel.read_some(min(size_bytes, CHUNK_BYTES))
        size_bytes -= len(data)
        digest.update(data)
        try:
            while data and trouble is None:
                data = data[os.write(descriptor, data) :]
        except OSError as error:
            trouble = error
            os.ftruncate(descriptor, 0)  # others need the room now
    return digest.hexdigest(), trouble


def _explained(trouble: OSError) -> Exception:
    if trouble.errno in DISK_FULL:
        return Refused("no_space", f"the disk became full while the blob was written: {trouble.strerror}")
    return trouble
