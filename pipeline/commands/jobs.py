from pathlib import Path

import click
import msgspec

from device_agent import wire
from pipeline import units
from pipeline.commands.common import json_option, say, say_aside, show_json
from pipeline.errors import PlanError
from targets import Session, inventory, open_session

SHOWN_DIGITS = 12


@click.command("jobs")
@click.argument("board")
@click.option("--follow", "followed", metavar="JOB", help="Say what JOB says, until it ends.")
@click.option("--cancel", "cancelled", metavar="JOB", help="End JOB; the board is free then.")
@click.option("--forget", "forgotten", metavar="JOB", help="Remove an ended JOB with its results.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path(), help="Where boards.toml is.")
@json_option
def command(
    board: str, followed: str | None, cancelled: str | None, forgotten: str | None, folder: Path, *, as_json: bool
) -> None:
    """What BOARD is measuring and for whom; follow a job, or cancel it.

    A job continues when the connection breaks or the host is switched off. The next run of the same plan fetches its results. JOB
    is the beginning of a job's number.
    """
    if sum(each is not None for each in (followed, cancelled, forgotten)) > 1:
        raise PlanError("only one of --follow, --cancel and --forget can be given", hint="Give them one after another.")
    with open_session(inventory.find(board, folder), say_aside) as session:
        if followed is not None:
            _follow(session, _found(session, board, followed), as_json=as_json)
        elif cancelled is not None:
            job = _found(session, board, cancelled)
            say(f"{job.job_id[:SHOWN_DIGITS]} is {session.cancel(job.job_id)}")
        elif forgotten is not None:
            job = _found(session, board, forgotten)
            session.forget(job.job_id)
            say(f"{job.job_id[:SHOWN_DIGITS]} is removed")
        elif as_json:
            show_json(session.jobs())
        else:
            _list(session.jobs(), board)


def _list(jobs: tuple[wire.JobInfo, ...], board: str) -> None:
    for job in jobs:
        age = "before the last restart" if job.age_ns is None else f"started {units.seconds(job.age_ns / 1e9)} ago"
        say(
            f"{job.job_id[:SHOWN_DIGITS]}  {job.state:<9} {job.done} of {units.counted(job.launches, 'launch')}  {age}  {job.owner}"
        )
        if job.evidence:
            say(f"{'':<{SHOWN_DIGITS}}  {job.evidence}")
    if not jobs:
        say(f"{board} has no job: nothing runs there, and no results are waiting to be fetched")


def _found(session: Session, board: str, beginning: str) -> wire.JobInfo:
    found = [job for job in session.jobs() if beginning and job.job_id.startswith(beginning)]  # "": a variable not set
    if len(found) != 1:
        raise PlanError(
            f"{len(found) or 'no'} jobs on {board} have a number that begins with {beginning!r}",
            hint=f"`edgepress jobs {board}` lists them.",
        )
    return found[0]


def _follow(session: Session, job: wire.JobInfo, *, as_json: bool) -> None:
    """JobEnded where it ends without results."""
    for record in session.follow(job.job_id, job.launches):
        if as_json:
            say(msgspec.json.encode(record, enc_hook=vars).decode())
        elif isinstance(record, wire.Event):
            part = (
                f" {min(1.0, record.done / record.of):.0%}" if record.of > 1 else ""
            )  # nanoseconds, rows or thousandths
            say(f"launch {record.index + 1} of {job.launches}: {record.phase}{part}")
        elif isinstance(record, wire.LaunchFailed):
            say(f"launch {record.index + 1} of {job.launches} failed in phase {record.phase}: {record.message}")
        elif isinstance(record, wire.Paired):
            say(f"pair {record.index + 1} of {job.launches} is done")
        else:
            timed = f": {units.counted(len(record.latency_ns), 'inference')}" if record.latency_ns else ""
            say(f"launch {record.index + 1} of {job.launches} is done{timed}")
    if not as_json:
        say(f"{job.job_id[:SHOWN_DIGITS]} has finished; the next run of the plan fetches its results")
