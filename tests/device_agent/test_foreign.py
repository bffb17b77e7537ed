"""What edgepress has not put there is neither used nor removed; what of its own is damaged does not stop it."""

import fcntl
import grp
import os
import pwd
import struct
from pathlib import Path
from typing import Any

import pytest

from device_agent import wire
from device_agent.channel import Refused
from device_agent.files import layout
from device_agent.jobs import requests
from tests.support.agent_process import another, names
from tests.support.bootstrapped import as_root, refusal

PRECIOUS = {"tmp": "thesis", "jobs": "applications", "blobs": "photo.jpg", "partial": "x", "sites": "home.html"}


@pytest.mark.parametrize("name", [*PRECIOUS, "lock", "tuned.json"])
def test_a_home_with_such_a_name_in_it_is_no_root(tmp_path, name):
    """The first agent would have removed all of ~/tmp."""
    home = tmp_path / "home"
    home.mkdir()
    if name in PRECIOUS:
        (home / name).mkdir()
        (home / name / PRECIOUS[name]).write_text("mine")
    else:
        (home / name).write_text("mine")
    failed = refusal(home)
    assert (failed["error"], failed["message"]) == ("foreign", str(home / name))
    assert names(home) == [name]


def test_a_folder_that_is_empty_is_a_root(start, tmp_path):
    (tmp_path / "edge" / "tmp").mkdir(parents=True)
    (tmp_path / "edge" / "notes.txt").write_text("mine")
    (tmp_path / "edge").chmod(0o755)
    assert start(tmp_path / "edge").boot_word == "NEED"


def with_precious(agent):
    for folder, name in PRECIOUS.items():
        (agent.root / folder / name).write_text("mine")


def test_what_somebody_has_put_beside_it_later_stays(agent, start):
    with_precious(agent)
    (agent.root / "agents" / "mine").mkdir()
    other = another(start, agent)
    assert other.ask(wire.Jobs()).jobs == ()
    assert other.ask(wire.Clean(0, 0, dry_run=False)).blob_count == 0
    kept = sorted(["agents/mine", *(f"{folder}/{name}" for folder, name in PRECIOUS.items())])
    assert sorted(other.ask(wire.Uninstall(dry_run=True)).kept) == kept
    assert sorted(other.ask(wire.Uninstall(dry_run=False)).kept) == kept
    assert sorted(str(path.relative_to(agent.root)) for path in agent.root.rglob("*") if "/" in str(path.relative_to(agent.root))) == kept  # fmt: skip


def test_a_link_to_another_disk(agent, start, tmp_path):
    agent.end()
    disk = tmp_path / "disk"
    (agent.root / "blobs").rename(disk)
    (agent.root / "blobs").symlink_to(disk)
    (disk / ("a" * 64)).write_text("ours")
    (disk / "lost+found").mkdir()
    other = start(agent.root)
    assert other.ask(wire.Uninstall(dry_run=False)).kept == ("blobs/lost+found",)
    assert names(disk) == ["lost+found"]


@pytest.mark.parametrize("what", ["nothing", "a file", "half a record"])
def test_a_job_that_is_damaged_hinders_nothing(agent, start, what):
    folder = agent.root / "jobs" / ("a" * 32)
    if what == "a file":
        folder.write_text("")
    else:
        folder.mkdir()
        if what == "half a record":
            (folder / "submit").write_text('{"kind": "Submit", ')
    assert agent.ask(wire.Jobs()).jobs == ()
    assert another(start, agent).ask(wire.Clean(0, 0, dry_run=False)).job_count == 1
    assert names(agent.root / "jobs") == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"boot_id": "x", "values": [["a"]], "programs": []}', "[" * 100_000]
)
def test_what_was_tuned_and_is_damaged_does_not_stop_the_agent(start, tmp_path, text):
    start().end()
    state = tmp_path / "edge" / "tuned.json"
    state.write_text(text)
    agent = start()
    assert isinstance(agent.ask(wire.Observe()), wire.Conditions)
    assert not state.exists()


def test_a_folder_in_place_of_it(start, tmp_path):
    start().end()
    (tmp_path / "edge" / "tuned.json").mkdir()
    assert isinstance(start().ask(wire.Observe()), wire.Conditions)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"owner": "me"}', '{"owner": "me", "job_id": "x", "since_ns": "1"}'])
def test_a_lock_that_does_not_say_who_is_held_all_the_same(tmp_path, text):
    """As where the disk was full when its owner wrote his name."""
    root = layout.Layout(str(tmp_path / "edge"))
    with Path(root.lock).open("w", encoding="ascii") as lock:
        lock.write(text)
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Refused, match="another edgepress is measuring on this board") as refused:
            requests._lock(root, {})
    assert refused.value.error == "busy"


# --- who may write


@pytest.fixture
def of_a_group(tmp_path):
    """A folder that the group of this user may write to, which nobody is a member of."""
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    folder.chmod(0o775)
    os.chown(folder, os.getuid(), pwd.getpwuid(os.getuid()).pw_gid)
    return folder


def test_a_user_whose_first_group_it_is(of_a_group, monkeypatch):
    """/etc/group does not name him: /etc/passwd does."""
    source = (Path(__file__).parents[2] / "device_agent" / "bootstrap.py").read_text()
    bootstrap: dict[str, Any] = {}
    exec(source.partition("\ntry:\n    root = prepare()")[0], bootstrap)
    own = pwd.getpwuid(os.geteuid())
    monkeypatch.setattr(pwd, "getpwall", lambda: [own])
    monkeypatch.setattr(grp, "getgrgid", lambda gid: grp.struct_group((own.pw_name, "x", own.pw_gid, [])))
    assert not bootstrap["is_open"](str(of_a_group), of_a_group.stat())
    other = pwd.struct_passwd(("other", "x", 54321, own.pw_gid, "", "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwall", lambda: [own, other])
    assert bootstrap["is_open"](str(of_a_group), of_a_group.stat())


@as_root
def test_a_user_whom_an_acl_lets_write(of_a_group, start):
    start(of_a_group / "edge").end()
    nobody = 0xFFFFFFFF  # no number
    entries = [(1, 7, nobody), (2, 7, 54321), (4, 5, nobody), (16, 7, nobody), (32, 5, nobody)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(of_a_group, "system.posix_acl_access", acl)
    except OSError as error:
        pytest.skip(f"no ACLs here: {error}")
    assert refusal(of_a_group / "edge")["error"] == "unsafe"
