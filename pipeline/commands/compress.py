from pathlib import Path

import click

from pipeline import units
from pipeline.commands.common import json_option, plan_argument, quiet_option, run_until, say, show_json


@click.command("compress")
@plan_argument
@json_option
@quiet_option
def command(plan: Path, *, as_json: bool, quiet: bool) -> None:
    """Make the model of PLAN smaller, pass by pass, and check what each pass promised."""
    compressed = run_until(plan, "compress", quiet=quiet).compressed
    if as_json:
        show_json(compressed)
        return
    if not compressed.passes:
        say("the plan names no passes: the model goes on as it is")
    for each in compressed.passes:
        claims = ", ".join(f"{name} {value:.4g}" for name, value in each.claims.items())
        say(
            f"{each.name}: {units.count(each.nonzero_before)} -> {units.count(each.nonzero_after)} weights that are not zero, "
            f"accuracy {units.percent(each.accuracy_before_ratio)} -> {units.percent(each.accuracy_after_ratio)}, "
            f"deflated {units.size(each.deflated_before_bytes)} -> {units.size(each.deflated_after_bytes)}, "
            f"in {units.seconds(each.seconds)}; checked: {claims}"
        )
