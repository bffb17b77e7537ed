from collections.abc import Sequence
from pathlib import Path

import click

from pipeline import units
from pipeline.commands.common import (
    json_option,
    out_option,
    plan_argument,
    quiet_option,
    run_until,
    say,
    say_handover,
    show_json,
)
from pipeline.records import Agreement, Task
from pipeline.safe_text import shortened


@click.command("convert")
@plan_argument
@out_option("Also copy the files into this folder, with a manifest.")
@json_option
@quiet_option
def command(plan: Path, out: Path | None, *, as_json: bool, quiet: bool) -> None:
    """Make the files that boards run from the model of PLAN, and compare each with its source."""
    now = run_until(plan, "convert", quiet=quiet, out=out)
    if as_json:
        show_json(now.converted)
        return
    for each in now.converted:
        file = each.file if each.name or each.role else f"{each.variant:<11} {each.format:<12}"
        kind = f"{each.kind}; " if each.kind else ""
        notes = "".join(f"; {note}" for note in each.notes)
        say(
            f"{file:<24} {units.size(each.artifact.size_bytes):>9}  {kind}{_told(each.agreement, now.loaded.data.tasks)}{notes}"
        )
    say_handover(now.handed)


def _told(agreement: Agreement | None, tasks: Sequence[Task] = ()) -> str:
    """Words of classes only where the answers are scores of classes."""
    if agreement is None:
        return "not compared: no evaluation rows, or no runtime for it on this host"
    largest = f"largest error {units.number(agreement.largest_error)}"
    if agreement.output:
        largest += f" in the output '{shortened(agreement.output, 80)}', the worst"
    levels = [each.snr_db for each in agreement.signals if each.snr_db is not None]
    if levels:
        largest += f", SNR {units.decibels(min(levels))}"
    for alike in agreement.alike:
        largest += f", {_of(alike.task)}{alike.title} {units.metric(alike.value)}"
    titles = {each.name: each.title for each in tasks}
    for quality in agreement.qualities:
        largest += f", {_of(quality.task)}{titles.get(quality.task, 'metric')} {units.metric(quality.value)}"
    if agreement.top1_agreement_ratio is None:
        return f"{largest}, error {units.error(agreement.error_rms, agreement.spread)}"
    same = f"{largest}, same class {units.percent(agreement.top1_agreement_ratio)}"
    if agreement.accuracy_ratio is None:
        return same
    return f"{same}, accuracy {units.percent(agreement.accuracy_ratio)} (source {units.percent(agreement.source_accuracy_ratio)})"


def _of(task: str) -> str:
    return f"{shortened(task, 80)}: " if task else ""
