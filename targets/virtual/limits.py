"""Enforce a virtual board's shape, as far as this machine and this user's rights allow, and end everything that it started.

For each of cores, memory and CPU time: a control group (version 2 if its controllers are delegated to us, else version 1), or
without one a CPU affinity and RLIMIT_DATA, which every process may set for itself. A process cannot leave them: sessions, and
the detached processes that they start, inherit them from sshd.
"""

import contextlib
import os
import re
import resource
import secrets
import signal
import time
from pathlib import Path

from targets.host import start_ticks
from targets.shape import Shape

CGROUP_ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpuset", "memory", "cpu")
PERIOD_US = 100_000  # the kernel's own default (Documentation/scheduler/sched-bwc.rst)
# A kernel may be built, or booted, without swap accounting.
WHERE_SWAP_IS_COUNTED = ("memory.memsw.limit_in_bytes", "memory.swap.max")
END_TIMEOUT_S = 5.0
# In the environment of every session, to find its processes without a control group.
MARK = "EDGEPRESS_VIRTUAL"
PREFIX = "edgepress-virtual-"
NAME = re.compile(rf"{PREFIX}([0-9]+)-([0-9]+)-[0-9a-f]+")


def new_name() -> str:
    """Return a name for a board that shows whether this process still lives, even after its id was reused."""
    return f"{PREFIX}{os.getpid()}-{start_ticks(os.getpid())}-{secrets.token_hex(4)}"


def is_leftover(name: str) -> bool:
    """Whether `name` is that of a virtual board whose owner has ended."""
    match = NAME.fullmatch(name)
    return match is not None and start_ticks(int(match[1])) != int(match[2])


def collect_leftovers(root: Path = CGROUP_ROOT) -> None:
    """End the processes and groups that a killed edgepress left behind."""
    groups: dict[str, list[Path]] = {}
    for parent in set(_parents(root).values()):
        for group in parent.glob(f"{PREFIX}*"):
            groups.setdefault(group.name, []).append(group)
    for name in {*groups, *_marks().values()}:
        if is_leftover(name):
            _end(name, groups.get(name, []))


class Limits:
    """The limits of one board: `note` describes them, `groups` are its control groups by controller."""

    def __init__(self, pid: int, shape: Shape, name: str, root: Path = CGROUP_ROOT) -> None:
        """Limit the process `pid` and everything that it starts from now on. The note says what could not be limited."""
        self.name = name
        self.groups: dict[str, Path] = {}
        # the last ones: most of a machine's work is on the first
        cores = sorted(os.sched_getaffinity(0))[-shape.cores :]
        for controller, parent in _parents(root).items():
            if controller == "cpu" and shape.cpu is None:
                continue
            group = parent / name
            shared = group in self.groups.values()
            if _join(group, controller, shape, cores, pid, shared=shared):
                self.groups[controller] = group
        if "cpuset" not in self.groups:
            os.sched_setaffinity(pid, cores)
        if "memory" not in self.groups:
            # RLIMIT_AS would count address space that is only reserved: thread arenas, a mapped model file.
            resource.prlimit(pid, resource.RLIMIT_DATA, (shape.memory_bytes, shape.memory_bytes))
        self.note = "; ".join(self._words(shape, len(cores)))

    def _words(self, shape: Shape, cores: int) -> list[str]:
        words = [f"{cores} core{'s' if cores > 1 else ''} ({self._means('cpuset', 'CPU affinity')})"]
        if cores < shape.cores:
            words[0] += f", not {shape.cores}: this machine allows no more"
        if "memory" in self.groups:
            words.append(f"{shape.memory} ({self._means('memory', '')})")
        else:
            words.append(f"{shape.memory} of data for each process, not for all together (RLIMIT_DATA)")
        if shape.cpu is not None and "cpu" in self.groups:
            words.append(f"{shape.cpu:g} CPU ({self._means('cpu', '')} quota)")
        elif shape.cpu is not None:
            words.append(f"no quota of {shape.cpu:g} CPU: this needs a control group that this user may write")
        return words

    def _means(self, controller: str, otherwise: str) -> str:
        if controller not in self.groups:
            return otherwise
        version = 2 if _is_version_2(self.groups[controller].parent) else 1
        return f"cgroup v{version} {controller}"

    def end(self) -> None:
        """Kill everything that still runs on the board, and remove its groups."""
        _end(self.name, list(self.groups.values()))


