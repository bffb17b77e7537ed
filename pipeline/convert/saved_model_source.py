"""A SavedModel as a converter takes it: the signature of the plan, with the shapes of the job."""

from pathlib import Path

from pipeline.convert import onnx_names
from pipeline.convert.request import Job
from pipeline.frameworks import saved_model_archive, saved_model_export
from pipeline.frameworks.saved_model_runner import SavedModelRunner
from pipeline.frameworks.types import OnnxModel, TfliteConverter

FORMAT = "saved_model"


def is_source(job: Job) -> bool:
    return job.model.artifact.format == FORMAT


def folder_of(job: Job) -> Path:
    """Unpack it into a folder of its own among the job's files."""
    return saved_model_archive.unpacked(job.source, job.scratch, job.model.name)


def runner_of(job: Job) -> SavedModelRunner:
    return SavedModelRunner(folder_of(job), job.model.name, job.signature)


def converter_of(job: Job) -> TfliteConverter:
    """Return a converter to TFLite, whose file has the signature's names of inputs and outputs."""
    return saved_model_export.converter_from_saved_model(
        folder_of(job), job.signature, job.shapes, job.scratch, job.model.name
    )


def proto_of(job: Job) -> OnnxModel:
    """Return the ONNX model as tf2onnx makes it; `name` gives it the signature's names."""
    return saved_model_export.onnx_from_saved_model(folder_of(job), job.signature, job.shapes, job.model.name)


def name(proto: OnnxModel, job: Job) -> None:
    """Give an ONNX model the names of the record's inputs and outputs."""
    inputs, outputs = ([each.name for each in ends] for ends in (job.model.inputs, job.model.outputs))
    onnx_names.give(proto, {each: each for each in inputs}, onnx_names.apart(outputs, inputs))
