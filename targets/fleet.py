"""Many boards side by side: a dead one costs its own time and delays nobody."""

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
STOP_S = 2.0  # for those that are at it when Ctrl-C comes

T = TypeVar("T")


class Failed(msgspec.Struct, frozen=True):
    message: str
    hint: str


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What a board said of itself, or why it did not."""

    name: str
    address: str
    failed: Failed | None = None
    kind: str | None = None  # one of targets.boards, by what the board says
    machine: wire.Machine | None = None
    conditions: wire.Conditions | None = None
    meters: tuple[
        wire.MeterInfo, ...
    ] = ()  # that the board has, and those of boards.toml; `error` says which can not be read
    runtimes: dict[str, str | None] = {}  # why it can not have this one; None: it can
    first_answer_s: float | None = None
    agent_sent_bytes: int | None = None
    note: str = ""  # of a virtual board: what holds it to its shape


def side_by_side(
    targets: Sequence[Target], ask: Callable[[Target], T], workers: int = WORKERS
) -> Iterator[tuple[int, T | Exception]]:
    """`ask` each target, at most `workers` at a time; (its place in `targets`, the answer or what was raised), as they come."""
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
                except Exception as error:  # noqa: BLE001 - whoever asks decides: it must not take the others' answers
                    outcomes.put((number, error))
                except BaseException as error:  # noqa: BLE001 - the thread's end would be the end of all waiting
                    outcomes.put((number, RuntimeError(f"{type(error).__name__}: {error}")))

    # Not a ThreadPoolExecutor: Python does not end before its threads do, and one may wait for a dead board for a minute.
    threads = [
        threading.Thread(target=work, name="edgepress-fleet", daemon=True) for _ in range(min(workers, len(targets)))
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in targets:
            yield outcomes.get()
    except BaseException:  # Ctrl-C: no more are begun, and those that can be told soon end in order
        with contextlib.suppress(queue.Empty):
            while True:
                waiting.get_nowait()
        deadline = time.monotonic() + STOP_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        raise


def check(target: Target, say: Callable[[str], None] | None = None) -> Checked:
    """Start the agent there and note what the board is, how it is, and what it can have. Raises TargetError."""
    with open_session(target, say) as session:
        return checked(session, target)


def checked(session: Session, target: Target) -> Checked:
    """The same, of a board whose agent has been started."""
    machine = session.machine
    return Checked(
        name=target.name, address=session.address, machine=machine, conditions=session.observe(),
        meters=_meters(session, target),
        kind=recognise(machine.model) or target.board or generic(machine.arch, machine.bits),
        runtimes={name: provision.why_not(name, machine) for name, each in provision.RUNTIMES.items() if not each.for_tests},
        first_answer_s=session.first_answer_s, agent_sent_bytes=session.agent_sent_bytes, note=session.note,
    )  # fmt: skip


def _meters(session: Session, target: Target) -> tuple[wire.MeterInfo, ...]:
    """Of the board, and what boards.toml names for it, read there or here."""
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
    """`check` for each, side by side: (its place in `targets`, the record), as they come. What went wrong with one is in its
    record. `say` is told what is waited for, with the board's name before it.
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
        "This is a fault of edgepress itself; please report it. The other boards are not affected.",
    )


def address(target: Target) -> str:
    """For people, before anything was asked."""
    if target.kind != "ssh":
        return "this machine"
    return f"ssh {target.ssh}" if target.ssh else f"{target.user}@{target.host}:{target.port}"
