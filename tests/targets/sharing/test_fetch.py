"""What a board answers to whoever collects, and what it may say in its place."""

import json
import os

import pytest

from targets.errors import NoAnswer, NotTheAgent
from targets.sharing import fetch
from tests.support import board_trees
from tests.support.board_facts import MACHINES
from tests.targets.sharing.adopting import adopt_board
from tests.targets.sharing.shared import collected_of, shared_of


class Scripted:
    """A channel that says these parts, and then nothing."""

    def __init__(self, *parts):
        self.parts, self.closed = list(parts), False

    def receive(self, limit_bytes, timeout_s):
        if not self.parts:
            raise TimeoutError
        return self.parts.pop(0)[:limit_bytes]

    def errors(self):
        return "last words"

    def close(self):
        self.closed = True


class Board:
    address = "there"

    def __init__(self, channel):
        self.channel = channel

    def start_python(self, code):
        assert "EDGEPRESS-SHARE-1" in code
        return self.channel


EMPTY = {"files": {}, "links": {}, "failing": [], "blocking": [], "root_only": [], "programs": {}, "secrets": []}


def test_noise_of_a_login_shell_is_passed_over():
    line = json.dumps(EMPTY).encode() + b"\n"
    channel = Scripted(b"Welcome!\nEDGEPRESS", b"-SHARE-1\n" + line[:9], line[9:])
    assert fetch.collected(Board(channel), lambda _: None).files == {}
    assert channel.closed


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([b"x", b""], "nothing was collected"),
        ([b"x" * 65536] * 70, "more than 4 MB"),
        ([b"EDGEPRESS-SHARE-1\n{}\n"], "cannot be read"),
        ([b'EDGEPRESS-SHARE-1\n{"files": 3}\n'], "cannot be read"),
        (
            [b"EDGEPRESS-SHARE-1\n" + json.dumps(EMPTY | {"secrets": [["user name", "x" * 300]]}).encode() + b"\n"],
            "more names than a board can have",
        ),
        (
            [b"EDGEPRESS-SHARE-1\n" + json.dumps(EMPTY | {"secrets": [["\x1b[2J", "x"]]}).encode() + b"\n"],
            "cannot be read",
        ),
    ],
)
def test_a_board_that_says_something_else_is_refused(parts, words):
    channel = Scripted(*parts)
    with pytest.raises(NotTheAgent, match=words):
        fetch.collected(Board(channel), lambda _: None)
    assert channel.closed


def test_a_board_that_says_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(fetch, "LIMIT_S", 0.2)
    with pytest.raises(NoAnswer):
        fetch.collected(Board(Scripted()), lambda _: None)


def test_a_sensor_that_blocks_costs_its_time_and_is_told(tmp_path):
    tree = board_trees.tree("pi5", tmp_path)
    zone = tree / "sys/class/thermal/thermal_zone0/temp"
    zone.unlink()
    os.mkfifo(zone)
    found = collected_of(tree)
    assert found.blocking == ["sys/class/thermal/thermal_zone0/temp"]
    assert "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq" in found.files


def test_cores_that_share_a_clock_share_it_after_adoption(tmp_path):
    tree = board_trees.tree("pi5", tmp_path)
    cpus = tree / "sys/devices/system/cpu"
    (cpus / "cpufreq").mkdir()
    (cpus / "cpu0/cpufreq").rename(cpus / "cpufreq/policy0")
    for cpu in range(4):
        folder = cpus / f"cpu{cpu}/cpufreq"
        if folder.is_dir():
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
        folder.symlink_to("../cpufreq/policy0")
    shared = shared_of(tree)
    root = adopt_board.adopted(shared, "again", tmp_path)
    link = root / "sys/devices/system/cpu/cpu3/cpufreq"
    assert link.is_symlink()
    assert (link / "scaling_governor").read_text() == "ondemand\n"
    assert json.loads((root / "expected.json").read_text())["machine"] == list(MACHINES["pi5"])
