"""The user's own functions on arrays by name: what comes before the metric, and the metric. They run in child processes alone."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline import functions
from pipeline.quality.statistic import DRAWS, Array, Drawn
from pipeline.quality.task import Outputs, Unfit

SEED = 0  # of the draws, the same for each file: their differences are paired
SECONDS = 60.0  # that all draws of one file may take
AT_ONCE_BYTES = 32 * 2**20  # of arrays that a function gets
MOST_NUMBERS = 100  # of a metric


class OnRows:
    """A function that takes some rows of arrays by name, and gives arrays by name with as many rows. `key`: of the plan."""

    def __init__(self, reference: str, key: str, folder: Path) -> None:
        self.reference, self.key, self.folder = reference, key, folder
        self.function = functions.loaded(reference, folder, key)
        self.before: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] | None = None  # what it gave for the rows before

    def __call__(self, arrays: Outputs) -> dict[str, Array]:
        """Unfit where it raises, or what it gives is not such arrays, or of another form than before."""
        rows = len(next(iter(arrays.values())))
        given = _called(self.function, self.reference, self.key, self.folder, dict(arrays))
        if not isinstance(given, Mapping) or not given or not all(isinstance(name, str) for name in given):
            raise self._unfit(f"returned {_kind(given)}")
        found = {name: self._array(name, value, rows) for name, value in given.items()}
        form = {name: (each.shape[1:], each.dtype) for name, each in found.items()}
        if self.before not in (None, form):
            raise self._unfit(f"gave {_told(form)} for some rows, and {_told(self.before or {})} for those before")
        self.before = form
        return found

    def _array(self, name: str, value: object, rows: int) -> Array:
        try:
            found = np.asarray(value)
        except BaseException as error:  # an object's own __array__ may do what it likes
            raise self._unfit(f"gave '{name}', which is not an array: {functions.words_of(error)}") from error
        if found.dtype.kind not in "fiub" or found.shape[:1] != (rows,):
            raise self._unfit(f"gave '{name}' as {found.dtype} of shape {found.shape} for {rows} rows")
        return found

    def _unfit(self, what: str) -> Unfit:
        hint = "Return a dict of names and arrays of numbers, with as many rows as it was given."
        return Unfit(f"{self.reference} {what}", hint, self.key)


def processed(reference: str, outputs: Outputs, folder: Path) -> dict[str, Array]:
    """Return what [task] postprocess makes of the outputs, some rows at a time. Unfit as OnRows."""
    function = OnRows(reference, "task.postprocess", folder)
    rows = len(next(iter(outputs.values())))
    at_once = max(1, AT_ONCE_BYTES // max(1, sum(each[:1].nbytes for each in outputs.values())))
    parts = [
        function({name: np.array(each[start : start + at_once]) for name, each in outputs.items()})
        for start in range(0, rows, at_once)
    ]
    return {name: np.concatenate([each[name] for each in parts]) for name in parts[0]} if parts else {}


class Judged(NamedTuple):
    """The first number of a metric with its draws, and the others."""

    statistic: Drawn
    others: dict[str, float]


def judged(reference: str, outputs: Outputs, labels: Array, folder: Path) -> Judged:
    """Call the metric on all rows twice, and on rows drawn again DRAWS times, unless that takes too long.

    Unfit where it raises, gives something else than numbers, or not the same for the same rows.
    """
    function = functions.loaded(reference, folder, KEY)

    def numbers(some: Outputs, their: Array) -> dict[str, float]:
        return _numbers(_called(function, reference, KEY, folder, dict(some), their), reference)

    plain = {name: np.asarray(each) for name, each in outputs.items()}
    for each in (*plain.values(), labels):
        each.flags.writeable = False
    found = numbers(plain, labels)
    began = time.monotonic()
    again = numbers(plain, labels)
    took = time.monotonic() - began
    if again != found:
        name = next(name for name in {**found, **again} if found.get(name) != again.get(name))
        told = f"'{name}' " if name else ""
        raise Unfit(
            f"{reference} gave {told}{found.get(name, math.nan):g}, and for the same rows {again.get(name, math.nan):g}",
            "A metric draws nothing at random, or with a seed of its own, and keeps nothing from call to call.",
            KEY,
        )
    first, count = next(iter(found)), len(labels)
    values = [found[first]]
    if took * DRAWS <= SECONDS:
        random, began = np.random.default_rng(SEED), time.monotonic()
        for _ in range(DRAWS):
            drawn = random.integers(0, count, count)
            try:
                values.append(numbers({name: each[drawn] for name, each in plain.items()}, labels[drawn])[first])
            except (Unfit, KeyError):  # not defined on these rows: one may lack a class
                values.append(math.nan)
            if time.monotonic() - began > SECONDS:
                break
    statistic = Drawn(np.array(values), np.array(count))
    return Judged(statistic, {name: value for name, value in found.items() if name != first})


KEY = "task.metric"


def _called(function: Callable[..., Any], reference: str, key: str, folder: Path, *arguments: object) -> object:
    try:
        return function(*arguments)
    except BaseException as error:  # what a user's function raises can be anything
        place = functions.place_of(error, folder)
        where = f" ({place})" if place else ""
        raise Unfit(
            f"{reference} raised {functions.words_of(error)}{where}",
            f"Correct it: it gets {GETS[key]}.",
            key,
        ) from error


GETS = {
    "task.metric": "the outputs by name, (rows, ...) arrays in a dict, and the labels, (rows, ...)",
    "task.postprocess": "some rows of the outputs by name, (rows, ...) arrays in a dict, and returns such a dict",
    "task.preprocess": "some rows of the data by name, (rows, ...) arrays in a dict, and returns such a dict",
}


def _numbers(given: object, reference: str) -> dict[str, float]:
    """Return what a metric gave, by name; a single number has none."""
    named = given if isinstance(given, Mapping) else {"": given}
    hint = "Return one number, or a dict of names and numbers, of which the first is judged."
    if not 0 < len(named) <= MOST_NUMBERS or not all(isinstance(name, str) for name in named):
        raise Unfit(f"{reference} returned {_kind(given)} of {len(named)}", hint, KEY)
    found = {}
    for name, value in named.items():
        scalar = value.item() if isinstance(value, np.ndarray | np.generic) and value.size == 1 else value
        if not isinstance(scalar, int | float):
            raise Unfit(
                f"{reference} returned {_kind(value)}{f' for {name!r}' if name else ''}, not a number", hint, KEY
            )
        found[name] = float(scalar)
        if not math.isfinite(found[name]):
            raise Unfit(
                f"{reference} returned {found[name]:g}{f' for {name!r}' if name else ''}",
                "A metric is a number on the evaluation rows: leave out what they do not define.",
                KEY,
            )
    return found


def _kind(value: object) -> str:
    return "nothing (None)" if value is None else f"an object of type {type(value).__name__}"


def _told(form: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]) -> str:
    return ", ".join(f"'{name}' {dtype} {shape}" for name, (shape, dtype) in form.items())
