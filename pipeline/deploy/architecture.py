"""Which processor the plan's board has, known before anything is made for it."""

import platform
from collections.abc import Callable
from pathlib import Path

from device_agent.wire import Machine
from pipeline.plan import Plan
from pipeline.records import Processor
from targets import boards, inventory, open_session
from targets.errors import TargetError

DOT_PRODUCTS = {"avx512_vnni", "avx_vnni"}  # flags of /proc/cpuinfo


def processor_of(plan: Plan, say: Callable[[str], None] | None = None, machine: Machine | None = None) -> Processor:
    """Return the processor: this machine's, that of the kind of board in boards.toml, else what the board answers; unknown if it cannot be reached.

    `machine`: what the board has reported, if it was asked already.
    """
    target = inventory.find(plan.tables.board.name, plan.folder)
    if target.kind in {"local", "virtual"}:
        return Processor(arch=platform.machine(), integer_dot_product=_dot_product(), told_by="this machine")
    if target.kind == "emulated":
        return Processor(arch="aarch64", told_by=f"the emulated machine {target.name}")
    if target.board:
        kind = boards.board(target.board)
        return Processor(arch=kind.processor, told_by=f"boards.toml: {target.name} is {kind.title}")
    try:
        if machine is None:
            with open_session(target, say) as session:
                machine = session.machine
        return Processor(arch=machine.arch, told_by=f"{target.name} itself")
    except TargetError as error:
        return Processor(told_by=f"{target.name} could not be asked: {error.message}")


def _dot_product() -> bool | None:
    """Return whether this machine adds products of bytes without saturating in between; None: it is not known."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    flags = next((set(line.split()) for line in lines if line.startswith("flags")), None)
    return None if flags is None else bool(flags & DOT_PRODUCTS)
