"""Which files of models can be read. A kind of file is one file, and one line here."""

import importlib
from typing import Protocol, cast

from pipeline.child import Tell
from pipeline.load.request import Request
from pipeline.records import Loaded


class Loader(Protocol):
    """What the module of a kind of file has."""

    FORMAT: str  # of the artifact: keras, onnx, saved_model or tflite
    CRASHED: str  # what to do when its process crashed in native code

    def check(self, data: bytes, name: str, /) -> None:
        """Raise ModelError if these bytes cannot be such a model; imports no framework."""

    def readable(self, name: str, /) -> bool:
        """Return whether this host can open it; PlanError if it must and cannot."""

    def read(self, argument: Request, tell: Tell, /) -> Loaded:
        """Read the file. Runs in a child process."""


LOADERS = {
    "keras": "pipeline.load.keras_model",
    "onnx": "pipeline.load.onnx_model",
    "saved_model": "pipeline.load.saved_model",
    "tflite": "pipeline.load.tflite_model",
}
"""Format of the model's file (its ending: pipeline.plan.FORMATS; or a folder) -> the module that loads it, a Loader."""


def load_loader(model_format: str) -> Loader:
    return cast("Loader", importlib.import_module(LOADERS[model_format]))
