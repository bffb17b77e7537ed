"""What a board printed, and what to do about it.

A hint is chosen by words that were printed (or by the signal that was seen), never by the exit code or the phase alone. A new
cause is one line in a table: (pattern, what to do); {0} is the first group of the pattern.
"""

import re
import signal
from pathlib import PurePosixPath

from device_agent import wire

KEPT_LINES = 3  # of each stream: the last line of a traceback matters most
LINE_CHARACTERS, TEXT_CHARACTERS = 400, 800
UNNAMED_SIGNAL = 256  # in place of an exit code: an unknown signal
LOOKED_AT = 20_000  # characters at the start and at the end of a longer text
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
# Our own program text, which a shell that is not Python prints (conversation.one_line).
PROGRAM_TEXT = re.compile("[0-9a-f]{200,}")

Causes = tuple[tuple[str, str], ...]

# Causes in a program, a file system or a machine, wherever they show.
SYSTEM: Causes = (
    (r"mounted noexec|failed to map segment from shared object",
     "Programs may not run from there: the filesystem is mounted noexec. Name a `root` in boards.toml on another one."),
    (r"([\w.+-]+\.so[\w.]*): cannot open shared object file|Error loading shared library ([\w.+-]+)",
     "The board's system has no {0}: install the package that provides it."),
    (r"version [`'](GLIBC[\w.]*)' not found", "It was built for a newer system than the board's, which has no {0}."),
    (r"Read-only file system|EROFS",
     "That filesystem is mounted read-only; the kernel also does this after errors of a disk or SD card (see dmesg on the board)."),
    (r"Disk quota exceeded|EDQUOT", "That user's disk quota is used up: free space there, or have it raised."),
    (r"(?:no|of|free) inodes", "There is space, but no more files can be created: the filesystem is out of inodes (df -i). Remove many small files."),
    (r"No space left|ENOSPC|bytes free", "Free space there: `df -h` on the board shows which filesystem is full."),
    (r"Input/output error|Structure needs cleaning|\bEIO\b", "The board's disk or SD card has errors (see dmesg on the board): replace it."),
    (r"MemoryError|Cannot allocate memory|bad_alloc|lack of memory|[Oo]ut of memory",
     "The board ran out of memory: end other programs there, add swap, or use a smaller model."),
    (r"SIGKILL", "Something there killed it; the kernel does when memory runs out (see dmesg on the board)."),
    (r"Cannot fork|fork: |Resource temporarily unavailable", "That user has reached the limit of processes (ulimit -u), or the board has."),
    (r"Too many open files|EMFILE", "That user's limit of open files is too low there (ulimit -n): raise it."),
    (r"Transport endpoint is not connected|Stale file handle|ESTALE|ENOTCONN",
     "A network file system there has lost its server: mount it again, or name a `root` on a local disk of the board."),
    (r"a signal that sshd does not name", "It crashed, or reached a limit (SIGBUS, SIGSYS, SIGXCPU and others): dmesg on the board shows which."),
    (r"SIGILL", "It uses instructions that this processor does not have: use a build for this processor."),
)  # fmt: skip

# Causes in the program that should have become the agent.
START: Causes = (
    (r"account is currently not available",
     "The login shell of this account runs no programs (nologin): change it (chsh -s /bin/sh USER, as root), or name another `user`."),
    (r"[Pp]assword (?:has |is )?expired|[Pp]assword change required|required to change your password|(?i:change your password)",
     "Log in there once (ssh) and set a new password; then run again."),
    (r"[Aa]ccount (?:has )?expired", "The account has expired there: run chage -E -1 USER, as root."),
    (r"[Uu]nprivileged users are not permitted|going down|booting up", "The board is starting or shutting down: wait a minute, then run again."),
    (r"allows sftp connections only", "sshd there allows this user only file transfer (ForceCommand internal-sftp): name another `user`."),
    (r"sudo: .*password|no tty present|(?:sudo|doas): .*(?:terminal|tty) is required|not in the sudoers",
     "sudo there asks for a password, and no one can answer: name a `python` that needs none, or allow it without one (NOPASSWD)."),
    (r"restricted: cannot", "The login shell of this account is restricted: change it (chsh -s /bin/sh USER, as root), or name another `user`."),
    (r"has no attribute 'fromhex'|SyntaxError", "That Python is older than 3.8: name a newer one as `python` in boards.toml."),
    (r"No module named '?encodings|init_fs_encoding|platform (?:in)?dependent libraries",
     "That Python does not find its own library: reinstall it, or name another as `python` in boards.toml."),
    (r"No module named '?([\w.]+)", "That Python lacks {0} of the standard library: install all of it (Debian: python3, not python3-minimal)."),
    *SYSTEM,
    (r"SIG(?:SEGV|BUS|ABRT|FPE|SYS|TRAP)", "That Python crashes at start: name another as `python` in boards.toml."),
)  # fmt: skip

