"""[measure] end_to_end: can the user's functions run on a board, which has numpy and Python's library alone? Known before anything is sent.

Their text says what they import. Then each is called on a row twice, in a process of its own: alone in an empty folder where nothing else can be
imported, and as everywhere else. Both have to give the same.
"""

import contextlib
import importlib.abc
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import msgspec
import numpy as np

from pipeline import child, child_watch, frameworks, functions
from pipeline.child import Tell
from pipeline.errors import DataError, PlanError
from pipeline.frameworks import Array
from pipeline.load import rows_before
from pipeline.load import task as tasks
from pipeline.plan import Plan
from pipeline.progress import Progress
from pipeline.quality import judge
from pipeline.quality.own import OnRows
from pipeline.quality.task import Unfit
from pipeline.records import Artifact, Data, EndToEndFunctions, Loaded, OwnFunction, Record, RowsBefore
from pipeline.safe_text import shortened
from pipeline.store import Store, key_of, versions

KEY = "measure.end_to_end"
ALLOWED = frozenset((*sys.stdlib_module_names, "numpy"))
ALONE_WITHIN = (
    0.01  # relative L2: how far a row alone may be from the same row among others, whose sums have another order
)
OURS = ("__main__", "pipeline", "device_agent")  # what words the errors; no board has the first two
LEAVE_OUT = "Or leave end_to_end out: the functions then run on this host alone."
CRASHED = "A library crashed in a function of [task]: call it in its own Python."


class Request(Record, frozen=True):
    root: str  # of the store
    scratch: str
    folder: str  # of the plan
    preprocess: str | None
    postprocess: str | None
    data: Data
    answers: dict[str, Artifact]  # of the model, by its outputs
    seed: int


def _named(plan: Plan) -> dict[str, str]:
    """Return the functions by their keys. PlanError where two tasks name different ones."""
    found = {"task.preprocess": tasks.preprocess_of(plan), "task.postprocess": _postprocess_of(plan)}
    return {key: reference for key, reference in found.items() if reference is not None}


def _postprocess_of(plan: Plan) -> str | None:
    found = list(dict.fromkeys(each.postprocess for each in plan.tables.tasks if each.postprocess is not None))
    if len(found) > 1:
        raise PlanError(
            f"{plan.path}: {KEY}: one task has the postprocess {found[0]}, and another {found[1]}",
            hint=f"One function is timed with the model: let one make what all tasks need. {LEAVE_OUT}",
        )
    return found[0] if found else None


def check(plan: Plan) -> None:
    """Raise PlanError for what the plan and the text of the functions show to be impossible. Nothing of them runs."""
    if not plan.tables.measure.end_to_end:
        return
    named, model = _named(plan), plan.tables.model
    if not named:
        raise PlanError(
            f"{plan.path}: {KEY}: [task] names neither preprocess nor postprocess, and without them there is the model alone",
            hint="Name one of them in [task], or leave end_to_end out: the latency of the model is measured anyway.",
        )
    if plan.tables.data.evaluation is None:
        raise PlanError(
            f"{plan.path}: {KEY}: there are no rows to run the functions on", hint="Add to [data]: evaluation = ...."
        )
    if model.state or model.sequences:
        raise PlanError(
            f"{plan.path}: {KEY}: rows are sequences, and functions are timed on rows of one inference each",
            hint="Leave end_to_end out: the latency of one step is measured anyway.",
        )
    for key, reference in named.items():
        functions.check(reference, plan.folder, f"{plan.path}: {key}")
        others = functions.others_imported(reference, plan.folder, key, ALLOWED)
        if others:
            name, line = others[0]
            own = name.startswith(".") or (plan.folder / f"{name.partition('.')[0]}.py").exists()
            kind = "another file of yours" if own else "which a board does not have"
            raise PlanError(
                f"{plan.path}: {KEY}: {key}: {_file(reference)} imports '{shortened(name, 100)}' (line {line}), {kind}; to the board "
                f"goes {_file(reference)} alone, and there are numpy and Python's library",
                hint=f"Put the function into a file that needs no more. {LEAVE_OUT}",
            )


