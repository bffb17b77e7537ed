"""Tuning a board, on trees: what is set, and that it is put back whoever dies."""

import contextlib
import json
import os
import signal
from pathlib import Path

import pytest

from device_agent import wire
from device_agent.files.layout import Layout
from device_agent.record import replace
from tests.support import board_trees
from tests.support.agent_process import LAUNCH, Agent, is_alive, pythons, sleep_model, wait_until

CPU = "sys/devices/system/cpu"
MINUTE_NS = 60 * 10**9


@pytest.fixture
def tree(tmp_path) -> Path:
    root = board_trees.tree("pi5", tmp_path)
    for folder in root.glob(f"{CPU}/cpu*/cpufreq"):
        (folder / "scaling_min_freq").write_text("1500000\n")
        (folder / "scaling_max_freq").write_text("2400000\n")
    return root


@pytest.fixture
def board(start, tree):
    """Starts an agent that sees the tree."""
    return lambda **options: start(env=board_trees.environment(tree), **options)


def settings(tree: Path) -> dict[str, str]:
    return {
        str(path.relative_to(tree)): path.read_text().strip()
        for name in ("governor", "min_freq", "max_freq")
        for path in sorted(tree.glob(f"{CPU}/cpu*/cpufreq/scaling_{name}"))
    }


def guardian(agent: Agent) -> int:
    return int(json.loads((agent.root / "tuned.json").read_text())["pid"])


def tuned(agent: Agent, lease_ns: int = MINUTE_NS, *, while_used: bool = False) -> wire.Tuned:
    answer = agent.ask(wire.Tune(lease_ns, while_used))
    assert isinstance(answer, wire.Tuned), answer
    return answer


@pytest.mark.parametrize("version", pythons())
def test_what_is_set_and_put_back(board, tree, version):
    before = settings(tree)
    agent = board(python=pythons()[version])
    answer = tuned(agent)
    assert (len(answer.changed), answer.refused, answer.restored) == (8, (), ())
    assert f"/{CPU}/cpu0/cpufreq/scaling_governor: ondemand -> performance" in answer.changed
    assert f"/{CPU}/cpu3/cpufreq/scaling_min_freq: 1500000 -> 2400000" in answer.changed
    now = settings(tree)
    assert {now[path] for path in now if path.endswith("governor")} == {"performance"}
    assert {now[path] for path in now if path.endswith("freq")} == {"2400000"}
    pid = guardian(agent)
    assert is_alive(pid)
    assert len(tuned(agent, 0).restored) == 8
    assert settings(tree) == before
    assert not (agent.root / "tuned.json").exists()
    wait_until(lambda: not is_alive(pid))
    assert tuned(agent, 0) == wire.Tuned((), (), ())


def test_the_end_of_the_lease(board, tree):
    before = settings(tree)
    agent = board()
    tuned(agent, 700_000_000)
    assert settings(tree) != before
    agent.kill()
    wait_until(lambda: settings(tree) == before and not (agent.root / "tuned.json").exists())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_guardian_that_is_told_to_end_puts_everything_back(board, tree, number):
    before = settings(tree)
    agent = board()
    tuned(agent)
    pid = guardian(agent)
    wait_until(lambda: has_come_up(pid))
    os.kill(pid, number)
    wait_until(lambda: settings(tree) == before and not is_alive(pid))


def has_come_up(pid: int) -> bool:
    """Whether it has locked the agent's folder: after that it takes signals as it should."""
    for path in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            if "FLOCK" in path.read_text():
                return True
    return False


def test_after_a_guardian_that_was_killed_the_next_agent_puts_everything_back(board, tree):
    before = settings(tree)
    agent = board()
    tuned(agent)
    os.kill(guardian(agent), signal.SIGKILL)
    agent.kill()
    assert settings(tree) != before
    board()
    wait_until(lambda: settings(tree) == before and not (agent.root / "tuned.json").exists())


def test_an_agent_beside_a_guardian_that_lives_leaves_it_alone(board, tree):
    agent = board()
    tuned(agent)
    now = settings(tree)
    other = board()
    other.ask(wire.Observe())  # it has collected by then
    assert settings(tree) == now
    assert is_alive(guardian(agent))
    tuned(other, 0)


def test_an_agent_that_is_killed_before_it_has_named_the_guardian_leaves_nothing(board, tree):
    """The file is on the disk before anything is changed."""
    before = settings(tree)
    agent = board()
    tuned(agent)
    state = json.loads((agent.root / "tuned.json").read_text())
    os.kill(state.pop("pid"), signal.SIGKILL)
    del state["start_ticks"]
    (agent.root / "tuned.json").write_text(json.dumps(state))
    agent.kill()
    board()
    wait_until(lambda: settings(tree) == before)


