"""Uploads and downloads, and what can go wrong with them."""

import os
import random
import shutil
import subprocess

import pytest

from device_agent import wire
from device_agent.place import MARGIN_BYTES
from tests.device_agent.agent_process import names, sha256, wait_until

DATA = random.Random(1).randbytes(300_000)


def blobs(root) -> list[str]:
    return names(root / "blobs")


def in_tmp(agent) -> list[str]:
    """Unfinished files: what the agent has in its workspace, and the locks of senders."""
    return [name for _, _, names in os.walk(agent.root / "tmp") for name in names]


@pytest.mark.parametrize("size", [0, 1, 65_536, 300_000])
def test_there_and_back(agent, size):
    data = DATA[:size]
    assert agent.put(data) == wire.Stored(sha256(data))
    assert agent.get(sha256(data)) == data
    assert in_tmp(agent) == []


def test_have_tells_what_is_there(agent):
    name = agent.store(DATA)
    assert agent.ask(wire.Have((name, "0" * 64), ("1" * 64,))) == wire.Present((name,), ())


def test_a_wrong_hash_leaves_nothing(agent):
    answer = agent.put(DATA, "a" * 64)
    assert (answer.error, blobs(agent.root), in_tmp(agent)) == ("bad_upload", [], [])
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


@pytest.mark.parametrize("sent", [0, 1, 200_000])
def test_cut_in_the_middle(agent, start, sent):
    assert agent.ask(wire.Put(sha256(DATA), len(DATA))) == wire.Ready(sha256(DATA))
    agent.write(DATA[:sent])
    assert agent.end(5) == 0
    assert blobs(agent.root) == []
    assert names(agent.root / "tmp") == []
    assert isinstance(start().put(DATA), wire.Stored)


def test_killed_in_the_middle_the_next_agent_collects(agent, start):
    agent.ask(wire.Put(sha256(DATA), len(DATA)))
    agent.write(DATA[:200_000])
    wait_until(lambda: any(path.stat().st_size for path in agent.root.glob("tmp/*/put-*")))
    agent.process.kill()
    agent.process.wait()
    assert len(in_tmp(agent)) == 2  # a half file, a lock
    following = start()
    assert in_tmp(following) == []
    assert isinstance(following.put(DATA), wire.Stored)


def test_two_senders(agent, start):
    other = start()
    assert agent.ask(wire.Put(sha256(DATA), len(DATA))) == wire.Ready(sha256(DATA))
    assert other.ask(wire.Put(sha256(DATA), len(DATA))).error == "busy"
    assert isinstance(other.put(b"another"), wire.Stored)
    agent.write(DATA)
    assert agent.receive() == wire.Stored(sha256(DATA))
    assert isinstance(other.put(DATA), wire.Stored)
    assert in_tmp(agent) == []


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
    size = MARGIN_BYTES + (2 << 20)
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
    agent.write(data)
    assert agent.receive().error == "no_space"
    assert blobs(agent.root) == []
    assert in_tmp(agent) == []
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
        wire.Finished(1),
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
    assert (answer.error, "IsADirectoryError" in answer.message) == ("internal", True)
    assert isinstance(agent.ask(wire.Observe()), wire.Conditions)
