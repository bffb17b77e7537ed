"""What the board answered for the evaluation rows, against the labels and against the host."""

import io
import math
import re
import tokenize
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from device_agent import wire
from pipeline import frameworks, units
from pipeline.errors import DataError
from pipeline.measure import board_quality, first_rows, golden
from pipeline.measure.candidate import Answer, Candidate
from pipeline.measure.experiment import Experiment
from pipeline.quality import signal
from pipeline.records import BoardAccuracy, Doubt, Signal
from pipeline.safe_text import shortened
from pipeline.store import Store
from targets.errors import NotTheAgent

HEADER_BYTES = 4096  # of a .npy file: 128 for an array of few axes
# what an agent answers in
DTYPES = {"<f2", "<f4", "|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8"}
WIDEST_BYTES = 8
UNKNOWN_BYTES = 64 << 20  # of the answers of an output of a file that the host cannot run
# numpy reads a header as Python: the last four are the parser's
UNREADABLE = (
    ValueError, EOFError, IndexError, TypeError, OverflowError, RecursionError, MemoryError, SyntaxError, tokenize.TokenError
)  # fmt: skip

Array = npt.NDArray[Any]


class AccuracyFound(NamedTuple):
    """No accuracy where there are no answers, or nothing to hold them against."""

    accuracy: BoardAccuracy | None = None
    doubts: tuple[Doubt, ...] = ()
    golden: tuple[float, ...] | None = None  # the first of them, for the other launches of the same file


NO_ANSWERS = AccuracyFound()
SETTLED = "A limit judges the task's metric, which is computed from labels and from these answers: what is dead counts there as it is."
NO_ROOM = re.compile(r"bytes free|No space left")  # as device_agent/files/layout.py says it, and Linux


def accuracy_of(experiment: Experiment, candidate: Candidate, answer: Answer) -> AccuracyFound:
    """Judge the answers to all rows: how many are right, or, where they are not class scores, how far the worst output is from the
    host's; and whether they are what the same kernels answer on this host.
    """
    if isinstance(answer, wire.LaunchFailed):
        return AccuracyFound(doubts=(_unanswered(answer),))
    if experiment.deployment.evaluation_indices is None or experiment.data.evaluation is None:
        return NO_ANSWERS
    references = experiment.references_of(candidate, answer.delegates)
    if references and len(references) != len(answer.outputs_sha256):
        raise NotTheAgent(
            f"the board has {len(answer.outputs_sha256)} outputs of {candidate.label}, and this host {len(references)}",
            hint="Run again; report it if it happens twice.",
        )
    judged = []
    with experiment.store.scratch() as scratch:
        kept = board_quality.Kept(experiment, candidate, len(answer.outputs_sha256), scratch)
        for place, sha256 in enumerate(answer.outputs_sha256):  # one after the other: they may be large
            one = _Output(experiment, candidate, place, references[place] if references else None)
            one.judge(sha256, kept)
            judged.append(one)
        wrong = [doubt for one in judged for doubt in one.not_numbers]
        if wrong:
            return AccuracyFound(doubts=tuple(wrong[:1]))
        doubts = [doubt for one in judged for doubt in one.doubts]
        found, doubt = kept.judged()
        dead_parts = [(one.place, each) for one in judged for each in one.signal if signal.sentence(each)]
        settled = kept.settled(found) if dead_parts else set()
        dead = [_dead(each, settled=place in settled) for place, each in dead_parts]
    first = first_rows.of_answers([one.first for one in judged], sequences=candidate.converted.sequences)
    return AccuracyFound(_of_all(judged, found), (*doubts, *dead, *([doubt] if doubt else ())), first)


