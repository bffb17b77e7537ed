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
    say_handed,
    show_json,
)


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
        agreement = each.agreement
        said = "not compared: no evaluation rows, or no runtime for it on this host"
        if agreement is not None:
            said = (
                f"largest error {units.number(agreement.largest_error)}, same class {units.percent(agreement.top1_agreement_ratio)}, "
                f"accuracy {units.percent(agreement.accuracy_ratio)} (source {units.percent(agreement.source_accuracy_ratio)})"
            )
        say(f"{each.variant:<11} {each.format:<12} {units.size(each.artifact.size_bytes):>9}  {said}")
    say_handed(now.handed)
