"""Fix the governor and the clocks for a while, and restore them whatever happens to the host, the link or this agent.

The old values are on the disk (tuned.json) before anything is changed. A guardian, a separate process, restores them when the
lease ends, on SIGTERM, or, if requested, when the board has had no job for a while. If the guardian was killed, the next agent
restores them. A reboot of the board restores everything by itself.
Only what this user may write is written; for the rest, the command that would do it is reported.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import Any, Dict, List, Optional, Tuple

from device_agent import wire
from device_agent.board import machine, procfs
from device_agent.board.processes import boot_id, boottime_ns, start_ticks
from device_agent.channel import Refused
from device_agent.files.layout import AGENT, Layout, hold, locked, newest_first, sync, write_durably
from device_agent.jobs.job import Job
from device_agent.jobs.requests import scope

START = "import sys; sys.path.insert(0, sys.argv[1]); from device_agent.tuning import main; main()"
LONGEST_NS = 24 * 3600 * 10**9
LOOK_S = 5.0  # between looks at the board's jobs: each takes a millisecond of CPU from them
UNUSED_S = 60.0  # without a job; between two jobs of one plan the host needs less
PROGRAM_S = 20.0  # for jetson_clocks
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
# Their highest clock is a boost that no core sustains: a clock fixed to it would never be reached.
BOOSTING_DRIVERS = ("intel_pstate", "intel_cpufreq", "acpi-cpufreq", "amd-pstate", "amd-pstate-epp")

Value = Tuple[str, str, str]  # path below the root, old, new


def tune(layout: Layout, request: wire.Tune) -> wire.Tuned:
    """Restore what is tuned now; then, for a lease, tune again."""
    if not 0 <= request.lease_ns <= LONGEST_NS:
        raise Refused("bad_request", f"a lease of {request.lease_ns} ns is not from 0 to {LONGEST_NS}")
    with locked(layout.root):
        restored = _restore(layout)
        if not request.lease_ns:
            return wire.Tuned((), (), restored)
        wanted, programs, refused = _wanted(layout)
        values = [value for value in wanted if os.access(os.path.join(procfs.root(), value[0]), os.W_OK)]
        if not values and not programs:
            return wire.Tuned((), (*_as_root(wanted), *refused), restored)
        state: Dict[str, Any] = {"boot_id": boot_id(), "values": values, "programs": [undo for _, undo in programs]}
        _keep(layout, state)
        guardian = _guardian(layout, request)
        state.update(pid=guardian.pid, start_ticks=start_ticks(guardian.pid))
        _keep(layout, state)
        done = [value for value in values if _set(*value)]
        refused += _as_root([value for value in wanted if value not in done])
        ran = [" ".join(program) for program, _ in programs if _run(program)]
        return wire.Tuned((*(f"/{path}: {old} -> {new}" for path, old, new in done), *ran), tuple(refused), restored)


def recover(layout: Layout) -> None:
    """Restore what a killed guardian no longer can."""
    with locked(layout.root):
        state = _state(layout)
        if state is not None and not _lives(state):
            _restore(layout)


def path_of(layout: Layout) -> str:
    return os.path.join(layout.root, "tuned.json")


# --- what to set


def _wanted(layout: Layout) -> "tuple[List[Value], List[Tuple[List[str], List[str]]], List[str]]":
    """Return values to write, programs to run with the undo of each, and commands that this user may not run."""
    values: List[Value] = []
    groups = {os.path.realpath(os.path.join(procfs.root(), folder)): folder for folder in procfs.of_cores("")}
    for folder in groups.values():  # cores that share a clock share a folder
        governor, highest = procfs.text(folder + "scaling_governor"), procfs.text(folder + "scaling_max_freq")
        choices = (procfs.text(folder + "scaling_available_governors") or "performance").split()
        if governor and governor != "performance" and "performance" in choices:
            values.append((folder + "scaling_governor", governor, "performance"))
        lowest, driver = procfs.text(folder + "scaling_min_freq"), procfs.text(folder + "scaling_driver")
        if lowest and highest and lowest != highest and driver not in BOOSTING_DRIVERS:
            values.append((folder + "scaling_min_freq", lowest, highest))
    jetson_clocks = procfs.program("jetson_clocks") if machine.is_jetson() else None
    if jetson_clocks is None:
        return values, [], []
    if os.geteuid() != 0:
        return values, [], ["sudo jetson_clocks"]
    stored = os.path.join(layout.root, "jetson_clocks.conf")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(stored)  # jetson_clocks does not overwrite it
    if not _run([jetson_clocks, "--store", stored]):
        return values, [], ["sudo jetson_clocks"]
    return values, [([jetson_clocks], [jetson_clocks, "--restore", stored])], []


def _as_root(values: List[Value]) -> List[str]:
    """Return one shell command for each value."""
    wanted: Dict[str, List[str]] = {}
    for path, _, new in values:
        wanted.setdefault(new, []).append("/" + path)
    return [f"echo {new} | sudo tee {' '.join(paths)}" for new, paths in wanted.items()]


def _set(path: str, old: str, new: str) -> bool:
    """Whether the value is `new` now. A driver may accept it and set another, which is then restored at once."""
    if _write(path, new):
        return True
    if procfs.text(path) != old:
        _write(path, old)
    return False


def _write(path: str, value: str) -> bool:
    """Whether the value reads back: a driver may accept a value and set another."""
    try:
        with open(os.path.join(procfs.root(), path), "w", encoding="ascii") as file:
            file.write(value + "\n")
    except OSError:
        return False
    return procfs.text(path) == value


def _run(command: List[str]) -> bool:
    try:
        null = subprocess.DEVNULL
        return subprocess.call(command, stdin=null, stdout=null, stderr=null, timeout=PROGRAM_S) == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


# --- restoring; the caller holds the lock


def _restore(layout: Layout) -> Tuple[str, ...]:
    """Return what was restored. If that failed, the state stays on the disk for the next agent to retry."""
    state = _state(layout)
    if state is None:
        return ()
    restored, failed = [], False
    if state["boot_id"] == boot_id():
        for program in state["programs"]:
            failed |= not _run(program)
        for path, old, new in reversed(state["values"]):
            if procfs.text(path) == new:  # a value that someone else has set since is left alone
                if _write(path, old):
                    restored.append(f"/{path}: {new} -> {old}")
                else:
                    failed = True
    if not failed:
        os.unlink(path_of(layout))
        sync(layout.root)
    if _lives(state) and state["pid"] != os.getpid():
        os.kill(state["pid"], signal.SIGTERM)
    return tuple(restored)


def _keep(layout: Layout, state: Dict[str, Any]) -> None:
    write_durably(path_of(layout), json.dumps(state).encode())


def _state(layout: Layout) -> Optional[Dict[str, Any]]:
    """Return the stored state; None if nothing is known to be tuned. A damaged one is dropped: a reboot restores the board."""
    try:
        with open(path_of(layout), encoding="utf-8") as file:
            state: Dict[str, Any] = json.load(file)
        if (
            isinstance(state["boot_id"], str)
            and all(len(each) == 3 for each in state["values"])
            and type(state["programs"]) is list
        ):
            return state
        why: object = "it holds something else"
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        why = error
    print(f"edgepress: {path_of(layout)} is damaged and is ignored: {why}", file=sys.stderr)
    with contextlib.suppress(OSError):
        os.unlink(path_of(layout))
    return None


def _lives(state: Dict[str, Any]) -> bool:
    ticks = state.get("start_ticks")
    return ticks is not None and state["boot_id"] == boot_id() and start_ticks(state["pid"]) == ticks


# --- the guardian


def _guardian(layout: Layout, request: wire.Tune) -> "subprocess.Popen[bytes]":
    """Start the guardian. It is never waited for: if it ends first it stays a zombie, which start_ticks() calls dead."""
    arguments = [AGENT, layout.root, str(request.lease_ns), "1" if request.while_used else ""]
    with open(os.path.join(layout.root, "tune.log"), "wb") as log:
        return subprocess.Popen(
            [*scope("tune"), sys.executable, "-IB", "-c", START, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # taken below, one at a time
    _, agent, root, lease_ns, while_used = sys.argv
    hold(agent)
    layout = Layout(root)
    _wait(layout, boottime_ns() + int(lease_ns), bool(while_used))
    with locked(layout.root):
        state = _state(layout)
        if state is not None and state.get("pid") == os.getpid():  # else it was restored, and perhaps tuned again
            _restore(layout)


def _wait(layout: Layout, ends_ns: int, while_used: bool) -> None:
    used_ns = boottime_ns()
    while True:
        now_ns = boottime_ns()
        if while_used and _is_used(layout):
            used_ns = now_ns
        left_s = (ends_ns - now_ns) / 1e9
        if left_s <= 0 or (while_used and now_ns - used_ns > UNUSED_S * 1e9):
            return
        if signal.sigtimedwait(SIGNALS, min(LOOK_S, left_s)) is not None:
            return


def _is_used(layout: Layout) -> bool:
    for folder in newest_first(os.path.join(layout.root, "jobs")):
        # just removed, or from another version of the agent
        with contextlib.suppress(OSError, ValueError, TypeError):
            if Job(folder).state() == wire.RUNNING:
                return True
    return False
