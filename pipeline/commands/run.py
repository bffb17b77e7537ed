from pathlib import Path

import click

from pipeline.commands.common import (
    json_option,
    plan_argument,
    quiet_option,
    run_until,
    show_json,
    show_run,
    threads_option,
    wait_option,
)


@click.command("run")
@plan_argument
@threads_option
@wait_option
@json_option
@quiet_option
def command(plan: Path, *, threads: tuple[int, ...], wait_s: int, as_json: bool, quiet: bool) -> int:
    """Run the whole flow of PLAN (edge.toml) and report; the exit code says how it ended."""
    now = run_until(plan, "report", quiet=quiet, threads=threads, wait_s=wait_s)
    if as_json:
        show_json(now.record)
    else:
        show_run(now.record, now.store, now.pages)
    return now.record.outcome.exit_code
