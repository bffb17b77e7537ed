"""`edgepress clean`: the state folder of a plan made smaller."""

from pathlib import Path

import click

from pipeline import flow, plan_tables, state, units
from pipeline.commands.common import UserPath, given_state, json_option, plan_of, say, show_json, state_option
from pipeline.commands.quantities import Duration, Size
from pipeline.store.clean import Bound, clean
from pipeline.store.store import Store


@click.command("clean")
@click.argument("plan_path", metavar="[PLAN]", type=UserPath(), default="edge.toml")
@state_option
@click.option("--keep", type=click.IntRange(0, 10**6), metavar="N", help="Keep the last N runs of each plan.")
@click.option("--older-than", type=Duration("12h, 30d or 8w"), help="Remove runs older than that: 12h, 30d, 8w.")
@click.option("--max-size", type=Size(), help="Remove the oldest until no more is left: 500MB.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@json_option
def command(
    plan_path: Path, keep: int | None, older_than: int | None, max_size: int | None, *, dry_run: bool, as_json: bool
) -> None:
    """Remove old runs of PLAN with their reports, and what no other run or recent work needs.

    PLAN is a plan or its folder. Without an option the bounds of its [state] hold, as after each run. What a running edgepress
    needs stays, and the last run of each plan unless you say --keep 0.
    """
    folder, bound = _place(plan_path)
    if (keep, older_than, max_size) != (None, None, None):
        bound = Bound(keep_runs=keep, older_than_s=older_than, max_bytes=max_size)
    if not folder.exists():
        say(f"nothing to remove: there is no {folder}")
        return
    done = clean(Store(folder), bound, dry_run=dry_run)
    if as_json:
        show_json(done)
        return
    for run in done.runs:
        say(f"{'would remove' if dry_run else 'removed'} run {run}")
    say(
        f"{'would free' if dry_run else 'freed'} {units.size(done.freed_bytes)} in {folder}: {units.counted(len(done.runs), 'run')}, "
        f"{units.counted(done.answers, 'answer')} of stages, {units.counted(done.artifacts, 'file')}"
    )
    say(f"kept {units.counted(done.kept_runs, 'run')}, {units.size(done.kept_bytes)}")


def _place(path: Path) -> tuple[Path, Bound]:
    """Return the state folder and its bounds."""
    if path.is_dir() or (given_state() is not None and not path.exists()):
        return state.folder_of(
            path.resolve() if path.is_dir() else path.resolve().parent, given_state()
        ), flow.bound_of(plan_tables.StateTable())
    read = plan_of(path)
    return state.folder_of(read.folder, read.state), flow.bound_of(read.tables.state)