# Causes in a line that names that program.
PROGRAM: Causes = (
    (r"[Ii]s a directory", "`python` in boards.toml names a folder: name the program in it, such as bin/python3."),
    (r"Exec format error|cannot execute binary file", "It is not a program for this processor: name a Python of the board's own system as `python` in boards.toml."),
    (r"bad interpreter|required file not found",
     "The file exists, but its interpreter (the #! line) or its loader does not: name another Python as `python` in boards.toml."),
    (r"[Pp]ermission denied", "The file exists, but this user may not run it: chmod +x it, or is it on a filesystem mounted noexec?"),
)  # fmt: skip
NOT_FOUND = re.compile("not found|no such file|unknown command", re.IGNORECASE)
OF_A_LIBRARY = re.compile(r"\.so\b|GLIBC|shared librar|required file|bad interpreter")

# Causes in the folder `root`, in which the agent keeps its files.
FILES: Causes = (
    *SYSTEM,
    (r"Not a directory|File exists|Is a directory", "Something else is in the place of a folder of edgepress: remove it, or name another `root` in boards.toml."),
    (r"Too many levels of symbolic links|File name too long", "Name another `root` in boards.toml."),
    (r"Permission denied|Operation not permitted", "The folder `root` of this board in boards.toml must be writable for that user."),
)  # fmt: skip


def hint(text: str, causes: Causes) -> str | None:
    """Return what to do about the first known cause in the text; None: there is no known cause."""
    short = condensed(text)  # a board's text may be long, and made to slow a pattern down
    for pattern, remedy in causes:
        if match := re.search(pattern, short):
            return remedy.format(next((group for group in match.groups() if group), ""))
    return None


def last_words(*streams: str | bytes) -> str:
    """Return the last lines of each stream as one line without terminal control codes; "" if there was no output."""
    lines: list[str] = []
    for each in streams:
        end = each[-LOOKED_AT:]
        text = end.decode(errors="replace") if isinstance(end, bytes) else end
        lines += [line for line in map(_plain, text.splitlines()) if line][-KEPT_LINES:]
    return " / ".join(lines)[-TEXT_CHARACTERS:]


def condensed(text: str) -> str:
    """Return a message as one line without terminal control codes; of a long one, its start and its end."""
    if len(text) > 2 * LOOKED_AT:
        text = text[:LOOKED_AT] + text[-LOOKED_AT:]
    return wire.shortened(" ".join(filter(None, map(_plain_whole, text.splitlines()))), TEXT_CHARACTERS)


def quoted(words: str) -> str:
    """Return the output for the end of a message."""
    return f"; it said: {words}" if words else "; it said nothing"


def how_it_ended(code: int) -> str:
    """Say how a program with this exit code ended. As in shells, 128 and more stands for a signal."""
    if code == UNNAMED_SIGNAL:
        return "was killed by a signal that sshd does not name"
    try:
        return f"was killed by {signal.Signals(code - 128).name}"
    except ValueError:
        return f"ended with exit code {code}"


def lines_about(program: str, words: str) -> str:
    """Return the lines of last_words() that name this program."""
    name = PurePosixPath(program).name
    return " / ".join(line for line in words.split(" / ") if name in line)


def is_missing(program: str, words: str) -> bool:
    """Whether a shell reported that there is no such program."""
    line = lines_about(program, words)
    return NOT_FOUND.search(line) is not None and OF_A_LIBRARY.search(line) is None


def _plain(line: str) -> str:
    return _plain_whole(line)[:LINE_CHARACTERS]


def _plain_whole(line: str) -> str:
    shown = "".join(each if each.isprintable() else " " for each in ESCAPES.sub("", line))
    shown = PROGRAM_TEXT.sub("...", shown)
    return " ".join(shown.split())
