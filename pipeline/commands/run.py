from pathlib import Path

import click

from pipeline.commands.common import (
    json_option,
    out_option,
    plan_argument,
    quiet_option,
    run_until,
    say_handover,
    show_json,
    show_run,
    threads_option,
    wait_option,
)


@click.command("run")
@plan_argument
@threads_option
@wait_option
@out_option("Where the product goes: files for boards, reports, a manifest. Without it, out/ next to PLAN.")
@json_option
@quiet_option
def command(plan: Path, *, threads: tuple[int, ...], wait_s: int, out: Path | None, as_json: bool, quiet: bool) -> int:
    """Run the whole flow of PLAN (edge.toml) and report; the exit code says how it ended."""
    now = run_until(plan, "report", quiet=quiet, threads=threads, wait_s=wait_s, out=out, hands_over=True)
    if as_json:
        show_json(now.record)
    else:
        show_run(now.record, now.store, {})
    if not (as_json and quiet):
        say_handover(now.handed, on_stderr=as_json)
    return now.record.outcome.exit_code
