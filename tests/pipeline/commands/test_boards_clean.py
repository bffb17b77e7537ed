"""The commands that give room back, on the board that is this machine."""

import hashlib
import json
import os

import pytest

from targets import inventory, open_session
from tests.support.commands import edgepress


@pytest.fixture
def local(tmp_path, monkeypatch):
    """A `local` board of this test's own, with a file on it that nobody needs; edgepress is run beside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    target = inventory.find("local", tmp_path)
    with open_session(target) as session:
        data = b"x" * 5000
        session.put(data, hashlib.sha256(data).hexdigest())
    return inventory.cache_folder() / "local-board"


def run(*arguments, **options):
    return edgepress("boards", *arguments, env=dict(os.environ), **options)


def test_clean(local):
    said = run("clean", "local", "--dry-run")
    assert (said.returncode, said.stdout.splitlines()[0]) == (0, "would be removed from local: 1 file: 4.88 KiB"), said
    assert run("clean", "local", "--unused-days", "1", "--json").stdout.count('"blob_count": 0') == 1
    assert run("clean", "local", "--keep", "5kB").stdout.startswith("removed from local: nothing")
    assert len(list((local / "blobs").iterdir())) == 1
    said = run("clean", "local", "--json")
    assert json.loads(said.stdout)["removed_bytes"] == 5000
    assert list((local / "blobs").iterdir()) == []


@pytest.mark.parametrize("size", ["-1", "5 apples", "1e9", "99999999999999999999"])
def test_a_size_that_is_none(local, size):
    said = run("clean", "local", f"--keep={size}")
    assert (said.returncode, "is not a size such as 200MB" in said.stderr) == (2, True)


def test_uninstall_asks_first(local):
    said = run("uninstall", "local", input="n\n")
    assert (said.returncode, local.exists()) == (2, True)
    assert "Remove" in said.stderr
    assert run("uninstall", "local", "--dry-run").returncode == 0
    assert (local / "blobs").exists()
    said = run("uninstall", "local", "--yes")
    assert (said.returncode, local.exists()) == (0, False), said.stderr
    assert said.stdout.startswith("removed from local: ")


@pytest.mark.parametrize("command", ["run", "measure", "selftest"])
def test_whatever_measures_can_wait(command):
    said = edgepress(command, "--help")
    assert "--wait SECONDS" in said.stdout
