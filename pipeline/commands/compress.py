from collections.abc import Iterator, Sequence
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
from pipeline.records import Model, PassReport, Task, quality_of


@click.command("compress")
@plan_argument
@out_option("Also copy the model after each pass, and what a pass packed, into this folder.")
@json_option
@quiet_option
def command(plan: Path, out: Path | None, *, as_json: bool, quiet: bool) -> None:
    """Make the model of PLAN smaller, pass by pass, and check what each pass promised."""
    now = run_until(plan, "compress", quiet=quiet, out=out)
    compressed = now.compressed
    if as_json:
        show_json(compressed)
        return
    if not compressed.passes:
        say("the plan names no passes: the model stays as it is")
    tasks, before = now.loaded.data.tasks, now.loaded.model
    for each in compressed.passes:
        say("\n".join(_lines(each, before, tasks)))
        before = each.model
    say_handover(now.handed)


def _lines(each: PassReport, before: Model, tasks: Sequence[Task]) -> list[str]:
    """Return what a pass did to the model `before`, in the order of the ledger."""
    changes = [
        ("parameters", units.count(each.parameters_before), units.count(each.parameters_after)),
        ("not zero", units.count(each.nonzero_before), units.count(each.nonzero_after)),
        ("MACs", units.count(each.multiply_accumulates_before), units.count(each.multiply_accumulates_after)),
        ("deflated", units.size(each.deflated_before_bytes), units.size(each.deflated_after_bytes)),
        *_of_tasks(each, before, tasks),
    ]
    lines = [f"{each.name} ({units.seconds(each.seconds)})"]
    lines += [f"  {name:<11} {before} -> {after}" for name, before, after in changes]
    if each.container:
        lines.append(f"  container   {units.size(each.container.size_bytes)}")
    if each.claims:
        lines.append("  checked     " + ", ".join(f"{name} {value:.4g}" for name, value in each.claims.items()))
    return lines + [f"  note        {note}" for note in each.notes]


def _of_tasks(each: PassReport, before: Model, tasks: Sequence[Task]) -> Iterator[tuple[str, str, str]]:
    """Yield the metric of each task, or the accuracy."""
    if not tasks:
        yield "accuracy", units.percent(each.accuracy_before_ratio), units.percent(each.accuracy_after_ratio)
    for task in tasks:
        found = (quality_of(model.qualities, task) for model in (before, each.model))
        was, now = (units.metric(one.value if one else None) for one in found)
        yield f"{task.name} {task.metric}".strip(), was, now
