from pathlib import Path

import click

from pipeline import flow
from pipeline.commands.common import json_option, plan_argument, plan_of, show_json, show_run


@click.command("compare")
@plan_argument
@json_option
def command(plan: Path, *, as_json: bool) -> int:
    """Judge the latest run of PLAN by its limits as they are now; needs no board. The exit code says how it ended."""
    tables = plan_of(plan)
    record, store = flow.latest(tables)
    record = flow.judge(record, tables, store)
    if as_json:
        show_json(record.compared)
    else:
        show_run(record, store, {})
    return record.outcome.exit_code
