"""Uploads and downloads in this process, over real pipes: every answer word for word, every bound on both of its sides."""

import errno
import io
import os
import random
import resource
import time
import zlib
from pathlib import Path

import pytest

from device_agent import wire
from device_agent.channel import HostGone, Refused
from device_agent.files import layout as places
from device_agent.files import transfer
from device_agent.files.layout import CHUNK_BYTES, MARGIN_BYTES, locked
from tests.support.agent_inside import is_held, refused
from tests.support.agent_process import frames, names, sha256

DATA = random.Random(1).randbytes(1000)
NAME = sha256(DATA)
END = wire.FRAME.pack(wire.END, 0, 0)


def raw(data: bytes) -> bytes:
    return wire.FRAME.pack(wire.RAW, len(data), len(data)) + data


def unfinished(place) -> list[str]:
    return names(Path(place.root, "partial")) + names(Path(place.tmp))


# --- what is there


def test_have_tells_files_and_folders_apart_and_notes_their_use(place):
    there, wrong = "a" * 64, "b" * 64
    Path(place.blob(there)).write_bytes(b"")
    Path(place.site(wrong)).write_bytes(b"")
    Path(place.site(there)).mkdir()
    Path(place.blob(wrong)).mkdir()
    for path in (place.blob(there), place.site(there)):
        os.utime(path, (10**9, 10**9))
    assert not is_held(place)
    assert transfer.have(place, wire.Have((there, wrong), (wrong, there))) == wire.Present((there,), (there,))
    assert is_held(place)
    assert Path(place.blob(there)).stat().st_atime > time.time() - 60
    assert Path(place.site(there)).stat().st_mtime > time.time() - 60


def test_get_sends_the_length_and_the_bytes(place, host):
    Path(place.blob(NAME)).write_bytes(DATA)
    assert transfer.get(place, host.channel, wire.Get(NAME)) is None
    assert host.said() == wire.encode(wire.Blob(NAME, 1000)) + DATA


def test_get_of_what_is_not_there(place, host):
    assert refused(transfer.get, place, host.channel, wire.Get(NAME)) == ("not_found", f"there is no blob {NAME}", "")
    assert host.said() == b""


# --- an upload that goes well


@pytest.mark.parametrize("size", [0, 1, 999, 1000])
def test_an_upload(place, host, size):
    data = DATA[:size]
    host.send(frames(data, 100))
    assert transfer.put(place, host.channel, wire.Put(sha256(data), size)) == wire.Stored(sha256(data))
    assert host.records() == [wire.Ready(sha256(data), 0)]
    assert Path(place.blob(sha256(data))).read_bytes() == data
    assert unfinished(place) == []
    assert is_held(place)


@pytest.mark.parametrize(("found", "offset"), [(0, 0), (1, 1), (999, 999), (1000, 1000), (1001, 0)])
def test_it_goes_on_behind_what_is_there(place, host, found, offset):
    Path(place.partial(NAME)).write_bytes((DATA + b"more")[:found])
    if offset < len(DATA):
        host.send(raw(DATA[offset:]))
    assert transfer.put(place, host.channel, wire.Put(NAME, 1000)) == wire.Stored(NAME)
    assert host.records() == [wire.Ready(NAME, offset)]


@pytest.mark.parametrize("missing", [0, 1])
def test_room_is_needed_for_what_is_missing(place, host, monkeypatch, missing):
    Path(place.partial(NAME)).write_bytes(DATA[:400])
    monkeypatch.setattr(places, "free_bytes", lambda path: MARGIN_BYTES + 600 - missing)
    if missing:
        error, message, name = refused(transfer.put, place, host.channel, wire.Put(NAME, 1000))
        assert (error, name) == ("no_space", "ENOSPC")
        assert f"600 + {MARGIN_BYTES} are needed" in message
        assert (unfinished(place), host.said()) == ([], b"")  # what is there is not kept: others need the room
    else:
        host.send(raw(DATA[400:]))
        assert transfer.put(place, host.channel, wire.Put(NAME, 1000)) == wire.Stored(NAME)


def test_a_long_partial_is_read_in_pieces(place):
    sizes = []

    class Read(io.FileIO):
        def read(self, size=-1):
            sizes.append(size)
            return super().read(size)

    with Read(place.partial(NAME), "w+b") as file:
        file.write(DATA)
        file.seek(0)
        upload = transfer._Upload(file, place.partial(NAME), wire.Put(NAME, 2000), place)
    assert (upload.offset, upload.digest.hexdigest(), set(sizes)) == (1000, NAME, {CHUNK_BYTES})


# --- what is wrong with it


def test_a_blob_of_less_than_nothing(place, host):
    assert refused(transfer.put, place, host.channel, wire.Put(NAME, -1)) == ("bad_request", "size_bytes is -1", "")


def test_one_host_at_a_time_sends_a_blob(place, host):
    Path(place.partial(NAME)).write_bytes(DATA[:5])
    with locked(place.partial(NAME)):
        said = refused(transfer.put, place, host.channel, wire.Put(NAME, 1000))
    assert said == ("busy", f"another host is sending {NAME[:12]}", "")


def failure_of(place, host, stream: bytes, size: int = 1000) -> wire.Failure:
    """The only answer after Ready; the whole stream is consumed."""
    host.send(stream + b"next")
    assert transfer.put(place, host.channel, wire.Put(NAME, size)) is None
    ready, failure = host.records()
    assert ready.offset_bytes == 0
    assert host.channel.read_exactly(4) == b"next"
    return failure


def test_the_host_ends_it(place, host):
    failure = failure_of(place, host, raw(DATA[:300]) + END)
    assert failure == wire.Failure("bad_upload", "the host ended the upload", "")
    assert Path(place.partial(NAME)).read_bytes() == DATA[:300]  # it may go on there


