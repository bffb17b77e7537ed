"""Read the plan's [data]: .npz files, or functions next to the plan. Runs in a child, because the functions are the user's.

Rows go into the store as .npy. What was read before and has not changed is neither checked nor written again.
"""

import hashlib
import importlib
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from pipeline import child, child_watch, units
from pipeline.child import Tell
from pipeline.errors import DataError, PlanError
from pipeline.frameworks import Array, array_parts
from pipeline.load import npz_file
from pipeline.plan import Plan, check_file
from pipeline.progress import Progress
from pipeline.records import Data, Record, Rows
from pipeline.safe_text import shortened
from pipeline.store import Store, key_of, versions

Pair = tuple[Array, Array | None]

FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
CRASHED = "A library crashed on these rows: call the function of [data] in its own Python, or write the .npz again."
DIGEST_BYTES = 16
MOST_OVERLAP = 0.5  # above this share of rows that are also evaluation rows, the two sets are one


class Request(Record, frozen=True):
    root: str
    scratch: str
    folder: str  # of the plan
    sources: dict[str, str]  # training, calibration, evaluation -> what the plan says


def is_file(text: str) -> bool:  # as with the endings of models: in capitals, too
    return text.lower().endswith(".npz")


def read(plan: Plan, store: Store, progress: Progress) -> Data:
    """Return the plan's rows; training rows only if there are passes."""
    table = plan.tables.data
    wanted = {
        "evaluation": table.evaluation,
        "calibration": table.calibration,
        "training": table.training if plan.trains else None,
    }
    sources = {name: text for name, text in wanted.items() if text is not None}
    for name, text in sources.items():
        if is_file(text):
            check_file(plan.file(text), f"data.{name}")
        elif not FUNCTION.fullmatch(text):
            raise PlanError(
                f"data.{name}: '{text}' is neither an .npz file nor a function",
                hint='Give "rows.npz", or "module:function" for a function in module.py next to the plan.',
            )
    if not sources:
        return Data()
    with store.scratch() as scratch:
        request = Request(root=str(store.root), scratch=str(scratch), folder=str(plan.folder), sources=sources)
        return child.run(  # in our own folder: where else would a function of the user's look for its files?
            read_all, request, Data, progress.step, doing="reading [data]",
            limits=child_watch.of_plan(plan.tables.host), say=progress.say, fault=DataError, crashed=CRASHED,
        )  # fmt: skip


def read_all(argument: Request, tell: Tell) -> Data:
    """Read every source, and keep what is in the evaluation set out of the others. Runs in the child."""
    tempfile.tempdir = argument.scratch
    store, folder = Store(Path(argument.root), tmp=Path(argument.scratch)), Path(argument.folder)
    found: dict[str, Rows] = {}
    evaluation_key, evaluation_x = "", None
    for done, (name, text) in enumerate(argument.sources.items()):  # evaluation is the first
        tell(done, len(argument.sources), f"reading {name} rows")
        source, digest = _source(text, f"data.{name}", folder)

        def make(name: str = name, source: Callable[[], Pair] = source, other: Array | None = evaluation_x) -> Rows:
            return _rows(source(), f"data.{name}", other, store)

        # The answers of a first reading hold for as long as the source and the evaluation set are the same.
        key = key_of("rows", digest, evaluation_key, versions("numpy"))
        found[name], _ = store.remember("rows", key, Rows, make)
        if name == "evaluation":
            evaluation_key = found[name].x.sha256
            evaluation_x = np.load(store.path(found[name].x), mmap_mode="r", allow_pickle=False)
    return Data(**found)


def _source(text: str, key: str, folder: Path) -> tuple[Callable[[], Pair], str]:
    """Return how to get the rows, and a digest that changes when they do. A file is hashed, a function is called."""
    if is_file(text):
        path = (folder / Path(text).expanduser()).resolve()
        try:
            npz_file.check(path, key)  # before it is hashed: a file of zeros may be as long as it likes
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
        except OSError as error:
            raise DataError(
                f"{key}: {path} cannot be read: {error.strerror}", hint="Give a file that you may read."
            ) from error
        return lambda: npz_file.read(path, key), digest.hexdigest()
    pair = _from_function(text, key, folder)
    content = hashlib.sha256()
    for array in pair:
        for part in () if array is None else array_parts(array):
            content.update(part)
    return lambda: pair, content.hexdigest()


