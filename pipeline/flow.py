"""The product, in seven calls. READ THIS FIRST."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import msgspec

from device_agent import wire
from pipeline import compare, compress, convert, deploy, handover, load, measure, product, report, state, units
from pipeline.errors import PlanError, StageError
from pipeline.plan import Plan
from pipeline.plan_tables import StateTable
from pipeline.progress import Progress
from pipeline.records import (
    Compared,
    Compressed,
    Converted,
    Deployment,
    Loaded,
    Measured,
    Processor,
    RunRecord,
    StageTime,
)
from pipeline.store import Store
from pipeline.store.clean import Bound, clean
from targets.errors import DamagedOnBoard

STAGES = ("load", "compress", "convert", "deploy", "measure", "compare", "report")


@dataclass
class Run:
    """A run on its way: the plan, and what the stages have answered so far."""

    plan: Plan
    store: Store
    progress: Progress
    processor: Processor
    """Of the board: known before files are made for it."""
    held: contextlib.ExitStack
    """Holds the connection to the board from deploy to the end."""
    wait_s: float = 0.0
    """So long it waits for a board that is busy, in all."""
    on_board: bool = False  # it ends on a board, and not before
    loaded: Loaded = field(init=False)
    compressed: Compressed = field(init=False)
    converted: tuple[Converted, ...] = field(init=False)
    connected: deploy.ConnectedBoard = field(init=False)
    deployment: Deployment = field(init=False)
    measured: Measured = field(init=False)
    record: RunRecord = field(init=False)
    pages: dict[str, Path] = field(init=False)
    handed: handover.Handover | None = None
    stages: list[StageTime] = field(default_factory=list)


def run(plan: Plan, progress: Progress, until: str = STAGES[-1], wait_s: float = 0.0, out: Path | None = None) -> Run:
    """Go through the stages in order, as far as `until`. Everything that was started is ended again, whatever happens.

    `out`: a folder that gets what was made, under readable names (pipeline/handover.py).
    """
    machine, on_board = check(plan, until, progress.say), STAGES.index(until) >= STAGES.index("deploy")
    asked = STAGES.index(until) >= STAGES.index("convert") and convert.asks_for_processor(plan)
    processor = deploy.processor_of(plan, progress.say, machine) if asked else Processor()
    store = store_of(plan, progress.say)
    if plan.state is None and store.root.parent != plan.folder:
        progress.say(f"nothing can be written into {plan.folder}: runs and artifacts are kept in {store.root}")
    with contextlib.closing(store), contextlib.ExitStack() as held:
        now = Run(plan, store, progress, processor, held, wait_s, on_board)
        for stage in STAGES:
            progress.stage(stage)
            began = time.monotonic()
            cached = STEPS[stage](now)
            now.stages.append(StageTime(stage=stage, seconds=time.monotonic() - began, cached=cached))
            progress.stage_done(stage, time.monotonic() - began, cached=cached)
            if stage == until:
                break
        if out is not None:
            now.handed = hand_over(now, out, until)
        if until == STAGES[-1]:
            _bound(now)
        return now


def check(plan: Plan, until: str = STAGES[-1], say: Callable[[str], None] | None = None) -> wire.Machine | None:
    """Check all that can be wrong with a plan, or with the way to its board, before minutes are spent on it. `say` gets a line on what
    is waited for. Return what the board is, if it was asked.
    """
    load.check(plan)
    compress.settings_of(plan)
    convert.check(plan)
    formats = plan.tables.convert.formats or (plan.source_format,)  # the file as it is
    deploy.check(plan, formats)
    compare.check(plan, formats, deploy.runtimes_of(plan))
    return deploy.preflight(plan, say) if STAGES.index(until) >= STAGES.index("deploy") else None


def hand_over(now: Run, out: Path, until: str) -> handover.Handover:
    """Put what was made so far into a folder of the user's."""
    made = product.made_from(now.plan, now.loaded)
    if until == "compress":
        items = list(product.passes_of(now.compressed))
    else:
        items = list(product.files_of(now.plan, now.compressed, now.converted))
    if until == "convert":
        items += product.others_of(now.plan, now.compressed, now.converted)
    if until == STAGES[-1]:
        items += product.reports_of(now.pages)
        made = product.of_run(now.plan, now.record)
    return handover.hand_over(out, items, made, now.store)


def _bound(now: Run) -> None:
    """A state folder does not grow for ever."""
    try:
        cleaned = clean(now.store, bound_of(now.plan.tables.state))
    except OSError as error:  # what was measured is kept and reported
        now.progress.say(f"old runs in {now.store.root} could not be removed: {error.strerror}: {error.filename}")
        return
    if cleaned.runs:
        removed, freed = units.counted(len(cleaned.runs), "old run"), units.size(cleaned.freed_bytes)
        now.progress.say(f"removed {removed} ({freed}) from {now.store.root}: [state] of the plan says how many stay")


def bound_of(table: StateTable) -> Bound:
    return Bound(keep_runs=table.keep_runs, max_bytes=table.max_bytes)


def store_of(plan: Plan, say: Callable[[str], None] | None = None) -> Store:
    """Open the plan's state folder; `say` gets a line when something in it was damaged."""
    return Store(state.folder_of(plan.folder, plan.state), say=say)


# --- the seven calls; each returns whether its answer came from the cache


