"""Rows and answers, without any framework: reading, checking, comparing."""

import io
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline import units
from pipeline.errors import DataError
from pipeline.records import Artifact, Column, Rows, TensorSpec
from pipeline.store import Store

Array = npt.NDArray[Any]
Count = Callable[[int, int], None]

BATCH_ROWS = 500


def classes_of(output: TensorSpec | None) -> int | None:
    """Return how many classes the answers distinguish; None: they are not class scores."""
    shape = None if output is None else row_shape(output.shape)
    if shape is None or len(shape) != 1 or shape[0] is None or shape[0] < 2:
        return None
    return shape[0]


def row_shape(shape: tuple[int | None, ...] | None) -> tuple[int | None, ...] | None:
    """Return the shape of a whole tensor without its first axis where that is of rows: 1 or open."""
    return shape[1:] if shape is not None and shape[:1] in ((1,), (None,)) else shape


def accuracy(outputs: Array, labels: Array | None) -> float | None:
    """Share of rows whose largest answer is the labelled class; None without labels."""
    return None if labels is None else float(np.mean(outputs.argmax(axis=-1) == labels))


NEAR_ONE = 1e-3
"""How far the sum of a softmax in float32 is from 1, at the most and generously."""


def are_classes(outputs: Array, labels: Array | None, *, quantized: bool = False) -> bool:
    """Return whether these answers are scores of classes: there are labels, or each is a distribution over two or more (a softmax).

    Nothing else distinguishes them from a regression of several numbers, an embedding or an image. `quantized`: the sum of rounded
    probabilities is off by up to half a step of 1/256 for each.
    """
    if outputs.ndim != 2 or outputs.shape[1] < 2 or not len(outputs):
        return False
    off = NEAR_ONE + (min(0.1, outputs.shape[1] / 512) if quantized else 0)
    return labels is not None or bool((outputs >= 0).all() and (np.abs(outputs.sum(axis=1) - 1) <= off).all())


def check_fits(rows: Rows, inputs: Sequence[TensorSpec], key: str, format: str, file: str = "the model") -> None:  # noqa: A002 - the field's name
    """Raise DataError unless every column of a set can go into the input of its name. `key` and `file` name both in messages."""
    by_name = {each.name: each for each in inputs}
    for column in rows.inputs:
        check_column(column, by_name[column.name], key, format, file)


def check_column(
    column: Column, spec: TensorSpec, rows: str, file_format: str, file: str = "the model", *, steps: bool = False
) -> None:
    """As `check_fits`, of one column. `steps`: its rows are sequences, with their steps along a first axis."""
    shape, want = column.shape[1:] if steps and not column.constant else column.shape, row_shape(spec.shape)
    if spec.shape is not None and not (fits(shape, spec.shape) or (want != spec.shape and fits(shape, want))):
        order = _order(shape, want or ())
        raise DataError(
            f"the rows of {rows} are {order.have} {shape}, but {file}'s input '{spec.name}' is {order.want} {units.shape(want)}"
            if order
            else f"a {'step of a row' if steps else 'row'} of {rows} has shape {shape}, but {file}'s input '{spec.name}' takes {units.shape(want)}",
            hint=order.hint if order else STEPS_HINT if steps else _shape_hint(shape, want or ()),
        )
    floats = all(np.dtype(each).kind == "f" for each in (column.dtype, spec.dtype) if each != "bfloat16")
    may_be_quantized = file_format == "tflite" and spec.dtype in ("int8", "uint8", "int16")
    scaled = may_be_quantized and np.dtype(column.dtype).kind == "f"
    if column.dtype != spec.dtype and not scaled and not floats:
        raise DataError(
            f"the rows of {rows} are {column.dtype}, but {file}'s input '{spec.name}' takes {spec.dtype}",
            hint="Where the input is quantized, give real values as float32, prepared as for training: they are scaled by the file's own "
            f"parameters. Else give {spec.dtype}, as the file holds them."
            if may_be_quantized
            else f"Give them as {spec.dtype}, prepared as for training: x.astype('{spec.dtype}'), scaled alike.",
        )


def fits(have: tuple[int, ...], want: tuple[int | None, ...] | None) -> bool:
    return want is None or (
        len(have) == len(want) and all(size in (None, one) for size, one in zip(want, have, strict=True))
    )


class Order(NamedTuple):
    have: str
    want: str
    hint: str


STEPS_HINT = "Give (sequences, steps, ...): model.state and model.sequences make each row a sequence of steps."

ORDERS = (
    ((1, 2, 0), Order("NCHW", "NHWC", "Channels come last in this model: x = x.transpose(0, 2, 3, 1).")),
    ((2, 0, 1), Order("NHWC", "NCHW", "Channels come first in this model: x = x.transpose(0, 3, 1, 2).")),
)


def _order(have: tuple[int, ...], want: tuple[int | None, ...]) -> Order | None:
    """Return the order of the axes, where only that differs."""
    for axes, order in ORDERS:
        if len(axes) == len(have) == len(want):
            turned = [have[axis] for axis in axes]
            if all(size in (None, now) for size, now in zip(want, turned, strict=True)):
                return order
    return None


def _shape_hint(have: tuple[int, ...], want: tuple[int | None, ...]) -> str:
    if (*have, 1) == want:
        return "The last axis (channels) is missing: x = x[..., None]."
    if len(have) == 2 and have[::-1] == want:
        return "The two axes are swapped: x = x.transpose(0, 2, 1)."
    if want and fits(have, want[1:]):
        other = "for other data x = x[:, None]"
        if want[0] not in (1, None):
            other = f"and where {want[0]} rows after one another are one, x = x.reshape(-1, {want[0]}, *x.shape[1:])"
        return f"The first axis is missing. A tf.data.Dataset of rows needs .batch(32), {other}."
    return "Prepare the rows as they were prepared for training."


def read_rows(path: Path, *, rows: int | None = None) -> Array:
    """Rows from the store; only the first `rows` are read if given."""
    array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    return np.array(array[:rows])


def array_parts(array: Array) -> Iterator[bytes | memoryview]:
    """Yield the .npy file of an array, in two parts, without copying it."""
    head = io.BytesIO()
    array = np.ascontiguousarray(array)
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(array))
    yield head.getvalue()
    yield array.data.cast("B") if array.size else b""


def stored(arrays: Sequence[Array], store: Store) -> tuple[Artifact, ...]:
    """Put the answers of each output into the store."""
    return tuple(store.put_parts(partial(array_parts, each), "npy") for each in arrays)


def arrays_of(artifacts: Sequence[Artifact], path_of: Callable[[Artifact], Path]) -> tuple[Array, ...]:
    """Map what `stored` has put there. `path_of`: Store.path."""
    return tuple(np.load(path_of(each), mmap_mode="r", allow_pickle=False) for each in artifacts)