def _from_function(text: str, key: str, folder: Path) -> Pair:
    module_name, _, name = text.partition(":")
    sys.path.insert(0, str(folder))  # only while importing
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):  # one that the module itself imports
            raise _failed(text, key, error) from error
        stem = module_name.removesuffix(".py")
        slip = f"Write the module without its ending: {stem}:{name}. " if stem != module_name else ""
        raise PlanError(
            f"{key}: '{text}': there is no {module_name.replace('.', '/')}.py in {folder}",
            hint=f"{slip}A module:function is looked for next to the plan; for a file of arrays give its .npz path alone.",
        ) from error
    except BaseException as error:
        raise _failed(text, key, error) from error
    finally:
        sys.path.remove(str(folder))
    if folder.resolve() not in Path(getattr(module, "__file__", None) or "/").resolve().parents:
        raise PlanError(
            f"{key}: '{module_name}' is a module of Python or of an installed package, not one next to the plan",
            hint="Give your module another name.",
        )
    function = getattr(module, name, None)
    if not callable(function):
        known = ", ".join(item for item, value in vars(module).items() if callable(value) and item[0] != "_")
        raise PlanError(f"{key}: {module_name}.py has no function '{name}'", hint=f"It has: {known or 'none'}.")
    try:
        answer = function()
    except BaseException as error:
        raise _failed(text, key, error) from error
    x, y = answer if isinstance(answer, tuple | list) and len(answer) == 2 else (answer, None)
    try:
        if any(np.ma.is_masked(each) for each in (x, y)):
            raise DataError(
                f"{key}: {text} returned a masked array, whose masked values are not known",
                hint="Fill it, such as with x.filled(0), or leave those rows out.",
            )
        found = np.asarray(x)
        if found.dtype == object and found.ndim == 0:
            raise _no_array(x, text, key)
        _check_kind(found, key)  # before it is hashed: not every array of numpy has bytes to hash
        return found, None if y is None else np.asarray(y)
    except DataError:
        raise
    except BaseException as error:  # an object's own __array__ may do what it likes
        raise DataError(
            f"{key}: {text} returned {type(answer).__name__} which cannot be made into an array: {_words_of(error)}",
            hint="Return (x, y): an array of rows and an array of integer labels; or x alone.",
        ) from error


def _no_array(x: object, text: str, key: str) -> DataError:
    """Return the error for what other tools take as calibration data: a generator, a tf.data.Dataset, a PyDataset."""
    kind = type(x).__name__
    if x is None:
        return DataError(f"{key}: {text} returned nothing (None)", hint="Let it end with `return x, y`, or `return x`.")
    if isinstance(x, Mapping):
        return DataError(
            f"{key}: {text} returned a {kind}, not an array of rows", hint="Return its arrays: (x, y), or x alone."
        )
    call = f"{text.partition(':')[2]}()"
    told = "a generator" if kind == "generator" else f"an object of type {kind}"
    rows = (
        f"np.concatenate(list({call}.as_numpy_iterator()))"
        if hasattr(x, "as_numpy_iterator")
        else (f"np.concatenate([batch[0] for batch in {call}])")
    )
    return DataError(
        f"{key}: {text} returned {told}, not an array of rows",
        hint=f"Let it put its batches together into one array, such as {rows}, and return that (and the labels).",
    )


def _failed(text: str, key: str, error: BaseException) -> DataError:
    return DataError(
        f"{key}: {text} failed: {type(error).__name__}: {_words_of(error)}",
        hint="The error is in that module, not in edgepress: call the function in a Python of its own to see all of it.",
    )


def _words_of(error: BaseException) -> str:
    """Its text; of a class of the user's, which may not be able to say it, that it is not."""
    return shortened(str(traceback.TracebackException(type(error), error, None)))


