from collections.abc import Iterator
from pathlib import Path

import click

from pipeline import units
from pipeline.commands.common import json_option, plan_argument, quiet_option, run_until, say, show_json
from pipeline.flow import Run
from pipeline.plan import Plan
from pipeline.plan_tables import ModelTable
from pipeline.records import Column, Loaded, Model, Quality, Rows, TensorSpec, quality_of
from pipeline.safe_text import shortened

LONGEST_NAME = 80
OPSET_FIELD, DOMAIN, VERSION = (
    8,
    1,
    2,
)  # ModelProto.opset_import: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto


@click.command("load")
@plan_argument
@json_option
@quiet_option
def command(plan: Path, *, as_json: bool, quiet: bool) -> None:
    """Read the model and the data of PLAN, and check that they fit each other.

    Says what the model takes and answers, and what each format and the board of the plan will do with it; nothing is made or sent.
    """
    now = run_until(plan, "load", quiet=quiet)
    if as_json:
        show_json(now.loaded)
        return
    for what, words in _lines(now):
        say(f"{what:<12} {words}")


def _lines(now: Run) -> Iterator[tuple[str, str]]:
    from pipeline.report.tables.tensors import batch_of

    loaded, model = now.loaded, now.loaded.model
    batch = batch_of(loaded)
    content = now.store.path(model.artifact)
    yield (
        "model",
        f"{model.name}: {units.counted(model.parameters, 'parameter')}, {units.size(model.artifact.size_bytes)}",
    )
    columns = _columns(loaded)
    for spec in model.inputs:
        yield "input", _input(spec, model, columns.get(spec.name), now.plan.tables.model)
    for spec in model.outputs:
        yield "output", _output(spec, model, batch)
    if model.sequences:
        yield "sequences", "a row is a sequence of steps, and the state ends with it; a latency is of one step"
    if batch is not None and batch > 1:
        yield "batch", f"one inference takes {units.count(batch)} at once; a latency is of one inference"
    if model.accuracy_ratio is not None:
        yield "accuracy", f"{units.percent(model.accuracy_ratio)} on the evaluation rows"
    for task in loaded.data.tasks:
        found = quality_of(model.qualities, task)
        told = (
            "there are no labels of it"
            if found is None
            else f"{task.title} {units.metric(found.value)}{_others(found)}"
        )
        name = f"{shortened(task.name, LONGEST_NAME)}, " if task.name else ""
        yield "task", f"{name}{task.kind}: {told}"
    for name in ("training", "calibration", "evaluation"):
        rows = getattr(loaded.data, name)
        if rows is not None:
            yield name, _rows(rows)
    yield from _outlook(now.plan, loaded, _opset(content) if model.artifact.format == "onnx" else None)
    if model.artifact.format == "tflite":
        yield from _of_tflite(content.read_bytes(), model, now.plan)
    for note in loaded.notes:
        yield "note", note


def _others(quality: Quality) -> str:
    told = ", ".join(f"{shortened(name, LONGEST_NAME)} {units.metric(value)}" for name, value in quality.others.items())
    return f" ({told})" if told else ""


def _columns(loaded: Loaded) -> dict[str, Column]:
    """The columns of the data by the names of inputs, of the first set that there is."""
    data = loaded.data
    rows = data.evaluation or data.calibration or data.training
    return {each.name: each for each in rows.inputs} if rows else {}


def _input(spec: TensorSpec, model: Model, column: Column | None, table: ModelTable) -> str:
    name, output = shortened(spec.name, LONGEST_NAME), dict(model.state).get(spec.name)
    if output is not None:
        comes = f"state: zeros in the first step of a row, then what '{shortened(output, LONGEST_NAME)}' answered in the step before"
        return f"{name}: {spec.dtype} {units.shape(spec.shape)}, {comes}{_fixed(spec)}"
    if spec.name in table.constants or (column is not None and column.constant):
        return f"{name}: {spec.dtype} {units.shape(spec.shape)}, a constant of the plan"
    return f"{name}: {_one(spec, model, None if column is None else len(column.shape) - model.sequences)}{_fixed(spec)}"


def _output(spec: TensorSpec, model: Model, batch: int | None) -> str:
    inputs = [name for name, output in model.state if output == spec.name]
    taken = f", taken by the input '{shortened(inputs[0], LONGEST_NAME)}' in the next step" if inputs else ""
    several = len(model.outputs) - len(model.state) > 1
    scored = ", whose classes are compared" if several and model.classes and spec == model.outputs[model.scored] else ""
    axes = len(spec.shape) if spec.shape is not None and batch is not None and batch > 1 else None
    return f"{shortened(spec.name, LONGEST_NAME)}: {_one(spec, model, axes)}{taken}{scored}"


