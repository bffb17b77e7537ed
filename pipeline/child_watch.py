"""What a child process may take of time and memory, and what is reported while it sends no news."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, ClassVar, NamedTuple, NoReturn

from pipeline import bounds, units
from pipeline.errors import ChildError
from pipeline.plan_tables import HostTable
from pipeline.safe_text import shortened
from pipeline.warm import Forked

Say = Callable[[str], None]
Process = subprocess.Popen[bytes] | Forked

LOOK_S = 0.2  # how often the memory is looked at: what grows by 4 GB/s is 0.8 GB above the limit when it is ended
SILENT_S = (10.0, 30.0, 60.0)  # after this time without news, a line says what is waited for; then each minute
LOG_MOST_BYTES = 64 * 2**20  # of what a child prints, only the last lines are shown
MEMORY = ("RssAnon:", "RssShmem:")
"""Of /proc/<pid>/status: what cannot be dropped. Not the address space (TensorFlow: 2.2 GB of it with 0.28 GB in use, the
data segment 0.49 GB on 2 processors and more with each thread), and not rows that are mapped from a file.
"""


class Bounds(NamedTuple):
    """`key` is what raises the time in the plan."""

    seconds: float
    key: str
    memory_bytes: int


def of_plan(host: HostTable, *, compress: bool = False) -> Bounds:
    """Return what the plan allows for each process on this machine."""
    key = "compress_minutes" if compress else "minutes"
    return Bounds(getattr(host, key) * 60, key, host.memory_bytes or bounds.default_bytes())


class Watch:
    """One child, from its start to its end. `look` raises ChildError when it has taken too much."""

    together: ClassVar[dict[int, int]] = {}  # of all children of this process: conversions run in parallel

    def __init__(self, process: Process, log: IO[bytes], limits: Bounds, doing: str, say: Say) -> None:
        self.process, self.log, self.limits, self.doing, self.say = process, log, limits, doing, say
        self.began = self.heard = time.monotonic()
        self.since = time.strftime("%H:%M:%S")
        self.said = 0
        self.note = ""
        self.looked = 0.0

    def news(self, note: str) -> None:
        self.heard, self.said, self.note = time.monotonic(), 0, shortened(note, 100)

    def look(self) -> None:
        """Look at the clock, and every LOOK_S at the memory and the log. To be called often."""
        now = time.monotonic()
        if now - self.began > self.limits.seconds:
            self._too_long()
        silent = now - self.heard
        if silent >= _mark(self.said):
            self.said += 1
            last = f" (last: {self.note})" if self.note else ""
            self.say(
                f"still {self.doing}, since {self.since}: no news for {silent:.0f} s{last}; "
                f"it may take {units.duration(self.limits.seconds)} in all"
            )
        if now - self.looked >= LOOK_S:
            self.looked = now
            self._memory()
            if os.fstat(self.log.fileno()).st_size > LOG_MOST_BYTES:
                os.ftruncate(self.log.fileno(), 0)  # the child appends

    def end(self) -> None:
        self.together.pop(self.process.pid, None)

    def _too_long(self) -> NoReturn:
        last = f"; its last news: {self.note}" if self.note else ""
        raise ChildError(
            f"{self.doing} was ended: it took longer than {units.duration(self.limits.seconds)}{last}",
            hint=f"If it needs that long, raise {self.limits.key} in [host] of the plan; "
            "if not, look for an endless loop in the model or in the functions of [data].",
        )

    def _memory(self) -> None:
        """The one that takes most is ended when all together take too much."""
        mine = self.together[self.process.pid] = session_bytes(self.process.pid)
        all_bytes, most = self.together.copy().values(), units.size(self.limits.memory_bytes)
        if sum(all_bytes) > self.limits.memory_bytes and mine == max(all_bytes):
            with_others = (
                f"{units.size(mine)}, and with what runs in parallel " if mine <= self.limits.memory_bytes else ""
            )
            raise ChildError(
                f"{self.doing} was ended: it took {with_others}more than {most} of memory",
                hint="Give it less (fewer rows, a smaller model), or raise memory_bytes in [host] of the plan; "
                f"this machine has {units.size(bounds.machine_bytes())}.",
            )


def _mark(said: int) -> float:
    """After how many seconds without news the next line is due."""
    return SILENT_S[said] if said < len(SILENT_S) else SILENT_S[-1] * (said - len(SILENT_S) + 2)


def session_bytes(session: int) -> int:
    """Memory of a process and of all that it started: each child here leads a session of its own."""
    found = 0
    for process in family(session):
        with contextlib.suppress(OSError, ValueError, IndexError):  # it may just have ended
            found += _process_bytes(Path(f"/proc/{process}/status"))
    return found


def family(leader: int) -> set[int]:
    """A session, and what its processes have started in sessions of their own. A daemon, whose parent has ended, is its own."""
    found, new = set(), {leader}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                if os.getsid(int(folder.name)) == leader:
                    new.add(int(folder.name))
    while new:
        found |= new
        new = set().union(*map(_children, new)) - found
    return found


def _children(process: int) -> set[int]:
    found: set[int] = set()
    with contextlib.suppress(OSError):  # it may just have ended
        for task in Path(f"/proc/{process}/task").iterdir():
            found.update(map(int, (task / "children").read_text().split()))
    return found


def _process_bytes(status: Path) -> int:
    return sum(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith(MEMORY))
