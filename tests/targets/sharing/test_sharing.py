"""`boards check --share`: what a board shows of itself, without what names it, and back into a recorded tree."""

import ast
import json
import os
import re
import sys

import msgspec
import pytest

from targets import inventory, open_session, sharing
from targets.fleet import Checked
from targets.inventory import Target
from targets.sharing import Leak, Shared
from targets.sharing.redact import Redactor
from tests.support import board_trees
from tests.support.board_facts import CONDITIONS, MACHINES
from tests.support.commands import edgepress
from tests.support.own_sshd import own_sshd
from tests.targets.sharing.adopting import adopt_board
from tests.targets.sharing.shared import PLANTED, SOURCE, collected_of, planted, shared_of


def test_the_script_is_python_3_8_and_asks_for_nothing_else_than_the_library():
    tree = ast.parse(SOURCE, feature_version=(3, 8))
    names = {
        alias.name.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    } | {node.module.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    assert names <= set(sys.stdlib_module_names)
    assert "open(" in SOURCE
    assert not re.search(r"""open\([^\n]*, "[wax+]|unlink|remove\(|mkdir|rename""", SOURCE)  # it writes nothing


@pytest.mark.parametrize("name", [name for name in board_trees.NAMES if name not in board_trees.ADOPTED])
def test_a_board_that_is_shared_and_adopted_is_the_same_board(name, tmp_path):
    """Whatever the agent reads of the tree, it reads the same of the tree that was made of the file."""
    shared = shared_of(board_trees.tree(name, tmp_path))
    again = msgspec.json.decode(msgspec.json.encode(shared), type=Shared)
    root = adopt_board.adopted(again, "again", tmp_path)
    told = json.loads((root / "expected.json").read_text())
    wanted = list(MACHINES[name])
    assert told["machine"] == wanted
    assert told["conditions"] == list(CONDITIONS[name])


def test_secrets_that_a_board_tells_are_nowhere_in_its_file(tmp_path):
    shared = shared_of(planted(tmp_path))
    text = msgspec.json.encode(shared).decode().lower()
    for secret in (*PLANTED.values(), "d83add12345f", "kitchen"):
        assert secret not in text, secret
    assert set(shared.removed) >= set(PLANTED)
    assert "Raspberry Pi 5 Model B Rev 1.0" in shared.files["proc/device-tree/model"]
    assert shared.files["sys/class/thermal/thermal_zone0/temp"] == "48300\n"
    assert shared.programs["vcgencmd get_throttled"].startswith("throttled=0x")


def test_a_machine_with_default_names_loses_nothing(tmp_path):
    """pi, nvidia, raspberrypi name nobody, and stand in the names of the hardware."""
    found = collected_of(board_trees.tree("xavier_nx", tmp_path))
    named = msgspec.structs.replace(
        found, secrets=[("user name", "nvidia"), ("host name", "jetson"), ("user name", "pi")]
    )
    shared = sharing.without_secrets(named, Checked(name="x", address="x"), Target(host="10.0.0.9", user="nvidia"))
    assert "nvidia,tegra" in shared.files["proc/device-tree/compatible"]
    assert shared.removed == {}


def test_it_is_not_written_where_something_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(Redactor, "clean", lambda _, text: text)
    with pytest.raises(Leak, match="nothing was written"):
        shared_of(planted(tmp_path))


# --- over a real link, and by hand


def test_over_ssh_it_is_shown_and_written(tmp_path):
    with own_sshd(tmp_path / "sshd") as target:
        board = msgspec.structs.replace(target, root=f"{tmp_path}/board", python=sys.executable, board="this_machine")
        shared = sharing.shared(board, lambda _: None)
    assert shared.machine["kernel"] == os.uname().release or shared.removed
    assert "busiest" not in shared.conditions
    assert shared.files["proc/meminfo"].startswith("MemTotal:")
    assert "127.0.0.1" not in msgspec.json.encode(shared).decode()


def test_the_virtual_board_is_shared_as_any_other(tmp_path):
    """The whole command, over the sshd that it starts."""
    file = tmp_path / "board.json"
    done = edgepress(
        "boards", "check", "virtual", "--share", str(file), "--yes", env=os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    )  # fmt: skip
    if "no sshd" in done.stderr:
        pytest.skip("no sshd on this machine")
    assert done.returncode == 0, done.stderr
    shared = msgspec.json.decode(file.read_bytes(), type=Shared)
    assert shared.kind == "this_machine" or shared.machine["model"]
    assert f"written: {file}" in done.stdout


@pytest.fixture
def here(tmp_path):
    """The environment in which `local` is a Pi 5 that tells its secrets."""
    return os.environ | {"EDGEPRESS_FS_ROOT": str(planted(tmp_path)), "XDG_CACHE_HOME": str(tmp_path / "cache")}


def test_the_user_sees_all_of_it_and_agrees(here, tmp_path):
    file = tmp_path / "board.json"
    command = ("boards", "check", "local", "--share", str(file))
    no = edgepress(*command, env=here, input="n\n")
    assert (no.returncode, file.exists()) == (2, False)
    assert "nothing was changed" in no.stderr
    yes = edgepress(*command, "--yes", env=here)
    assert yes.returncode == 0, yes.stderr
    shared = msgspec.json.decode(file.read_bytes(), type=Shared)
    for path in (*shared.files, *shared.programs):
        assert path in no.stdout, path
    for said in (no.stdout, file.read_text()):
        assert "zwiebelkuchen" not in said
        assert "10000000abcdef42" not in said
    assert "serial number" in no.stdout


def test_a_selftest_goes_with_it(here, tmp_path):
    answer, file = tmp_path / "selftest.json", tmp_path / "board.json"
    answer.write_text(json.dumps({"trials": 20, "false_alarms": 0, "at": "zwiebelkuchen"}))
    done = edgepress("boards", "check", "local", "--share", str(file), "--yes", "--selftest", str(answer), env=here)
    assert done.returncode == 0, done.stderr
    assert json.loads(file.read_text())["selftest"] == {"trials": 20, "false_alarms": 0, "at": "<host name>"}


@pytest.mark.parametrize("words", [("--yes",), ("--share", "x", "--all"), ("--share", "x", "other")])
def test_it_is_for_one_board(words, tmp_path):
    done = edgepress("boards", "check", *(() if "--all" in words else ("local",)), *words, cwd=tmp_path)
    assert done.returncode == 2
    assert not (tmp_path / "x").exists()


def test_the_session_starts_the_boards_python(tmp_path):
    with open_session(
        msgspec.structs.replace(inventory.find("local", tmp_path), root=str(tmp_path / "board"))
    ) as session:
        channel = session.start_python("print('here')")
        assert channel.receive(100, 30) == b"here\n"
        channel.close()
