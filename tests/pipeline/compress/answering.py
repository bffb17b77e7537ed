"""What models answer for arrays, and rows as the passes on ONNX graphs look at them."""

import tempfile
from pathlib import Path

import numpy as np

from pipeline import frameworks
from pipeline.compress.context import Context, Dataset
from pipeline.compress.formats import FORMATS
from pipeline.compress.onnx_graph import runs


def kind_of(model):
    return "onnx" if type(model).__module__.startswith("onnx") else "keras"


def all_answers(model, x, state=(), *, sequences=False):
    """Of each output; `x`: an array, or a dict of them by the names of the inputs."""
    kind = kind_of(model)
    model_format = FORMATS[kind]
    # a Keras model that was not saved yet may have other names for its inputs than its file
    inputs, _ = frameworks.keras_specs(model, "m") if kind == "keras" else model_format.interface(model)
    columns = x if isinstance(x, dict) else {inputs[0].name: x}
    feeds = frameworks.Feeds(inputs, columns, sequences=sequences)
    with tempfile.TemporaryDirectory() as folder:
        found = model_format.answers(model, feeds, Path(folder), lambda done, of: None, state)
        return [np.array(each) for each in found]


def answers(model, x):
    """Of a model with one output."""
    (found,) = all_answers(model, x)
    return found


def looked(model, x, **context):
    return runs.rows_of(model, Context(calibration=Dataset(x), **context), "a test")


def difference(one, other, x):
    return runs.difference(one, other, looked(one, x))