class _Output:
    """What is found out about one output. Its answers are only kept for the task."""

    def __init__(
        self, experiment: Experiment, candidate: Candidate, place: int, reference: golden.Reference | None
    ) -> None:
        self.experiment, self.candidate, self.place, self.reference = experiment, candidate, place, reference
        converted = candidate.converted
        self.name = reference.output if reference else ""
        self.scored = converted.classes and place == converted.scored
        self.rows, self.first = 0, np.zeros(0)
        self.accuracy: BoardAccuracy | None = None  # of classes
        self.error: tuple[float, float] | None = None  # root mean square, and the spread of the host's answers
        self.signal: tuple[Signal, ...] = ()  # against the model that the file was made from
        self.not_numbers: list[Doubt] = []
        self.doubts: list[Doubt] = []

    def judge(self, sha256: str, kept: board_quality.Kept) -> None:
        """Fetch the answers from the board, and give them to `kept`."""
        indices, reference, label = self.experiment.answered, self.reference, self.candidate.label
        shape = None if reference is None else reference.answers.shape[1:]
        most = UNKNOWN_BYTES if shape is None else HEADER_BYTES + len(indices) * WIDEST_BYTES * math.prod(shape)
        outputs = read_answers(self.experiment.session.get(sha256, most), len(indices), label)
        if self.candidate.converted.sequences and not (outputs.ndim > 1 and outputs.shape[1]):
            raise NotTheAgent(
                f"the board's answers of {label} are sequences of no step, of shape {outputs.shape}",
                hint="Run again; report it if it happens twice.",
            )
        self.rows, self.first = len(outputs), outputs[: wire.GOLDEN_ROWS].copy()
        expected = None if reference is None else reference.answered
        bad = frameworks.rows_not_finite(outputs, expected)
        if bad and (expected is None or not frameworks.rows_not_finite(expected)):
            self.not_numbers = [_not_numbers(bad, len(outputs), self.name)]
            return
        found = [None if reference is None else golden.doubt_of(outputs, reference)]
        fits = shape in (None, outputs.shape[1:])  # else golden.doubt_of says so, and nothing more is known
        if fits and self.scored and outputs.ndim == 2 and outputs.shape[1] >= 2:
            self.accuracy = _accuracy(outputs, self._labels(indices), reference, label, self.experiment.store)
            if not any(found) and reference is not None:
                found.append(golden.doubt_of_classes(outputs, reference))
        if fits:
            kept.add(self.place, outputs)
        if fits and self.accuracy is None and reference is not None:
            found_error = frameworks.error_of(outputs, reference.answered)
            self.error = found_error if math.isfinite(found_error[0]) else None  # golden.doubt_of says so
        if fits:
            self.signal = self._signal(outputs, indices)
        self.doubts = [doubt for doubt in found if doubt is not None]

    def _signal(self, outputs: Array, indices: npt.NDArray[np.int64]) -> tuple[Signal, ...]:
        converted, experiment = self.candidate.converted, self.experiment
        if len(converted.source_answers) != len(converted.answers) or self.place >= len(converted.source_answers):
            return ()
        source = np.load(experiment.store.path(converted.source_answers[self.place]), mmap_mode="r", allow_pickle=False)
        exact = source if len(indices) == len(source) else source[indices]
        alike = self.place in signal.alike_outputs(converted, experiment.data.tasks)
        return signal.signals([outputs], [exact], [self.name], {0} if alike else ())

    def _labels(self, indices: npt.NDArray[np.int64]) -> Array | None:
        rows = self.experiment.data.evaluation
        if rows is None or rows.y is None:
            return None
        labels: Array = np.load(self.experiment.store.path(rows.y), allow_pickle=False)[indices]
        return labels


def _of_all(judged: Sequence[_Output], found: board_quality.Judged) -> BoardAccuracy | None:
    """Classes where there are any, else the output with the largest error, as a share of its spread."""
    tasks = {"qualities": found.qualities, "alike": found.alike}
    scores = [one.accuracy for one in judged if one.accuracy is not None]
    errors = [(one, *one.error) for one in judged if one.error is not None]
    signals = tuple(each for one in judged for each in one.signal)
    if scores:
        return msgspec.structs.replace(scores[0], **tasks, signals=signals)
    if not errors:  # this host has no runtime for the file
        unknown = BoardAccuracy(rows=judged[0].rows, accuracy_ratio=None, differs_from_host_ratio=None, answers=None)
        return msgspec.structs.replace(unknown, **tasks) if found.qualities else None
    worst, error, spread = max(errors, key=lambda each: _relative(*each[1:]))
    return BoardAccuracy(
        rows=worst.rows,
        accuracy_ratio=None,
        differs_from_host_ratio=None,
        answers=None,
        error_rms=error,
        spread=spread,
        qualities=found.qualities,
        output=worst.name,
        signals=signals,
        alike=found.alike,
    )


