"""File -> file on the board: connect to the board, give it the agent, the runtimes, the models and the evaluation rows."""

import contextlib
import hashlib
import mmap
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import msgspec

from device_agent import wire
from pipeline import units
from pipeline.deploy import evaluation, meters, processors, runtimes
from pipeline.deploy.architecture import processor_of as processor_of
from pipeline.deploy.runtimes import other_versions as other_versions
from pipeline.deploy.runtimes import runtimes_of as runtimes_of
from pipeline.errors import PlanError, StageError
from pipeline.plan import Plan
from pipeline.progress import Progress
from pipeline.records import (
    Artifact,
    BoardFacts,
    Converted,
    Data,
    DeployedFile,
    DeployedRuntime,
    Deployment,
)
from pipeline.store import Store
from targets import Session, boards, inventory, open_session, provision
from targets.errors import UnknownTarget, VirtualUnavailable

MAPPED_BYTES = 64 << 20  # a file of more is sent from the disk, and not read as a whole


class ConnectedBoard(msgspec.Struct, frozen=True, kw_only=True):
    """A board with a running agent."""

    session: Session
    target: inventory.Target
    note: str | None  # why it is not the target that was asked for


def check(plan: Plan, formats: Sequence[str]) -> None:
    """Check what can be checked before anything is done: the board must be known, the runtimes exist and fit the formats."""
    try:
        inventory.find(plan.tables.board.name, plan.folder)
    except UnknownTarget as error:
        raise PlanError(f"{plan.path}: board.name: {error.message}", hint=error.hint) from error
    runtimes.check(plan)
    families = {family(name) for name in formats}
    runtimes.families_are_served(plan, families, runtimes_of(plan), tuple(provision.RUNTIMES))


def preflight(plan: Plan, say: Callable[[str], None] | None = None) -> wire.Machine | None:
    """Start the agent on a board over SSH and disconnect: a wrong key, a board on which nothing can be run, or a CPU that it
    does not have, is better reported before minutes of training than after. Return what the board is; None: nothing had to be asked.
    """
    evaluation.check(plan)
    target = inventory.find(plan.tables.board.name, plan.folder)
    judges_energy = meters.are_to_judge(plan, target)
    asks_meters = bool(
        set(plan.tables.measure.meters) - {meters.AUTO} or target.meters or (judges_energy and target.kind != "virtual")
    )
    is_away = target.kind in {"ssh", "emulated"}
    if not (is_away or asks_meters or processors.are_asked_for(plan) or runtimes.are_named(plan)):
        return None
    with connect(plan, say or (lambda _: None)) as connected:  # the board itself says whether it has them
        session = connected.session
        processors.check(plan, session.machine)
        runtimes.can_be_had(plan, session.machine, say)
        if asks_meters:
            found = meters.chosen(session, plan, connected.target)
            if judges_energy:
                meters.one_judges(plan, connected.target, found)
        return session.machine


@contextlib.contextmanager
def connect(plan: Plan, say: Callable[[str], None]) -> Iterator[ConnectedBoard]:
    """Connect to the plan's board. Where `virtual` is not available, `local` is used and `note` says why."""
    target = inventory.find(plan.tables.board.name, plan.folder)
    with contextlib.ExitStack() as stack:
        note = None
        try:
            session = stack.enter_context(open_session(target, say))
        except VirtualUnavailable as error:
            note = f"The local target is used instead of the virtual board: {error.message}. {error.hint}"
            say(note)
            target = inventory.find("local", plan.folder)
            session = stack.enter_context(open_session(target, say))
        yield ConnectedBoard(
            session=session, target=target, note=note or session.note or _untried(session.machine, target)
        )


def _untried(machine: wire.Machine, target: inventory.Target) -> str | None:
    """A board of a kind on which this software was never run is called so, also in the report."""
    kind = boards.recognise(machine.model) or target.board
    if target.kind != "ssh" or (kind and boards.board(kind).tried_on_hardware):
        return None
    return f"edgepress was not tried on {f'a {boards.board(kind).title}' if kind else 'this kind of board'} yet."


