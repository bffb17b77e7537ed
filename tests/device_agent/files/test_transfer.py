"""Uploads and downloads, and what can go wrong with them."""

import os
import random
import shutil
import subprocess
import time
import zlib

import pytest

from device_agent import wire
from device_agent.files.layout import MARGIN_BYTES
from tests.support.agent_process import frames, names, sha256, wait_until

DATA = random.Random(1).randbytes(300_000)


def blobs(root) -> list[str]:
    return names(root / "blobs")


def unfinished(agent) -> list[str]:
    return names(agent.root / "partial") + names(agent.root / "tmp")


@pytest.mark.parametrize("size", [0, 1, 65_536, 300_000])
def test_there_and_back(agent, size):
    data = DATA[:size]
    assert agent.put(data) == wire.Stored(sha256(data))
    assert agent.get(sha256(data)) == data
    assert unfinished(agent) == []


def test_have_tells_what_is_there(agent):
    name = agent.store(DATA)
    assert agent.ask(wire.Have((name, "0" * 64), ("1" * 64,))) == wire.Present((name,), ())


def test_a_wrong_hash_leaves_nothing(agent):
    answer = agent.put(DATA, "a" * 64)
    assert (answer.error, blobs(agent.root), unfinished(agent)) == ("bad_upload", [], [])
    assert isinstance(agent.put(DATA), wire.Stored)  # the stream is still in step


@pytest.mark.parametrize("flipped", [0, 150_000, 299_999])
def test_one_flipped_bit_is_found(agent, flipped):
    data = bytearray(DATA)
    data[flipped] ^= 1
    assert agent.put(bytes(data), sha256(DATA)).error == "bad_upload"
    assert blobs(agent.root) == []


def test_a_second_upload_replaces_a_damaged_blob(agent):
    name = agent.store(DATA)
    (agent.root / "blobs" / name).write_bytes(b"damaged")
    agent.store(DATA)
    assert agent.get(name) == DATA


@pytest.mark.parametrize("how", ["end of input", "SIGKILL"])
@pytest.mark.parametrize("whole_frames", [0, 1, 2])
def test_cut_in_the_middle_it_goes_on_there(agent, start, how, whole_frames):
    assert agent.ask(wire.Put(sha256(DATA), len(DATA))) == wire.Ready(sha256(DATA), 0)
    agent.write(frames(DATA[: 100_000 * whole_frames]) + frames(DATA)[:50_000])
    arrived = agent.root / "partial" / sha256(DATA)
    wait_until(lambda: arrived.stat().st_size == 100_000 * whole_frames)
    if how == "SIGKILL":
        agent.process.kill()
        agent.process.wait()
    else:
        assert agent.end(5) == 0
    assert blobs(agent.root) == []
    other = start()
    assert other.ask(wire.Put(sha256(DATA), len(DATA))) == wire.Ready(sha256(DATA), 100_000 * whole_frames)
    other.write(frames(DATA[100_000 * whole_frames :]))
    assert other.receive() == wire.Stored(sha256(DATA))
    assert unfinished(agent) == []
    assert other.get(sha256(DATA)) == DATA


@pytest.mark.parametrize("damage", ["flipped", "longer"])
def test_a_partial_upload_that_was_damaged_is_found_and_not_kept(agent, damage):
    partial = agent.root / "partial" / sha256(DATA)
    partial.write_bytes(b"x" + DATA[1:1000] if damage == "flipped" else DATA + b"more")
    answer = agent.put(DATA)
    if damage == "flipped":
        assert (answer.error, unfinished(agent)) == ("bad_upload", [])
        answer = agent.put(DATA)
    assert answer == wire.Stored(sha256(DATA))


def test_uploads_that_nobody_goes_on_with_are_collected(agent, start):
    assert isinstance(agent.ask(wire.Observe()), wire.Conditions)  # it has collected
    folder = agent.root / "partial"
    now = time.time()
    for number in range(12):
        path = folder / f"{number:064x}"
        path.write_bytes(b"x")
        os.utime(path, (now - number, now - number))
    os.utime(folder / f"{0:064x}", (now + 10**9, now + 10**9))  # before somebody set the clock right
    os.utime(folder / f"{1:064x}", (now - 90_000, now - 90_000))
    assert isinstance(start().ask(wire.Observe()), wire.Conditions)
    assert names(folder) == [f"{number:064x}" for number in range(2, 9)]


def test_the_host_may_end_an_upload(agent):
    agent.ask(wire.Put(sha256(DATA), len(DATA)))
    agent.write(frames(DATA[:100_000]) + wire.FRAME.pack(wire.END, 0, 0))
    assert agent.receive().error == "bad_upload"
    assert agent.ask(wire.Put(sha256(DATA), len(DATA))) == wire.Ready(sha256(DATA), 100_000)


BOMB = zlib.compress(bytes(50_000_000))


