"""How good a file is at the plan's tasks, and how like its model in their terms, by what the board answered: several outputs may be judged together."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline import child, child_watch
from pipeline.child import Tell
from pipeline.errors import ChildError, DataError, EdgepressError, PlanError
from pipeline.measure.candidate import Candidate
from pipeline.measure.experiment import Experiment
from pipeline.quality import judge, likeness
from pipeline.quality.statistic import Array
from pipeline.records import Alike, Artifact, Doubt, Quality, Record, Rows, Task, quality_of
from pipeline.store import Store

CRASHED = "A library crashed in a function of [task]: call it in its own Python."


class Request(Record, frozen=True):
    root: str  # of the store
    scratch: str
    folder: str  # of the plan
    tasks: tuple[Task, ...]
    rows: Rows
    outputs: dict[str, str]  # the answers by name: .npy files
    sources: dict[str, Artifact]  # the model's to all evaluation rows, by the same names; {}: not known
    indices: Artifact | None  # of the rows that were answered


class Judged(Record, frozen=True):
    qualities: tuple[Quality, ...] = ()
    alike: tuple[Alike, ...] = ()


class Kept:
    """The answers that the tasks need, as files in `folder` until all are there: they may be larger than memory."""

    def __init__(self, experiment: Experiment, candidate: Candidate, outputs: int, folder: Path) -> None:
        self._experiment, self._folder = experiment, folder
        data, specs = experiment.data, candidate.converted.outputs
        names = judge.by_name(data.tasks, range(outputs), [each.name for each in specs])
        sources = candidate.converted.source_answers
        self._names = frozenset(names)
        self._sources = {name: sources[place] for name, place in names.items()} if len(sources) == outputs else {}
        wanted: set[str] = set()
        for task in data.tasks:
            if judge.labels_of(task, data.evaluation) or (self._sources and likeness.is_known(task)):
                wanted |= judge.needed(task, names)
        self._places = {place: name for name, place in names.items() if name in wanted}
        self._files: dict[str, Path] = {}

    def add(self, place: int, answers: Array) -> None:
        """Keep the answers of one output, (rows, ...), if they are needed."""
        if place in self._places:
            path = self._folder / f"{place}.npy"
            np.save(path, answers, allow_pickle=False)
            self._files[self._places[place]] = path

    def judged(self) -> tuple[Judged, Doubt | None]:
        """Return what is known, and why it is nothing. No doubt: there are no tasks, no labels, or another doubt says it."""
        experiment = self._experiment
        data = experiment.data
        if data.evaluation is None or not self._places or len(self._files) < len(self._places):
            return Judged(), None
        request = Request(
            root=str(experiment.store.root),
            scratch=str(self._folder),
            folder=str(experiment.plan.folder),
            tasks=data.tasks,
            rows=data.evaluation,
            outputs={name: str(path) for name, path in self._files.items()},
            sources={name: each for name, each in self._sources.items() if name in self._files},
            indices=experiment.deployment.evaluation_indices,
        )
        try:
            own = any(map(judge.runs_code, data.tasks))
            found = self._in_child(request) if own else work(request, _silent)
        except (
            DataError,
            PlanError,
            ChildError,
        ) as error:  # of the rows that were drawn, or of what the board answered
            return Judged(), _no_quality(error)
        return found, None

    def settled(self, judged: Judged) -> set[int]:
        """Return the outputs of which a metric from labels, under a limit, says what they are worth, dead or not."""
        limits = self._experiment.plan.tables.limits
        bounds = (limits.metric_drop, limits.metric_at_least, limits.metric_at_most)
        limited = [
            task
            for task in self._experiment.data.tasks
            if quality_of(judged.qualities, task)
            and any(task.name in each if isinstance(each, Mapping) else each is not None for each in bounds)
        ]
        names = {name for task in limited for name in judge.needed(task, self._names)}
        return {place for place, name in self._places.items() if name in names}

    def _in_child(self, request: Request) -> Judged:
        progress, host = self._experiment.progress, self._experiment.plan.tables.host
        return child.run(
            work, request, Judged, progress.step, doing="judging what the board answered", limits=child_watch.of_plan(host),
            say=progress.say, folder=str(self._folder), fault=DataError, crashed=CRASHED,
        )  # fmt: skip


def work(argument: Request, tell: Tell) -> Judged:
    """Judge the answers. In a child where the user's own functions do."""
    del tell
    store = Store(Path(argument.root), tmp=Path(argument.scratch))
    outputs = {name: np.load(path, mmap_mode="r", allow_pickle=False) for name, path in argument.outputs.items()}
    indices = None if argument.indices is None else np.load(store.path(argument.indices), allow_pickle=False)
    tasks, rows, folder = argument.tasks, argument.rows, Path(argument.folder)
    qualities = judge.qualities(tasks, outputs, rows, store, folder, indices)
    if not argument.sources:
        return Judged(qualities=qualities)
    sources = {name: _answered(store.path(each), indices) for name, each in argument.sources.items()}
    return Judged(qualities=qualities, alike=judge.alike(tasks, outputs, sources, rows, folder))


def _answered(path: Path, indices: Array | None) -> Array:
    """Return the answers to the rows that the board answered."""
    found: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    return found if indices is None or len(indices) == len(found) else found[indices]


def _silent(done: int, of: int, note: str) -> None:
    del done, of, note


def _no_quality(error: EdgepressError) -> Doubt:
    return Doubt(
        what="no accuracy",
        evidence=f"the task's metric cannot be computed of what the board answered: {error.message}",
        remedy=error.hint,
        invalid=True,
        touches="accuracy",
    )