def _relative(error: float, spread: float) -> float:
    return error / spread if spread else math.inf if error else 0.0


def _accuracy(
    outputs: Array, labels: Array | None, reference: golden.Reference | None, label: str, store: Store
) -> BoardAccuracy:
    if labels is not None and not (labels.min() >= 0 and labels.max() < outputs.shape[1]):
        raise DataError(
            f"the labels of data.evaluation run from {labels.min()} to {labels.max()}, but {label} has "
            f"{outputs.shape[1]} classes (0 to {outputs.shape[1] - 1})",
            hint="Number the classes as in training, from 0.",
        )
    chosen = outputs.argmax(axis=1).astype(np.int64)
    file = io.BytesIO()
    np.save(file, chosen)
    return BoardAccuracy(
        rows=len(chosen),
        accuracy_ratio=None if labels is None else float(np.mean(chosen == labels)),
        differs_from_host_ratio=None if reference is None else golden.classes_that_differ(outputs, reference)[0],
        answers=store.put_bytes(file.getvalue(), "npy"),
    )


def read_answers(data: bytes, rows: int, label: str) -> Array:
    """Return `rows` answers of a .npy file: floating point as float32, other numbers as they are. It comes from the board:
    NotTheAgent for anything but little-endian numbers.
    """
    file = io.BytesIO(data)
    try:
        np.lib.format.read_magic(file)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype.str not in DTYPES or fortran or shape[:1] != (rows,):
            raise ValueError(f"an array of {dtype} and shape {shape}")
        values: Array = np.frombuffer(data, dtype, offset=file.tell()).reshape(shape)
        return values.astype(np.float32, copy=False) if dtype.kind == "f" else values
    except UNREADABLE as error:
        raise NotTheAgent(
            f"the board's answers of {label} cannot be read: {error}", hint="Run again; report it if it happens twice."
        ) from error


def _unanswered(failed: wire.LaunchFailed) -> Doubt:
    remedy = "Answer fewer rows ([measure] evaluation_rows), or use another runtime for this file."
    if NO_ROOM.search(failed.message):
        remedy = (
            "Free space on the board (`edgepress boards clean`), or let it answer less: [measure] evaluation_rows, answer_bytes, "
            'or answers = "float16".'
        )
    return Doubt(
        what="no accuracy",
        evidence=f"the board did not answer the evaluation rows: {failed.error} in phase {failed.phase}: {failed.message}",
        remedy=f"The times are valid. {remedy}",
        invalid=True,
        touches="accuracy",
    )


def _dead(found: Signal, *, settled: bool) -> Doubt:
    """An output that is dead is wrong; one with dead parts may be right where nobody needs these. `settled`: so may a dead one be, since a
    limit on a metric from labels judges what is left of it.
    """
    return Doubt(
        what="dead answers",
        evidence=signal.sentence(found),
        remedy=SETTLED if settled else signal.REMEDY,
        invalid=found.dead and not settled,
        decides_nothing=not settled,
        touches="accuracy",
        withholds="" if settled else "run",
    )


def _not_numbers(bad: int, rows: int, output: str) -> Doubt:
    where = f" in the output '{shortened(output, 100)}'" if output else ""
    return Doubt(
        what="answers that are not numbers",
        evidence=f"the board answered NaN or infinity for {units.count(bad)} of {units.count(rows)} rows{where}",
        remedy="This runtime cannot compute this file: use another runtime or format.",
        invalid=True,
        touches="accuracy",
    )
