"""Rows and answers, without any framework: reading, checking, comparing."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.errors import DataError, ModelError, StageError
from pipeline.records import TensorSpec

Array = npt.NDArray[Any]
Count = Callable[[int, int], None]

BATCH_ROWS = 500


def classes_of(output: TensorSpec | None) -> int | None:
    """Return how many classes the answers distinguish; None: they are not class scores."""
    if output is None or len(output.shape) != 1 or output.shape[0] is None or output.shape[0] < 2:
        return None
    return output.shape[0]


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


def error_of(outputs: Array, source: Array) -> tuple[float, float]:
    """(root mean square error, standard deviation of the source's answers over the rows), both in units of the output."""
    exact = source.astype(np.float64)
    return float(np.sqrt(np.mean(np.square(outputs - exact)))), float(np.sqrt(exact.var(axis=0).mean()))


def check_finite(outputs: Array, name: str) -> None:
    """Raise StageError if any answer is NaN or infinite."""
    bad = int(np.count_nonzero(~np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1)))
    if bad:
        raise StageError(
            f"{name} answers NaN or infinity for {bad:,} of {len(outputs):,} rows",
            hint="Check the weights and that the rows are scaled as in training (for example to 0..1).",
        )


def check_fits(x: Array, spec: TensorSpec, rows: str, format: str, file: str = "the model") -> None:  # noqa: A002 - the field's name
    """Raise DataError unless rows of this shape and dtype can go into the model. `rows` and `file` name both in messages."""
    shape = x.shape[1:]
    if len(shape) != len(spec.shape) or any(
        want not in (None, have) for want, have in zip(spec.shape, shape, strict=True)
    ):
        order = _order(shape, spec.shape)
        raise DataError(
            f"the rows of {rows} are {order.have} {shape}, but {file}'s input '{spec.name}' is {order.want} {spec.shape}"
            if order
            else f"a row of {rows} has shape {shape}, but {file}'s input '{spec.name}' takes {spec.shape}",
            hint=order.hint if order else _shape_hint(shape, spec.shape),
        )
    quantized = format == "tflite" and spec.dtype in ("int8", "uint8", "int16") and x.dtype == np.float32
    if x.dtype.name != spec.dtype and not quantized:
        raise DataError(
            f"the rows of {rows} are {x.dtype.name}, but {file}'s input '{spec.name}' takes {spec.dtype}",
            hint=f"Give them as {spec.dtype}, prepared as for training: x.astype('{spec.dtype}'), scaled alike.",
        )


class Order(NamedTuple):
    have: str
    want: str
    hint: str


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
    yield array.data.cast("B")


ONE_EACH = {
    "keras": "Make a model of the part that runs on the board: keras.Model(model.inputs[0], model.outputs[0]).",
    "onnx": "Cut out the part that runs on the board: onnx.utils.extract_model(path, new_path, [input], [output]).",
    "tflite": "Convert the part that runs on the board again from its source: a TFLite file cannot be cut.",
}


def one_each(inputs: int, outputs: int, name: str, kind: str) -> None:
    """Raise ModelError unless there is one input and one output."""
    if (inputs, outputs) != (1, 1):
        raise ModelError(
            f"{name} has {inputs} input(s) and {outputs} output(s); this version takes models with one of each",
            hint=ONE_EACH[kind],
        )
