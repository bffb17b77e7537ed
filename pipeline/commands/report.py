from pathlib import Path

import click

from pipeline import flow, report
from pipeline.commands.common import json_option, plan_argument, show_json, show_run
from pipeline.plan import read


@click.command("report")
@plan_argument
@json_option
def command(plan: Path, *, as_json: bool) -> None:
    """Show the latest run of PLAN again, and write its pages (HTML, Markdown, JSON)."""
    record, store = flow.latest(read(plan))
    pages = report.report(record, store)
    if as_json:
        show_json(record)
    else:
        show_run(record, store, pages)
