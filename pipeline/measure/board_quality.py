"""How good a file is at the plan's task by what the board answered: several outputs may be judged together."""

from pathlib import Path

import numpy as np

from pipeline.errors import DataError
from pipeline.measure.candidate import Candidate
from pipeline.measure.experiment import Experiment
from pipeline.quality import judge
from pipeline.quality.statistic import Array
from pipeline.records import Doubt, Quality


class Kept:
    """The answers that the task needs, as files in `folder` until all are there: they may be larger than memory."""

    def __init__(self, experiment: Experiment, candidate: Candidate, outputs: int, folder: Path) -> None:
        self._experiment, self._folder = experiment, folder
        data, specs = experiment.data, candidate.converted.outputs
        names = judge.by_name(data.task, range(outputs), [each.name for each in specs])
        wanted = judge.needed(data.task, data.evaluation, names)
        self._places = {place: name for name, place in names.items() if name in wanted}
        self._files: dict[str, Path] = {}

    def add(self, place: int, answers: Array) -> None:
        """Keep the answers of one output, (rows, ...), if they are needed."""
        if place in self._places:
            path = self._folder / f"{place}.npy"
            np.save(path, answers, allow_pickle=False)
            self._files[self._places[place]] = path

    def judged(self) -> tuple[Quality | None, Doubt | None]:
        """Return the quality, or why it is not known. None of both: there is no task, no labels, or another doubt says it."""
        experiment = self._experiment
        data = experiment.data
        if data.evaluation is None or not self._places or len(self._files) < len(self._places):
            return None, None
        outputs = {name: np.load(path, mmap_mode="r", allow_pickle=False) for name, path in self._files.items()}
        try:
            return judge.quality(data.task, outputs, data.evaluation, experiment.store, experiment.answered), None
        except DataError as error:  # of the rows that were drawn, or of what the board answered
            return None, _no_quality(error)


def _no_quality(error: DataError) -> Doubt:
    return Doubt(
        what="no accuracy",
        evidence=f"the task's metric cannot be computed of what the board answered: {error.message}",
        remedy=error.hint,
        invalid=True,
        touches="accuracy",
    )
