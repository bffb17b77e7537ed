"""Real boards for the tests: a real OpenSSH server on the loopback, and a wire in front of it that can be cut."""

import contextlib
import shutil
import socket
import threading
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


class CutWire:
    """A TCP proxy that can stop passing bytes, or break the connection, after so many bytes from the host."""

    def __init__(self, port):
        self.port_behind, self.cut_after, self.passed, self.mode = port, None, 0, "reset"
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._pairs = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(("127.0.0.1", self.port_behind))
                self._pairs.append((near, far))
                threading.Thread(target=self._pass, args=(near, far, True), daemon=True).start()
                threading.Thread(target=self._pass, args=(far, near, False), daemon=True).start()

    def _pass(self, source, sink, counted):
        with contextlib.suppress(OSError):
            while data := source.recv(16384):
                sink.sendall(data)
                if counted:
                    self.passed += len(data)
                    if self.cut_after is not None and self.passed >= self.cut_after:
                        self.cut()
            sink.shutdown(socket.SHUT_WR)

    def cut(self):
        for pair in self._pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.cut()
        self._server.close()


@pytest.fixture
def wire(sshd):
    """(target through the wire, the wire). Its host key is pinned for the wire's port too."""
    wire = CutWire(sshd.port)
    known = Path(sshd.known_hosts)
    through = known.with_name(f"known_hosts-{wire.port}")
    through.write_text(known.read_text().replace(f":{sshd.port}", f":{wire.port}"))
    yield msgspec.structs.replace(sshd, port=wire.port, known_hosts=str(through)), wire
    wire.close()


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
