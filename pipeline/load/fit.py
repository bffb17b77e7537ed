"""Bring the rows of the plan to the inputs of its model, by name, and say what does not fit: in the child of a loader."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np

from pipeline import frameworks, units
from pipeline.errors import DataError, PlanError
from pipeline.frameworks import Array
from pipeline.frameworks.feeds import closed
from pipeline.frameworks.rows import STEPS_HINT
from pipeline.load import data as reading
from pipeline.load import data_labels, raw_rows
from pipeline.load.plan_names import listed
from pipeline.load.request import Request
from pipeline.records import Column, Data, Rows, TensorSpec
from pipeline.safe_text import shortened
from pipeline.spelling import did_you_mean
from pipeline.store import Store

RealDtype = Callable[[TensorSpec], str]
SETS = ("evaluation", "calibration", "training")


def fitted(
    argument: Request, inputs: Sequence[TensorSpec], store: Store, real_dtype: RealDtype
) -> tuple[Data, tuple[TensorSpec, ...]]:
    """Return the data with a column for each input, and the inputs with the shape that each has on the board.

    `real_dtype`: of the runner, the type in which an input takes its values, and so a constant, where they are not raw.
    DataError names what is lacking, what is one too many, and what contradicts the model, the plan or the other rows.
    """
    raw_rows.check_use(inputs, argument.name, raw=argument.raw)
    found: dict[str, Rows] = {}
    for name in SETS:
        rows: Rows | None = getattr(argument.data, name)
        if rows is not None:
            found[name] = _fitted(rows, argument, inputs, f"data.{name}", store, real_dtype)
    typed = inputs if argument.raw else [msgspec.structs.replace(each, dtype=real_dtype(each)) for each in inputs]
    constants = {each.name: each for each in _constants(argument, typed, store)}
    shapes = {each.name: _fixed(each, found, constants, argument) for each in inputs}
    fixed = tuple(msgspec.structs.replace(each, fixed=shapes[each.name]) for each in inputs)
    order = [each.name for each in inputs]
    data = {
        name: msgspec.structs.replace(
            rows, inputs=tuple(sorted((*rows.inputs, *constants.values()), key=lambda each: order.index(each.name)))
        )
        for name, rows in found.items()
    }
    return msgspec.structs.replace(argument.data, **data), fixed


def _fitted(
    rows: Rows, argument: Request, inputs: Sequence[TensorSpec], key: str, store: Store, real_dtype: RealDtype
) -> Rows:
    free = {each.name: each for each in inputs if each.name not in {*argument.constants, *argument.state}}
    for column in rows.inputs:
        _check_not_said(column.name, argument, key)
        _check_no_output(column.name, free, argument, key)
    rows = _named(rows, free, argument.name, key, store)
    columns = []
    for column in rows.inputs:
        spec = free[column.name]
        raw_rows.check(column, spec, real_dtype, key, argument.name, raw=argument.raw)
        _check_steps(column, argument, key)
        _check_values(column, rows.rows, spec, argument, key)
        frameworks.check_column(column, spec, key, argument.format, argument.name, steps=argument.sequences)
        _check_batch(column, spec, argument, key)
        columns.append(_cast(column, spec, key, store))
    if argument.sequences and len({each.shape[0] for each in columns}) > 1:
        told = ", ".join(f"{each.name}: {each.shape[0]}" for each in columns)
        raise DataError(
            f"the sequences of {key} have different numbers of steps ({told})",
            hint="Each step takes a value of each input.",
        )
    return msgspec.structs.replace(rows, inputs=tuple(columns))


def are_sequences(argument: Request, inputs: Sequence[TensorSpec]) -> bool:
    """Whether the rows would fit, by their shapes, if each were a sequence of steps."""
    known = {each.name: each for each in inputs}
    free = [each for each in inputs if each.name not in argument.constants]
    columns = [each for name in SETS for each in getattr(getattr(argument.data, name), "inputs", ())]
    for column in columns:
        spec = free[0] if len(free) == 1 and column.name == "x" else known.get(column.name)
        step = column.shape[1:]
        if (
            spec is None
            or not column.shape
            or not any(frameworks.fits(step, each) for each in (spec.shape, frameworks.row_shape(spec.shape)))
        ):
            return False
    return bool(columns)


def _named(rows: Rows, free: Mapping[str, TensorSpec], file: str, key: str, store: Store) -> Rows:
    """Name the columns as the inputs are named."""
    columns = {each.name: each for each in rows.inputs}
    if rows.y is not None and "y" in free and "y" not in columns:  # an input that has the name of labels
        y = np.load(store.path(rows.y), mmap_mode="r", allow_pickle=False)
        column = Column(name="y", artifact=rows.y, shape=y.shape[1:], dtype=y.dtype.name)
        if frameworks.row_shape(free["y"].shape) == (1,):  # labels were made int64 with one axis
            artifact = store.put_parts(partial(frameworks.array_parts, y[:, None]), "npy")
            column = msgspec.structs.replace(column, artifact=artifact, shape=(1,))
        integers = np.dtype(free["y"].dtype).kind in "iu"
        columns["y"] = reading.cast_column(column, free["y"].dtype, store, key) if integers else column
        rows = msgspec.structs.replace(rows, y=None)
    if "y" in columns and "y" not in free:
        y = np.load(store.path(columns["y"].artifact), mmap_mode="r", allow_pickle=False)
        if rows.y is None and len(columns) > 1 and data_labels.are_one_hot(frameworks.chunks(y)):
            rows = _with_classes(rows, y, store)
            del columns["y"]
    if "y" in columns and "y" not in free:
        raise reading.labels_error(y, rows.rows, key) or _too_many("y", free, file, key)
    if list(columns) == ["x"] and len(free) == 1:
        (name,) = free
        columns = {name: msgspec.structs.replace(columns["x"], name=name)}
    lacking, more = [name for name in free if name not in columns], [name for name in columns if name not in free]
    if lacking:
        has = f", and have {listed(list(columns))}" if more else ""
        own = "" if lacking[0] == "x" else f", or as '{shortened(lacking[0], 100)}'"
        raise DataError(
            f"the rows of {key} lack the input '{shortened(lacking[0], 100)}' of {file}{has}",
            hint=f"Its inputs are {listed(list(free))}: give rows for each, np.savez(path, **rows_by_name). An input with one value "
            f'for all rows may stand in [model]: constants = {{ "{shortened(lacking[0], 100)}" = ... }}.'
            if len(free) > 1
            else f"Give them as x{own}.",
        )
    if more:
        raise _too_many(more[0], free, file, key)
    return msgspec.structs.replace(rows, inputs=tuple(columns[name] for name in free))


def _with_classes(rows: Rows, y: Array, store: Store) -> Rows:
    """Return the rows with the classes of labels that the model has no input for, and that are one-hot."""
    classes: Array = np.concatenate(list(data_labels.classes_of_one_hot(frameworks.chunks(y))))
    artifact = store.put_parts(partial(frameworks.array_parts, classes), "npy")
    return msgspec.structs.replace(rows, y=artifact, one_hot=y.shape[1])


def _check_not_said(name: str, argument: Request, key: str) -> None:
    said = next((each for each in ("state", "constants") if name in getattr(argument, each)), None)
    if said is not None:
        raise DataError(
            f"the rows of {key} have '{shortened(name, 100)}', and model.{said} of the plan says what that input takes",
            hint=f"Leave it out of the rows, or out of [model] {said}.",
        )


def _check_no_output(name: str, free: Mapping[str, TensorSpec], argument: Request, key: str) -> None:
    """Labels of an output are not called as the output alone: an input may be called so."""
    if name not in free and any(name in (each.name, each.output) for each in argument.data.tasks):
        raise DataError(
            f"the rows of {key} have '{shortened(name, 100)}', which is an output of {argument.name}",
            hint=f"Labels of an output are called {data_labels.NAMED}NAME: write {data_labels.NAMED}{shortened(name, 100)}.",
        )


def _too_many(name: str, free: Mapping[str, TensorSpec], file: str, key: str) -> DataError:
    hint = f"{did_you_mean(name, free)}Its inputs are {listed(list(free))}; labels are called labels or y."
    return DataError(f"the rows of {key} have '{shortened(name, 100)}', which {file} has no input for", hint=hint)


def _check_steps(column: Column, argument: Request, key: str) -> None:
    if argument.sequences and (not column.shape or not column.shape[0]):
        raise DataError(
            f"the rows of {key} are sequences, and those of the input '{column.name}' have no steps: a row has the shape {column.shape}",
            hint=STEPS_HINT,
        )


def _check_values(column: Column, rows: int, spec: TensorSpec, argument: Request, key: str) -> None:
    """Rows without a value are taken where the file or the plan says that an axis has no length."""
    said = argument.shape.get(spec.name, spec.shape)
    if 0 in column.shape and (said is None or 0 not in said):
        raise DataError(
            f"{key} is empty: its {column.name} has shape {(rows, *column.shape)}",
            hint=f"{column.name} is an array of shape (rows, ...), with at least one value in a row.",
        )


def _check_batch(column: Column, spec: TensorSpec, argument: Request, key: str) -> None:
    """A row that fills an open first axis with more than 1 would be a batch of rows that nobody asked for."""
    shape = column.shape[1:] if argument.sequences else column.shape
    whole = spec.shape is not None and len(shape) == len(spec.shape)
    if whole and spec.shape and spec.shape[0] is None and shape[0] != 1 and spec.name not in argument.shape:
        raise DataError(
            f"a row of {key} has shape {shape}, but {argument.name}'s input '{spec.name}' takes {units.shape(spec.shape[1:])}",
            hint=f'If one inference takes {shape[0]} of them together, say so in [model]: shape = {{ "{spec.name}" = {list(shape)} }}; '
            "else give each its own row.",
        )


def _cast(column: Column, spec: TensorSpec, key: str, store: Store) -> Column:
    """Models compute in 32 bits or fewer, but for those that say float64. What float16 cannot hold would become infinity."""
    if column.dtype in ("float32", "float64") and spec.dtype == "float16":
        return reading.cast_column(column, "float16", store, key)
    if column.dtype == "float64" and spec.dtype != "float64":
        return reading.cast_column(column, "float32", store, key)
    return column


def _constants(argument: Request, inputs: Sequence[TensorSpec], store: Store) -> list[Column]:
    specs, found = {each.name: each for each in inputs}, []
    for name, value in argument.constants.items():
        spec, key = specs[name], f"model.constants: '{name}'"
        array = _constant(value, spec, key, argument.name)
        artifact = store.put_parts(partial(frameworks.array_parts, array[None]), "npy")
        found.append(Column(name=name, artifact=artifact, shape=array.shape, dtype=array.dtype.name, constant=True))
    return found


def _constant(value: Any, spec: TensorSpec, key: str, file: str) -> Array:
    try:
        given = np.asarray(value)
        dtype = np.dtype("float32" if spec.dtype == "bfloat16" else spec.dtype)
    except (ValueError, TypeError) as error:
        raise PlanError(
            f"{key} is not a number, nor an array of numbers", hint="Give [1, 2, 3], or lists in a list."
        ) from error
    if given.dtype.kind not in "fiub":
        raise PlanError(f"{key} is not a number, nor an array of numbers", hint="Give [1, 2, 3], or lists in a list.")
    with np.errstate(all="ignore"):  # told below
        found: Array = given.astype(dtype)
    exact = dtype.kind == "f" or np.array_equal(found.astype(np.float64), given.astype(np.float64))
    if not exact or (dtype.kind == "f" and not np.isfinite(found).all()):
        raise PlanError(
            f"{key} is {shortened(str(value))}, and the input of {file} takes {dtype}",
            hint="Give a value of that type.",
        )
    wanted = closed(spec.shape)
    if wanted is not None and found.ndim == 0 and math.prod(wanted) == 1:
        found = found.reshape(wanted)
    if not frameworks.fits(found.shape, spec.shape) and not frameworks.fits(
        found.shape, frameworks.row_shape(spec.shape)
    ):
        raise PlanError(
            f"{key} has the shape {found.shape}, and the input of {file} takes {units.shape(spec.shape)}",
            hint="Give lists in lists, as the shape says." if spec.shape else "Give a number.",
        )
    return found


def _fixed(
    spec: TensorSpec, sets: Mapping[str, Rows], constants: Mapping[str, Column], argument: Request
) -> tuple[int, ...] | None:
    """The shape of the whole input on the board: by the plan, else by the rows, else by the file. DataError if they contradict each other."""
    told: dict[str, tuple[int, ...]] = {}
    if spec.name in argument.shape:
        told["model.shape"] = argument.shape[spec.name]
        if not frameworks.fits(argument.shape[spec.name], spec.shape):
            raise PlanError(
                f"model.shape: '{spec.name}' is {units.shape(argument.shape[spec.name])}, and the file has {units.shape(spec.shape)}",
                hint="Give all axes of the whole tensor, and change only those that are open.",
            )
    columns = [(f"data.{name}", each) for name, rows in sets.items() for each in rows.inputs]
    columns += [("model.constants", each) for each in constants.values()]
    for key, column in columns:
        if column.name == spec.name:
            steps = argument.sequences and not column.constant
            told[key] = _whole(column.shape[1:] if steps else column.shape, spec)
    (first, shape), *others = told.items() if told else [("", closed(spec.shape))]
    for other, theirs in others:
        if theirs != shape:
            raise DataError(
                f"the input '{spec.name}' has the shape {shape} by {first}, and {theirs} by {other}",
                hint="On the board it has one shape: give all rows of one shape, or correct [model] shape.",
            )
    return shape


def _whole(row: tuple[int, ...], spec: TensorSpec) -> tuple[int, ...]:
    return (1, *row) if spec.shape is not None and len(row) == len(spec.shape) - 1 else row
