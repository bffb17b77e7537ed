"""What the model takes and answers, and what the files make of it."""

from collections.abc import Sequence

from pipeline import units
from pipeline.records import Converted, Loaded, Model, Rows, RunRecord, TensorSpec
from pipeline.report.tables._columns import table_of
from pipeline.report.trust import Trust
from pipeline.report.view import Shown, Table, Topic
from pipeline.safe_text import shortened

TOPIC = Topic.MAKING
SHOWN = Shown.DETAILS
MOST_LINES = 60  # a language model has two inputs and outputs for each of its layers
LONGEST_NAME = 80
NOTE = "Shape: of the whole tensor. In the files: where a file has another type or name for it than the model."
STEPS = "A row is a sequence of steps, and the state ends with the row: a latency is of one step."


def table(run: RunRecord, _trust: Trust) -> Table:
    """A line for each input and output of the model; none where nothing on the host could read it."""
    model = run.loaded.model
    files = [one for one in run.converted if one.variant != "baseline" and one.inputs and one.outputs]
    lines = [
        (
            "input",
            *_cells(spec),
            _given_by(spec, model, run.loaded.data.evaluation),
            _in_files(files, spec, place, inputs=True),
        )
        for place, spec in enumerate(model.inputs)
    ]
    lines += [
        ("output", *_cells(spec), _becomes(spec, place, model), _in_files(files, spec, place, inputs=False))
        for place, spec in enumerate(model.outputs)
    ]
    left_out = f" {units.count(len(lines) - MOST_LINES)} more are in report.json." if len(lines) > MOST_LINES else ""
    return table_of(
        "Inputs and outputs",
        "what|name|type|shape|comes from, or is for|in the files",
        lines[:MOST_LINES],
        f"{NOTE}{f' {STEPS}' if model.sequences else ''}{left_out}" if lines else "",
    )


def _cells(spec: TensorSpec) -> tuple[str, str, str]:
    shape = units.shape(spec.shape)
    if spec.fixed is not None and spec.fixed != spec.shape:
        shape += f"; {units.shape(spec.fixed)} on the board"
    return shortened(spec.name, LONGEST_NAME) or units.UNKNOWN, spec.dtype or units.UNKNOWN, shape


def _given_by(spec: TensorSpec, model: Model, rows: Rows | None) -> str:
    output = dict(model.state).get(spec.name)
    if output is not None:
        return f"state: zeros, then '{shortened(output, LONGEST_NAME)}' of the step before"
    column = next((each for each in rows.inputs if each.name == spec.name), None) if rows else None
    if column is None:
        return "no evaluation rows: zeros" if rows is None else units.UNKNOWN
    return "a constant" if column.constant else f"rows of {units.shape(column.shape)}"


def _becomes(spec: TensorSpec, place: int, model: Model) -> str:
    inputs = [name for name, output in model.state if output == spec.name]
    if inputs:
        return f"state: the next '{shortened(inputs[0], LONGEST_NAME)}'"
    return "classes" if model.classes and place == model.scored else "numbers"


def _in_files(files: Sequence[Converted], spec: TensorSpec, place: int, *, inputs: bool) -> str:
    """Where files have another type or name for it, each format once. Their tensors stand in the order of the model's."""
    found = []
    if not files:  # an older run, or no runtime on the host
        return units.UNKNOWN
    for one in files:
        tensors = one.inputs if inputs else one.outputs
        if place < len(tensors):
            name, dtype = tensors[place].name, tensors[place].dtype
            other = [dtype] if dtype != spec.dtype else []
            other += [f"'{shortened(name, LONGEST_NAME)}'"] if name != spec.name else []
            found += [f"{one.format}: {' '.join(other)}"] if other else []
    return "; ".join(dict.fromkeys(found)) or "the same"


def one_inference(run: RunRecord) -> str:
    """What a latency and an energy are of."""
    what = "one step of a sequence" if run.loaded.model.sequences else "one inference"
    size = batch_of(run.loaded)
    return what if size is None else f"{what} (batch {units.count(size)})"


def batch_of(loaded: Loaded) -> int | None:
    """How many rows one inference on the board takes at once: the first axis of all inputs that rows fill. None where it is not known
    to be that of a batch: an axis longer than 1 is one only where inputs and outputs share it, and the inputs have others as well.
    """
    model, rows = loaded.model, loaded.data.evaluation or loaded.data.calibration or loaded.data.training
    given = {*dict(model.state), *(each.name for each in (rows.inputs if rows else ()) if each.constant)}
    shapes = [each.shape if each.fixed is None else each.fixed for each in model.inputs if each.name not in given]
    if any(shape is None for shape in shapes):
        return None
    found = {1 if shape[0] is None else shape[0] for shape in shapes if shape}
    if len(found) != 1:
        return None
    size = found.pop()
    outputs = [each.shape for each in model.outputs if each.name not in dict(model.state).values()]
    shared = all(shape is not None and shape[:1] in ((size,), (None,)) for shape in outputs)
    return size if size == 1 or (shared and all(len(shape) > 1 for shape in shapes if shape)) else None