def _parents(root: Path) -> dict[str, Path]:
    """Return, by controller, the group below which this process may make its own."""
    own = _own_groups()
    if _is_version_2(root):
        return _delegated(root, own.get("", ""))
    parents = {}
    for controller in CONTROLLERS:
        group = root / controller / own.get(controller, "")
        parent = group if group.is_dir() else root / controller  # a container may see only its own part of the tree
        if (parent / "cgroup.procs").exists():
            parents[controller] = parent
    return parents


def _delegated(root: Path, own: str) -> dict[str, Path]:
    """Version 2: return the nearest writable group upwards that delegates the most controllers."""
    best: dict[str, Path] = {}
    for group in [root / own, *(root / own).parents]:
        if not group.is_relative_to(root):
            break
        with contextlib.suppress(OSError):
            if os.access(group, os.W_OK) and os.access(group / "cgroup.procs", os.W_OK):
                delegated = (group / "cgroup.subtree_control").read_text().split()
                found = {name: group for name in CONTROLLERS if name in delegated}
                best = max(best, found, key=len)
    return best


def _is_version_2(group: Path) -> bool:
    return (group / "cgroup.controllers").exists()


def _own_groups() -> dict[str, str]:
    """Read /proc/self/cgroup (cgroups(7)): the path below the root by controller; "" stands for version 2."""
    groups = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        groups.update(dict.fromkeys(controllers.split(","), path.lstrip("/")))
    return groups


def _settings(controller: str, shape: Shape, cores: list[int], parent: Path) -> dict[str, str]:
    """Return file and content, in the order of writing."""
    version_2 = _is_version_2(parent)
    if controller == "cpuset":
        chosen = ",".join(map(str, cores))
        if version_2:
            return {"cpuset.cpus": chosen}
        return {"cpuset.mems": (parent / "cpuset.mems").read_text(), "cpuset.cpus": chosen}
    if controller == "memory":
        if version_2:
            return {"memory.max": str(shape.memory_bytes), "memory.swap.max": "0"}
        return dict.fromkeys(("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"), str(shape.memory_bytes))
    assert shape.cpu is not None
    quota = int(shape.cpu * PERIOD_US)
    if version_2:
        return {"cpu.max": f"{quota} {PERIOD_US}"}
    return {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(quota)}


def _join(group: Path, controller: str, shape: Shape, cores: list[int], pid: int, *, shared: bool) -> bool:
    """Make the group, limit it, put the process into it. Returns whether all of that was allowed."""
    try:
        group.mkdir(exist_ok=True)
        for file, content in _settings(controller, shape, cores, group.parent).items():
            if file not in WHERE_SWAP_IS_COUNTED or (group / file).exists():
                (group / file).write_text(content)
        (group / "cgroup.procs").write_text(str(pid))
    except OSError:
        if not shared:
            with contextlib.suppress(OSError):
                group.rmdir()
        return False
    return True


def _end(name: str, groups: list[Path]) -> None:
    deadline = time.monotonic() + END_TIMEOUT_S
    while pids := _processes(name, groups):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    for group in groups:
        while group.exists() and time.monotonic() < deadline:
            with contextlib.suppress(OSError):  # busy until a killed process has disappeared
                group.rmdir()
                break
            time.sleep(0.01)


def _processes(name: str, groups: list[Path]) -> set[int]:
    found = {pid for pid, mark in _marks().items() if mark == name}
    for group in groups:
        with contextlib.suppress(OSError):
            # A process of another pid namespace is shown as 0, which kill() would take for our own process group.
            found |= {int(pid) for pid in (group / "cgroup.procs").read_text().split()} - {0}
    return found


def _marks() -> dict[int, str]:
    """Return the virtual board of each process whose environment names one."""
    marks = {}
    start = f"{MARK}=".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            for variable in environment.read_bytes().split(b"\0"):
                if variable.startswith(start):
                    marks[int(environment.parent.name)] = variable[len(start) :].decode(errors="replace")
    return marks