@pytest.mark.parametrize(
    "frame",
    [
        wire.FRAME.pack(wire.DEFLATED, len(BOMB), 1000) + BOMB,
        wire.FRAME.pack(wire.DEFLATED, 4, 1000) + b"junk",
        wire.FRAME.pack(wire.RAW, 4, 1000) + b"junk",
        wire.FRAME.pack(7, 4, 4) + b"junk",
    ],
)
def test_a_frame_that_is_not_what_it_says(agent, frame):
    agent.ask(wire.Put(sha256(DATA), len(DATA)))
    agent.write(frame)
    assert agent.receive().error == "bad_upload"  # at once, before the rest has come
    agent.write(wire.FRAME.pack(wire.END, 0, 0))
    assert unfinished(agent) == []
    assert isinstance(agent.put(DATA), wire.Stored)


@pytest.mark.parametrize(
    "header", [(wire.RAW, 0, 0), (wire.RAW, 9, 400_000), (wire.RAW, 2 << 30, 9), (wire.END + 1, 1, 2**32 - 1)]
)
def test_a_frame_that_can_not_be_ends_the_agent_in_order(agent, header):
    agent.ask(wire.Put(sha256(DATA), len(DATA)))
    agent.write(wire.FRAME.pack(*header))
    assert agent.process.wait(10) == 0
    assert "a frame of" in agent.errors()
    assert blobs(agent.root) == []


def test_two_senders(agent, start):
    other = start()
    assert agent.ask(wire.Put(sha256(DATA), len(DATA))) == wire.Ready(sha256(DATA), 0)
    assert other.ask(wire.Put(sha256(DATA), len(DATA))).error == "busy"
    assert isinstance(other.put(b"another"), wire.Stored)
    agent.write(frames(DATA))
    assert agent.receive() == wire.Stored(sha256(DATA))
    assert isinstance(other.put(DATA), wire.Stored)
    assert unfinished(agent) == []


def test_a_killed_sender_does_not_block_the_blob(agent, start):
    other = start()
    agent.ask(wire.Put(sha256(DATA), len(DATA)))
    agent.process.kill()
    agent.process.wait()
    assert isinstance(other.put(DATA), wire.Stored)


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    size = MARGIN_BYTES + (3 << 20)
    command = [shutil.which("mount") or "mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("a small disk can only be mounted by root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_too_big_for_the_disk_is_refused_before_it_is_sent(small_disk, start):
    agent = start(small_disk / "edge")
    answer = agent.ask(wire.Put(sha256(DATA), 3 << 20))
    assert isinstance(answer, wire.Failure)
    assert answer.error == "no_space"
    assert isinstance(agent.put(DATA), wire.Stored)


def test_the_disk_becomes_full_while_the_blob_is_written(small_disk, start):
    agent = start(small_disk / "edge")
    data = DATA * 4
    assert isinstance(agent.ask(wire.Put(sha256(data), len(data))), wire.Ready)
    filler = small_disk / "filler"
    free = os.statvfs(small_disk)
    filler.write_bytes(bytes(free.f_bavail * free.f_frsize - 100_000))
    agent.write(frames(data[:800_000]))
    answer = agent.receive()
    assert (answer.error, answer.errno) == ("no_space", "ENOSPC")
    agent.write(frames(data[800_000:]))
    assert blobs(agent.root) == []
    assert unfinished(agent) == []
    filler.unlink()
    assert isinstance(agent.put(data), wire.Stored)


@pytest.mark.parametrize(
    "request_",
    [
        wire.Have(("../../secret",), ()),
        wire.Have((), ("..",)),
        wire.Put("", 1),
        wire.Put("a" * 64, -1),
        wire.Get(""),
        wire.Unpack("evil.whl", ""),
        wire.Hello,
        wire.Working(),
        wire.Follow("0" * 31, 0),
        wire.Cancel("../" * 10 + "xx"),
    ],
)
def test_bad_requests_are_answered_and_the_agent_goes_on(agent, request_):
    if request_ is wire.Hello:
        request_ = agent.hello
    assert agent.ask(request_).error == "bad_request"
    assert isinstance(agent.ask(wire.Observe()), wire.Conditions)


@pytest.mark.parametrize(
    "line", [b"\n", b"{}\n", b"\x00\xff\n", b'{"kind":"Observe","more":1}\n', b"[" * 50_000 + b"\n"]
)
def test_noise_is_answered_and_the_agent_goes_on(agent, line):
    agent.write(line)
    assert agent.receive().error == "bad_request"
    assert isinstance(agent.ask(wire.Observe()), wire.Conditions)


def test_a_line_without_end_is_skipped(agent):
    agent.write(b" " * (wire.MAX_LINE_BYTES + 100_000) + wire.encode(wire.Observe()))  # also where its end is a request
    assert agent.receive().error == "bad_request"
    assert isinstance(agent.ask(wire.Observe()), wire.Conditions)


def test_get_of_what_is_not_there(agent):
    assert agent.ask(wire.Get("a" * 64)).error == "not_found"


def test_an_internal_error_is_told_and_the_agent_goes_on(agent):
    (agent.root / "blobs" / ("a" * 64)).mkdir()
    answer = agent.ask(wire.Get("a" * 64))
    assert (answer.error, answer.errno) == ("internal", "EISDIR")
    assert isinstance(agent.ask(wire.Observe()), wire.Conditions)
