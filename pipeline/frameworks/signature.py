"""What a model takes and gives, by name."""

from typing import NamedTuple


class Tensor(NamedTuple):
    """A named input or output. None in `shape` is an axis of any length; a shape of None is any number of axes."""

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str


class Signature(NamedTuple):
    """A function of the model. The order of inputs and outputs is that of the framework, and means nothing: they go by name."""

    key: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
