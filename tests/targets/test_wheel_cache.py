"""Wheels on this host: downloaded once, whole or not at all, and anew where they were damaged. The index is a folder here."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from targets import wheel_cache
from targets.errors import WheelsUnavailable
from tests.device_agent.agent_process import wheel

OPTIONS = ("one==1", "two==2")


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of two wheels in the place of the package index, and an empty cache."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name, version in (("one", "1"), ("two", "2")):
        files = {
            f"{name}.py": os.urandom(1000),
            f"{name}-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
            f"{name}-{version}.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        (folder / f"{name}-{version}-py3-none-any.whl").write_bytes(wheel(files, top=f"{name}-{version}"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def contents(found):
    return {each.path.name: each.path.read_bytes() for each in found}


def of_index(index):
    return {path.name: path.read_bytes() for path in index.iterdir()}


def visible(tmp_path):
    """What is in the cache but the locks."""
    return [path for path in (tmp_path / "cache/edgepress/wheels").iterdir() if path.suffix != ".lock"]


def test_downloaded_once(index):
    expected = of_index(index)
    assert contents(wheel_cache.wheels("x", OPTIONS)) == expected
    shutil.rmtree(index)
    assert contents(wheel_cache.wheels("x", OPTIONS)) == expected


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: flip(folder / "one-1-py3-none-any.whl"),
        lambda folder: (folder / "two-2-py3-none-any.whl").write_bytes(b""),
        lambda folder: (folder / "two-2-py3-none-any.whl").unlink(),
        lambda folder: (folder / "sha256sums").unlink(),
        lambda folder: (folder / "sha256sums").write_bytes(b"\xff\xfe"),
        lambda folder: (folder / "sha256sums").write_text("0" * 64 + "  ../../../secret\n"),
        lambda folder: (folder / "sha256sums").write_text(""),
    ],
    ids=["flipped bit", "emptied", "removed", "no list", "no text", "another list", "empty list"],
)
def test_what_was_damaged_is_downloaded_anew(index, tmp_path, damage):
    wheel_cache.wheels("x", OPTIONS)
    (folder,) = visible(tmp_path)
    damage(folder)
    assert contents(wheel_cache.wheels("x", OPTIONS)) == of_index(index)
    assert visible(tmp_path) == [folder]


def test_no_index_is_a_clear_error_and_leaves_nothing(index, tmp_path):
    with pytest.raises(WheelsUnavailable, match=r"the wheels of x for this board could not be downloaded: ERROR"):
        wheel_cache.wheels("x", ("three==3",))
    assert visible(tmp_path) == []


def test_a_cache_that_can_not_be_written_is_a_clear_error(index, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(WheelsUnavailable, match="can not be kept in"):
        wheel_cache.wheels("x", OPTIONS)


def test_several_processes_at_once(index):
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        results = [pool.apply_async(wheel_cache.wheels, ("x", OPTIONS)) for _ in range(6)]
        assert all(contents(each.get(120)) == of_index(index) for each in results)


@pytest.mark.faults
def test_a_download_that_is_killed_leaves_all_or_nothing(index, tmp_path, share):
    """At any moment, pip and all. The next one cleans up and succeeds."""
    code = f"from targets import wheel_cache; wheel_cache.wheels('x', {OPTIONS})"
    rounds = share(5, 50)
    for number in range(rounds):
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
        time.sleep(0.2 + 1.5 * number / rounds)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        folders = visible(tmp_path) if (tmp_path / "cache/edgepress/wheels").exists() else []
        for folder in folders:
            if folder.suffix != ".unfinished":
                assert {path.name for path in folder.iterdir()} == {*of_index(index), "sha256sums"}
        assert contents(wheel_cache.wheels("x", OPTIONS)) == of_index(index)
        assert len(visible(tmp_path)) == 1
