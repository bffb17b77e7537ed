"""Read the plan's [data]: .npz and .npy files, folders of .npy files, or functions next to the plan. Runs in a child, because the
functions are the user's.

Rows go into the store as .npy, one file for each input, and are never in memory as a whole. What was read before and has not changed
is neither checked nor written again.
"""

import functools
import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from pipeline import child, child_watch, functions
from pipeline.child import Tell
from pipeline.errors import DataError, PlanError
from pipeline.load import coco, data_folder, data_function, data_preprocess, npz_file, rows_before, task
from pipeline.load.data_cast import cast_column
from pipeline.load.data_columns import ColumnFile, ColumnWriter
from pipeline.load.data_labels import labels_error
from pipeline.load.data_overlap import Described, EvaluationRows, kept
from pipeline.load.data_stage import Stage, Staged
from pipeline.plan import Plan, check_file
from pipeline.progress import Progress
from pipeline.records import Artifact, Column, Data, Record, Rows, RowsBefore
from pipeline.store import Store, key_of, versions

FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
LABELS_KEY = "task.labels"
CRASHED = "A library crashed on these rows: call the function of [data] in its own Python, or write the .npz again."
MOST_OVERLAP = 0.5  # above this share of rows that are also evaluation rows, the two sets are one


class BoxesFile(Record, frozen=True):
    """[task] labels, and what the plan says of its classes."""

    path: str
    first_class: int | str | None
    task: str  # its name; "": it is the only one


class Request(Record, frozen=True):
    root: str
    scratch: str
    folder: str  # of the plan
    sources: dict[str, str]  # training, calibration, evaluation -> what the plan says
    nonfinite: bool  # of the evaluation rows
    targets: tuple[str, ...]  # the sets whose labels may have any form
    boxes: tuple[BoxesFile, ...] = ()
    preprocess: str | None = None  # the function of [task] preprocess
    before_seed: int | None = (
        None  # by which some evaluation rows are drawn as they are before it; None: they are not needed
    )


def is_file(text: str) -> bool:  # as with the endings of models: in capitals, too
    return text.lower().endswith((".npz", ".npy"))


def read(plan: Plan, store: Store, progress: Progress) -> Data:
    """Return the plan's rows, whose columns have the names that the data gives them; training rows only if there are passes."""
    table = plan.tables.data
    wanted = {
        "evaluation": table.evaluation,
        "calibration": table.calibration,
        "training": table.training if plan.trains else None,
    }
    sources = {name: text for name, text in wanted.items() if text is not None}
    for name, text in sources.items():
        if FUNCTION.fullmatch(text) or (not is_file(text) and plan.file(text).is_dir()):
            continue
        if not is_file(text):
            raise PlanError(
                f"data.{name}: '{text}' is neither an .npz file nor a function",
                hint='Give "rows.npz", a folder of .npy files, or "module:function" for a function in module.py next to the plan.',
            )
        check_file(plan.file(text), f"data.{name}")
    boxes = _boxes_files(plan)
    for each in boxes:
        check_file(plan.file(each.path), LABELS_KEY)
        if "evaluation" not in sources:
            raise PlanError(
                f"{LABELS_KEY}: there are no rows that it has labels of", hint="Add to [data]: evaluation = ...."
            )
    if not sources:
        return Data()
    with store.scratch() as scratch:
        request = Request(
            root=str(store.root),
            scratch=str(scratch),
            folder=str(plan.folder),
            sources=sources,
            nonfinite=table.nonfinite,
            targets=_of_any_form(plan),
            boxes=boxes,
            preprocess=task.preprocess_of(plan),
            before_seed=plan.tables.seed if plan.tables.measure.end_to_end else None,
        )
        return child.run(  # in our own folder: where else would a function of the user's look for its files?
            read_all, request, Data, progress.step, doing="reading [data]",
            limits=child_watch.of_plan(plan.tables.host), say=progress.say, fault=DataError, crashed=CRASHED,
        )  # fmt: skip


