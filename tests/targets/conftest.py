"""Real boards for the tests: a real OpenSSH server on the loopback, and a link in front of it that can be cut."""

import contextlib
import shutil
import time
from pathlib import Path

import msgspec
import pytest

from targets.virtual.proxy import Proxy


@pytest.fixture(scope="module")
def sshd(sshd_target, tmp_path_factory):
    """A Target of kind ssh whose server really runs; its files on the board are in a folder of the test."""
    root = tmp_path_factory.mktemp("board") / "edgepress"
    return msgspec.structs.replace(sshd_target, name="pi", kind="ssh", root=str(root))


@pytest.fixture
def proxied(sshd):
    """(target through a Proxy, the Proxy). Its host key is pinned for the proxy's port too."""
    with Proxy(sshd.port) as proxy:
        known = Path(sshd.known_hosts)
        through = known.with_name(f"known_hosts-{proxy.port}")
        through.write_text(known.read_text().replace(f":{sshd.port}", f":{proxy.port}"))
        yield msgspec.structs.replace(sshd, port=proxy.port, known_hosts=str(through)), proxy


def ssh_command(target, *command):
    """OpenSSH's own client on the way to that target."""
    return [
        "ssh", "-F", "none", "-i", target.key, "-p", str(target.port), "-o", "StrictHostKeyChecking=yes",
        "-o", f"UserKnownHostsFile={target.known_hosts}", f"{target.user}@127.0.0.1", *command,
    ]  # fmt: skip


def processes_with(text):
    """Process ids whose command line holds this text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if text.encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def eventually(condition, seconds=10.0):
    """Wait until `condition()` holds; whether it did."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


def leftovers(root):
    """What lies in the board's tmp folder, and processes that run from its root."""
    tmp = Path(root) / "tmp"
    return [*(tmp.iterdir() if tmp.exists() else []), *processes_with(str(root))]


@pytest.fixture
def need_mount(tmp_path):
    """A tiny file system that fills up; needs root."""
    import os
    import subprocess

    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small tmpfs needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if done.returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
