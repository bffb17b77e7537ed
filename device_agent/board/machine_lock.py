"""One measurement at a time on the whole machine: boards of other users, and other roots of one user, share its processors.

The lock is a file in the first of FOLDERS that every user may write to, so that all users agree on it. It belongs to the user who
came first, and others may write into it: its text is shown to people, cleaned and cut, and nothing depends on it.
EDGEPRESS_LOCK_FOLDER names another folder: processes that do not share it measure side by side (as tests do).
"""

import contextlib
import fcntl
import json
import os
import stat
from typing import Any, Dict, NamedTuple, Optional

from device_agent.channel import Refused

FOLDER_VARIABLE = "EDGEPRESS_LOCK_FOLDER"
FOLDERS = ("/run/lock", "/tmp", "/dev/shm")  # noqa: S108 - for all users, on purpose
NAME = "edgepress-measures"
READ_BYTES = 4096
TEXT_LIMIT = 200
LONGEST_NS = 10 * 365 * 24 * 3600 * 10**9


class Lock(NamedTuple):
    descriptor: Optional[int]
    note: str  # why there is no lock; else ""


def take(holder: Dict[str, Any], now_ns: int) -> Lock:
    """Hold the lock for as long as the descriptor is open. Refused "busy" names the holder, as far as it is known."""
    folder = os.environ.get(FOLDER_VARIABLE) or next(filter(_is_for_all, FOLDERS), None)
    if folder is None:
        return _untaken("none of %s is a folder for all users" % ", ".join(FOLDERS))
    path = os.path.join(folder, NAME)
    try:
        descriptor = _open(path)
    except OSError as error:
        return _untaken(f"{path}: {error.strerror}")
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:  # a second name could belong to a file of ours
        os.close(descriptor)
        return _untaken(f"{path} is not a file of its own")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        who = _describe_holder(descriptor, now_ns)
        os.close(descriptor)
        raise Refused("busy", who) from None
    with contextlib.suppress(OSError):  # no room for the name; the lock holds all the same
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
    return Lock(descriptor, "")


def _untaken(why: str) -> Lock:
    return Lock(None, f"nothing keeps other users of this machine from measuring at the same time: {why}")


def _is_for_all(folder: str) -> bool:
    """Whether a folder is like /tmp: owned by root, writable by all, sticky."""
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == 0 and status.st_mode & 0o1777 == 0o1777


def _open(path: str) -> int:
    """Open the lock file, first without O_CREAT: in such a folder it would fail on another user's file (fs.protected_regular)."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        pass
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:  # another process was faster
        return os.open(path, flags)
    os.fchmod(descriptor, 0o666)  # regardless of the umask
    return descriptor


def _describe_holder(descriptor: int, now_ns: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, READ_BYTES, 0).decode())
        owner, job_id, root = (_clean(holder[key]) for key in ("owner", "job_id", "root"))
        age_ns = now_ns - holder["since_ns"]
        if type(age_ns) is not int or not 0 <= age_ns <= LONGEST_NS:
            raise ValueError("it cannot have begun then")
    except (ValueError, KeyError, TypeError, OSError, RecursionError):
        return "another edgepress is measuring on this machine; its lock does not name the owner"
    return f"{owner} has been measuring on this machine for {age_ns / 1e9:.0f} s, under {root} (job {job_id})"


def _clean(text: Any) -> str:
    return "".join(each if each.isprintable() else "?" for each in str(text)[:TEXT_LIMIT])