def _load(now: Run) -> bool:
    with now.store.undone_on_error():
        now.loaded, cached = load.load(now.plan, now.store, now.progress)
    if now.on_board:
        measure.check_lengths(now.loaded.model, Path(now.plan.tables.model.path).name)
    return cached


def _compress(now: Run) -> bool:
    now.compressed, cached = compress.compress(
        now.loaded, compress.settings_of(now.plan), now.plan, now.store, now.progress
    )
    return cached


def _convert(now: Run) -> bool:
    now.converted, cached = convert.convert(
        now.loaded, now.compressed, now.plan, now.store, now.progress, now.processor
    )
    return cached


def _deploy(now: Run) -> bool:
    now.connected = now.held.enter_context(deploy.connect(now.plan, now.progress.say))
    now.connected.session.busy_retry.left_s = now.wait_s
    _deployed(now)
    return now.deployment.sent_bytes == 0


def _deployed(now: Run) -> None:
    now.deployment = deploy.deploy(now.connected, now.plan, now.loaded.data, now.converted, now.store, now.progress)
    before = _before(now.store)
    changed = deploy.other_versions(now.deployment, before.deployment) if before else ""
    if changed:
        now.progress.say(changed)
        note = " ".join(filter(None, (now.deployment.note, changed)))
        now.deployment = msgspec.structs.replace(now.deployment, note=note)


def _before(store: Store) -> RunRecord | None:
    """Return the newest run in the store; None where there is none, or where another edgepress made it."""
    data = store.latest_run()
    try:
        return report.read(data) if data else None
    except StageError:
        return None


def _measure(now: Run) -> bool:
    try:
        _measured(now)
    except DamagedOnBoard as lacking:  # found by its hash, and removed there: once more, with what is sound
        now.progress.say(f"{lacking.message}; sending it again")
        _deployed(now)
        _measured(now)
    now.record = _record(now)
    _keep(now.record, now.store)
    now.connected.session.forget_fetched()  # only now: a host that is killed before finds the results on the board
    now.held.close()
    return False


def _measured(now: Run) -> None:
    now.measured = measure.measure(
        now.connected.session, now.plan, now.loaded.data, now.deployment, now.converted, now.store, now.progress
    )


def _compare(now: Run) -> bool:
    now.record = judge(now.record, now.plan, now.store)
    return False


def _report(now: Run) -> bool:
    now.record = msgspec.structs.replace(now.record, stages=tuple(now.stages))
    _keep(now.record, now.store)
    now.pages = report.report(now.record, now.store)
    return False


STEPS: dict[str, Callable[[Run], bool]] = {
    "load": _load,
    "compress": _compress,
    "convert": _convert,
    "deploy": _deploy,
    "measure": _measure,
    "compare": _compare,
    "report": _report,
}


# --- runs that were measured before


def latest(plan: Plan) -> tuple[RunRecord, Store]:
    """Return the newest run of the plan, and the store that it is in. PlanError where there is none."""
    store = store_of(plan) if state.folder_of(plan.folder, plan.state).exists() else None
    data = store.latest_run(plan.path) if store else None
    if store is None or data is None:
        raise PlanError(f"{plan.path} has no finished run yet", hint="Run `edgepress run` on it first.")
    return report.read(data), store


def judge(record: RunRecord, plan: Plan, store: Store) -> RunRecord:
    """Judge a measured run by the plan's limits as they are now; needs no board.

    PlanError if more than the limits has changed since: then it was another plan that measured.
    """
    _same_plan(plan, record)
    compared: Compared = compare.compare(record.measured, plan, record.loaded.data, record.deployment, store)
    judged = msgspec.structs.replace(record, compared=compared)
    _keep(judged, store)
    return judged


def hand_over_again(
    record: RunRecord, pages: dict[str, Path], plan: Plan, store: Store, out: Path
) -> handover.Handover:
    """Put what a run that was measured before has made into a folder of the user's. PlanError as for `judge`."""
    _same_plan(plan, record)
    items = [*product.files_of(plan, record.compressed, record.converted), *product.reports_of(pages)]
    return handover.hand_over(out, items, product.of_run(plan, record), store)


def _same_plan(plan: Plan, record: RunRecord) -> None:
    same_file = (
        record.plan_sha256 == plan.sha256
    )  # an older edgepress had other defaults, and so another digest of the rest
    if not same_file and record.measured_by_sha256 != plan.without_limits_sha256:
        raise PlanError(
            f"{plan.path} has changed in more than [limits] since the run {record.run_id}, or an older edgepress measured it",
            hint="Run `edgepress run` (or `edgepress measure`) again: what it measured was another plan.",
        )


def _record(now: Run) -> RunRecord:
    began = datetime.now(UTC)
    return RunRecord(
        run_id=now.store.next_run_id(began),
        created_utc=began.isoformat(timespec="seconds"),
        edgepress_version=metadata.version("edgepress"),
        plan_path=str(now.plan.path),
        plan_sha256=now.plan.sha256,
        measured_by_sha256=now.plan.without_limits_sha256,
        seed=now.plan.tables.seed,
        loaded=now.loaded,
        compressed=now.compressed,
        converted=now.converted,
        deployment=now.deployment,
        measured=now.measured,
        compared=None,
        stages=tuple(now.stages),
    )


def _keep(record: RunRecord, store: Store) -> None:
    store.keep_run(record.run_id, msgspec.json.encode(record))
