"""The stages from Python: what the commands `edgepress run`, `convert` and `measure` do with a plan."""

import os
from pathlib import Path

from pipeline import flow, handover
from pipeline.plan import Plan, read, with_state
from pipeline.progress import Progress, Silent
from pipeline.records import Converted, Measured, RunRecord

PathLike = str | os.PathLike[str]


def run(
    plan: PathLike | Plan,
    *,
    out: PathLike | None = None,
    state: PathLike | None = None,
    wait_s: float = 0.0,
    progress: Progress | None = None,
) -> RunRecord:
    """Go through all stages of a plan: load, compress, convert, deploy, measure, compare, report.

    `plan` is the path of an edge.toml, or a Plan of `read_plan`. `out` is a folder for what was made: the files for boards, the reports,
    a manifest. `state` is the folder of runs and artifacts, else .edgepress next to the plan. `wait_s`: how many seconds, in all, to wait
    for a board that is busy. `progress` is called with how far it is. What the limits of the plan say is in the record's `outcome`; that a limit
    is broken is not an error. Raises EdgepressError.
    """
    return _until("report", plan, out, state, wait_s, progress).record


def convert(
    plan: PathLike | Plan,
    *,
    out: PathLike | None = None,
    state: PathLike | None = None,
    progress: Progress | None = None,
) -> tuple[Converted, ...]:
    """Make the files of a plan that boards run, and compare each with its source. Needs no board. Arguments as for `run`; `out` gets
    the files. Raises EdgepressError.
    """
    return _until("convert", plan, out, state, 0.0, progress).converted


def measure(
    plan: PathLike | Plan,
    *,
    state: PathLike | None = None,
    wait_s: float = 0.0,
    progress: Progress | None = None,
) -> Measured:
    """Measure the files of a plan on its board, without judging them. Arguments as for `run`. Raises EdgepressError."""
    return _until("measure", plan, None, state, wait_s, progress).measured


def read_plan(path: PathLike) -> Plan:
    """Read a plan, an edge.toml. PlanError says which file, table and key is wrong."""
    return read(Path(path))


def _until(
    stage: str, plan: PathLike | Plan, out: PathLike | None, state: PathLike | None, wait_s: float, progress: Progress | None
) -> flow.Run:  # fmt: skip
    the_plan = plan if isinstance(plan, Plan) else read_plan(plan)
    the_plan = with_state(the_plan, None if state is None else Path(state))
    folder = None if out is None else handover.folder_of(the_plan, Path(out))
    return flow.run(the_plan, progress or Silent(), until=stage, wait_s=wait_s, out=folder)
