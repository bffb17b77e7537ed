"""A disk that is full, in each phase: the board's own words come back, what was there stays, and nothing else is left."""

import errno
import io
import os
import shutil
import subprocess

import pytest

from device_agent import wire
from device_agent.__main__ import serve
from device_agent.channel import Channel, HostGone
from device_agent.files.layout import Layout
from device_agent.record import replace
from tests.support.agent_process import LAUNCH, Agent, frames, names, sha256, sleep_model, wheel
from tests.support.fed import fed

pytestmark = pytest.mark.faults

DISK_MIB = 12  # of which 4 stay free (place.MARGIN_BYTES)


@pytest.fixture
def disk(tmp_path):
    """A file system of its own; needs root."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small tmpfs needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def agent(disk):
    """One with something on its disk, which must be there afterwards."""
    agent = Agent(disk / "edge")
    kept = agent.store(b"kept")
    yield agent
    assert agent.get(kept) == b"kept"
    assert names(agent.root / "blobs") == sorted({kept, *agent.others}), "what is there"
    assert [*names(agent.root / "tmp"), *names(agent.root / "partial")] == []
    agent.end()


def fill(disk, free_bytes=0):
    """All but so much."""
    room = os.statvfs(disk)
    with (disk / "ballast").open("wb") as file:
        file.write(bytes(room.f_bavail * room.f_frsize - free_bytes))


def is_full(answer):
    return (type(answer), answer.error, answer.errno) == (wire.Failure, "no_space", "ENOSPC")


def test_before_an_upload(agent, disk):
    agent.others = []
    fill(disk, 5 << 20)
    assert is_full(agent.put(bytes(2 << 20)))


def test_in_an_upload(agent, disk):
    """It was announced and there was room; others took it meanwhile."""
    data = os.urandom(3 << 20)
    assert agent.ask(wire.Put(sha256(data), len(data))) == wire.Ready(sha256(data), 0)
    fill(disk, 1 << 20)
    agent.write(frames(data))
    assert is_full(agent.receive())
    (disk / "ballast").unlink()
    agent.others = [agent.store(data)]


def test_before_answers_that_it_cannot_hold(agent, disk):
    """It is said at the first row, and not found out when the board is full."""
    np = pytest.importorskip("numpy")
    rows = io.BytesIO()
    np.save(rows, np.zeros((3000, 4), "float32"))
    model = sleep_model(latency_us=1, outputs=[0.5] * 1000)
    inputs = fed(agent.store(rows.getvalue()))
    agent.others = [agent.store(model), inputs[0].sha256]
    one = replace(LAUNCH, mode="evaluate", model_sha256=sha256(model), inputs=inputs)
    failed, _ = agent.run(one)
    assert isinstance(failed, wire.LaunchFailed)
    assert (failed.phase, failed.error) == ("evaluate", "Refused")
    assert "bytes free, 12000000 + 4194304 are needed" in failed.message


def test_in_unpacking(agent, disk):
    """Many small files take more room than their sizes say."""
    data = wheel({f"pack/{number}.txt": b"1" for number in range(3000)})
    agent.others = [agent.store(data)]
    assert is_full(agent.ask(wire.Unpack("pack-1-py3-none-any.whl", sha256(data))))
    assert names(agent.root / "sites") == []


def test_before_a_job(agent, disk):
    agent.others = [agent.store(sleep_model())]
    launch = replace(LAUNCH, model_sha256=agent.others[0])
    fill(disk)
    assert is_full(agent.submit(launch))
    assert names(agent.root / "jobs") == []
    (disk / "ballast").unlink()
    assert agent.run(launch)[-1].state == wire.FINISHED  # the board is free


def test_in_a_job(agent, disk):
    """The times of its launch do not fit: no number comes of it, the reason does."""
    agent.others = [agent.store(sleep_model(latency_us=200))]
    launch = replace(LAUNCH, model_sha256=agent.others[0], timed_min_runs=5000, timed_max_runs=5000)
    agent.start(launch)
    while agent.until(wire.Event).phase != "timed":
        pass
    fill(disk)
    ended = agent.until(wire.Launched, wire.LaunchFailed, wire.Ended)
    assert (type(ended), ended.state) == (wire.Ended, wire.FAILED)
    assert "No space left on device" in ended.evidence
    (disk / "ballast").unlink()
    assert [type(answer) for answer in agent.follow(agent.last_job)] == [wire.Ended]
    assert agent.run(replace(launch, timed_max_runs=5000))[-1].state == wire.FINISHED


def test_a_write_that_fails_only_in_the_sync(tmp_path, monkeypatch):
    """In this process, as a disk that fails so cannot be had: nothing of the upload is trusted afterwards."""
    place, data = Layout(str(tmp_path / "edge")), os.urandom(10_000)

    def fail(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with (
        monkeypatch.context() as patched,
        (tmp_path / "in").open("w+b") as to_agent,
        (tmp_path / "out").open("w+b") as said,
    ):
        patched.setattr(os, "fsync", fail)
        to_agent.write(wire.encode(wire.Put(sha256(data), len(data))) + frames(data))
        to_agent.seek(0)
        with pytest.raises(HostGone):
            serve(place, Channel(to_agent.fileno(), said.fileno()))
        said.seek(0)
        ready, failure = [wire.decode(line) for line in said]
    assert ready == wire.Ready(sha256(data), 0)
    assert (failure.error, failure.errno) == ("internal", "EIO")
    assert [*names(tmp_path / "edge" / "partial"), *names(tmp_path / "edge" / "blobs")] == []
