"""What the board answered for the evaluation rows, against the labels and against the host."""

import io
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from device_agent import wire
from pipeline import frameworks, units
from pipeline.errors import DataError
from pipeline.measure.schedule import Candidate
from pipeline.records import BoardAccuracy, Data, Deployment, Doubt
from pipeline.store import Store
from targets import Session
from targets.errors import NotTheAgent

DIFFERENT_ANSWERS_RATIO = 0.01
HEADER_BYTES = 4096  # of a .npy file: 128 for an array of few axes
UNKNOWN_BYTES = 64 << 20  # of all answers of a file that the host can not run
DIFFERENT_NUMBERS_RATIO = 0.05
"""Of the answers' spread: two steps of an 8-bit output that holds six standard deviations."""

Found = tuple[BoardAccuracy | None, list[Doubt]]
NO_ANSWERS: Found = None, []


def accuracy_of(
    session: Session, candidate: Candidate, answer: wire.Launched | wire.LaunchFailed, data: Data, deployment: Deployment,
    store: Store,
) -> Found:  # fmt: skip
    """(accuracy, doubts about it); where the answers are no scores of classes, how far they are from the host's. None without answers."""
    if isinstance(answer, wire.LaunchFailed):
        return None, [_unanswered(answer)]
    if deployment.evaluation_indices is None or data.evaluation is None:
        return None, []
    indices = np.load(store.path(deployment.evaluation_indices), allow_pickle=False)
    host = candidate.converted.outputs
    on_host = None if host is None else np.load(store.path(host), mmap_mode="r", allow_pickle=False)
    most_bytes = UNKNOWN_BYTES if on_host is None else HEADER_BYTES + len(indices) * 4 * math.prod(on_host.shape[1:])
    outputs = read_answers(session.get(answer.outputs_sha256, most_bytes), len(indices), candidate.label)
    bad = int(np.count_nonzero(~np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1)))
    if bad:
        return None, [_not_numbers(bad, len(outputs))]
    if not candidate.converted.classes or outputs.ndim != 2 or outputs.shape[1] < 2:
        return _numbers(outputs, None if on_host is None else on_host[indices], candidate)
    classes = outputs.argmax(axis=1).astype(np.int64)
    y = data.evaluation.y
    labels = None if y is None else np.load(store.path(y), allow_pickle=False)[indices]
    if labels is not None and not (labels.min() >= 0 and labels.max() < outputs.shape[1]):
        raise DataError(
            f"the labels of data.evaluation run from {labels.min()} to {labels.max()}, but {candidate.label} tells "
            f"{outputs.shape[1]} classes apart (0 to {outputs.shape[1] - 1})",
            hint="Number the classes as in training, from 0.",
        )
    differs = None
    if on_host is not None:
        differs = float(np.mean(classes != on_host[indices].argmax(axis=1)))
    file = io.BytesIO()
    np.save(file, classes)
    found = BoardAccuracy(
        rows=len(classes),
        accuracy_ratio=None if labels is None else float(np.mean(classes == labels)),
        differs_from_host_ratio=differs,
        answers=store.put_bytes(file.getvalue(), "npy"),
    )
    return found, [_different(differs)] if (differs or 0) > DIFFERENT_ANSWERS_RATIO else []


def _numbers(outputs: npt.NDArray[Any], on_host: npt.NDArray[Any] | None, candidate: Candidate) -> Found:
    """Of answers that are no classes: how far they are from those of the same file on the host, if that could run it."""
    if on_host is None:
        return None, []
    if on_host.shape != outputs.shape:
        raise NotTheAgent(
            f"the board's answers of {candidate.label} have shape {outputs.shape[1:]}, and the host's {on_host.shape[1:]}",
            hint="Run again; report it if it happens twice.",
        )
    error, spread = frameworks.error_of(outputs, on_host.astype(np.float64))
    found = BoardAccuracy(
        rows=len(outputs),
        accuracy_ratio=None,
        differs_from_host_ratio=None,
        answers=None,
        error_rms=error,
        spread=spread,
    )
    return found, [_far(error, spread)] if error > DIFFERENT_NUMBERS_RATIO * spread else []


def read_answers(data: bytes, rows: int, label: str) -> npt.NDArray[np.float32]:
    """The float32 .npy of `rows` answers. It comes from the board: NotTheAgent for anything else."""
    file = io.BytesIO(data)
    try:
        np.lib.format.read_magic(file)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        values: npt.NDArray[Any] = np.frombuffer(data, np.dtype("<f4"), offset=file.tell())
        if dtype != np.dtype("<f4") or fortran or shape[:1] != (rows,):
            raise ValueError(f"an array of {dtype} and shape {shape}")
        return values.reshape(shape)
    except (ValueError, EOFError, IndexError, TypeError, OverflowError) as error:
        raise NotTheAgent(
            f"the board's answers of {label} can not be read: {error}", hint="Run again; report it if it happens twice."
        ) from error


def _unanswered(failed: wire.LaunchFailed) -> Doubt:
    return Doubt(
        what="no accuracy",
        evidence=f"the board did not answer the evaluation rows: {failed.error} in phase {failed.phase}: {failed.message}",
        remedy="The times stand. Answer fewer rows ([measure] evaluation_rows), or use another runtime for this file.",
        invalid=True,
        touches="accuracy",
    )


def _not_numbers(bad: int, rows: int) -> Doubt:
    return Doubt(
        what="answers that are not numbers",
        evidence=f"the board answered NaN or infinity for {units.count(bad)} of {units.count(rows)} rows",
        remedy="This runtime can not compute this file: use another runtime or format.",
        invalid=True,
        touches="accuracy",
    )


def _different(ratio: float | None) -> Doubt:
    return Doubt(
        what="other answers than on the host",
        evidence=f"the board's class differs from the host's for {units.percent(ratio)} of the rows",
        remedy="This runtime computes this file differently: use another runtime or format.",
        touches="accuracy",
    )


def _far(error: float, spread: float) -> Doubt:
    return Doubt(
        what="other answers than on the host",
        evidence=f"the board's answers differ from the host's by {units.error(error, spread)}",
        remedy="This runtime computes this file differently: use another runtime or format.",
        touches="accuracy",
    )
