from pathlib import Path

import click

from pipeline import units
from pipeline.commands.common import json_option, plan_argument, quiet_option, run_until, say, show_json


@click.command("load")
@plan_argument
@json_option
@quiet_option
def command(plan: Path, *, as_json: bool, quiet: bool) -> None:
    """Read the model and the data of PLAN, and check that they fit each other."""
    loaded = run_until(plan, "load", quiet=quiet).loaded
    if as_json:
        show_json(loaded)
        return
    model = loaded.model
    say(
        f"model        {model.name}: {units.counted(model.parameters, 'parameter')}, {units.size(model.artifact.size_bytes)}"
    )
    for spec, name in ((model.input, "input"), (model.output, "output")):
        if spec is not None:
            say(f"{name:<12} {spec.name}: {spec.dtype} {spec.shape}, one row at a time")
    if model.accuracy_ratio is not None:
        say(f"accuracy     {units.percent(model.accuracy_ratio)} on the evaluation rows")
    for name in ("training", "calibration", "evaluation"):
        rows = getattr(loaded.data, name)
        if rows is not None:
            dropped = f" ({rows.dropped_rows} left out: they are evaluation rows too)" if rows.dropped_rows else ""
            say(f"{name:<12} {units.counted(rows.rows, 'row')} of {rows.row_shape}{dropped}")
