"""Whatever a board says or does not say: it is refused in its time, in words, and takes nothing from others."""

import re
import signal
import subprocess
import sys
import time

import pytest

from targets import connection, deadlines, errors
from targets.session import Session
from tests.support import hostile_host
from tests.support.hostile_board import HELLO, START
from tests.support.hostile_host import HostileLink, hostile_python, inventory, short_command
from tests.support.own_sshd import own_sshd

MOST_MB = 300
MOST_OUTPUT_BYTES = 4000  # that one board can make us print


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with own_sshd(tmp_path_factory.mktemp("hostile") / "sshd", "MaxStartups 1000", "MaxSessions 1000") as target:
        yield target


def is_clean(said):
    return not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", said) and b"Traceback" not in said


def test_all_of_them_together_are_refused_in_their_time(server, tmp_path):
    """Side by side, so the memory is that of many at a time."""
    scenarios = [*START, *HELLO]
    inventory(tmp_path, server, {each: hostile_python(tmp_path, each) for each in scenarios})
    command = short_command(4, "boards", "--folder", tmp_path, "check", "--all")
    code, out, err, memory_mb = hostile_host.run(command, 200)
    assert code == 4, err[-2000:]
    lines = out.decode().splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted(scenarios)
    assert [line for line in lines if line.split()[1] != "--"] == []
    assert [line for line in lines if "fault of edgepress" in line] == []
    assert is_clean(out)
    assert is_clean(err)
    assert len(out) + len(err) < MOST_OUTPUT_BYTES * len(scenarios)
    assert memory_mb < MOST_MB


@pytest.fixture(autouse=True)
def short_end(monkeypatch):
    monkeypatch.setattr(deadlines, "FINISH_S", 0.2)


def opened(scenario, tmp_path, say=None):
    return Session(lambda _: HostileLink(scenario), sys.executable, str(tmp_path / "root"), say)


@pytest.mark.parametrize("scenario", ["start_silence", "start_drips", "start_errors_flood"])
def test_the_start_has_one_deadline(scenario, tmp_path, monkeypatch):
    monkeypatch.setattr(deadlines, "START_S", 1.0)
    with pytest.raises(errors.NoAnswer, match="this machine was to start the agent, but did not within 1 s"):
        opened(scenario, tmp_path)


@pytest.mark.parametrize("scenario", ["boot_drips", "boot_silence", "hello_working", "hello_line_drips"])
def test_the_hello_has_one_deadline(scenario, tmp_path, monkeypatch):
    monkeypatch.setattr(deadlines, "START_S", 3.0)
    with pytest.raises(errors.NoAnswer, match=r"was to (say hello|start the agent), but did not within 3 s"):
        opened(scenario, tmp_path)


def test_an_agent_that_is_never_taken_has_a_deadline(tmp_path, monkeypatch):
    monkeypatch.setattr(deadlines, "INSTALL_S", 1.0)
    with pytest.raises(errors.NoAnswer, match="was to install the agent"):
        opened("boot_takes_nothing", tmp_path)


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        ("then_silence", r"did not within 1 s$"),
        ("then_working", r"did not within 1 s: it reported \d+ times that it is working, and nothing else"),
        ("then_drips", r"did not within 1 s$"),
        ("then_errors_flood", r"did not within 1 s$"),
        ("then_working_flood", r"keeps reporting that it is working, when it is to report its state"),
    ],
)
def test_a_request_has_one_deadline(scenario, said, tmp_path, monkeypatch):
    with opened(scenario, tmp_path) as board:
        monkeypatch.setattr(deadlines, "ANSWER_S", 1.0)
        began = time.monotonic()
        with pytest.raises((errors.NoAnswer, errors.NotTheAgent), match=said):
            board.observe()
        if "1 s" in said:
            assert time.monotonic() - began >= 1


def test_what_is_waited_for_is_said(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(deadlines, "NEWS_S", (0.2, 0.4))
    with opened("then_working", tmp_path, said.append) as board:
        monkeypatch.setattr(deadlines, "ANSWER_S", 1.5)
        said.clear()
        began = time.monotonic()
        with pytest.raises(errors.NoAnswer):
            board.observe()
        took_s = time.monotonic() - began  # 1.5 s, on a busy machine more
    line = r"waiting for this machine to report its state, since \d\d:\d\d:\d\d; it reports that it is working"
    assert 2 <= len(said) <= 1 + took_s / 0.4  # after 0.2, 0.4, 0.8 and 1.2 s
    assert all(re.fullmatch(line, each) for each in said)


def test_a_board_that_dies_at_each_request_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "ROUNDS", 2)
    said = []
    with (
        pytest.raises(errors.ConnectionLost, match="unexpectedly"),
        opened("then_exit", tmp_path, said.append) as board,
    ):
        board.observe()
    assert sum("is reachable again" in each for each in said) == 2


def test_others_are_shown_while_one_is_waited_for_and_ctrl_c_ends_it(server, tmp_path):
    inventory(tmp_path, server, {"evil": hostile_python(tmp_path, "then_working"), "good": sys.executable})
    command = [sys.executable, "-m", "pipeline", "boards", "--folder", str(tmp_path), "check", "--all"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=hostile_host.ROOT
    ) as process:
        assert process.stdout.readline().startswith("good  ok")
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert time.monotonic() - began < 5.5
    assert process.returncode == 130
    assert "Traceback" not in said


@pytest.mark.whole
def test_the_real_deadlines_of_the_command(server, tmp_path):
    scenarios = [*START, *HELLO]
    inventory(tmp_path, server, {each: hostile_python(tmp_path, each) for each in scenarios})
    command = [sys.executable, "-m", "pipeline", "boards", "--folder", str(tmp_path), "check", "--all"]
    code, out, err, memory_mb = hostile_host.run(command, 290)
    assert code == 4
    assert len(out.splitlines()) == len(scenarios)
    assert b"did not within 120 s" in out
    assert b"waiting for" in err
    assert is_clean(out)
    assert memory_mb < MOST_MB
