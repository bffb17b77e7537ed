"""[measure] end_to_end: the user's own functions and the model on the board, timed as one, when all else is measured.

A file runs in fresh processes, as it does alone, and is judged by the same rules. A function that fails, hangs or ends its process costs these numbers
and no others.
"""

import contextlib
import math
import random
from collections.abc import Sequence
from statistics import median

import msgspec
import numpy as np

from device_agent import wire
from pipeline import units
from pipeline.measure.candidate import Answer, Candidate
from pipeline.measure.experiment import OTHER_FILE, Experiment
from pipeline.measure.first_rows import NOT_FINITE, values_each
from pipeline.measure.golden import AT_LEAST
from pipeline.measure.remedies import evidence, remedy
from pipeline.measure.summary import summarise
from pipeline.measure.validity import doubts_of, doubts_of_board
from pipeline.records import Column, Doubt, EndToEnd, EndToEndFunctions, Measurement, Subject
from pipeline.safe_text import shortened
from targets.errors import TargetError

MOST_RUNS = 200_000  # in a launch: each has three times, which share a line of the protocol
FAILED = "FunctionFailed"  # device_agent/bench/end_to_end.py
VALID = "The numbers of the model itself are valid."


def with_end_to_end(experiment: Experiment, measurements: Sequence[Measurement]) -> list[Measurement]:
    """Return the measurements, those of files that were asked for with what was timed end to end."""
    asked = experiment.data.end_to_end
    if asked is None:
        return list(measurements)
    candidates = {one.subject: experiment.candidate_of(one) for one in measurements}
    timed = _Timed(experiment, asked, [each for each in candidates.values() if each.in_full])
    timed.run()
    return [
        msgspec.structs.replace(one, end_to_end=timed.of(one)) if one.subject in timed.answers else one
        for one in measurements
    ]


