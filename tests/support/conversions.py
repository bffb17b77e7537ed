"""A conversion of a model that a test has made, and how far its answers are from the model's."""

import tempfile
from pathlib import Path

import numpy as np

from pipeline import frameworks
from pipeline.convert import conversion, matching
from pipeline.convert.request import shapes_of
from pipeline.frameworks import Feeds
from pipeline.frameworks.feeds import closed
from pipeline.records import Artifact, Model, TensorSpec


def silent(*_):
    pass


def model_of(format, digit="0", inputs=(), outputs=(), **more):  # noqa: A002
    artifact = Artifact(sha256=digit * 64, format=format, size_bytes=1)
    return Model(name="m", artifact=artifact, inputs=inputs, outputs=outputs, parameters=None, **more)


def job(model, folder, calibration=None, shapes=None, **more):
    """What a converter gets, for a Keras model made here. `calibration`: rows, by the names of inputs where there are several."""
    path = folder / "source.keras"
    model.save(path)
    inputs, outputs = frameworks.keras_specs(model, "m")
    inputs = tuple(
        TensorSpec(each.name, each.shape, each.dtype, fixed=(shapes or {}).get(each.name, closed(each.shape)))
        for each in inputs
    )
    record = model_of("keras", inputs=inputs, outputs=outputs, **more)
    feeds = None if calibration is None else feeds_of(record, calibration)
    return conversion.Job(path, record, feeds, folder, shapes_of(record))


def feeds_of(model, rows):
    columns = rows if isinstance(rows, dict) else {model.inputs[0].name: rows}
    return Feeds(model.inputs, columns, sequences=model.sequences)


def answers(data, format, folder, model, rows):  # noqa: A002
    """What a file answers, by the names of the model's outputs."""
    path = folder / "made"
    path.write_bytes(data)
    runner = frameworks.open_file(path, format, "made")
    inputs = matching.matched(model.inputs, runner.inputs, "input", "made", made=True)
    outputs = matching.matched(model.outputs, runner.outputs, "output", "made", made=True, inputs=model.inputs)
    theirs = {ours.name: file.name for ours, file in zip(model.inputs, inputs.file, strict=True)}
    columns = rows if isinstance(rows, dict) else {model.inputs[0].name: rows}
    feeds = Feeds(inputs.file, {theirs[name]: x for name, x in columns.items()}, sequences=model.sequences)
    files = {ours.name: file.name for ours, file in zip(model.outputs, outputs.file, strict=True)}
    state = [(theirs[before], files[after]) for before, after in model.state]
    found = runner.answers(feeds, Path(tempfile.mkdtemp(dir=folder)), silent, state)
    return dict(zip([each.name for each in model.outputs], [found[place] for place in outputs.places], strict=True))


def largest_error(model, data, format, folder, x):  # noqa: A002
    """Of a model with one input and one output."""
    inputs, outputs = frameworks.keras_specs(model, "m")
    (found,) = answers(data, format, folder, model_of("keras", inputs=inputs, outputs=outputs), x).values()
    return np.abs(found - model.predict(x, verbose=0)).max()
