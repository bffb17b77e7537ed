"""Many boards side by side: a dead one costs its own time and delays nobody."""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from device_agent import wire
from targets import open_session, provision
from targets.boards import generic, recognise
from targets.errors import TargetError
from targets.inventory import Target

# 32 workers connected to 200 servers no faster than 16 on two cores, where the key exchange is the work (measured).
WORKERS = 16

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
    runtimes: dict[str, str | None] = {}  # why it can not have this one; None: it can
    first_answer_s: float | None = None
    agent_sent_bytes: int | None = None


def side_by_side(
    targets: Sequence[Target], ask: Callable[[Target], T], workers: int = WORKERS
) -> list[T | TargetError]:
    """`ask` each target, at most `workers` at a time; the answers, or the TargetErrors, in the order of `targets`."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="edgepress-fleet")
    try:
        return list(pool.map(functools.partial(_outcome, ask), targets))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C starts no more of them


def _outcome(ask: Callable[[Target], T], target: Target) -> T | TargetError:
    try:
        return ask(target)
    except TargetError as error:
        return error


def check(target: Target) -> Checked:
    """Start the agent there and note what the board is, how it is, and what it can have. Raises TargetError."""
    with open_session(target) as session:
        machine = session.machine
        return Checked(
            name=target.name, address=session.address, machine=machine, conditions=session.observe(),
            kind=recognise(machine.model) or target.board or generic(machine.arch, machine.bits),
            runtimes={name: provision.why_not(name, machine) for name, each in provision.RUNTIMES.items() if not each.for_tests},
            first_answer_s=session.first_answer_s, agent_sent_bytes=session.agent_sent_bytes,
        )  # fmt: skip


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
