"""What a function of a model takes and gives, by name."""

from typing import NamedTuple

from pipeline.records import TensorSpec


class Signature(NamedTuple):
    """A function of the model. The order of inputs and outputs is that of the framework, and means nothing: they go by name."""

    key: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
