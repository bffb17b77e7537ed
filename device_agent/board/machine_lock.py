"""One measurement at a time on the whole machine: boards of other users, and other roots of one user, share its processors.

The lock is a file in the first of FOLDERS that every user may write to, so that all agree on it, whoever they are. It belongs to
whoever came first, and others may write into it: what it says is shown to people, cleaned and cut, and nothing rests on it.
EDGEPRESS_LOCK_FOLDER names another folder: two that do not share it measure side by side (tests, each on a machine of its own).
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


class Taken(NamedTuple):
    descriptor: Optional[int]
    note: str  # why there is none; "" otherwise


def take(holder: Dict[str, Any], now_ns: int) -> Taken:
    """Hold the lock for as long as the descriptor is open. Refused "busy" says who has it, as far as can be known."""
    folder = os.environ.get(FOLDER_VARIABLE) or next(filter(_is_for_all, FOLDERS), None)
    if folder is None:
        return _untaken("none of %s is a folder for all users" % ", ".join(FOLDERS))
    path = os.path.join(folder, NAME)
    try:
        descriptor = _open(path)
    except OSError as error:
        return _untaken(f"{path}: {error.strerror}")
    told = os.fstat(descriptor)
    if not stat.S_ISREG(told.st_mode) or told.st_nlink != 1:  # a second name may be that of a file of ours
        os.close(descriptor)
        return _untaken(f"{path} is not a file of its own")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        said = _words(descriptor, now_ns)
        os.close(descriptor)
        raise Refused("busy", said) from None
    with contextlib.suppress(OSError):  # no room for the name; it holds all the same
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
    return Taken(descriptor, "")


def _untaken(why: str) -> Taken:
    return Taken(None, f"nothing keeps other users of this machine from measuring at the same time: {why}")


def _is_for_all(folder: str) -> bool:
    """As /tmp is: root's, and everybody may put something there, but remove only what is his."""
    try:
        told = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(told.st_mode) and told.st_uid == 0 and told.st_mode & 0o1777 == 0o1777


def _open(path: str) -> int:
    """Without O_CREAT first: in such a folder the kernel lets nobody open another's file with it (fs.protected_regular)."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        pass
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:  # somebody was quicker
        return os.open(path, flags)
    os.fchmod(descriptor, 0o666)  # whatever the umask
    return descriptor


def _words(descriptor: int, now_ns: int) -> str:
    try:
        said = json.loads(os.pread(descriptor, READ_BYTES, 0).decode())
        owner, job_id, root = (_clean(said[key]) for key in ("owner", "job_id", "root"))
        age_ns = now_ns - said["since_ns"]
        if type(age_ns) is not int or not 0 <= age_ns <= LONGEST_NS:
            raise ValueError("it can not have begun then")
    except (ValueError, KeyError, TypeError, OSError, RecursionError):
        return "another edgepress measures on this machine, and does not say who"
    return f"{owner} has been measuring on this machine for {age_ns / 1e9:.0f} s, under {root} (job {job_id})"


def _clean(text: Any) -> str:
    return "".join(each if each.isprintable() else "?" for each in str(text)[:TEXT_LIMIT])