def _file(reference: str) -> str:
    return reference.partition(":")[0].replace(".", "/") + ".py"


def tried(plan: Plan, loaded: Loaded, store: Store, progress: Progress) -> Loaded:
    """Return what was loaded, with what goes to the board. PlanError or DataError where a function cannot run there."""
    data, model = loaded.data, loaded.model
    if not plan.tables.measure.end_to_end or data.evaluation is None:
        return loaded
    named = _named(plan)
    if not model.outputs:
        raise PlanError(
            f"{plan.path}: {KEY}: this host cannot run {model.name}, so the functions cannot be tried before they are sent",
            hint=f"pip install 'edgepress[{frameworks.RUNTIME_EXTRA[model.artifact.format]}]'",
        )
    answers = judge.by_name(data.tasks, model.answers, [each.name for each in model.outputs])

    def make() -> EndToEndFunctions:
        with store.scratch() as scratch:
            request = Request(
                root=str(store.root),
                scratch=str(scratch),
                folder=str(plan.folder),
                preprocess=named.get("task.preprocess"),
                postprocess=named.get("task.postprocess"),
                data=data,
                answers=answers,
                seed=plan.tables.seed,
            )
            return child.run(
                work, request, EndToEndFunctions, progress.step, doing="trying the functions of [task] as on a board",
                limits=child_watch.of_plan(plan.tables.host), say=progress.say, folder=str(scratch), fault=DataError, crashed=CRASHED,
            )  # fmt: skip

    code = [functions.digest(reference, plan.folder, key) for key, reference in named.items()]
    key = key_of(sorted(named.items()), code, data, answers, plan.tables.seed, versions("numpy"))
    found, _ = store.remember("end-to-end", key, EndToEndFunctions, make)
    return msgspec.structs.replace(loaded, data=msgspec.structs.replace(data, end_to_end=found))


def work(argument: Request, tell: Tell) -> EndToEndFunctions:
    """Call the functions, and put their files into the store. In a child."""
    del tell
    store, folder = Store(Path(argument.root), tmp=Path(argument.scratch)), Path(argument.folder)
    rows = argument.data.evaluation
    assert rows is not None  # see tried
    moving = [each for each in rows.inputs if not each.constant]
    before = argument.data.before or rows_before.drawn(
        {each.name: store.path(each.artifact) for each in moving}, argument.seed, store
    )
    index = int(np.load(store.path(before.indices), allow_pickle=False)[0])
    fed = {each.name: each.name for each in moving}
    if argument.preprocess is not None:
        given = _same_twice(argument.preprocess, "task.preprocess", argument, _first_row(before, store))
        if len(moving) == len(given) == 1:
            fed = {moving[0].name: next(iter(given))}
        for column in moving:
            among = np.load(store.path(column.artifact), mmap_mode="r", allow_pickle=False)[index]
            _check_alone(given[fed[column.name]][0], among, argument.preprocess)
    gives: dict[str, tuple[int, ...]] = {}
    if argument.postprocess is not None:
        outputs = {
            name: np.array(np.load(store.path(each), mmap_mode="r", allow_pickle=False)[index : index + 1])
            for name, each in argument.answers.items()
        }
        given = _same_twice(argument.postprocess, "task.postprocess", argument, outputs)
        gives = {name: each.shape[1:] for name, each in given.items()}
    return EndToEndFunctions(
        preprocess=_own(argument.preprocess, folder, store),
        postprocess=_own(argument.postprocess, folder, store),
        before=before,
        fed=fed,
        outputs=tuple(argument.answers),
        gives=gives,
    )


def _first_row(before: RowsBefore, store: Store) -> dict[str, Array]:
    found = {each.name: np.load(store.path(each.artifact), allow_pickle=False)[:1] for each in before.columns}
    for each in found.values():
        each.flags.writeable = False  # as on the board: each row is timed again and again
    return found


