"""What the chain of passes needs of a kind of model, and what a model's weights amount to."""

import io
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from pipeline.frameworks import Array, Count, Feeds
from pipeline.frameworks.runner import State
from pipeline.frameworks.types import OpenModel
from pipeline.records import TensorSpec

VERSIONS = ("numpy", "keras", "tensorflow", "tensorflow-cpu", "onnx", "onnxruntime")
"""Packages whose version can change what a pass answers."""

Interface = tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]


class Format(Protocol):
    """What the chain needs of one kind of model."""

    def open(self, path: Path, name: str) -> OpenModel: ...
    def save(self, model: OpenModel) -> bytes: ...
    def read_back(self, file: bytes) -> OpenModel: ...
    def reopened(self, model: OpenModel) -> tuple[bytes, OpenModel]: ...
    def is_rounded(self, model: OpenModel) -> bool: ...
    def set_seed(self, seed: int) -> None: ...
    def interface(self, model: OpenModel) -> Interface: ...
    def weights(self, model: OpenModel) -> Iterable[tuple[str, Array]]: ...
    def multiply_accumulates(self, model: OpenModel) -> int | None: ...
    def answers(
        self, model: OpenModel, feeds: Feeds, folder: Path, count: Count, state: State = ()
    ) -> tuple[Array, ...]: ...


class Weighed(NamedTuple):
    """What a model's weights amount to."""

    parameters: int
    nonzero: int
    raw_bytes: int
    deflated_bytes: int


def weigh(weights: Iterable[tuple[str, Array]]) -> Weighed:
    """Count the weights, those that are not zero, and the bytes that they take, as they are and in a compressed download."""
    parameters = nonzero = 0
    data = io.BytesIO()
    for _, values in weights:
        parameters += values.size
        nonzero += int(np.count_nonzero(values))
        data.write(values.tobytes())
    return Weighed(parameters, nonzero, data.tell(), len(zlib.compress(data.getvalue(), 6)))
