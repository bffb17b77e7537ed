"""The `virtual` board: a real OpenSSH server on the loopback of this machine, for one session.

It has its own host key (pinned) and user key, both made for it, listens only on a free port of 127.0.0.1, runs as the user of
edgepress, and is limited to the shape of a small board. It proves the connection over SSH; the measurements are of this machine.
"""

import contextlib
import os
import re
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
from targets.folders import named_user
from targets.inventory import Target
from targets.shape import Shape
from targets.virtual.limits import CGROUP_ROOT, MARK, PREFIX, Limits, collect_leftovers, is_leftover, new_name
from targets.virtual.proxy import Proxy

START_TIMEOUT_S = 10.0
PORT_TRIES = 5
# The board is this machine, and shares its lock (device_agent/board/machine_lock.py).
PASSED = ("EDGEPRESS_LOCK_FOLDER",)
INSTALL = "Install it: apt-get install openssh-server"
# sshd needs it for privilege separation when root runs it (sshd(8)); Debian only makes it when the service starts.
PRIVILEGE_SEPARATION = Path("/run/sshd")


def find_sshd() -> str | None:
    """Return the absolute path of sshd: it must be started by that, and is not on an ordinary user's PATH."""
    return shutil.which("sshd", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


@contextlib.contextmanager
def loopback_sshd(target: Target, cgroup_root: Path = CGROUP_ROOT) -> Iterator[Target]:
    """Start the server in the target's shape; yields `target` with its address, key and pinned host key filled in.

    `note` says what of the shape is enforced. VirtualUnavailable if this machine cannot run it.
    """
    shape, user = target.virtual or Shape(), named_user()
    if user is None:
        raise VirtualUnavailable(
            f"the user {os.geteuid()} has no name in /etc/passwd, which sshd requires",
            hint="Add an entry for the user, or use the board `local`.",
        )
    collect_leftovers(cgroup_root)
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another start may remove it at the same time
            if is_leftover(left.name) and left.stat().st_uid == os.geteuid():
                shutil.rmtree(left)
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.gettempdir(), new_name())
        folder.mkdir(mode=0o700)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        make_keys(folder)
        port, limits = _start(stack, folder, shape, cgroup_root)
        note = limits.note
        if shape.has_link:
            rate_bytes_s = shape.rate_mbit * 1e6 / 8 if shape.rate_mbit else None
            proxy = stack.enter_context(Proxy(port, delay_s=shape.rtt_ms / 2000, rate_bytes_s=rate_bytes_s))
            port = proxy.port
            rate = f"{shape.rate_mbit:g} Mbit/s" if shape.rate_mbit else "unlimited"
            note += f"; link: {shape.rtt_ms:g} ms round trip, {rate} (proxy)"
        kind, key_text = (folder / "host_key.pub").read_text().split()[:2]
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {key_text}\n")
        yield msgspec.structs.replace(
            target,
            port=port,
            user=user,
            key=str(folder / "user_key"),
            known_hosts=str(folder / "known_hosts"),
            note=note,
        )


def make_keys(folder: Path) -> None:
    """Make a host key and a user key (host_key, user_key), and authorized_keys that admits the user key."""
    for key in ("host_key", "user_key"):
        _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "edgepress-virtual", "-f", str(folder / key)])
    (folder / "authorized_keys").write_text((folder / "user_key.pub").read_text())
    if os.geteuid() == 0:
        PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)


def _start(stack: contextlib.ExitStack, folder: Path, shape: Shape, cgroup_root: Path) -> tuple[int, Limits]:
    sshd = find_sshd()
    if sshd is None:
        raise VirtualUnavailable("this machine has no sshd, which the virtual board needs", hint=INSTALL)
    log, config = folder / "sshd.log", folder / "sshd_config"
    for _ in range(PORT_TRIES):
        port = _free_port()
        variables = [f"{MARK}={folder.name}", *_passed()]
        config.write_text(server_config(folder, "127.0.0.1", port, " ".join(variables)))
        # Its own session, so that Ctrl-C does not end it; setpriv also ends it if we are killed outright.
        setpriv = shutil.which("setpriv")
        guard = [setpriv, "--pdeathsig", "TERM"] if setpriv else []
        with contextlib.ExitStack() as attempt:
            process = subprocess.Popen(
                [*guard, sshd, "-D", "-f", str(config), "-E", str(log)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            attempt.callback(_stop, process)
            limits = Limits(process.pid, shape, folder.name, cgroup_root)
            attempt.callback(limits.end)
            if _listens(process, port):
                stack.push(attempt.pop_all())
                return port, limits
    printed = log.read_text(errors="replace").strip() if log.exists() else ""
    raise VirtualUnavailable(
        f"sshd did not start on the loopback: {printed[-500:] or 'it said nothing'}", hint=f"Try {sshd} -t."
    )


def _passed() -> list[str]:
    """Return the variables that the board gets from our environment, if sshd_config can express their values."""
    values = {name: os.environ.get(name, "") for name in PASSED}
    return [f"{name}={value}" for name, value in values.items() if value and re.fullmatch(r"[\w./+-]+", value)]


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        time.sleep(0.01)
    return False


def server_config(folder: Path, address: str, port: int, variable: str = "") -> str:
    """Return the configuration of sshd with the keys in `folder`. All paths are absolute: its children change folders.

    SHLVL: else bash treats each command as a login and runs the account's .bashrc. `variable`: another one for the sessions,
    NAME=value; sshd only uses the first SetEnv.
    """
    return f"""\
Port {port}
ListenAddress {address}
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
SetEnv SHLVL=2 {variable}
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
