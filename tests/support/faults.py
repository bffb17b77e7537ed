"""What the fault tests share: whom to kill on the board, and what lies there afterwards."""

import contextlib
import hashlib
import os
import random
import signal
import statistics
from pathlib import Path

from tests.support.agent_process import children_of

AGENT = b"bytes.fromhex("  # how the host starts it


def seeded(test, number):
    """A random source of one round; the seed is in EDGEPRESS_FAULT_SEED, else it is the same in each run."""
    return random.Random(f"{os.environ.get('EDGEPRESS_FAULT_SEED', '')} {test} {number}")


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def descendants(pid):
    """Of a process, and what each was started as."""
    found = {}
    with contextlib.suppress(OSError):
        for child in children_of(pid):
            with contextlib.suppress(OSError):
                found[child] = Path(f"/proc/{child}/cmdline").read_bytes()
            found.update(descendants(child))
    return found


def server(target):
    """The process number of the sshd that listens."""
    return int(Path(target.key).with_name("sshd.pid").read_text())


def sessions(target):
    """The processes of sshd that serve a connection."""
    return [pid for pid, command in descendants(server(target)).items() if command.startswith(b"sshd")]


def agents(target):
    return [
        pid for pid, command in descendants(server(target)).items() if AGENT in command and b"python" in command[:40]
    ]


def kill(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def blob(root, sha):
    """Its bytes on the board; None: it is not there."""
    try:
        return Path(root, "blobs", sha).read_bytes()
    except FileNotFoundError:
        return None


def unfinished(root):
    """What lies in tmp/ and partial/ on the board."""
    return [path for name in ("tmp", "partial") for path in Path(root, name).glob("*")]


def told(what, values, unit):
    """One line of figures, for the report of the run (pytest -rP shows it)."""
    if values:
        print(f"{what}: median {statistics.median(values):.3g}, max {max(values):.3g} {unit} of {len(values)}")
