"""Does the board compute what it should? Its answers are compared with this host's, for every row that the board answered.

The reference is what the same kernels answer here: LiteRT's built-in ones where no delegate took part on the board, else the runtime's
own choice. On the same kind of processor they answer bit for bit the same (measured: tflite-runtime 2.14 and LiteRT 2.3 built-in, LiteRT
2.1 and 2.3 with XNNPACK, 1 to 4 threads). On another one they round differently here and there, which is not a fault: the tolerance is
derived from the file: how far its answers differ from those of other kernels on this host and from the source model's.
benchmarks/verdicts/golden.py measures how often this calls right answers wrong, and wrong ones right.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from device_agent import wire
from pipeline import units
from pipeline.records import Artifact, Converted, Doubt
from pipeline.statistics.order import at_least
from pipeline.store import Store

Array = npt.NDArray[np.float32]
Wide = npt.NDArray[np.float64]

AT_LEAST = 0.01  # relative L2: floating point in another order, or TF32 on a GPU
# Other right kernels were 0.3 to 0.8 of the file's own error apart (benchmarks/verdicts/golden.py).
TIMES_OWN_ERROR = 2.0
# Of one column of the answers. The error of one column of few rows is known less well, and a column that is dead is off by its whole spread.
TIMES_OWN_ERROR_OF_COLUMN, SPREAD_OF_COLUMN = 4.0, 0.5
LEAST_ROWS_OF_COLUMN = 16
MOST_COLUMNS = 4096  # larger answers are pictures: judged as a whole
CHUNK_ROWS = 256
BUILT_IN = ("tflite_runtime", "ai_edge_litert")  # without a delegate their built-in kernels run


class Reference(NamedTuple):
    """The answers of this host. `others` are right answers, too, of other kernels or of the model that the file was made of."""

    answers: Array
    others: tuple[Array, ...]
    rows: npt.NDArray[np.int64]  # of them, that the board answers


class Deviation(NamedTuple):
    """Root mean squares over all values; `within` is the most that `distance` may be."""

    distance: float
    within: float
    signal: float
    columns: tuple[int, ...]  # columns that are wrong although the whole is not


def reference_of(
    converted: Converted, runtime: str, delegates: tuple[str, ...], indices: Artifact | None, store: Store
) -> Reference | None:
    """None: this host has no runtime for the file, or there are no rows."""
    if converted.outputs is None or indices is None:
        return None
    first, *others = [
        np.load(store.path(each), mmap_mode="r", allow_pickle=False)
        for each in _in_order(converted, runtime, delegates)
        if each is not None
    ]
    rows = np.load(store.path(indices), allow_pickle=False)
    return Reference(first, tuple(other for other in others if other.shape == first.shape), rows)


def _in_order(converted: Converted, runtime: str, delegates: tuple[str, ...]) -> tuple[Artifact | None, ...]:
    """Return the reference, then the others."""
    here, other = converted.outputs, converted.other_outputs
    if other is not None and runtime in BUILT_IN and not delegates:
        here, other = other, here
    return here, other, converted.source_outputs


def compared(board: Array, reference: Reference) -> Deviation:
    """`board` has the rows `reference.rows`, in their order."""
    sums = _Sums(board, reference)
    own = max(sums.errors, default=0.0)
    columns: tuple[int, ...] = ()
    if sums.rows >= LEAST_ROWS_OF_COLUMN and board.ndim == 2 and board.shape[1] <= MOST_COLUMNS:
        may = np.maximum(TIMES_OWN_ERROR_OF_COLUMN * sums.column_errors, SPREAD_OF_COLUMN * sums.column_spreads)
        columns = tuple(np.flatnonzero((sums.column_distances > may) & (sums.column_spreads > 0)).tolist())
    within = max(AT_LEAST * sums.signal, TIMES_OWN_ERROR * own)
    return Deviation(sums.distance, within, sums.signal, columns)


class _Sums:
    """Root mean squares of what `compared` needs, piece by piece: answers may be large."""

    def __init__(self, board: Array, reference: Reference) -> None:
        self.rows = len(board)
        width = int(np.prod(board.shape[1:], dtype=np.int64)) or 1
        distance, signal, total = (np.zeros(width) for _ in range(3))
        errors = [np.zeros(width) for _ in reference.others]
        for piece, theirs, others in _pieces(board, reference, width):
            distance += ((piece - theirs) ** 2).sum(0)
            signal += (theirs**2).sum(0)
            total += theirs.sum(0)
            errors = [error + ((other - theirs) ** 2).sum(0) for error, other in zip(errors, others, strict=True)]
        self.distance, self.signal = (float(np.sqrt(each.sum() / (self.rows * width))) for each in (distance, signal))
        self.errors = [float(np.sqrt(each.sum() / (self.rows * width))) for each in errors]
        self.column_distances = np.sqrt(distance / self.rows)
        self.column_errors = np.sqrt(np.max([np.zeros(width), *errors], axis=0) / self.rows)
        self.column_spreads = np.sqrt(np.maximum(signal / self.rows - (total / self.rows) ** 2, 0))


def _pieces(board: Array, reference: Reference, width: int) -> Iterator[tuple[Wide, Wide, list[Wide]]]:
    for start in range(0, len(board), CHUNK_ROWS):
        rows = reference.rows[start : start + CHUNK_ROWS]
        answers, *others = (
            np.asarray(each[rows], np.float64).reshape(len(rows), width)
            for each in (reference.answers, *reference.others)
        )
        yield board[start : start + CHUNK_ROWS].astype(np.float64).reshape(len(rows), width), answers, others


def doubt_of(board: Array, reference: Reference) -> Doubt | None:
    """The doubt about a file whose answers on the board are wrong; None: they are right."""
    if board.shape[1:] != reference.answers.shape[1:]:
        return _differs(f"it answers {board.shape[1:]} for a row, and {reference.answers.shape[1:]} on this host")
    found = compared(board, reference)
    if found.distance > found.within:
        far, may = (units.percent(each / (found.signal or 1)) for each in (found.distance, found.within))
        return _differs(f"{far} apart over {units.counted(len(board), 'row')}, where other kernels may be {may} apart")
    if found.columns:
        which = ", ".join(map(str, found.columns[:5])) + (", ..." if len(found.columns) > 5 else "")
        return _differs(
            f"{units.counted(len(found.columns), 'column')} of its answers ({which}) "
            f"{'differ' if len(found.columns) > 1 else 'differs'} from this host's"
        )
    return None


def _differs(how: str) -> Doubt:
    return Doubt(
        what="golden differs",
        evidence=f"this file answers differently on the board and on this host, with the same kernels: {how}",
        remedy="The runtime computes something else on this board: use another runtime or version, and report it.",
        invalid=True,
    )


# --- classes

CLASSES_AT_LEAST = 0.01
UNLIKELY = 0.025


def classes_that_differ(board: Array, reference: Reference) -> tuple[float, float]:
    """(Share of the rows whose class on the board is another one than here, the same of the other right answers at the most)."""
    here = _classes(reference.answers, reference)
    others = [float(np.mean(_classes(each, reference) != here)) for each in reference.others]
    return float(np.mean(board.argmax(axis=-1) != here)), max(others, default=0.0)


def _classes(answers: Array, reference: Reference) -> npt.NDArray[np.int64]:
    classes: npt.NDArray[np.int64] = np.asarray(answers[reference.rows]).argmax(axis=-1)
    return classes


def doubt_of_classes(board: Array, reference: Reference) -> Doubt | None:
    """Doubt answers whose classes differ more often than between right answers, and too many for chance."""
    share, usual = classes_that_differ(board, reference)
    may = max(CLASSES_AT_LEAST, usual)
    if share <= may or at_least(round(share * len(board)), len(board), may) > UNLIKELY:
        return None
    return Doubt(
        what="other answers than on the host",
        evidence=f"the board's class differs from that of the same kernels on this host for {units.percent(share)} of the rows",
        remedy="This runtime computes this file differently: use another runtime or format.",
        touches="accuracy",
    )


# --- the first rows, which every launch answers


def first_rows(answers: Array) -> tuple[float, ...]:
    """Return what an agent says of these answers as `wire.Launched.golden`."""
    return tuple(float(value) for row in answers[: wire.GOLDEN_ROWS] for value in row.ravel()[: wire.GOLDEN_VALUES])


def first_of_host(reference: Reference) -> tuple[tuple[float, ...], float]:
    """(The host's answers to the first rows, how far from them a launch's may be): for a file that the board does not answer all rows of."""
    rows = reference.rows[: wire.GOLDEN_ROWS]
    answers = np.asarray(reference.answers[rows])
    here = _cut(reference.answers)[reference.rows]
    own = [np.linalg.norm(_cut(other)[reference.rows] - here, axis=1) for other in reference.others]
    worst = max((float(each.max()) for each in own), default=0.0)  # of a row: four are not a sample
    signal = float(np.linalg.norm(_cut(answers)))
    within = TIMES_OWN_ERROR * worst * np.sqrt(len(rows)) / max(signal, 1e-12)
    return first_rows(answers), max(AT_LEAST, float(within))


def _cut(answers: Array) -> Array:
    """Return the values that an agent reports for each row; of a file that is mapped only these are read."""
    return answers.reshape(len(answers), -1)[:, : wire.GOLDEN_VALUES]
