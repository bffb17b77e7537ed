"""Processes of a board, and the wait for what they do."""

import contextlib
import time
from pathlib import Path


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


def gone(process, seconds=20.0):
    """Whether it has ended, or ends in time; it may wait for its new parent to take note of it."""

    def ended():
        try:
            return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            return True

    return eventually(ended, seconds)