def test_after_a_restart_of_the_board_nothing_is_written(board, tree):
    """The kernel has its own values again; those in the file are of another boot."""
    agent = board()
    tuned(agent)
    now = settings(tree)
    os.kill(guardian(agent), signal.SIGKILL)
    agent.kill()
    path = tree / "proc/sys/kernel/random/boot_id"
    path.parent.mkdir(parents=True)
    path.write_text("another\n")
    board()
    wait_until(lambda: not (agent.root / "tuned.json").exists())
    assert settings(tree) == now


def test_what_somebody_else_has_set_since_stays(board, tree):
    agent = board()
    tuned(agent)
    governor = tree / CPU / "cpu1/cpufreq/scaling_governor"
    governor.write_text("powersave\n")
    assert len(tuned(agent, 0).restored) == 7
    assert governor.read_text() == "powersave\n"


def test_tuning_again_begins_with_what_was_there_at_first(board, tree):
    before = settings(tree)
    agent = board()
    tuned(agent)
    first = guardian(agent)
    answer = tuned(agent)
    assert (len(answer.restored), len(answer.changed)) == (8, 8)
    wait_until(lambda: not is_alive(first))
    tuned(agent, 0)
    assert settings(tree) == before


def test_while_the_board_is_used_it_stays_tuned_and_then_not(board, tree, monkeypatch):
    """A minute without a job, which a test cannot wait for: the guardian's own code with another minute."""
    from device_agent import tuning

    agent = board()
    model = agent.store(sleep_model())
    launch = replace(LAUNCH, model_sha256=model, timed_min_ns=1_000_000_000, timed_max_runs=100_000)
    agent.submit(launch)
    monkeypatch.setenv("EDGEPRESS_FS_ROOT", str(tree))  # as the agent, which has another boot than this machine
    monkeypatch.setattr(tuning, "UNUSED_S", 0.2)
    monkeypatch.setattr(tuning, "LOOK_S", 0.1)
    assert tuning._is_used(Layout(str(agent.root)))
    tuning._wait(Layout(str(agent.root)), tuning.boottime_ns() + MINUTE_NS, while_used=True)
    assert not tuning._is_used(Layout(str(agent.root)))
    assert isinstance(agent.follow(agent.last_job)[0], wire.Launched)


def test_what_may_not_be_written_is_told_as_a_command(board, tree):
    """A file of /proc that takes nothing, not even from root."""
    governor = tree / CPU / "cpu2/cpufreq/scaling_governor"
    governor.unlink()
    governor.symlink_to("/proc/sys/kernel/ostype")
    agent = board()
    answer = tuned(agent)
    assert answer.refused == (f"echo performance | sudo tee /{CPU}/cpu2/cpufreq/scaling_governor",)
    assert len(answer.changed) == 7
    assert len(tuned(agent, 0).restored) == 7


def test_what_a_driver_makes_of_a_clock_does_not_stay(tree, monkeypatch):
    """It rounds what it is told; nobody would put that back, for it is not what was set."""
    from device_agent import tuning

    path = f"{CPU}/cpu0/cpufreq/scaling_min_freq"
    monkeypatch.setenv("EDGEPRESS_FS_ROOT", str(tree))
    write = tuning._write

    def rounding(path: str, value: str) -> bool:
        return write(path, "2399000" if value == "2400000" else value) and value != "2400000"

    monkeypatch.setattr(tuning, "_write", rounding)
    assert not tuning._set(path, "1500000", "2400000")
    assert (tree / path).read_text() == "1500000\n"
    assert tuning._set(path, "1500000", "2000000")


def test_a_board_without_clocks_has_nothing_to_tune(start, tmp_path):
    agent = start(env={"EDGEPRESS_FS_ROOT": str(tmp_path)})
    assert tuned(agent) == wire.Tuned((), (), ())
    assert not (agent.root / "tuned.json").exists()


def test_a_pc_keeps_its_boost(start, tmp_path):
    """Its highest clock is one that no core keeps."""
    tree = board_trees.tree("pc", tmp_path)
    for folder in tree.glob(f"{CPU}/cpu*/cpufreq"):
        (folder / "scaling_driver").write_text("intel_pstate\n")
    agent = start(env=board_trees.environment(tree))
    assert {line.split(": ")[1] for line in tuned(agent).changed} == {"powersave -> performance"}
    tuned(agent, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="jetson_clocks is for root")
def test_jetson_clocks_is_run_and_undone(start, tmp_path):
    tree = board_trees.tree("orin_nano", tmp_path)
    (tree / "bin/jetson_clocks").write_text('#!/bin/sh\necho "$1" >> "${0%/*}/log"\n')
    agent = start(env=board_trees.environment(tree))
    assert str(tree / "bin/jetson_clocks") in tuned(agent).changed
    tuned(agent, 0)
    assert (tree / "bin/log").read_text() == "--store\n\n--restore\n"


@pytest.mark.parametrize("lease_ns", [-1, 25 * 3600 * 10**9])
def test_a_lease_that_is_none(agent, lease_ns):
    answer = agent.ask(wire.Tune(lease_ns, False))
    assert isinstance(answer, wire.Failure)
    assert answer.error == "bad_request"