def _rows(pair: Pair, key: str, evaluation: Array | None, store: Store) -> Rows:
    x, y = _checked_x(pair[0], key), _checked_y(pair[1], len(pair[0]) if pair[0].ndim else 0, key)
    dropped = 0
    if evaluation is not None and evaluation.shape[1:] == x.shape[1:] and evaluation.dtype == x.dtype:
        seen = _digests(evaluation)
        fresh = np.array([digest not in seen for digest in _digests_in_order(x)])
        dropped = int(len(x) - fresh.sum())
        if dropped > MOST_OVERLAP * len(x):
            raise DataError(
                f"{dropped:,} of the {len(x):,} rows of {key} are evaluation rows too; the accuracy would be that of rows already seen",
                hint="Take them from the training data, and keep the evaluation rows for evaluation alone.",
            )
        if dropped:
            x, y = x[fresh], None if y is None else y[fresh]
    return Rows(
        x=store.put_parts(lambda: array_parts(x), "npy"),
        y=None if y is None else store.put_parts(lambda: array_parts(y), "npy"),
        rows=len(x),
        row_shape=x.shape[1:],
        dropped_rows=dropped,
    )


def _check_kind(x: Array, key: str) -> None:
    """Raise DataError unless they are rows of numbers."""
    if x.ndim < 2 or not x.size:
        raise DataError(
            f"{key} is empty: its x has shape {x.shape}"
            if not x.size
            else f"{key}: x has dtype {x.dtype} and shape {x.shape}, which is not an array of rows of values",
            hint="x is an array of shape (rows, ...), with at least one row.",
        )
    if x.dtype.kind not in "fiub":
        text = "Cut a model that takes text after its TextVectorization or StringLookup, and give it the numbers. " * (
            x.dtype.kind in "US"
        )
        raise DataError(f"{key}: x is of dtype {x.dtype}, not numbers", hint=f"{text}Give float32 or integer rows.")


def _checked_x(x: Array, key: str) -> Array:
    _check_kind(x, key)
    if x.dtype == np.float64:
        x = _narrowed(x, key)
    x = x.astype(x.dtype.newbyteorder("="), copy=False)
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        bad = np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))
        raise DataError(
            f"{key}: {len(bad):,} of {len(x):,} rows hold NaN or infinity, the first is row {bad[0]}",
            hint="Remove or repair them; a runtime answers such rows with nonsense.",
        )
    return x


def _narrowed(x: Array, key: str) -> Array:
    with np.errstate(over="ignore"):  # reported below
        narrow = x.astype(np.float32)
    bad = np.flatnonzero((np.isinf(narrow) & np.isfinite(x)).reshape(len(x), -1).any(axis=1))
    if len(bad):
        raise DataError(
            f"{key}: {len(bad):,} of {len(x):,} rows hold numbers beyond float32, in which models compute; the first is row {bad[0]}",
            hint="Scale them as they were scaled for training.",
        )
    return narrow


def _checked_y(y: Array | None, rows: int, key: str) -> Array | None:
    if y is None:
        return None
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise DataError(
            f"{key}: the labels are {y.dtype} of shape {y.shape}, not one integer for each row", hint=_labels_hint(y)
        )
    if len(y) != rows:
        raise DataError(
            f"{key} has {units.counted(rows, 'row')} but {units.counted(len(y), 'label')}",
            hint="Give one label for each row.",
        )
    if y.dtype == np.uint64 and y.size and int(y.max()) > np.iinfo(np.int64).max:
        raise DataError(f"{key}: its largest label is {int(y.max())}, which is not a class", hint=_labels_hint(y))
    return y.astype(np.int64)


def _labels_hint(y: Array) -> str:
    if y.ndim == 1 and y.dtype.kind in "fb" and np.array_equal(y, np.rint(y)):
        return "They are whole numbers: give them as integers, y.astype('int64')."
    if y.ndim == 2:
        return "Give the number of the class from 0; of one-hot rows take y.argmax(axis=1)."
    return "Give the number of the class from 0; leave y out for a model that is not a classifier."


def _digests(x: Array) -> set[bytes]:
    return set(_digests_in_order(x))


def _digests_in_order(x: Array) -> list[bytes]:
    return [hashlib.sha256(np.ascontiguousarray(row).data).digest()[:DIGEST_BYTES] for row in x]
