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
    now = run_until(plan, "load", quiet=quiet)
    loaded = now.loaded
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
    if model.artifact.format == "tflite":
        _say_of_tflite(now.store.path(model.artifact).read_bytes(), model.name, unread=model.input is None)
    if model.accuracy_ratio is not None:
        say(f"accuracy     {units.percent(model.accuracy_ratio)} on the evaluation rows")
    for name in ("training", "calibration", "evaluation"):
        rows = getattr(loaded.data, name)
        if rows is not None:
            dropped = f" ({rows.dropped_rows} left out: they are evaluation rows too)" if rows.dropped_rows else ""
            say(f"{name:<12} {units.counted(rows.rows, 'row')} of {rows.row_shape}{dropped}")


def _say_of_tflite(data: bytes, name: str, *, unread: bool) -> None:
    """Print what the file says of itself. `unread`: no runtime on this host could read its input and output."""
    from pipeline.frameworks import tflite_description

    for what, said in tflite_description.ends(data, name) if unread else ():
        say(f"{what:<12} {said}")
    for sentence in tflite_description.of_file(data, name):
        say(f"{'note':<12} {sentence}")