def test_another_hash(place, host):
    wrong = b"x" + DATA[1:]
    held = os.open(place.partial(NAME), os.O_RDONLY | os.O_CREAT)
    failure = failure_of(place, host, raw(wrong))
    assert failure == wire.Failure("bad_upload", f"1000 bytes are here, with the hash {sha256(wrong)}", "")
    assert os.fstat(held).st_size == 0  # its room is free, whoever has it open
    os.close(held)
    assert unfinished(place) == names(Path(place.root, "blobs")) == []


JUNK = "Error -3 while decompressing data: incorrect header check"


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (wire.FRAME.pack(wire.RAW, 3, 4) + b"abc", "a frame of coding 0 holds 3 bytes, not 4"),
        (wire.FRAME.pack(7, 4, 4) + b"abcd", "a frame of coding 7 holds 4 bytes, not 4"),
        (wire.FRAME.pack(wire.DEFLATED, 4, 4) + b"junk", f"a frame cannot be inflated: {JUNK}"),
        (
            wire.FRAME.pack(wire.DEFLATED, len(zlib.compress(DATA[:9])), 4) + zlib.compress(DATA[:9]),
            "a frame of coding 1 holds 5 bytes, not 4",  # no more of it is inflated
        ),
    ],
)
def test_a_frame_that_is_not_what_it_says(place, host, frame, message):
    """It is told once, whatever comes after it."""
    rest = raw(DATA[4:900]) + frame + raw(DATA[:96])
    assert failure_of(place, host, frame + rest) == wire.Failure("bad_upload", message, "")
    assert unfinished(place) == []


def test_it_is_told_once_where_the_host_ends_it_then(place, host):
    failure = failure_of(place, host, wire.FRAME.pack(7, 4, 4) + b"abcd" + END)
    assert failure.message == "a frame of coding 7 holds 4 bytes, not 4"


@pytest.mark.parametrize(
    ("header", "is_taken"),
    [
        ((wire.RAW, 0, 0), False),
        ((wire.RAW, 1, 1), True),
        ((wire.RAW, 100, 100), True),
        ((wire.RAW, 100, 101), False),
        ((wire.DEFLATED, 101, 100), False),
    ],
)
def test_the_bounds_of_a_frame(place, host, monkeypatch, header, is_taken):
    monkeypatch.setattr(wire, "MAX_FRAME_BYTES", 100)
    host.send(wire.FRAME.pack(*header) + DATA[: header[1]])
    with pytest.raises(HostGone) as told:
        transfer.put(place, host.channel, wire.Put(NAME, 1000))
    bad = f"a frame of {header[1]} bytes for {header[2]} of 1000 that are missing"
    assert str(told.value) == ("the input ended" if is_taken else bad)


@pytest.mark.parametrize(("size", "is_taken"), [(700, True), (701, False)])
def test_no_frame_holds_more_than_is_missing(place, host, size, is_taken):
    host.send(raw(DATA[:300]) + raw((DATA + b"more")[300 : 300 + size]))
    if is_taken:
        assert transfer.put(place, host.channel, wire.Put(NAME, 1000)) == wire.Stored(NAME)
        return
    with pytest.raises(HostGone, match="a frame of 701 bytes for 701 of 700 that are missing"):
        transfer.put(place, host.channel, wire.Put(NAME, 1000))


# --- what the disk does


@pytest.fixture
def longest_file():
    """The kernel lets no file become longer than that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("limit", [50, 950])
def test_the_disk_is_full_in_the_middle_or_at_the_last_byte(place, host, longest_file, limit):
    stream = raw(DATA[:500]) + raw(DATA[500:600]) + raw(DATA[600:])
    longest_file(limit)
    failure = failure_of(place, host, stream)
    assert failure == wire.Failure("no_space", "File too large: while writing", "EFBIG")
    assert unfinished(place) == []


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [("EIO", "internal", "Input/output error"), ("ENOSPC", "no_inodes", "No space left on device")],
)
def test_a_sync_that_fails_leaves_nothing_that_could_be_gone_on_with(place, host, monkeypatch, number, kind, words):
    synced = []

    def fail(path):
        synced.append(path)
        monkeypatch.setattr(place, "is_out_of_inodes", lambda: True)
        raise OSError(getattr(errno, number), words, path)

    monkeypatch.setattr(transfer, "sync", fail)
    host.send(raw(DATA))
    with pytest.raises(Refused) as told:
        transfer.put(place, host.channel, wire.Put(NAME, 1000))
    assert told.value.failure() == wire.Failure(kind, f"{words}: {place.partial(NAME)}", number)
    assert isinstance(told.value.__cause__, OSError)
    assert (synced, unfinished(place), host.records()) == ([place.partial(NAME)], [], [wire.Ready(NAME, 0)])


@pytest.mark.parametrize(
    ("error", "inodes", "told"),
    [
        (OSError(errno.ENOSPC, "full", "a/b"), False, ("no_space", "full: a/b", "ENOSPC")),
        (OSError(errno.ENOSPC, "full"), True, ("no_inodes", "full: while writing", "ENOSPC")),
        (OSError(errno.EROFS, "no"), True, ("read_only", "no: while writing", "EROFS")),
        (OSError(errno.EBADF, "bad"), True, ("internal", "bad: while writing", "EBADF")),
        (OSError(99_999, "new"), False, ("internal", "new: while writing", "")),
        (OSError("words alone"), False, ("internal", "None: while writing", "")),
    ],
)
def test_what_the_kernel_said(place, monkeypatch, error, inodes, told):
    monkeypatch.setattr(place, "is_out_of_inodes", lambda: inodes)
    said = transfer.explained(error, place)
    assert (said.error, said.message, said.errno) == told
