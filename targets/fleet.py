"""Many boards side by side: a dead one costs its own time and delays nobody."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from device_agent import wire
from targets import Session, meters, open_session, provision
from targets.boards import generic, recognise
from targets.errors import TargetError
from targets.inventory import Target

# 32 workers connected to 200 servers no faster than 16 on two cores, where the key exchange is the work (measured).
WORKERS = 16
STOP_S = 5.0  # for those that are at it when Ctrl-C comes

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
) -> list[T | TargetError]:
    """`ask` each target, at most `workers` at a time; the answers, or the TargetErrors, in the order of `targets`."""
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(targets)):
        waiting.put(number)
    outcomes: queue.SimpleQueue[tuple[int, T | BaseException]] = queue.SimpleQueue()

    def work() -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                number = waiting.get_nowait()
                try:
                    outcomes.put((number, ask(targets[number])))
                except BaseException as error:  # noqa: BLE001 - raised below
                    outcomes.put((number, error))

    # Not a ThreadPoolExecutor: Python does not end before its threads do, and one may wait for a dead board for a minute.
    threads = [
        threading.Thread(target=work, name="edgepress-fleet", daemon=True) for _ in range(min(workers, len(targets)))
    ]
    for thread in threads:
        thread.start()
    answers: dict[int, T | TargetError] = {}
    try:
        while len(answers) < len(targets):
            number, outcome = outcomes.get()
            if isinstance(outcome, BaseException) and not isinstance(outcome, TargetError):
                raise outcome
            answers[number] = outcome
    except BaseException:  # Ctrl-C: no more are begun, and those that can be told soon end in order
        with contextlib.suppress(queue.Empty):
            while True:
                waiting.get_nowait()
        deadline = time.monotonic() + STOP_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        raise
    return [answers[number] for number in range(len(targets))]


def check(target: Target) -> Checked:
    """Start the agent there and note what the board is, how it is, and what it can have. Raises TargetError."""
    with open_session(target) as session:
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


def check_all(targets: Sequence[Target]) -> list[Checked]:
    """`check` for each, side by side; what went wrong with one is in its record."""
    return [
        Checked(name=target.name, address=address(target), failed=Failed(answer.message, answer.hint))
        if isinstance(answer, TargetError)
        else answer
        for target, answer in zip(targets, side_by_side(targets, check), strict=True)
    ]


def address(target: Target) -> str:
    """For people, before anything was asked."""
    if target.kind != "ssh":
        return "this machine"
    return f"ssh {target.ssh}" if target.ssh else f"{target.user}@{target.host}:{target.port}"
