"""What the child that makes one file gets, and what a converter gets of it."""

from pathlib import Path
from typing import NamedTuple

from pipeline import frameworks
from pipeline.frameworks import Array, keras_augmentation
from pipeline.frameworks.types import KerasModel
from pipeline.records import Data, Model, Record


class Request(Record, frozen=True):
    """What a child gets (conversion.py)."""

    root: str
    scratch: str
    variant: str
    format: str
    name: str  # for messages
    model: Model
    data: Data
    seed: int
    activations: str = "signed"  # of onnx-int8


class Job(NamedTuple):
    """What a converter gets."""

    source: Path  # the model's file
    model: Model
    calibration: Array | None
    scratch: Path  # a folder for its own files, removed afterwards
    input_shape: tuple[int, ...]  # without the batch axis; no axis of unknown length
    activations: str = "signed"  # of onnx-int8: see pipeline/convert/activations.py

    def keras(self) -> KerasModel:
        """Open the source as a Keras model for inference, without augmentation and without fake quantization; its weights stay rounded."""
        model = frameworks.open_keras(self.source, self.model.name)
        keras_augmentation.silence(model)
        if not frameworks.is_fake_quantized(self.source):
            return model
        from pipeline.frameworks import fake_quantization

        return fake_quantization.plain(model)
