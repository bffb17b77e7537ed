from pathlib import Path

import pytest

from targets import inventory
from targets.errors import UnknownTarget

GOOD = '[pi5]\nhost = "192.0.2.5"\nuser = "pi"\nkey = "~/.ssh/id"\nboard = "raspberry_pi_5"\n'


def test_a_board_of_the_inventory(tmp_path):
    (tmp_path / "boards.toml").write_text(GOOD)
    target = inventory.find("pi5", tmp_path)
    assert (target.host, target.port, target.user, target.kind) == ("192.0.2.5", 22, "pi", "ssh")
    assert str(tmp_path / "known_hosts") == target.known_hosts


@pytest.mark.parametrize(
    ("key", "is_then"),
    [("keys/id", "{}/keys/id"), ("/keys/id", "/keys/id"), ("keys/~id", "{}/keys/~id")],
)
def test_files_are_beside_the_inventory(tmp_path, monkeypatch, key, is_then):
    (tmp_path / "boards.toml").write_text(GOOD.replace("~/.ssh/id", key))
    assert inventory.find("pi5", tmp_path).key == is_then.format(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert inventory.find("pi5", Path()).key == is_then.format(tmp_path)


def test_some_boards_always_exist(tmp_path):
    kinds = [inventory.find(name, tmp_path).kind for name in inventory.ALWAYS]
    assert kinds == ["local", "virtual", "virtual", "emulated"]


def test_unknown_board_names_those_there_are(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "boards.toml").write_text(GOOD)
    with pytest.raises(
        UnknownTarget, match="the known boards are: local, virtual, virtual-small, virtual-aarch64, pi5"
    ):
        inventory.find("pi6", tmp_path)
    with pytest.raises(UnknownTarget) as told:
        inventory.find("../local", tmp_path)
    assert 'Add a table ["../local"] with' in told.value.hint  # what TOML reads


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[pi5\n", "cannot be read"),
        ('[pi5]\nhost = "a"\n', "user"),
        (GOOD + "prot = 22\n", "unknown key `prot`"),
        (GOOD + "[pi5.meters]\nina226 = 3\n", "`meters`: a meter's settings"),
        (GOOD + "[pi5.meters.ina226]\nshunt_ohm = [1]\n", "`meters`: a meter's settings"),
        (GOOD + "port = 99999\n", "65535"),
        (GOOD + "ssh_agent = true\n", "exactly one of"),
        (GOOD.replace('key = "~/.ssh/id"\n', ""), "exactly one of"),
        (GOOD.replace("[pi5]", "[local]"), "are reserved names"),
        (GOOD.replace("raspberry_pi_5", "raspberry_pi_9"), "must be one of"),
        (GOOD + 'kind = "local"\n', "there is no key `kind`"),
        (GOOD + 'root = "a\\u001bb"\n', "control characters"),
        *(
            (GOOD + f'root = "{root}"\n', "a folder that only edgepress uses")
            for root in ("~", "~/", "~pi", ".", "./", "/", "a/..", "~/.")
        ),
        (GOOD + 'python = "sudo python3"\n', "without another command before it"),
        (GOOD.replace("192.0.2.5", "pi..local"), "1 to 63 characters"),
        (GOOD.replace("192.0.2.5", "a" * 64 + ".local"), "1 to 63 characters"),
        (GOOD.replace('"pi"', '"$USER"'), "$ is not expanded"),
        (GOOD + "".join(f"[pi5.meters.m{number}]\nx = 1\n" for number in range(33)), "At most 32 are allowed"),
        (GOOD.replace("[pi5]", '["pi\\n5"]'), "control characters"),
        (GOOD.replace("[pi5]", "[-pi5]"), "begin with -"),
        (GOOD.replace("[pi5]", '[""]'), "no spaces"),
        ("pi5 = 3\n", "not in a board's table"),
        ('[pi5]\nvirtual = { memory = "much" }\n', "whole number of MiB or GiB"),
        ('[pi5]\nvirtual = { memory = "1 MiB" }\n', "64 MiB or more"),
        ("[pi5]\nvirtual = { cores = 1, cpu = 1.5 }\n", "more than cores"),
        ("[pi5]\nvirtual = { cores = 0 }\n", "cores"),
        ("[pi5]\nvirtual = { rtt = 20 }\n", "rtt"),
        ('[pi5]\nvirtual = {}\nhost = "a"\n', "host"),
        ("[virtual]\nvirtual = {}\n", "virtual"),
        ('["../pi5"]\nvirtual = {}\n', "letters, digits"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, text, says):
    (tmp_path / "boards.toml").write_text(text)
    with pytest.raises(UnknownTarget) as caught:
        inventory.find("pi5", tmp_path)
    assert says in caught.value.message + caught.value.hint
    assert "boards.toml" in caught.value.message


def test_a_virtual_board_of_ones_own(tmp_path):
    (tmp_path / "boards.toml").write_text(
        '[tiny]\nvirtual = { cores = 2, memory = "256 MiB", cpu = 0.5, rtt_ms = 20, rate_mbit = 10 }\n'
    )
    target = inventory.find("tiny", tmp_path)
    assert (target.kind, target.board, target.virtual.memory_bytes) == ("virtual", "this_machine", 256 << 20)
    assert target.root != inventory.find("virtual", tmp_path).root


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('ssh = "orin"\n', None),
        ('ssh = "orin"\nssh_config = "my_config"\nboard = "jetson_orin_nano"\npython = "python3.9"\n', None),
        ('ssh = "orin"\nhost = "a"\n', "`ssh` excludes host"),
        ('ssh = "orin"\nkey = "k"\nport = 23\n', "`ssh` excludes key, port"),
        ('ssh = "orin"\nknown_hosts = "k"\n', "`ssh` excludes known_hosts"),
        ('host = "a"\nuser = "b"\npassword = "ask"\n', None),
        ('host = "a"\nuser = "b"\npassword = "hunter2"\n', "password"),
        ('host = "a"\nuser = "b"\npassword_env = "P"\n', None),
        ('host = "a"\nuser = "b"\npassword = "ask"\npassword_env = "P"\n', "exactly one of"),
        ('host = "a"\nuser = "b"\npassword_env = "P"\nkey = "k"\n', "exactly one of"),
        ('host = "a"\nuser = "b"\nkey = "k"\npassphrase = "ask"\n', None),
        ('host = "a"\nuser = "b"\nkey = "k"\npassphrase = "ask"\npassphrase_env = "P"\n', "one of passphrase"),
        ('host = "a"\nuser = "b"\nssh_agent = true\npassphrase_env = "P"\n', "passphrase needs a `key`"),
        ('host = "a"\nuser = "b"\nssh_agent = "SHA256:abc"\n', None),
        ('host = "a"\nuser = "b"\nssh_agent = "my key"\n', "SHA256"),
        ('host = "a"\nuser = "b"\nkey = "k"\nssh_config = "c"\n', "no `ssh` is given"),
        ('user = "b"\nkey = "k"\n', "must be given"),
    ],
)
def test_ways_to_a_board(tmp_path, text, says):
    (tmp_path / "boards.toml").write_text("[pi]\n" + text)
    if says is None:
        target = inventory.find("pi", tmp_path)
        assert target.ssh_config in {None, str(tmp_path / "my_config")}
        return
    with pytest.raises(UnknownTarget, match=says) as caught:
        inventory.find("pi", tmp_path)
    assert "hunter2" not in caught.value.message
