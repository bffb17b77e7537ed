"""What a model takes and gives, by name: its tensors, the rows that fit them, and the answers put together."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from pipeline.errors import DataError, ModelError
from pipeline.frameworks.rows import Array, fits
from pipeline.safe_text import shortened


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


def check_rows(signature: Signature, rows: Mapping[str, Array], name: str, *, whole: bool = False) -> None:
    """DataError unless the arrays are the signature's inputs: all of them, no others, of their shapes and types."""
    wanted = {each.name: each for each in signature.inputs}
    for said, names in (("lack", wanted.keys() - rows.keys()), ("have one too many:", rows.keys() - wanted.keys())):
        if names:
            raise DataError(
                f"the rows {said} '{shortened(min(names), 100)}' of the signature '{signature.key}' of {name}",
                hint=f"Its inputs are {', '.join(wanted)}.",
            )
    if len({len(x) for x in rows.values() if x.ndim}) > 1 and not whole:
        counts = ", ".join(f"{key}: {len(x)}" for key, x in rows.items())
        raise DataError(
            f"the inputs of {name} have different numbers of rows ({counts})", hint="Give each input every row."
        )
    for key, x in rows.items():
        spec = wanted[key]
        have = x.shape if whole else (1, *x.shape[1:])
        if not fits(have, spec.shape) or x.dtype.name != spec.dtype:
            raise DataError(
                f"the input '{shortened(key, 100)}' of {name} takes {spec.dtype} {spec.shape}, and is given {x.dtype.name} {have}",
                hint="Prepare the rows as they were prepared for training.",
            )


def joined(output: str, parts: list[Array], name: str) -> Array:
    """The answers to single rows along axis 0. ModelError if they have no such axis, or other lengths from row to row."""
    if len({part.shape[1:] for part in parts}) > 1 or not parts[0].ndim:
        raise ModelError(
            f"the output '{shortened(output, 100)}' of {name} has another shape from row to row",
            hint="Such answers cannot be put together; cut the model before what makes their length depend on the row.",
        )
    return np.concatenate(parts)
