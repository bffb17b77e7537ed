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
from pipeline.records import Outcome


@click.command("measure")
@plan_argument
@threads_option
@wait_option
@json_option
@quiet_option
def command(plan: Path, *, threads: tuple[int, ...], wait_s: int, as_json: bool, quiet: bool) -> int:
    """Measure the files of PLAN on its board. `edgepress compare` judges what was measured, as often as you like."""
    now = run_until(plan, "measure", quiet=quiet, threads=threads, wait_s=wait_s)
    if as_json:
        show_json(now.record.measured)
    else:
        show_run(now.record, now.store, {})
    valid = any(each.valid for each in now.measured.measurements)
    return Outcome.PASS.exit_code if valid else Outcome.INVALID.exit_code