def deploy(
    connected: ConnectedBoard, plan: Plan, data: Data, converted: Sequence[Converted], store: Store, progress: Progress
) -> Deployment:
    """Put everything that the measuring needs on the board; what is already there is not sent again."""
    session, machine = connected.session, connected.session.machine
    processors.check(plan, machine)
    names = runtimes.choose(plan, {family(each.format) for each in converted}, machine)
    deployed = []
    for index, name in enumerate(names):
        progress.step(index, len(names), f"runtime {name}")
        wheels = provision.wheels(name, machine, runtimes.chosen(plan).get(name), progress.say)
        sites, sent = provision.install(session, wheels)
        packages = tuple(each.path.name for each in wheels)
        deployed.append(DeployedRuntime(name=name, sites=sites, packages=packages, sent_bytes=sent))
    rows = evaluation.evaluation_rows(plan, data, converted, store, progress.say)
    columns = rows.columns if rows else ()
    own = evaluation.end_to_end_files(data, progress.say)
    artifacts = list(dict.fromkeys([*(each.artifact for each in converted), *columns, *own]))
    there = set(session.have(tuple(artifact.sha256 for artifact in artifacts), ()).blobs)
    missing = [artifact for artifact in artifacts if artifact.sha256 not in there]
    sent_before, total, began = 0, sum(artifact.size_bytes for artifact in missing), time.monotonic()
    for artifact in missing:
        tell = partial(_tell_sent, progress, sent_before, total)
        session.put(_content(artifact, store), artifact.sha256, tell)
        sent_before += artifact.size_bytes
    if rows:
        bytes_s = evaluation.rate_of(total, time.monotonic() - began)
        cost = evaluation.cost_of_answers(plan, converted, names, rows.number, store, bytes_s)
        if cost:
            progress.say(cost)
    files = {
        artifact.sha256: DeployedFile(artifact=artifact, sent_bytes=artifact.size_bytes if artifact in missing else 0)
        for artifact in artifacts
    }
    return Deployment(
        target=connected.target.name,
        address=session.address,
        board=board_facts(machine, connected.target),
        agent_sha256=session.agent_sha256,
        agent_sent_bytes=session.agent_sent_bytes,
        first_answer_s=session.first_answer_s,
        runtimes=tuple(deployed),
        files=tuple(files[each.artifact.sha256] for each in converted),
        evaluation=tuple(files[each.sha256] for each in columns),
        evaluation_indices=rows.indices if rows else None,
        end_to_end=tuple(files[each.sha256] for each in own),
        meters=meters.chosen(session, plan, connected.target),
        note=" ".join(filter(None, (connected.note, untried_runtimes(names)))) or None,
    )


def untried_runtimes(names: Sequence[str]) -> str | None:
    """Return what the report says of runtimes with which this software was never run on the hardware that they are for."""
    untried = [name for name in names if not provision.RUNTIMES[name].tried_on_hardware]
    return f"edgepress was not tried with {' and '.join(untried)} on hardware yet." if untried else None


def _tell_sent(progress: Progress, before: int, total: int, now: int) -> None:
    progress.step(before + now, total, f"sending files, {units.size(total)}")


def _content(artifact: Artifact, store: Store) -> bytes | memoryview:
    """Return what is sent, checked just now. A large file is mapped: rows may be more than this machine's memory."""
    if artifact.size_bytes < MAPPED_BYTES:
        return store.intact(artifact)
    with store.path(artifact).open("rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    if hashlib.sha256(data).hexdigest() != artifact.sha256:
        raise StageError(
            f"the stored {artifact.format} file {artifact.sha256[:12]} is damaged",
            hint="Run `edgepress run` again: what is missing is made again.",
        )
    return data


def family(format_name: str) -> str:
    """tflite-int8 -> tflite: what kind of file it is."""
    return format_name.partition("-")[0]


def board_facts(machine: wire.Machine, target: inventory.Target) -> BoardFacts:
    return BoardFacts(
        model=machine.model or "unknown",
        cpu=machine.cpu or "unknown",
        cpu_count=machine.cpu_count,
        arch=machine.arch,
        kernel=machine.kernel,
        os=machine.os or "unknown",
        python=machine.python,
        libc=f"{machine.libc} {machine.libc_version}".strip(),
        memory_bytes=machine.memory_bytes or None,
        cpu_max_khz=machine.cpu_max_khz,
        governor=machine.governor,
        is_board=target.kind == "ssh",
        emulated=target.kind == "emulated" or machine.emulator is not None,
    )
