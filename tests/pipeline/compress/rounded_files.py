"""The int8 file of a fake-quantized model, and how far its answers are from the model's."""

import numpy as np

from pipeline import frameworks
from pipeline.compress.formats import FORMATS
from pipeline.convert import conversion, tflite_int8
from pipeline.records import Artifact, Model
from tests.pipeline.compress.answering import answers


def silent(*_):
    pass


def int8_file(model, folder):
    """The .tflite file that the converter makes of the model."""
    source = folder / "source.keras"
    source.write_bytes(frameworks.save_keras(model))
    artifact = Artifact(sha256="0" * 64, format="keras", size_bytes=1)
    inputs, outputs = FORMATS["keras"].interface(model)
    record = Model(name="m", artifact=artifact, inputs=inputs, outputs=outputs, parameters=None)
    job = conversion.Job(source, record, None, folder, {each.name: (1, *each.shape[1:]) for each in inputs})
    path = folder / "int8.tflite"
    path.write_bytes(tflite_int8.convert(job, silent))
    return path


def steps_apart(model, folder, x):
    """Largest difference between the int8 file and the model, for each row, in steps of the output."""
    runner = frameworks.Tflite(int8_file(model, folder), "int8")
    found = np.concatenate([runner.run({runner.inputs[0].name: row[None]})[0] for row in x])
    difference = np.abs(found - answers(model, x)).reshape(len(x), -1).max(axis=1)
    return difference / runner.interpreter.get_output_details()[0]["quantization"][0]