def _own(reference: str | None, folder: Path, store: Store) -> OwnFunction | None:
    if reference is None:
        return None
    module, _, name = reference.partition(":")
    file = store.put_bytes((folder / _file(reference)).read_bytes(), "py")
    return OwnFunction(module=module.rpartition(".")[2], name=name, file=file)


def _same_twice(reference: str, key: str, argument: Request, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return what a function gives for one row. PlanError or DataError if it gives something else where it is alone with numpy."""
    own = Path(argument.scratch) / key
    (own / _file(reference)).parent.mkdir(parents=True)
    shutil.copyfile(Path(argument.folder) / _file(reference), own / _file(reference))
    with _only_numpy(reference):
        alone = _given(reference, key, own, arrays, "alone in its folder and with numpy, as on a board, ")
    here = _given(reference, key, Path(argument.folder), arrays, "")
    if alone.keys() != here.keys() or not all(_equal(alone[name], here[name]) for name in here):
        raise DataError(
            f"{KEY}: {key}: {reference} gives something else for the same row when it is alone in its folder and with numpy, as on a board",
            hint=f"It must not draw at random, nor keep anything from call to call, nor use what only this host has. {LEAVE_OUT}",
        )
    return here


def _given(reference: str, key: str, folder: Path, arrays: Mapping[str, Array], how: str) -> dict[str, Array]:
    try:
        return OnRows(reference, key, folder)(arrays)
    except Unfit as error:
        needs = "The rows that it gets cannot be changed in place, and files that it reads do not go to the board."
        raise DataError(f"{KEY}: {how}{error.key}: {error}", hint=f"{error.hint} {needs} {LEAVE_OUT}") from error
    except PlanError as error:
        raise PlanError(
            f"{KEY}: {how}{error.message}", hint=f"Write it with numpy and Python's library. {LEAVE_OUT}"
        ) from error
    finally:
        _forget(reference)


def _forget(reference: str) -> None:
    """Let the next import read the file again."""
    name = reference.partition(":")[0]
    while name:
        sys.modules.pop(name, None)
        name = name.rpartition(".")[0]


def _equal(a: Array, b: Array) -> bool:
    return (a.dtype, a.shape) == (b.dtype, b.shape) and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _check_alone(alone: Array, among: Array, reference: str) -> None:
    """Raise DataError if a row that is alone becomes another one than it did among the evaluation rows."""
    if alone.shape == among.shape:
        numbers = np.nan_to_num(np.asarray(among, np.float64))
        apart = float(np.linalg.norm(np.nan_to_num(np.asarray(alone, np.float64)) - numbers))
        if apart <= ALONE_WITHIN * float(np.linalg.norm(numbers)):
            return
    raise DataError(
        f"{KEY}: task.preprocess: {reference} makes something else of a row that is alone than of the same row among others",
        hint=f"On the board rows come one by one: take nothing, such as a mean, from the other rows. {LEAVE_OUT}",
    )


class _Others(importlib.abc.MetaPathFinder):
    """Finds nothing, and says so for what a board does not have. `own`: the first name of the module that is tried."""

    def __init__(self, own: str) -> None:
        self.own = own

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        del path, target
        if not _is_allowed(fullname, self.own):
            raise ModuleNotFoundError(f"No module named '{fullname}'", name=fullname)


def _is_allowed(name: str, own: str) -> bool:
    first = name.partition(".")[0]
    return first in ALLOWED or first in (own, *OURS)


@contextlib.contextmanager
def _only_numpy(reference: str) -> Iterator[None]:
    """Let only numpy and Python's library be imported, also of what this process has imported before."""
    own = reference.partition(":")[0].partition(".")[0]
    hidden = {name: module for name, module in sys.modules.items() if not _is_allowed(name, own)}
    finder = _Others(own)
    sys.meta_path.insert(0, finder)
    for name in hidden:
        del sys.modules[name]
    try:
        yield
    finally:
        sys.modules.update(hidden)
        sys.meta_path.remove(finder)
