"""Rows from what gives them one by one: generators, lists, keras.utils.PyDataset, tf.data.Dataset, torch's DataLoader.

They are known by their attributes, so that none of those packages is imported here.
"""

import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipeline import units
from pipeline.errors import DataError
from pipeline.load.data_elements import Element, as_batch, element_of, is_batch
from pipeline.safe_text import shortened

BATCHES = ("num_batches", "as_numpy_iterator", "on_epoch_end")
"""What PyDataset, tf.data.Dataset and the Sequence of Keras 2 have: they give batches, as model.fit takes them."""
ARRAYS = ("__array__", "__array_interface__", "__dlpack__")

_MISSING = object()


def is_iterable(answer: Any) -> bool:
    """Return whether it gives rows, and is not itself an array, a list or a dict of arrays."""
    if isinstance(answer, Mapping | str | bytes | list | tuple) or any(_has(answer, each) for each in ARRAYS):
        return False
    gives = _has(answer, "__iter__") or (_has(answer, "__getitem__") and _has(answer, "__len__"))
    return gives or any(_has(answer, each) for each in BATCHES)


def _has(answer: object, name: str) -> bool:
    """As hasattr, but without running a property of the user's, which may fail."""
    return inspect.getattr_static(answer, name, _MISSING) is not _MISSING


def elements(source: Any, text: str, key: str) -> Iterator[Element]:
    """Yield what it gives, until it ends. DataError where it fails, ends early, or says that it has no end.

    The first element decides whether all are rows or batches.
    """
    iterator, length = _opened(source, text, key)
    batches = any(_has(source, each) for each in BATCHES) or (
        _has(source, "batch_size") and source.batch_size is not None
    )
    taken, count, batched = 0, 0, False
    while True:
        try:
            value = next(iterator)
        except StopIteration:
            break
        except BaseException as error:
            raise failed(text, key, error, taken) from error
        element = element_of(value, text, key, taken)
        if not count:
            batched = is_batch(element, batches)
        count += 1
        if batched:
            element = as_batch(element, text, key)
            if not element.rows:
                continue
        taken += element.rows
        yield element
    if length is not None and count != length:
        thing = "batch" if batched else "row"
        raise DataError(
            f"{key}: {text} gave {units.counted(count, thing)}, and its length says {length:,}",
            hint="Let it give as many as its __len__ (num_batches, cardinality) says, or correct that.",
        )


def _opened(source: Any, text: str, key: str) -> tuple[Iterator[Any], int | None]:
    """Return an iterator from its start, and how many it says that it gives."""
    try:
        if _has(source, "as_numpy_iterator"):  # before len(): of a dataset without an end that is an error
            length = int(source.cardinality()) if _has(source, "cardinality") else None
            if length == -1:  # tf.data.INFINITE_CARDINALITY
                raise _endless(text, key)
            return source.as_numpy_iterator(), length if length is not None and length >= 0 else None
        if _has(source, "num_batches"):
            length = source.num_batches
            if length is None:
                raise _endless(text, key)
            return _by_index(source.__getitem__, int(length)), int(length)
        length = len(source) if _has(source, "__len__") else None
        if length is not None and (not _has(source, "__iter__") or _has(source, "on_epoch_end")):
            return _by_index(source.__getitem__, length), length
        return iter(source), length
    except DataError:
        raise
    except BaseException as error:
        raise failed(text, key, error) from error


def _by_index(get: Callable[[int], Any], length: int) -> Iterator[Any]:
    """Yield in order, which is not that of model.fit: evaluation rows and their labels are the same each time."""
    for index in range(length):
        try:
            value = get(index)
        except IndexError:
            return
        yield value


def _endless(text: str, key: str) -> DataError:
    return DataError(
        f"{key}: {text} returned a dataset that says that it has no end",
        hint="Return a part of it, such as dataset.take(100); .repeat() belongs to the training.",
    )


def failed(text: str, key: str, error: BaseException, rows: int = 0) -> DataError:
    """Return the error of a function of the user's, that gave this number of rows before."""
    after = f" after {units.counted(rows, 'row')}" if rows else ""
    words = ": ".join(filter(None, (type(error).__name__, words_of(error))))
    return DataError(
        f"{key}: {text} failed{after}: {words}",
        hint="The error is in that module, not in edgepress: call the function in a Python of its own to see all of it.",
    )


def words_of(error: BaseException) -> str:
    """Its text; of a class of the user's, which may not be able to say it, that it is not."""
    return shortened(str(traceback.TracebackException(type(error), error, None)))
