"""`boards check --share`: what a board shows of itself, without what names it, and back into a recorded tree."""

import ast
import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from targets import inventory, open_session, sharing
from targets.conversation import one_line
from targets.errors import NoAnswer, NotTheAgent
from targets.fleet import Checked
from targets.inventory import Target
from targets.sharing import Leak, Shared, fetch, redact
from targets.sharing.fetch import Collected
from targets.sharing.redact import Redactor
from tests.support import board_trees
from tests.support.board_facts import CONDITIONS, MACHINES
from tests.support.commands import edgepress
from tests.support.own_sshd import own_sshd

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "scripts"))

import adopt_board  # noqa: E402

sys.path.remove(str(ROOT / "scripts"))

SOURCE = (ROOT / "targets" / "sharing" / "collect.py").read_text()
PI5 = Target(name="kitchen-pi5", host="192.0.2.57", user="mmustermann", ssh="kitchen.lan.example")
PLANTED = {
    "host name": "zwiebelkuchen", "user name": "mmustermann", "MAC address": "d8:3a:dd:12:34:5f", "serial number": "10000000abcdef42",
    "address": "192.0.2.57",
}  # fmt: skip


def collected_of(tree, **environment):
    """What the script prints of a tree, as a board's Python runs it."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", one_line(SOURCE)], env=board_trees.environment(tree) | environment,
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return msgspec.json.decode(done.stdout.split("EDGEPRESS-SHARE-1\n")[1], type=Collected)


def shared_of(tree, target=PI5):
    return sharing.without_secrets(collected_of(tree), Checked(name="x", address="x"), target)


def planted(tmp_path):
    """A Pi 5 that tells its secrets in many of its files."""
    tree = board_trees.tree("pi5", tmp_path)
    for path in sorted(tree.rglob("*")):
        if path.is_file() and path.name in ("model", "os-release", "cpuinfo", "type", "governor", "name"):
            with path.open("a") as file:
                file.write(
                    "\n".join(f"{kind}: {secret} x{secret}y /home/{secret}/" for kind, secret in PLANTED.items())
                )
    (tree / "etc/hostname").write_text("zwiebelkuchen\n")
    (tree / "sys/class/net/eth0").mkdir(parents=True)
    (tree / "sys/class/net/eth0/address").write_text("d8:3a:dd:12:34:5f\n")
    (tree / "proc/device-tree/serial-number").write_bytes(b"10000000abcdef42\0")
    return tree


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


# --- no secret survives

WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=5, max_size=20).filter(
    lambda word: word not in redact.EVERYBODY and not word.isdigit() and not redact.PLACEHOLDERS.fullmatch(word)
)
MACS = st.binary(min_size=6, max_size=6).map(lambda mac: ":".join(f"{part:02x}" for part in mac))
ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).filter(lambda one: not one.is_unspecified).map(str)
FILLING = st.text(" \n\t:=,;/\"'()[]<>-_.", min_size=1, max_size=3)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_no_name_survives_wherever_it_stands(data):
    secrets = data.draw(st.lists(WORDS, min_size=1, max_size=5, unique=True))
    parts = data.draw(
        st.lists(st.sampled_from([*secrets, "temp1", "/home/", "x", "Rev 1.0", "27000", "é\0"]), max_size=30)
    )
    upper = data.draw(st.booleans())
    text = data.draw(FILLING).join(parts) if data.draw(st.booleans()) else "".join(parts)
    redactor = Redactor([("user name", secret) for secret in secrets])
    cleaned = redactor.clean(text.upper() if upper else text)
    for secret in secrets:
        # what is left and right of a mark was not together before: only whole pieces count
        assert all(secret not in piece.lower() for piece in redact.MARKS.split(cleaned))
    assert redactor.leaks(cleaned) == []


@given(
    st.lists(st.one_of(MACS, ADDRESSES), min_size=1, max_size=5),
    FILLING.filter(lambda text: not set(text) & set(".:-_")),
)
@settings(max_examples=200, deadline=None)
def test_no_address_survives_that_nobody_has_told_of(addresses, filling):
    text = filling + filling.join(addresses) + filling
    cleaned = Redactor([]).clean(text)
    for address in addresses:
        assert address not in cleaned, (text, cleaned)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Serial\t\t: 10000000abcdef42\n", "serial number"), ("Serial : 0123456789012345", "serial number"),
        ("uuid 123e4567-e89b-12d3-a456-426614174000", "serial number"), ("at /home/anna/x", "user name"), ("mail a.b@c.example", "address"),
        ("fe80::1ff:fe23:4567:890a%eth0", "address"), ("mac D8-3A-DD-12-34-5F.", "MAC address"),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_goes_though_nobody_told_of_it(text, kind):
    redactor = Redactor([])
    assert f"<{kind}>" in redactor.clean(text)
    assert redactor.removed == {kind: 1}


@pytest.mark.parametrize(
    "text",
    [
        "3V7_WL_SW_A current(0)=0.07709848A", "throttled=0x50005", "# R36 (release), REVISION: 4.3, GCID: 38968081", "cpu@0/compatible",
        "some avg10=1.23 avg60=0.00 total=12955387967", "15:00:54", "intel-rapl:0:0", "5.15.148-tegra", "Ubuntu 22.04.5 LTS", "::",
        "cpu  1521692 1227056 356375 267668 7473 0 7545 46376 0 0", "fw-cfg@9020000", "6.6.31+rpt-rpi-v8", "2024-11-12 10:55:03",
    ],
)  # fmt: skip
def test_what_a_sensor_says_stays(text):
    assert (
        Redactor([("serial number", "0"), ("serial number", "To be filled by O.E.M."), ("host name", "")]).clean(text)
        == text
    )


def test_a_board_that_says_the_worst_costs_seconds():
    """As much as one may say, in forms that invite to search for long: two thousand names, endless words, addresses that are none."""
    redactor = Redactor([("user name", f"name{number:06}x" * 3) for number in range(2000)])
    worst = [
        "a" * 16384,
        "a." * 8192,
        "a@" * 8192,
        "0:" * 8192,
        "aa:" * 5461,
        "/home/" * 2730,
        "name" * 4096,
        "1." * 8192,
    ]
    began = time.monotonic()
    for text in worst * 8:  # a megabyte
        redactor.clean(text)
    assert time.monotonic() - began < 30


def test_a_short_name_goes_as_a_word_and_leaves_words_that_hold_it():
    redactor = Redactor([("user name", "ann")])
    assert (
        redactor.clean("ann channel /home/ann ANN planned")
        == "<user name> channel /home/<user name> <user name> planned"
    )


def test_a_number_that_is_a_serial_is_not_taken_out_of_a_longer_one():
    assert Redactor([("serial number", "52350")]).clean("52350 152350 523501") == "<serial number> 152350 523501"


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
            "more than",
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


# --- a file of a stranger


@pytest.mark.parametrize(
    "change",
    [
        {"files": {"../../x": ""}}, {"files": {"proc/../../x": ""}}, {"files": {"/etc/passwd": ""}}, {"files": {"home/x": ""}},
        {"files": {"proc/a b": ""}}, {"links": {"sys/a": "../../.."}}, {"links": {"sys/a": "/etc"}}, {"failing": ["tests/x"]},
        {"blocking": ["proc/a\nmode 0777 /etc"]}, {"programs": {"../sh": ""}}, {"programs": {"sh; rm": ""}}, {"root_only": ["etc/.."]},
    ],
    ids=str,
)  # fmt: skip
def test_a_file_that_would_write_elsewhere_is_refused(change, tmp_path):
    shared = msgspec.structs.replace(shared_of(board_trees.tree("pc", tmp_path)), **change)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=r"is no path|is no program|leads out"):
        adopt_board.adopted(shared, "bad", tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["", "../x", "Pi", "pc"])
def test_a_name_that_is_none_or_taken_is_refused(name, tmp_path):
    shared = shared_of(board_trees.tree("pc", tmp_path))
    with pytest.raises(ValueError, match="name"):
        adopt_board.adopted(shared, name, tmp_path)


def test_the_command_adopts_and_tells_what_differs(tmp_path, monkeypatch, capsys):
    shared = shared_of(board_trees.tree("pi5", tmp_path))
    shared = msgspec.structs.replace(
        shared, kind="raspberry_pi_5", machine={"model": "Raspberry Pi 6", "governor": "ondemand"}
    )
    (tmp_path / "board.json").write_bytes(msgspec.json.encode(shared))
    monkeypatch.setattr(adopt_board, "BOARDS", tmp_path / "boards")
    monkeypatch.setattr(sys, "argv", ["adopt_board.py", str(tmp_path / "board.json")])
    adopt_board.main()
    said = capsys.readouterr().out
    assert "raspberry_pi_5" in said
    assert "model: 'Raspberry Pi 6' on the board, 'Raspberry Pi 5 Model B Rev 1.0' from its tree" in said
    assert "governor" not in said
    (tmp_path / "board.json").write_text('{"schema": 1, "unknown": 2}')
    with pytest.raises(SystemExit):
        adopt_board.main()


def test_a_random_file_never_leaves_the_folder(tmp_path):
    drawn = random.Random(0)
    pieces = ["proc", "sys", "etc", "..", ".", "a", "", "x" * 5, "~", "\n", "cpu0"]
    shared = shared_of(board_trees.tree("pc", tmp_path))
    outside = sorted(tmp_path.iterdir())
    for number in range(300):
        path = "/".join(drawn.choices(pieces, k=drawn.randint(1, 5)))
        try:
            adopt_board.adopted(msgspec.structs.replace(shared, files={path: "x"}), f"t{number}", tmp_path / "boards")
        except ValueError:
            continue
    assert [each for each in sorted(tmp_path.iterdir()) if each not in outside] in ([], [tmp_path / "boards"])


def test_the_session_starts_the_boards_python(tmp_path):
    with open_session(
        msgspec.structs.replace(inventory.find("local", tmp_path), root=str(tmp_path / "board"))
    ) as session:
        channel = session.start_python("print('here')")
        assert channel.receive(100, 30) == b"here\n"
        channel.close()