class _Timed:
    def __init__(self, experiment: Experiment, asked: EndToEndFunctions, candidates: Sequence[Candidate]) -> None:
        self.experiment, self.asked, self.candidates = experiment, asked, candidates
        self.answers: dict[Subject, list[Answer]] = {each.subject: [] for each in candidates}
        self.broken: TargetError | None = None  # why a job did not end as it should

    def run(self) -> None:
        """Run each file once, then the others of its launches: a function that hangs is waited for once for each file."""
        table = self.experiment.plan.tables
        shuffle = random.Random(table.seed)  # noqa: S311 - an order, not a secret
        rounds = [shuffle.sample(self.candidates, len(self.candidates)) for _ in range(table.measure.launches)]
        for number, some in enumerate((rounds[:1], rounds[1:])):
            order = [each for one in some for each in one if not self._failed(each.subject)]
            if order and self.broken is None:
                self._job(order, "end to end, first" if number == 0 else "end to end")

    def _job(self, order: Sequence[Candidate], name: str) -> None:
        experiment, session, job_id = self.experiment, self.experiment.session, ""
        try:
            job_id = session.submit(
                tuple(self._launch_of(each) for each in order),
                f"{experiment.plan.path}, {name}",
                cooling=experiment.cooling,
            )
            for record in session.follow(job_id):
                if not 0 <= record.index < len(order):
                    continue
                one = order[record.index]
                if isinstance(record, Answer):
                    self.answers[one.subject].append(self._as_expected(record, one))
                experiment.progress.step(record.index, len(order), f"{one.label}, end to end")
        except TargetError as error:  # the board, or a function that did something to it: all else is measured by now
            self.broken = error
            with contextlib.suppress(TargetError):
                if job_id:
                    session.give_up(job_id)

    def _launch_of(self, candidate: Candidate) -> wire.Launch:
        plain, asked = self.experiment.launch_of("time", candidate), self.asked
        functions = [
            None if each is None else wire.OwnFunction(each.module, each.name, each.file.sha256)
            for each in (asked.preprocess, asked.postprocess)
        ]
        own = wire.EndToEnd(
            preprocess=functions[0],
            postprocess=functions[1],
            rows=tuple(wire.NamedRows(each.name, each.artifact.sha256) for each in asked.before.columns),
            fed=tuple((asked.fed[name], column.dtype) if column else ("", "") for name, column in self._fed(candidate)),
            outputs=asked.outputs,
        )
        changed = {"mode": "end_to_end", "end_to_end": own, "timed_max_runs": min(plain.timed_max_runs, MOST_RUNS)}
        return wire.Launch(**{**vars(plain), **changed})

    def _fed(self, candidate: Candidate) -> list[tuple[str, Column | None]]:
        """Return the inputs of a launch, each with the evaluation column that the functions make for it, where they do."""
        columns = self.experiment.columns
        names = {each.tensor: each.name for each in candidate.converted.inputs}
        if not names:  # this host cannot read the file: it has one
            return [(each.column.name, each.column) for each in columns.values()]
        sent = self.experiment.launch_of("time", candidate).inputs
        return [
            (names[each.tensor], columns[names[each.tensor]].column if each.sha256 and not each.constant else None)
            for each in sent
        ]

    def _as_expected(self, answer: Answer, candidate: Candidate) -> Answer:
        """Return an answer whose functions and rows were other files than were sent as a launch that failed."""
        found = self.experiment.as_expected(answer, candidate)
        if isinstance(found, wire.Launched) and found.end_to_end is not None:
            functions = [each for each in (self.asked.preprocess, self.asked.postprocess) if each]
            wanted = [each.artifact for each in self.asked.before.columns] + [each.file for each in functions]
            if found.end_to_end.files_sha256 != tuple(each.sha256 for each in wanted):
                return wire.LaunchFailed(found.seq, found.index, "end", "another file", OTHER_FILE)
        return found or answer

    def _failed(self, subject: Subject) -> wire.LaunchFailed | None:
        return next((each for each in self.answers[subject] if isinstance(each, wire.LaunchFailed)), None)

    # --- from the launches of a file to its record

    def of(self, one: Measurement) -> EndToEnd:
        launches = [each for each in self.answers[one.subject] if isinstance(each, wire.Launched)]
        failed = self._failed(one.subject)
        if failed is not None:
            return EndToEnd(latency=None, doubts=(self._no_number(failed),))
        if len(launches) < self.experiment.plan.tables.measure.launches:
            return EndToEnd(latency=None, doubts=(self._unfinished(),))
        experiment, candidate = self.experiment, self.experiment.candidate_of(one)
        latency = summarise([each.latency_ns for each in launches])
        expected = experiment.expected_of(candidate, launches, one.golden)
        differs = self._differs(launches, candidate)
        parts = _parts_s(launches)
        return EndToEnd(
            latency=latency,
            preprocess_s=parts[0],
            inference_s=parts[1],
            postprocess_s=parts[2],
            rows=self.asked.before.rows,
            doubts=(
                *doubts_of_board(experiment.deployment.board),
                *doubts_of(launches, latency, expected),
                *([differs] if differs else ()),
            ),
            raw=experiment.keep(launches),
        )

    def _no_number(self, failed: wire.LaunchFailed) -> Doubt:
        keys = {
            f"task.{key}": function
            for key, function in (("preprocess", self.asked.preprocess), ("postprocess", self.asked.postprocess))
            if function and failed.phase in (key, "warmup", "timed", "end")
        }
        if failed.error != FAILED and not keys:
            return _no_end_to_end(f"the launch for it failed on the board: {evidence(failed)}", remedy(failed))
        said = failed.message if failed.error == FAILED else f"{' or '.join(keys)}: {evidence(failed)}"
        return _no_end_to_end(
            f"on the board, {said}",
            f"Correct the function (the board has Python {self.experiment.deployment.board.python}), or leave [measure] end_to_end out.",
        )

    def _unfinished(self) -> Doubt:
        if self.broken is None:
            return _no_end_to_end("the agent finished without an answer for every launch", "Run again.")
        keys = [f"task.{key}" for key in ("preprocess", "postprocess") if getattr(self.asked, key)]
        why = f"the job in which {' and '.join(keys)} ran did not end as it should: {self.broken.message}"
        return _no_end_to_end(why, self.broken.hint)

    def _differs(self, launches: Sequence[wire.Launched], candidate: Candidate) -> Doubt | None:
        """Doubt functions that do something else on the board than here, where other versions of numpy and Python run them."""
        parts = [each.end_to_end for each in launches if each.end_to_end is not None]
        gives = {name: tuple(shape) for name, shape in self.asked.gives.items()}
        for part in parts:
            found = {each.name: each.shape for each in part.gives}
            if self.asked.postprocess is not None and found != gives:
                return _other(
                    f"task.postprocess gives {_shown(found)} for a row on the board, and {_shown(gives)} on this host"
                )
        if self.asked.preprocess is None:
            return None
        wanted = self._golden(candidate)
        size = max(math.hypot(*(value for value in wanted if value != NOT_FINITE)), 1e-12)
        apart = max(
            math.dist(part.golden, wanted) / size if len(part.golden) == len(wanted) else math.inf for part in parts
        )
        if apart <= AT_LEAST:
            return None
        far = f"{units.percent(apart)} apart" if apart <= 1 else "not to be compared"
        return _other(f"task.preprocess gives other rows on the board than on this host: {far}")

    def _golden(self, candidate: Candidate) -> list[float]:
        """Return what the board is right to say of the first rows, as wire.EndToEndTimed.golden."""
        store = self.experiment.store
        columns = [column for _, column in self._fed(candidate) if column]
        indices = np.load(store.path(self.asked.before.indices), allow_pickle=False)[: wire.GOLDEN_ROWS]
        found: list[float] = []
        for index in indices:
            values: list[float] = []
            for column in columns:
                row = np.load(store.path(column.artifact), mmap_mode="r", allow_pickle=False)[index]
                values += [float(value) for value in np.asarray(row).ravel()[: values_each(len(columns))]]
            found += [value if math.isfinite(value) else NOT_FINITE for value in values[: wire.GOLDEN_VALUES]]
        return found


def _parts_s(launches: Sequence[wire.Launched]) -> tuple[float, float, float]:
    """Return the medians of the launches' medians of preprocess, inference and postprocess."""
    found: list[list[float]] = [[], [], []]
    for launch in launches:
        assert launch.end_to_end is not None  # targets/plausible.py
        before, model = (
            np.asarray(each, np.float64) for each in (launch.end_to_end.preprocess_ns, launch.end_to_end.inference_ns)
        )
        after = np.asarray(launch.latency_ns, np.float64) - before - model
        for medians, part in zip(found, (before, model, after), strict=True):
            medians.append(float(np.median(part)) / 1e9)
    return median(found[0]), median(found[1]), median(found[2])


def _no_end_to_end(why: str, what_to_do: str) -> Doubt:
    return Doubt(what="no end-to-end latency", evidence=why, remedy=f"{what_to_do} {VALID}", invalid=True)


def _other(how: str) -> Doubt:
    return Doubt(
        what="functions differ",
        evidence=how,
        remedy="Let it compute the same in the versions of Python and numpy that the board has, then measure again.",
        invalid=True,
    )


def _shown(arrays: dict[str, tuple[int, ...]]) -> str:
    return shortened(", ".join(f"'{name}' {shape}" for name, shape in arrays.items()), 300) or "nothing"
