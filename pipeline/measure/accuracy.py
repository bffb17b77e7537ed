"""What the board answered for the evaluation rows, against the labels and against the host."""

import io
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from device_agent import wire
from pipeline import frameworks, units
from pipeline.errors import DataError
from pipeline.measure import golden
from pipeline.measure.candidate import Answer, Candidate
from pipeline.measure.experiment import Experiment
from pipeline.records import BoardAccuracy, Doubt
from pipeline.store import Store
from targets.errors import NotTheAgent

HEADER_BYTES = 4096  # of a .npy file: 128 for an array of few axes
DTYPES = {"<f4", "|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8"}  # what an agent answers in
WIDEST_BYTES = 8
UNKNOWN_BYTES = 64 << 20  # of all answers of a file that the host cannot run

Array = npt.NDArray[np.float32]


class AccuracyFound(NamedTuple):
    """No accuracy where there are no answers, or nothing to hold them against."""

    accuracy: BoardAccuracy | None = None
    doubts: tuple[Doubt, ...] = ()
    golden: tuple[float, ...] | None = None  # the first of them, for the other launches of the same file


NO_ANSWERS = AccuracyFound()


def accuracy_of(experiment: Experiment, candidate: Candidate, answer: Answer) -> AccuracyFound:
    """Judge the answers to all rows: how many are right, or, where they are not class scores, how far they are from the host's;
    and whether they are what the same kernels answer on this host.
    """
    if isinstance(answer, wire.LaunchFailed):
        return AccuracyFound(doubts=(_unanswered(answer),))
    rows, evaluation, store = experiment.deployment.evaluation_indices, experiment.data.evaluation, experiment.store
    if rows is None or evaluation is None:
        return NO_ANSWERS
    indices = np.load(store.path(rows), allow_pickle=False)
    reference = experiment.reference_of(candidate, answer.delegates)
    most_bytes = (
        UNKNOWN_BYTES
        if reference is None
        else HEADER_BYTES + len(indices) * WIDEST_BYTES * math.prod(reference.answers.shape[1:])
    )
    outputs = read_answers(experiment.session.get(answer.outputs_sha256[0], most_bytes), len(indices), candidate.label)
    bad = int(np.count_nonzero(~np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1)))
    if bad:
        return AccuracyFound(doubts=(_not_numbers(bad, len(outputs)),))
    doubts: list[Doubt | None] = [] if reference is None else [golden.doubt_of(outputs, reference)]
    if candidate.converted.classes and outputs.ndim == 2 and outputs.shape[1] >= 2:
        y = evaluation.y
        labels = None if y is None else np.load(store.path(y), allow_pickle=False)[indices]
        accuracy: BoardAccuracy | None = _accuracy(outputs, labels, reference, candidate.label, store)
        if not any(doubts) and reference is not None:
            doubts.append(golden.doubt_of_classes(outputs, reference))
    else:
        accuracy = _error(outputs, reference)
    return AccuracyFound(accuracy, tuple(filter(None, doubts)), golden.first_rows(outputs))


def _accuracy(
    outputs: Array, labels: npt.NDArray[Any] | None, reference: golden.Reference | None, label: str, store: Store
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


def _error(outputs: Array, reference: golden.Reference | None) -> BoardAccuracy | None:
    """Return the error of answers that are not class scores. None: this host has no answers, or they have another shape (golden.doubt_of says so)."""
    if reference is None or reference.answers.shape[1:] != outputs.shape[1:]:
        return None
    error, spread = frameworks.error_of(outputs, reference.answers[reference.rows])
    return BoardAccuracy(
        rows=len(outputs),
        accuracy_ratio=None,
        differs_from_host_ratio=None,
        answers=None,
        error_rms=error,
        spread=spread,
    )


def read_answers(data: bytes, rows: int, label: str) -> npt.NDArray[np.float32]:
    """Return `rows` answers of a .npy file as float32. It comes from the board: NotTheAgent for anything but little-endian numbers."""
    file = io.BytesIO(data)
    try:
        np.lib.format.read_magic(file)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype.str not in DTYPES or fortran or shape[:1] != (rows,):
            raise ValueError(f"an array of {dtype} and shape {shape}")
        values: npt.NDArray[Any] = np.frombuffer(data, dtype, offset=file.tell())
        return values.reshape(shape).astype(np.float32, copy=False)
    except (ValueError, EOFError, IndexError, TypeError, OverflowError) as error:
        raise NotTheAgent(
            f"the board's answers of {label} cannot be read: {error}", hint="Run again; report it if it happens twice."
        ) from error


def _unanswered(failed: wire.LaunchFailed) -> Doubt:
    return Doubt(
        what="no accuracy",
        evidence=f"the board did not answer the evaluation rows: {failed.error} in phase {failed.phase}: {failed.message}",
        remedy="The times are valid. Answer fewer rows ([measure] evaluation_rows), or use another runtime for this file.",
        invalid=True,
        touches="accuracy",
    )


def _not_numbers(bad: int, rows: int) -> Doubt:
    return Doubt(
        what="answers that are not numbers",
        evidence=f"the board answered NaN or infinity for {units.count(bad)} of {units.count(rows)} rows",
        remedy="This runtime cannot compute this file: use another runtime or format.",
        invalid=True,
        touches="accuracy",
    )