def _boxes_files(plan: Plan) -> tuple[BoxesFile, ...]:
    """Return the files of [task] labels."""
    tasks = plan.tables.tasks
    return tuple(
        BoxesFile(path=each.labels, first_class=each.first_class, task=(each.name or "") if len(tasks) > 1 else "")
        for each in tasks
        if each.labels is not None
    )


def _of_any_form(plan: Plan) -> tuple[str, ...]:
    """Return the sets whose labels may have any form: what a task is judged by, and what a loss or a function of the plan learns from."""
    tasks = plan.tables.tasks
    if any(each.kind not in (None, "classification") or each.postprocess is not None for each in tasks):
        return ("evaluation", "calibration", "training")
    return ("training",) if plan.tables.training.learns else ()


def read_all(argument: Request, tell: Tell) -> Data:
    """Read every source, and keep what is in the evaluation set out of the others. Runs in the child."""
    tempfile.tempdir = argument.scratch
    store, folder = Store(Path(argument.root), tmp=Path(argument.scratch)), Path(argument.folder)
    found: dict[str, Rows] = {}
    evaluation_key, seen, before = "", None, None
    for done, (name, text) in enumerate(argument.sources.items()):  # evaluation is the first
        news, key = f"reading {name} rows", f"data.{name}"
        tell(done, len(argument.sources), news)

        def say(note: str, done: int = done, news: str = news) -> None:
            tell(done, len(argument.sources), f"{news}: {note}")

        nonfinite = argument.nonfinite and name == "evaluation"
        stage = Stage(Path(tempfile.mkdtemp()), key, say, nonfinite=nonfinite, targets=name in argument.targets)
        source, digest = _source(text, key, folder, stage)
        for boxes in argument.boxes if name == "evaluation" else ():
            source, digest = _with_boxes(source, digest, boxes, folder, stage)
        if argument.preprocess is not None:
            source = functools.cache(source)
            if name == "evaluation" and argument.before_seed is not None:
                before = _before(source, digest, argument.before_seed, store)
            source, digest = _preprocessed(source, digest, argument.preprocess, folder, stage)

        def make(
            source: Callable[[], Staged] = source, stage: Stage = stage, seen: EvaluationRows | None = seen
        ) -> Rows:
            return _rows(source(), stage, seen, store)

        # The answers of a first reading hold for as long as the source and the evaluation set are the same.
        found[name], _ = store.remember(
            "rows", key_of("rows", digest, evaluation_key, nonfinite, stage.targets, versions("numpy")), Rows, make
        )
        shutil.rmtree(stage.folder)
        if name == "evaluation":
            evaluation_key = key_of(found[name].inputs)
            seen = EvaluationRows(
                [
                    (Described(each.name, each.shape, each.dtype), store.path(each.artifact))
                    for each in found[name].inputs
                ]
            )
    return Data(
        training=found.get("training"),
        calibration=found.get("calibration"),
        evaluation=found.get("evaluation"),
        before=before,
    )


def _source(text: str, key: str, folder: Path, stage: Stage) -> tuple[Callable[[], Staged], str]:
    """Return how to get the rows, and a digest that changes when they do. A file is hashed, a function is called."""
    if FUNCTION.fullmatch(text):
        staged = data_function.staged(text, key, folder, stage)
        columns = [(name, file.sha256) for name, file in staged.columns.items()]
        named = [(name, file.sha256) for name, file in staged.named.items()]
        parts = [each and each.sha256 for each in (staged.labels, staged.weights)]
        return lambda: staged, key_of(columns, named, *parts)
    path = (folder / Path(text).expanduser()).resolve()
    try:
        if path.suffix.lower() != ".npz" or path.is_dir():
            entries = data_folder.entries_of(path, key)
            return partial(data_folder.staged, entries, key, stage), data_folder.digest(entries)
        npz_file.check(path, key)  # before it is hashed: a file of zeros may be as long as it likes
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    except OSError as error:
        raise DataError(
            f"{key}: {error.filename or path} cannot be read: {error.strerror}", hint="Give a file that you may read."
        ) from error
    return partial(npz_file.staged, path, key, stage), digest.hexdigest()


