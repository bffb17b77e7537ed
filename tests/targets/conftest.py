"""Real boards for the tests: a real OpenSSH server on the loopback, and a link in front of it that can be cut."""

import shutil
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
