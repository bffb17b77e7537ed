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
from tests.support.agent_process import wheel

ASKED = ("one==1", "two==2")


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of two wheels in the place of the package index, and an empty cache."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name, version in (("one", "1"), ("two", "2")):
        put(folder, name, version)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def put(folder, name, version):
    files = {
        f"{name}.py": os.urandom(1000),
        f"{name}-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{name}-{version}.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    (folder / f"{name}-{version}-py3-none-any.whl").write_bytes(wheel(files, top=f"{name}-{version}"))


def contents(found):
    return {each.path.name: each.path.read_bytes() for each in found}


def of_index(index):
    return {path.name: path.read_bytes() for path in index.iterdir()}


def visible(tmp_path):
    """What is in the cache but the locks."""
    return [path for path in (tmp_path / "cache/edgepress/wheels").iterdir() if path.suffix != ".lock"]


def test_downloaded_once(index):
    expected = of_index(index)
    assert contents(wheel_cache.wheels("x", (), ASKED)) == expected
    shutil.rmtree(index)
    assert contents(wheel_cache.wheels("x", (), ASKED)) == expected


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
    wheel_cache.wheels("x", (), ASKED)
    (folder,) = visible(tmp_path)
    damage(folder)
    assert contents(wheel_cache.wheels("x", (), ASKED)) == of_index(index)
    assert visible(tmp_path) == [folder]


def test_no_index_is_a_clear_error_and_leaves_nothing(index, tmp_path):
    with pytest.raises(WheelsUnavailable, match=r"the wheels of x for this board could not be downloaded: ERROR"):
        wheel_cache.wheels("x", (), ("three==3",))
    assert visible(tmp_path) == []


def test_another_version_is_named_where_there_is_one(index):
    with pytest.raises(WheelsUnavailable, match=r"No matching distribution found for one==3") as caught:
        wheel_cache.wheels("x", (), ("one==3",))
    assert caught.value.hint == "Available for this board: 1. Name one in [board] runtimes."


def test_a_cache_that_can_not_be_written_is_a_clear_error(index, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(WheelsUnavailable, match="cannot be kept in"):
        wheel_cache.wheels("x", (), ASKED)


@pytest.mark.parametrize(
    ("where", "cache"), [("environment", "empty"), ("environment", "filled"), ("pip.conf", "empty")]
)
def test_the_users_pip_configuration_chooses_no_version(index, tmp_path, monkeypatch, where, cache):
    """Constraints, and requirements that would come along; the index that it names goes on being used."""
    put(index, "one", "0.9")
    put(index, "four", "4")
    if cache == "filled":
        wheel_cache.wheels("x", (), ASKED)
    (tmp_path / "constraint.txt").write_text("one==0.9\n")
    (tmp_path / "requirement.txt").write_text("four==4\n")
    keys = ("constraint", "requirement")
    if where == "environment":
        for key in keys:
            monkeypatch.setenv(f"PIP_{key.upper()}", str(tmp_path / f"{key}.txt"))
    else:
        lines = [f"{key} = {tmp_path / f'{key}.txt'}\n" for key in keys]
        (tmp_path / "pip.conf").write_text("[download]\n" + "".join(lines))
        monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    found = wheel_cache.wheels("x", (), ASKED)
    assert [each.path.name for each in found] == ["one-1-py3-none-any.whl", "two-2-py3-none-any.whl"]


def test_what_came_is_checked_against_what_was_asked_for(index, tmp_path, monkeypatch):
    monkeypatch.setattr(
        wheel_cache, "_ask_pip", lambda name, asked, folder, temporary: put_all(folder, ("one", "0.9"), ("two", "2"))
    )
    with pytest.raises(WheelsUnavailable, match=r"asked for one==1, two==2 \(for x\), but downloaded one-0\.9"):
        wheel_cache.wheels("x", (), ASKED)
    assert visible(tmp_path) == []


def put_all(folder, *wheels):
    folder.mkdir()
    for each in wheels:
        put(folder, *each)


def test_several_processes_at_once(index):
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        results = [pool.apply_async(wheel_cache.wheels, ("x", (), ASKED)) for _ in range(6)]
        assert all(contents(each.get(120)) == of_index(index) for each in results)


@pytest.mark.faults
def test_a_download_that_is_killed_leaves_all_or_nothing(index, tmp_path, share):
    """At any moment, pip and all. The next one cleans up and succeeds."""
    code = f"from targets import wheel_cache; wheel_cache.wheels('x', (), {ASKED})"
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
        assert contents(wheel_cache.wheels("x", (), ASKED)) == of_index(index)
        assert len(visible(tmp_path)) == 1