def _before(source: Callable[[], Staged], digest: str, seed: int, store: Store) -> RowsBefore:
    def make() -> RowsBefore:
        return rows_before.drawn({name: each.path for name, each in source().columns.items()}, seed, store)

    found, _ = store.remember("rows-before", key_of("before", digest, seed, versions("numpy")), RowsBefore, make)
    return found


def _preprocessed(
    source: Callable[[], Staged], digest: str, reference: str, folder: Path, stage: Stage
) -> tuple[Callable[[], Staged], str]:
    code = functions.digest(reference, folder, data_preprocess.KEY)
    return lambda: data_preprocess.preprocessed(source(), reference, folder, stage), key_of(digest, code)


def _with_boxes(
    source: Callable[[], Staged], digest: str, given: BoxesFile, folder: Path, stage: Stage
) -> tuple[Callable[[], Staged], str]:
    """Return how to get the rows with the labels of [task] labels, and the digest of both."""
    path, first = (folder / Path(given.path).expanduser()).resolve(), given.first_class

    def both() -> Staged:
        staged = source()
        if staged.labels is not None or given.task in staged.named:
            raise DataError(
                f"{LABELS_KEY} names {path.name}, and the rows of {stage.key} have labels, too",
                hint="Leave out one of them: labels or y of the rows, or labels of [task].",
            )
        rows = next(iter(staged.columns.values())).rows
        boxes = coco.boxes_of(
            path, rows, LABELS_KEY, "listed" if first == "listed" else None if first is None else int(first)
        )
        writer = ColumnWriter(stage.folder / f"boxes-{len(staged.named)}", boxes.shape[1:], boxes.dtype, rows)
        writer.add(boxes)
        if given.task:
            return staged._replace(named={**staged.named, given.task: writer.done()})
        return staged._replace(labels=writer.done())

    with path.open("rb") as file:
        return both, key_of(digest, hashlib.file_digest(file, "sha256").hexdigest(), given)


def _rows(staged: Staged, stage: Stage, seen: EvaluationRows | None, store: Store) -> Rows:
    columns, labels, named, weights, _ = staged
    rows = next(iter(columns.values())).rows
    dropped, key = 0, stage.key
    described = [(Described(name, each.shape, each.dtype.name), each.path) for name, each in columns.items()]
    fresh = None if seen is None else seen.fresh(described, rows)
    if fresh is not None:
        dropped = int(rows - fresh.sum())
        if dropped > MOST_OVERLAP * rows:
            raise DataError(
                f"{dropped:,} of the {rows:,} rows of {key} are evaluation rows too; the accuracy would be that of rows already seen",
                hint="Take them from the training data, and keep the evaluation rows for evaluation alone.",
            )

    def put(file: ColumnFile) -> Artifact:
        if dropped and fresh is not None:
            writer = ColumnWriter(file.path.with_suffix(".kept"), file.shape, file.dtype, rows - dropped)
            for part in kept(file.path, fresh):
                writer.add(part)
            file.path.unlink()
            file = writer.done()
        return store.put_file(file.path, "npy", file.sha256)

    def recorded(files: Mapping[str, ColumnFile]) -> tuple[Column, ...]:
        return tuple(
            Column(name=name, artifact=put(each), shape=each.shape, dtype=each.dtype.name)
            for name, each in files.items()
        )

    return Rows(
        inputs=recorded(columns),
        y=None if labels is None or stage.targets else put(labels),
        targets=put(labels) if labels is not None and stage.targets else None,
        one_hot=staged.one_hot,
        named=recorded(named),
        weights=None if weights is None else put(weights),
        rows=rows - dropped,
        dropped_rows=dropped,
    )


__all__ = ["cast_column", "is_file", "labels_error", "read", "read_all"]
