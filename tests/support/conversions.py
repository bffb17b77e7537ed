"""A conversion of a model that a test has made, and how far its answers are from the model's."""

import numpy as np

from pipeline import frameworks
from pipeline.convert import conversion
from pipeline.records import Artifact, Model


def silent(*_):
    pass


def model_of(format, digit="0"):  # noqa: A002
    artifact = Artifact(sha256=digit * 64, format=format, size_bytes=1)
    return Model(name="m", artifact=artifact, input=None, output=None, parameters=None)


def job(model, folder, calibration=None):
    """What a converter gets, for a model made here."""
    path = folder / "source.keras"
    model.save(path)
    return conversion.Job(path, model_of("keras"), calibration, folder, tuple(model.inputs[0].shape[1:]))


def largest_error(model, data, format, folder, x):  # noqa: A002
    path = folder / "made"
    path.write_bytes(data)
    return np.abs(frameworks.open_file(path, format, "made").answers(x, silent) - model.predict(x, verbose=0)).max()