def _one(spec: TensorSpec, model: Model, axes: int | None) -> str:
    """Its type and shape, as its rows have it: they may lack the first axis of the tensor. `axes`: of the data; None: there is none."""
    shape = spec.shape
    lacks = shape is not None and shape[:1] in ((1,), (None,)) and axes in (None, len(shape) - 1)
    whole = shape[1:] if lacks and shape is not None else shape
    return f"{spec.dtype} {units.shape(whole)}, one {'step' if model.sequences else 'row'} at a time"


def _fixed(spec: TensorSpec) -> str:
    """The shape in one inference, where the file leaves it open; a first axis alone is 1 unless the plan says otherwise."""
    if spec.fixed is None:
        return ""
    from pipeline.frameworks.feeds import closed

    if spec.fixed == closed(spec.shape):
        return ""
    return f"; {units.shape(spec.fixed)} on the board"


def _rows(rows: Rows) -> str:
    dropped = f" ({rows.dropped_rows} left out: they are evaluation rows too)" if rows.dropped_rows else ""
    columns = [each for each in rows.inputs if not each.constant]
    shapes = [f"{shortened(each.name, LONGEST_NAME)} {units.shape(each.shape)}" for each in columns]
    if len(columns) == 1:
        shapes = [units.shape(columns[0].shape)]
    return f"{units.counted(rows.rows, 'row')} of {', '.join(shapes)}{dropped}"


def _outlook(plan: Plan, loaded: Loaded, opset: int | None) -> Iterator[tuple[str, str]]:
    """What the formats and the board of the plan will do with it, as far as is known without them."""
    from pipeline.convert.outlook import outlook

    formats = plan.tables.convert.formats or (plan.source_format,)
    for sentence in outlook(loaded, formats, opset):
        yield "format", sentence
    for family in dict.fromkeys(name.partition("-")[0] for name in formats):
        yield (
            "board",
            f"{plan.tables.board.name}: .{family} files run in {_runtimes(plan, family)}{_reset(loaded.model, family)}",
        )


def _runtimes(plan: Plan, family: str) -> str:
    from pipeline import deploy
    from targets import provision

    names = [name for name in deploy.runtimes_of(plan) if family in provision.RUNTIMES[name].formats]
    if plan.tables.measure.runtimes:  # each that is named, or all
        return " and ".join(names)
    return f"{names[0]}{f', or in {names[1]} where that cannot be had' if len(names) > 1 else ''}"


def _reset(model: Model, family: str) -> str:
    """How a state that the file itself keeps ends with a row; one that is passed from outputs to inputs begins with zeros."""
    kept = model.sequences and not model.state and family == "tflite"
    return "; the file is opened again before each row, so that its state ends with the row" if kept else ""


def _opset(path: Path) -> int | None:
    """The version of ONNX's own operators in a file; None where it does not say."""
    from pipeline.frameworks import protobuf

    data = path.read_bytes()
    found = []
    try:
        for field in protobuf.fields(data, 0, len(data)):
            if field.number == OPSET_FIELD and field.wire == protobuf.BYTES:
                parts = {each.number: each for each in protobuf.fields(data, field.value, field.end)}
                domain = data[parts[DOMAIN].value : parts[DOMAIN].end] if DOMAIN in parts else b""
                if domain in (b"", b"ai.onnx") and VERSION in parts:
                    found.append(protobuf.varint(data, parts[VERSION].value, parts[VERSION].end)[0])
    except protobuf.DamagedError:  # the loader or a runtime says so
        return None
    return max(found, default=None)


def _of_tflite(data: bytes, model: Model, plan: Plan) -> Iterator[tuple[str, str]]:
    """What the file says of itself; also its inputs and outputs, where no runtime on this host could read them."""
    from pipeline.frameworks import tflite_description

    signature = plan.tables.model.signature
    if not model.inputs:
        yield from tflite_description.ends(data, model.name, signature)
    for sentence in tflite_description.of_file(data, model.name, signature):
        yield "note", sentence
    scaled = [
        f"'{shortened(spec.name, LONGEST_NAME)}'"
        for spec, scales in tflite_description.inputs_of(data, model.name, signature)
        if scales
    ]
    if scaled:
        taken = (
            "numbers as the file holds them, by [data] raw"
            if plan.tables.data.raw
            else "real values, and are scaled; numbers as the file holds them need [data] raw = true"
        )
        yield "note", f"Rows and constants of {', '.join(scaled)} are {taken}."
