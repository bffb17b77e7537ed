"""An sshd of a test's own: its options, its keys, and a stalling wire in front of it."""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from targets.inventory import Target
from targets.virtual.loopback import find_sshd


def keygen(path, *options, passphrase="", kind="ed25519"):
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", *options, "-f", path], check=True)
    return path


@contextlib.contextmanager
def own_sshd(folder, *options, host_keys=("ed25519",)):
    """Starts it; yields a Target whose host keys are pinned."""
    sshd = find_sshd()
    if sshd is None:
        pytest.skip("no sshd on this machine")
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    keys = [keygen(folder / f"host_{kind}", kind=kind) for kind in host_keys]
    user_key = keygen(folder / "user_key")
    shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
    port = free_port()
    lines = [
        *options, f"Port {port}", "ListenAddress 127.0.0.1", f"PidFile {folder}/pid", *(f"HostKey {key}" for key in keys),
        f"AuthorizedKeysFile {folder}/authorized_keys", "PasswordAuthentication no", "KbdInteractiveAuthentication no",
        "UsePAM no", "StrictModes no", "PermitRootLogin prohibit-password", "PrintMotd no",
        f"SetEnv SHLVL=2 EDGEPRESS_LOCK_FOLDER={os.environ.get('EDGEPRESS_LOCK_FOLDER', '')}",  # else bash runs the account's own .bashrc, which may take longer than all that is tested
    ]  # fmt: skip
    (folder / "sshd_config").write_text("\n".join(lines) + "\n")
    known = folder / "known_hosts"
    known.write_text("".join(f"[127.0.0.1]:{port} {' '.join(public(key).split()[:2])}\n" for key in keys))
    process = subprocess.Popen(
        [sshd, "-D", "-f", folder / "sshd_config", "-E", folder / "log"], stdin=subprocess.DEVNULL
    )
    try:
        wait_until_it_listens(port)
        yield Target(
            name="own", host="127.0.0.1", port=port, user=getpass.getuser(), key=str(user_key), known_hosts=str(known)
        )
    finally:
        process.terminate()
        process.wait()


def public(key):
    return Path(f"{key}.pub").read_text()


def fingerprint(key):
    return subprocess.run(
        ["ssh-keygen", "-lf", f"{key}.pub"], check=True, capture_output=True, text=True
    ).stdout.split()[1]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_it_listens(port):
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


class StallingWire:
    """A TCP proxy that can go on acknowledging and pass nothing more: what a board that vanished looks like behind one."""

    def __init__(self, port_behind):
        self.port_behind, self.stalled = port_behind, False
        self.stall_after_answers = None  # chunks from the server that still pass
        self._server = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._server.getsockname()[1]
        self._ends = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(("127.0.0.1", self.port_behind))
                for end in (near, far):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._ends += [near, far]
                threading.Thread(target=self._pass, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._pass, args=(far, near, True), daemon=True).start()

    def _pass(self, source, sink, is_answer):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if is_answer and self.stall_after_answers is not None:
                    self.stall_after_answers -= 1
                    self.stalled |= self.stall_after_answers < 0
                if not self.stalled:  # else swallowed: the sender's kernel gets its acknowledgement
                    sink.sendall(data)
            if not self.stalled:
                sink.shutdown(socket.SHUT_WR)

    def through(self, target):
        """The target, reached through this wire; its key is pinned for the wire's port too."""
        import msgspec

        known = Path(target.known_hosts)
        pinned = known.with_name(f"known_hosts-{self.port}")
        pinned.write_text(known.read_text().replace(f":{target.port} ", f":{self.port} "))
        return msgspec.structs.replace(target, port=self.port, known_hosts=str(pinned))

    def close(self):
        self._server.close()
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
