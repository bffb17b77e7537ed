"""An emulated machine with a quick program in QEMU's place."""

import os
import subprocess
import sys

import pytest

from targets.virtual.emulated import build
from tests.support.device_trees import written

DTB = written(({"model": b"linux,dummy-virt\0", "compatible": b"linux,dummy-virt\0"}, {}))
# Writes what QEMU would, then sleeps in the background; fails as QEMU does while the file "taken" is there.
QEMU = f"""#!{sys.executable}
import pathlib, subprocess, sys
arguments = " ".join(sys.argv)
if "dumpdtb" in arguments:
    pathlib.Path("qemu.dtb").write_bytes({DTB!r})
elif pathlib.Path("taken").exists():
    pathlib.Path("taken").unlink()
    sys.exit("qemu-system-aarch64: Could not set up host forwarding rule 'tcp:127.0.0.1:1-:22'")
elif "-daemonize" in sys.argv:
    pathlib.Path("console.log").write_text("Kernel panic - not syncing")
    pathlib.Path("arguments").write_text(arguments)
    sleeper = subprocess.Popen(["sleep", "600"], stdin=-3, stdout=-3, stderr=-3, start_new_session=True)
    pathlib.Path("pid").write_text(str(sleeper.pid))
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A cache of its own for the test, with the machine's folder in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "cache/edgepress/virtual-aarch64/machine"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def made(tmp_path):
    folder = tmp_path / "0123abcd"
    folder.mkdir()
    for name in ("user_key", "kernel", "initrd.gz", "disk.ext4"):
        (folder / name).write_text(name)
    (folder / "host_key.pub").write_text("ssh-ed25519 AAAA comment\n")
    return build.Image(folder=folder)


@pytest.fixture
def qemu(tmp_path, monkeypatch):
    """The stand-in first in PATH, and stubs of the other programs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in build.PROGRAMS:
        (folder / name).write_text("#!/bin/sh\n")
    (folder / "qemu-system-aarch64").write_text(QEMU)
    for path in folder.iterdir():
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.fixture
def process():
    """A process that stands for QEMU."""
    running = subprocess.Popen(["sleep", "600"])
    yield running
    running.kill()
    running.wait()
