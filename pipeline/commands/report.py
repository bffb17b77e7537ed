from pathlib import Path

import click

from pipeline import flow, handover, report
from pipeline.commands.common import json_option, out_option, plan_argument, plan_of, say_handover, show_json, show_run


@click.command("report")
@plan_argument
@out_option("Also hand over what that run has made: files for boards, reports, a manifest.")
@json_option
def command(plan: Path, *, out: Path | None, as_json: bool) -> None:
    """Show the latest run of PLAN again, and write its pages (HTML, Markdown, JSON)."""
    read = plan_of(plan)
    folder = None if out is None else handover.folder_of(read, out)
    record, store = flow.latest(read)
    pages = report.report(record, store)
    handed = None if folder is None else flow.hand_over_again(record, pages, read, store, folder)
    if as_json:
        show_json(record)
    else:
        show_run(record, store, {} if handed else pages)
    say_handover(handed, on_stderr=as_json)
