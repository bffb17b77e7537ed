"""What else uses the board: CPU time of all programs, of this job, and of the busiest other program."""

import os
import re
from typing import Dict, List, NamedTuple, Optional, Tuple

from device_agent.board import procfs

NAME_LIMIT = 32  # characters; the kernel itself cuts a program's name after 15
_before: Dict[Tuple[int, int], int] = {}  # process (number, start) -> its CPU time in ticks at the last usage()


class Usage(NamedTuple):
    busy_us: Optional[int]  # of all CPUs since boot, without interrupts
    steal_us: Optional[int]  # taken by the hypervisor
    own_us: int  # of this process and its ended children
    busiest: str  # the program outside this job that used the most since the last usage(); "": none
    busiest_us: int


def usage() -> Usage:
    """Read the counters. Takes 20 us for each process on the board."""
    tick_us = 1_000_000 // os.sysconf("SC_CLK_TCK")
    # proc(5): user nice system idle iowait irq softirq steal
    numbers = procfs.field("proc/stat", r"^cpu +((?:[0-9]{1,15} ){7}[0-9]{1,15})\b")
    ticks = [int(each) for each in numbers.split()] if numbers else []
    own = os.times()
    name, used = _busiest()
    return Usage(
        busy_us=sum(ticks[:3]) * tick_us if ticks else None,
        steal_us=ticks[7] * tick_us if ticks else None,
        own_us=round((own.user + own.system + own.children_user + own.children_system) * 1e6),
        busiest=name,
        busiest_us=used * tick_us,
    )


class _Process(NamedTuple):
    pid: int
    name: str
    parent: int
    ticks: int
    start_ticks: int


def _busiest() -> Tuple[str, int]:
    """Return the name and its ticks since the last call; nothing is known at the first."""
    processes = [each for each in map(_process, procfs.paths("proc/[0-9]*/stat")) if each is not None]
    ours = _family(processes)
    used = [
        (each.ticks - _before.get((each.pid, each.start_ticks), 0), each.name)
        for each in processes
        if each.pid not in ours
    ]
    is_first = not _before
    _before.clear()
    _before.update({(each.pid, each.start_ticks): each.ticks for each in processes})
    ticks, name = max(used, default=(0, ""))
    return ("", 0) if is_first or ticks <= 0 else (name, ticks)


def _process(path: str) -> Optional[_Process]:
    """Return one process; None: it has just ended."""
    match = re.match(r"([0-9]{1,9}) \((.*)\) (.*)$", procfs.text(path) or "", re.DOTALL)
    fields = match.group(3).split() if match else []
    if match is None or len(fields) < 20 or not all(re.fullmatch("[0-9]{1,18}", fields[at]) for at in (1, 11, 12, 19)):
        return None
    name = "".join(each for each in match.group(2)[:NAME_LIMIT] if each.isprintable())
    return _Process(int(match.group(1)), name, int(fields[1]), int(fields[11]) + int(fields[12]), int(fields[19]))


def _family(processes: List[_Process]) -> "set[int]":
    """Return the numbers of this process, of the agent that started it, and of all its descendants."""
    ours = {os.getpid(), os.getppid()} - {1}
    for each in sorted(processes, key=lambda process: process.start_ticks):  # parents are older than their children
        if each.parent in ours and each.parent != os.getppid():
            ours.add(each.pid)
    return ours
