"""Check many boards in parallel: a dead one delays no other."""

import contextlib
import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from device_agent import wire
from targets import Session, meters, open_session, provision
from targets.boards import generic, recognise
from targets.errors import TargetError
from targets.inventory import Target

# 32 workers connected to 200 servers no faster than 16 on two cores, where the key exchange is the work (measured).
WORKERS = 16
STOP_S = 2.0  # for running checks after Ctrl-C

T = TypeVar("T")


class Failed(msgspec.Struct, frozen=True):
    message: str
    hint: str


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What a board reported, or why it did not."""

    name: str
    address: str
    failed: Failed | None = None
    kind: str | None = None  # one of targets.boards, by what the board reports
    machine: wire.Machine | None = None
    conditions: wire.Conditions | None = None
    meters: tuple[wire.MeterInfo, ...] = ()  # the board's and those of boards.toml; `error`: why it cannot be read
    runtimes: dict[str, str | None] = {}  # why it cannot have this one; None: it can
    first_answer_s: float | None = None
    agent_sent_bytes: int | None = None
    note: str = ""  # of a virtual board: what enforces its shape


def side_by_side(
    targets: Sequence[Target], ask: Callable[[Target], T], workers: int = WORKERS
) -> Iterator[tuple[int, T | Exception]]:
    """Call `ask` for each target, at most `workers` at a time. Yields (index in `targets`, answer or exception) as they finish."""
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(targets)):
        waiting.put(number)
    outcomes: queue.SimpleQueue[tuple[int, T | Exception]] = queue.SimpleQueue()

    def work() -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                number = waiting.get_nowait()
                try:
                    outcomes.put((number, ask(targets[number])))
                except Exception as error:  # noqa: BLE001 - the caller decides: it must not hide the others' answers
                    outcomes.put((number, error))
                except BaseException as error:  # noqa: BLE001 - if the thread ended, the caller would wait forever
                    outcomes.put((number, RuntimeError(f"{type(error).__name__}: {error}")))

    # Not a ThreadPoolExecutor: Python does not exit before its threads end, and one may wait a minute for a dead board.
    threads = [
        threading.Thread(target=work, name="edgepress-fleet", daemon=True) for _ in range(min(workers, len(targets)))
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in targets:
            yield outcomes.get()
    except BaseException:  # Ctrl-C: no more are started, and quick ones end in order
        with contextlib.suppress(queue.Empty):
            while True:
                waiting.get_nowait()
        deadline = time.monotonic() + STOP_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        raise


def check(target: Target, say: Callable[[str], None] | None = None) -> Checked:
    """Start the agent there and record what the board is, its state, and what it can have. Raises TargetError."""
    with open_session(target, say) as session:
        return checked(session, target)


def checked(session: Session, target: Target) -> Checked:
    """The same, for a board whose agent is running."""
    machine = session.machine
    return Checked(
        name=target.name,
        address=session.address,
        machine=machine,
        conditions=session.observe(),
        meters=_meters(session, target),
        kind=recognise(machine.model) or target.board or generic(machine.arch, machine.bits),
        runtimes={
            name: provision.why_not(name, machine) for name, each in provision.RUNTIMES.items() if not each.for_tests
        },
        first_answer_s=session.first_answer_s,
        agent_sent_bytes=session.agent_sent_bytes,
        note=session.note,
    )


def _meters(session: Session, target: Target) -> tuple[wire.MeterInfo, ...]:
    """Return the board's meters and those that boards.toml names for it, read there or here."""
    found = {info.name: info for info in session.meters()}
    uses = {
        name: wire.MeterUse(name, tuple((key, str(value)) for key, value in settings.items()))
        for name, settings in target.meters.items()
    }
    if board := tuple(use for name, use in uses.items() if name not in meters.METERS):
        found |= {info.name: info for info in session.meters(board)}
    for name in uses.keys() & meters.METERS.keys():
        try:
            found[name] = meters.open_meter(uses[name]).info
        except TargetError as error:
            found[name] = wire.MeterInfo(name, "", meters.COARSE, 0, accumulates=False, error=error.message)
    return tuple(found.values())


def check_all(targets: Sequence[Target], say: Callable[[str], None] | None = None) -> Iterator[tuple[int, Checked]]:
    """Check the targets in parallel. Yields (index in `targets`, record) as they finish; the record holds any failure. `say` is
    called with what is being waited for, prefixed by the board's name.
    """

    def ask(target: Target) -> Checked:
        return check(target, None if say is None else lambda text: say(f"{target.name}: {text}"))

    for number, answer in side_by_side(targets, ask):
        if isinstance(answer, Checked):
            yield number, answer
        else:
            target = targets[number]
            yield number, Checked(name=target.name, address=address(target), failed=_failed(answer))


def _failed(error: Exception) -> Failed:
    if isinstance(error, TargetError):
        return Failed(error.message, error.hint)
    where = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f" ({Path(frame.filename).name}, line {frame.lineno})" for frame in where)
    return Failed(
        f"{type(error).__name__}: {error}{place}",
        "This is a bug in edgepress; please report it. The other boards are not affected.",
    )


def address(target: Target) -> str:
    """Return the address for people, before any connection."""
    if target.kind != "ssh":
        return "this machine"
    return f"ssh {target.ssh}" if target.ssh else f"{target.user}@{target.host}:{target.port}"
