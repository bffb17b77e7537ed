"""What is wrong with the way to a board, or with a path, is said before the first stage; a stage makes .edgepress."""

import shutil
from pathlib import Path

import pytest

from pipeline import selftest
from tests.support.commands import edgepress
from tests.support.own_sshd import own_sshd

PLAN = '[model]\npath = "m.tflite"\n[board]\nname = "pi"\n'


@pytest.fixture
def plan(tmp_path):
    shutil.copy(Path(selftest.__file__).with_suffix(".tflite"), tmp_path / "m.tflite")
    (tmp_path / "edge.toml").write_text(PLAN)
    return tmp_path / "edge.toml"


def refused(plan, code, *says):
    done = edgepress("run", plan)
    assert done.returncode == code, done.stderr
    for each in says:
        assert each in done.stderr
    assert "Traceback" not in done.stderr
    assert not (plan.parent / ".edgepress").exists()


def test_a_board_on_which_no_agent_starts(plan, tmp_path):
    with own_sshd(tmp_path / "sshd", "ForceCommand /bin/echo No.") as target:
        (tmp_path / "boards.toml").write_text(
            f'[pi]\nhost = "127.0.0.1"\nport = {target.port}\nuser = "{target.user}"\nkey = "{target.key}"\n'
            f'known_hosts = "{target.known_hosts}"\n'
        )
        refused(plan, 4, "it said: No.", "ForceCommand")


def test_an_address_with_a_user_in_it(plan, tmp_path):
    (tmp_path / "boards.toml").write_text('[pi]\nhost = "pi@192.0.2.5"\nuser = "pi"\nkey = "id"\n')
    refused(plan, 2, '`host` is "pi@192.0.2.5"', 'user = "pi", host = "192.0.2.5"')


def test_a_public_key(plan, tmp_path):
    (tmp_path / "id.pub").write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE me\n")
    (tmp_path / "boards.toml").write_text('[pi]\nhost = "127.0.0.1"\nport = 1\nuser = "pi"\nkey = "id.pub"\n')
    refused(plan, 4, "the public half of a key", "without .pub")


@pytest.mark.parametrize("path", ["$HOME/m.tflite", "~nobody-at-all/m.tflite"])
def test_a_path_of_the_plan(plan, path):
    plan.write_text(PLAN.replace("m.tflite", path).replace('"pi"', '"local"'))
    refused(plan, 2, path)
