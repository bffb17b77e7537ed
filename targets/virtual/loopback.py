"""The `virtual` board: a real OpenSSH server on the loopback of this machine, for the time of one session.

It has its own host key (pinned) and user key, both made for it, listens on a free port of 127.0.0.1 only, and runs as
whoever runs edgepress. What it proves is the way over SSH; what is measured on it is this machine.
"""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from targets.errors import VirtualUnavailable
from targets.inventory import Target

START_TIMEOUT_S = 10.0
PORT_TRIES = 5
PREFIX = "edgepress-virtual-"
INSTALL = "Install it: apt-get install openssh-server"
# Where sshd separates privileges when root runs it (sshd(8)); Debian makes it only when the service starts.
PRIVILEGE_SEPARATION = Path("/run/sshd")


def find_sshd() -> str | None:
    """The path of sshd, which is not on an ordinary user's PATH; it insists on being started by an absolute one."""
    return shutil.which("sshd", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


@contextlib.contextmanager
def loopback_sshd(target: Target) -> Iterator[Target]:
    """Start the server; yields `target` with its address, key and pinned host key filled in."""
    sshd = find_sshd()
    if sshd is None:
        raise VirtualUnavailable("this machine has no sshd, which the virtual board is made of", hint=INSTALL)
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):  # by a kill -9
        if left.stat().st_uid == os.geteuid() and not Path("/proc", left.name.split("-")[2]).exists():
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-") as name:
        folder = Path(name)
        for key in ("host_key", "user_key"):
            _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "edgepress-virtual", "-f", str(folder / key)])
        (folder / "authorized_keys").write_text((folder / "user_key.pub").read_text())
        if os.geteuid() == 0:
            PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        process, port = _start(sshd, folder)
        try:
            kind, key_text = (folder / "host_key.pub").read_text().split()[:2]
            (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {key_text}\n")
            yield msgspec.structs.replace(
                target, port=port, user=pwd.getpwuid(os.geteuid()).pw_name, key=str(folder / "user_key"),
                known_hosts=str(folder / "known_hosts"),
            )  # fmt: skip
        finally:
            _stop(process)


def _start(sshd: str, folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    log = folder / "sshd.log"
    for _ in range(PORT_TRIES):
        port = _free_port()
        config = folder / "sshd_config"
        config.write_text(_config(folder, port))
        # A session of its own, so that Ctrl-C leaves its end to us; setpriv ends it also when we are killed outright.
        setpriv = shutil.which("setpriv")
        guard = [setpriv, "--pdeathsig", "TERM"] if setpriv else []
        process = subprocess.Popen(
            [*guard, sshd, "-D", "-f", str(config), "-E", str(log)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            if _listens(process, port):
                return process, port
        except BaseException:  # Ctrl-C while it starts
            _stop(process)
            raise
        _stop(process)
    said = log.read_text(errors="replace").strip() if log.exists() else ""
    raise VirtualUnavailable(
        f"sshd did not start on the loopback: {said[-500:] or 'it said nothing'}", hint=f"Try {sshd} -t."
    )


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        time.sleep(0.01)
    return False


def _config(folder: Path, port: int) -> str:
    """Every path absolute: the child that sshd makes for a connection works elsewhere."""
    return f"""\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowAgentForwarding no
AllowTcpForwarding no
X11Forwarding no
UsePAM no
StrictModes no
PrintMotd no
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _stop(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise VirtualUnavailable(
            f"{command[0]} failed: {error}", hint="Install it: apt-get install openssh-client"
        ) from error
