"""What a board said, and what is known to follow from it.

A hint is chosen by words that were really said (or by the signal that was really seen), never by the exit code or the phase
alone. A new cause is one line in a table: (what to look for, what to do); {0} is the first group of the pattern.
"""

import re
import signal
from pathlib import PurePosixPath

from device_agent import wire

KEPT_LINES = 3  # of each stream: the last line of a traceback tells most
LINE_CHARACTERS, TEXT_CHARACTERS = 400, 800
UNNAMED_SIGNAL = 256  # in place of an exit code: some signal, and nobody says which
LOOKED_AT = 20_000  # characters of a longer text, at its beginning and at its end
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
PROGRAM_TEXT = re.compile(
    "[0-9a-f]{200,}"
)  # of our own, which a program that is no Python shows (conversation._one_line)

Causes = tuple[tuple[str, str], ...]

# Of a program, a file system or a machine, wherever it shows.
SYSTEM: Causes = (
    (r"mounted noexec|failed to map segment from shared object",
     "Programs may not run from there: the filesystem is mounted noexec. Name a `root` in boards.toml that is on another one."),
    (r"([\w.+-]+\.so[\w.]*): cannot open shared object file|Error loading shared library ([\w.+-]+)",
     "The board's system has no {0}: install the package that brings it."),
    (r"version [`'](GLIBC[\w.]*)' not found", "It was built for a newer system than the board's, which has no {0}."),
    (r"Read-only file system|EROFS",
     "That filesystem is mounted read-only; the kernel does so after errors of a disk or SD card, too (dmesg on the board tells)."),
    (r"Disk quota exceeded|EDQUOT", "That user's disk quota is used up: free space there, or have it raised."),
    (r"(?:no|of|free) inodes", "There is room, but no further file can be made: the filesystem is out of inodes (df -i). Remove many small files."),
    (r"No space left|ENOSPC|bytes free", "Free space there: `df -h` on the board tells which filesystem is full."),
    (r"Input/output error|Structure needs cleaning|\bEIO\b", "The board's disk or SD card has errors (dmesg on the board tells): replace it."),
    (r"MemoryError|Cannot allocate memory|bad_alloc|lack of memory|[Oo]ut of memory",
     "The board ran out of memory: end other programs there, add swap, or use a smaller model."),
    (r"SIGKILL", "Something there killed it; the kernel does when memory runs out (dmesg on the board tells)."),
    (r"Cannot fork|fork: |Resource temporarily unavailable", "That user may start no more processes there (ulimit -u), or the board is out of them."),
    (r"Too many open files|EMFILE", "That user may have too few files open at a time there (ulimit -n): raise it."),
    (r"Transport endpoint is not connected|Stale file handle|ESTALE|ENOTCONN",
     "A network file system there has lost its server: mount it anew, or name a `root` on a disk of the board."),
    (r"a signal that sshd does not name", "It crashed, or a limit was reached (SIGBUS, SIGSYS, SIGXCPU and others): dmesg on the board tells which."),
    (r"SIGILL", "It uses instructions that this processor does not have: a build for this very processor is needed."),
)  # fmt: skip

# Of the program that should have become the agent.
START: Causes = (
    (r"account is currently not available",
     "The login shell of this account runs no programs (nologin): give it another (chsh -s /bin/sh USER, as root), or name another `user`."),
    (r"[Pp]assword (?:has |is )?expired|[Pp]assword change required|required to change your password|(?i:change your password)",
     "Log in there by hand once (ssh) and set a new password; then run again."),
    (r"[Aa]ccount (?:has )?expired", "The account has expired there: chage -E -1 USER, as root."),
    (r"[Uu]nprivileged users are not permitted|going down|booting up", "The board is starting or shutting down: wait a minute, then run again."),
    (r"allows sftp connections only", "sshd there lets this user have files only (ForceCommand internal-sftp): name another `user`."),
    (r"sudo: .*password|no tty present|(?:sudo|doas): .*(?:terminal|tty) is required|not in the sudoers",
     "sudo there would ask for a password, and nobody is there to answer: name a `python` that needs none, or allow that one without (NOPASSWD)."),
    (r"restricted: cannot", "The login shell of this account is a restricted one: give it another (chsh -s /bin/sh USER, as root), or name another `user`."),
    (r"has no attribute 'fromhex'|SyntaxError", "That is a Python older than 3.8: name a newer one as `python` in boards.toml."),
    (r"No module named '?encodings|init_fs_encoding|platform (?:in)?dependent libraries",
     "That Python does not find its own library: install it anew, or name another as `python` in boards.toml."),
    (r"No module named '?([\w.]+)", "That Python lacks {0} of the standard library: install the whole of it (Debian: python3, not python3-minimal)."),
    *SYSTEM,
    (r"SIG(?:SEGV|BUS|ABRT|FPE|SYS|TRAP)", "That Python crashes before it does anything: name another as `python` in boards.toml."),
)  # fmt: skip

