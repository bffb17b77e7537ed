"""A file in the store."""

from pipeline.records.base import Record, Sha256


class Artifact(Record, frozen=True):
    """A file in the store, known by its content."""

    sha256: Sha256
    format: str  # keras, saved_model (a zip archive of the folder), tflite, onnx, npy, codebook or py
    size_bytes: int
