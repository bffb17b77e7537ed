"""Many boards side by side: one that is dead delays none."""

import functools
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

import msgspec
import pytest

from targets import fleet, inventory
from targets.errors import TargetError
from targets.ssh import SshLink
from targets.ssh.link import CONNECT_TIMEOUT_S
from tests.support.commands import edgepress
from tests.support.own_sshd import own_sshd

ASKED_WITHIN_S = 15.0  # of 200, two cores that others use too


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """One server that lets many log in at once, on which many boards are imitated."""
    with own_sshd(tmp_path_factory.mktemp("many") / "sshd", "MaxStartups 1000", "MaxSessions 1000") as target:
        yield target


@pytest.fixture
def black_hole():
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


def in_order(answers):
    return [answer for _, answer in sorted(answers, key=lambda each: each[0])]


def asked(target, connect_timeout_s):
    """Connect, and one program that answers. The link stays open: 200 boards are held at a time."""
    link = SshLink(target, connect_timeout_s=connect_timeout_s)
    channel = link.start(["echo", target.name])
    assert channel.receive(100, 30).decode().strip() == target.name
    return link, time.monotonic()


@pytest.mark.parametrize(
    ("count", "connect_timeout_s"), [(20, 4.0), pytest.param(200, CONNECT_TIMEOUT_S, marks=pytest.mark.whole)]
)
def test_all_are_connected_and_asked_and_the_dead_one_delays_none(many, black_hole, count, connect_timeout_s):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    targets = [msgspec.structs.replace(many, name=f"pi{number}") for number in range(count)]
    targets[3] = msgspec.structs.replace(targets[3], port=black_hole)  # early, so that it could hold up the rest
    began = time.monotonic()
    try:
        answers = in_order(fleet.side_by_side(targets, functools.partial(asked, connect_timeout_s=connect_timeout_s)))
        links = [answer[0] for answer in answers if not isinstance(answer, TargetError)]
        assert [number for number, answer in enumerate(answers) if isinstance(answer, TargetError)] == [3]
        assert "has not answered" in answers[3].message
        assert max(answer[1] for answer in answers if not isinstance(answer, TargetError)) - began < ASKED_WITHIN_S
        assert all(
            link.start(["true"]).finish(10) == 0 for link in links[:: max(1, count // 10)]
        )  # they still are there
    finally:
        for answer in answers:
            if not isinstance(answer, TargetError):
                answer[0].close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("fault", [RuntimeError("a fault of edgepress"), SystemExit(1)])
def test_a_fault_of_edgepress_with_one_board_is_said_and_takes_nothing_from_the_others(
    many, fault, monkeypatch, tmp_path
):
    real = fleet.open_session

    def opened(target, say):
        if target.name == "bad":
            raise fault
        return real(target, say)

    monkeypatch.setattr(fleet, "open_session", opened)
    targets = [msgspec.structs.replace(many, name=name, root=str(tmp_path)) for name in ("one", "bad", "two")]
    one, bad, two = in_order(fleet.check_all(targets))
    assert (one.failed, two.failed) == (None, None)
    assert str(fault) in bad.failed.message
    assert "bug in edgepress" in bad.failed.hint


def test_answers_come_as_they_are_there(many):
    """One that is waited for delays none."""
    begun = threading.Event()

    def ask(target):
        assert target.name == "quick" or begun.wait(60)
        return target.name

    targets = [msgspec.structs.replace(many, name=name) for name in ("slow", "quick")]
    answers = fleet.side_by_side(targets, ask)
    assert next(answers) == (1, "quick")
    begun.set()
    assert next(answers) == (0, "slow")


def test_ctrl_c_does_not_wait_for_a_dead_board(many, black_hole, tmp_path):
    (tmp_path / "boards.toml").write_text(
        f'[dead]\nhost = "127.0.0.1"\nport = {black_hole}\nuser = "{many.user}"\nkey = "{many.key}"\n'
    )
    command = [sys.executable, "-c", "from pipeline.commands import main; main()", "boards", "check", "--all"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        time.sleep(3)  # it waits for the first word, up to 15 s
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait() == 128 + signal.SIGINT
    assert time.monotonic() - began < fleet.STOP_S + 3


@pytest.fixture
def inventory_of_three(many, black_hole, tmp_path):
    """Two boards that live, a dead one between them."""
    text = ""
    for name, port in (("one", many.port), ("dead", 9), ("two", many.port)):
        text += (
            f'[{name}]\nhost = "127.0.0.1"\nport = {port}\nuser = "{many.user}"\nkey = "{many.key}"\n'
            f'known_hosts = "{many.known_hosts}"\nroot = "{tmp_path}/{name}"\n'
        )
    (tmp_path / "boards.toml").write_text(text.replace("[two]", '[two]\nboard = "raspberry_pi_5"', 1))
    return ("boards", "--folder", tmp_path)


def test_check_prints_a_line_a_board(inventory_of_three):
    said = edgepress(*inventory_of_three, "check", "--all")
    assert said.returncode == 4
    dead, one, two = sorted(said.stdout.splitlines())  # they come as they are there
    assert one.startswith("one   ok")
    assert "onnxruntime" in one
    assert dead.startswith("dead  --")
    assert "refused" in dead
    assert two.startswith("two   ok")
    assert "dead: what to do: Is sshd running there" in said.stderr
    record = json.loads(edgepress(*inventory_of_three, "check", "one", "dead", "--json").stdout)
    assert [each["failed"] is None for each in record] == [True, False]
    assert record[0]["runtimes"]["onnxruntime"] is None
    assert edgepress(*inventory_of_three, "check", "one", "two").returncode == 0


def test_check_wants_names_or_all(inventory_of_three):
    assert edgepress(*inventory_of_three, "check").returncode == 2
    assert edgepress(*inventory_of_three, "check", "one", "--all").returncode == 2
    assert edgepress(*inventory_of_three, "check", "one", "nobody").returncode == 2


def test_check_all_of_none(tmp_path):
    (tmp_path / "boards.toml").touch()
    said = edgepress("boards", "--folder", tmp_path, "check", "--all")
    assert (said.returncode, "no board is in" in said.stderr) == (0, True)


def test_facts_of_a_board_that_is_there_and_of_one_that_is_away(inventory_of_three):
    there = edgepress(*inventory_of_three, "facts", "one")
    assert there.returncode == 0, there.stderr
    assert f"the board says: {len(os.sched_getaffinity(0))} x" in there.stdout
    assert "latency" in there.stdout
    away = edgepress(*inventory_of_three, "facts", "dead")
    assert away.returncode == 0
    assert "could not be asked" in away.stdout
    assert "its kind is not known" in away.stdout
    record = json.loads(edgepress(*inventory_of_three, "facts", "raspberry_pi_5", "--json").stdout)
    assert "pmic_read_adc" in record["facts"]["power"]["says"]
    assert record["board"] is None


def test_list_and_trust_as_json(inventory_of_three, tmp_path):
    listed = json.loads(edgepress(*inventory_of_three, "list", "--json").stdout)
    assert [each["name"] for each in listed] == [*inventory.ALWAYS, "one", "dead", "two"]
    pinned = edgepress(*inventory_of_three, "trust", "one", "--json", input="y\n")
    assert json.loads(pinned.stdout)[0]["fingerprint"].startswith("ssh-ed25519 SHA256:")