# Of a line that names that program.
PROGRAM: Causes = (
    (r"[Ii]s a directory", "`python` in boards.toml names a folder: name the program in it, such as bin/python3."),
    (r"Exec format error|cannot execute binary file", "It is no program for this processor: name a Python of the board's own system as `python` in boards.toml."),
    (r"bad interpreter|required file not found",
     "The file is there, and what should run it is not (its #! line or its loader): name another Python as `python` in boards.toml."),
    (r"[Pp]ermission denied", "The file is there, but this user may not run it: chmod +x it, or is it on a filesystem mounted noexec?"),
)  # fmt: skip
NOT_FOUND = re.compile("not found|no such file|unknown command", re.IGNORECASE)
OF_A_LIBRARY = re.compile(r"\.so\b|GLIBC|shared librar|required file|bad interpreter")

# Of the folder `root`, in which the agent keeps its files.
FILES: Causes = (
    *SYSTEM,
    (r"Not a directory|File exists|Is a directory", "Something else stands where a folder of edgepress should be: remove it, or name another `root` in boards.toml."),
    (r"Too many levels of symbolic links|File name too long", "Name another `root` in boards.toml."),
    (r"Permission denied|Operation not permitted", "The folder `root` of this board in boards.toml must be writable for that user."),
)  # fmt: skip


def hint(text: str, causes: Causes) -> str | None:
    """What to do about the first known cause that the text tells of; None: it tells of none."""
    short = gist(text)  # what a board sends may be long, and made for a pattern to be slow on it
    for pattern, remedy in causes:
        if match := re.search(pattern, short):
            return remedy.format(next((group for group in match.groups() if group), ""))
    return None


def last_words(*streams: str | bytes) -> str:
    """The last lines of each stream, as one line without what would command a terminal; "" where nothing was said."""
    lines: list[str] = []
    for each in streams:
        end = each[-LOOKED_AT:]
        text = end.decode(errors="replace") if isinstance(end, bytes) else end
        lines += [line for line in map(_plain, text.splitlines()) if line][-KEPT_LINES:]
    return " / ".join(lines)[-TEXT_CHARACTERS:]


def gist(text: str) -> str:
    """A message as one line without what would command a terminal; of a long one its beginning and its end."""
    if len(text) > 2 * LOOKED_AT:
        text = text[:LOOKED_AT] + text[-LOOKED_AT:]
    return wire.shortened(" ".join(filter(None, map(_plain_whole, text.splitlines()))), TEXT_CHARACTERS)


def told(words: str) -> str:
    """For the end of a message."""
    return f"; it said: {words}" if words else "; it said nothing"


def ending(code: int) -> str:
    """How a program ended whose exit code is this. As shells do, 128 and more stands for a signal."""
    if code == UNNAMED_SIGNAL:
        return "was killed by a signal that sshd does not name"
    try:
        return f"was killed by {signal.Signals(code - 128).name}"
    except ValueError:
        return f"ended with exit code {code}"


def about(program: str, words: str) -> str:
    """The lines of last_words() that name this program."""
    name = PurePosixPath(program).name
    return " / ".join(line for line in words.split(" / ") if name in line)


def is_missing(program: str, words: str) -> bool:
    """Whether a shell has said that there is no such program."""
    line = about(program, words)
    return NOT_FOUND.search(line) is not None and OF_A_LIBRARY.search(line) is None


def _plain(line: str) -> str:
    return _plain_whole(line)[:LINE_CHARACTERS]


def _plain_whole(line: str) -> str:
    shown = "".join(each if each.isprintable() else " " for each in ESCAPES.sub("", line))
    shown = PROGRAM_TEXT.sub("...", shown)
    return " ".join(shown.split())
