"""Does the board compute what it should? Its answers are compared with this host's, for every row that the board answered.

The reference is what the same kernels answer here: LiteRT's built-in ones where no delegate took part on the board, else the runtime's
own choice. On the same kind of processor they answer bit for bit the same (measured: tflite-runtime 2.14 and LiteRT 2.3 built-in, LiteRT
2.1 and 2.3 with XNNPACK, 1 to 4 threads). On another one they round differently here and there, which is not a fault: the tolerance is
derived from the file: how far its answers differ from those of other kernels on this host and from the source model's.
benchmarks/verdicts/golden.py measures how often this calls right answers wrong, and wrong ones right. Each output is judged on its
own. Integers and truth values are right or wrong: the share of those that differ counts, and not by how much.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline import frameworks, units
from pipeline.measure.remedies import OTHER_ANSWERS
from pipeline.records import Artifact, Converted, Doubt
from pipeline.safe_text import shortened
from pipeline.statistics.order import at_least
from pipeline.store import Store

Array = npt.NDArray[Any]
Wide = npt.NDArray[np.float64]

AT_LEAST = 0.01  # relative L2; a share of integers: floating point in another order, or TF32 on a GPU
# Other right kernels were 0.3 to 0.8 of the file's own error apart (benchmarks/verdicts/golden.py).
TIMES_OWN_ERROR = 2.0
# Of one column of the answers. The error of one column of few rows is known less well, and a column that is dead is off by its whole spread.
TIMES_OWN_ERROR_OF_COLUMN, SPREAD_OF_COLUMN = 4.0, 0.5
LEAST_ROWS_OF_COLUMN = 16
MOST_COLUMNS = 4096  # larger answers are pictures: judged as a whole
UNLIKELY = 0.025
MOST_TRIALS = 10_000  # of integers: the test is as sure of more, and slow
CHUNK_ROWS, CHUNK_VALUES = 256, 1 << 21
BUILT_IN = ("tflite_runtime", "ai_edge_litert")  # without a delegate their built-in kernels run


class Reference(NamedTuple):
    """The answers of this host for one output. `others` are right answers, too, of other kernels or of the model that the file was
    made of.
    """

    answers: Array
    others: tuple[Array, ...]
    rows: npt.NDArray[np.int64]  # of them, that the board answers
    output: str = ""  # its name, where there are several
    sequences: bool = False  # a row has steps along its first axis

    @property
    def width(self) -> int:
        """How many values there are for one row, of a sequence for one step."""
        return math.prod(self.answers.shape[1 + self.sequences :])

    @property
    def answered(self) -> Array:
        """The answers to the rows that the board answers; mapped where these are all."""
        return self.answers if len(self.rows) == len(self.answers) else self.answers[self.rows]


class Deviation(NamedTuple):
    """Root mean squares over all values; `within` is the most that `distance` may be."""

    distance: float
    within: float
    signal: float
    columns: tuple[int, ...]  # columns that are wrong although the whole is not


def references_of(
    converted: Converted, runtime: str, delegates: tuple[str, ...], indices: Artifact | None, store: Store
) -> tuple[Reference, ...]:
    """One for each output. (): this host has no runtime for the file, or there are no rows."""
    if not converted.answers or indices is None:
        return ()
    rows = np.load(store.path(indices), allow_pickle=False)
    here, *others = _in_order(converted, runtime, delegates)
    found = []
    for place, artifact in enumerate(here):
        first, *rest = (_mapped(each, store) for each in (artifact, *(other[place] for other in others)))
        same = tuple(other for other in rest if other.shape == first.shape)
        name = converted.outputs[place].name if len(here) > 1 and converted.outputs else ""
        found.append(Reference(first, same, rows, name, converted.sequences))
    return tuple(found)


def _in_order(converted: Converted, runtime: str, delegates: tuple[str, ...]) -> list[tuple[Artifact, ...]]:
    """Return the answers that are the reference, then the others, as far as there are any."""
    here, other = converted.answers, converted.other_answers
    if other and runtime in BUILT_IN and not delegates:
        here, other = other, here
    return [here, *(each for each in (other, converted.source_answers) if len(each) == len(here))]


def _mapped(artifact: Artifact, store: Store) -> Array:
    found: Array = np.load(store.path(artifact), mmap_mode="r", allow_pickle=False)
    return found


def compared(board: Array, reference: Reference) -> Deviation:
    """`board` has the rows `reference.rows`, in their order."""
    sums = _Sums(board, reference)
    own = max(filter(math.isfinite, sums.errors), default=0.0)
    columns: tuple[int, ...] = ()
    one_axis = board.ndim == 2 + reference.sequences
    if sums.rows >= LEAST_ROWS_OF_COLUMN and one_axis and reference.width <= MOST_COLUMNS:
        may = np.maximum(TIMES_OWN_ERROR_OF_COLUMN * sums.column_errors, SPREAD_OF_COLUMN * sums.column_spreads)
        columns = tuple(np.flatnonzero((sums.column_distances > may) & (sums.column_spreads > 0)).tolist())
    within = max(AT_LEAST * sums.signal, TIMES_OWN_ERROR * own)
    return Deviation(sums.distance, within, sums.signal, columns)


class _Sums:
    """Root mean squares of what `compared` needs, piece by piece: answers may be large. The steps of sequences count as rows."""

    def __init__(self, board: Array, reference: Reference) -> None:
        width = reference.width
        self.rows = board.size // width
        distance, signal, total = (np.zeros(width) for _ in range(3))
        errors = [np.zeros(width) for _ in reference.others]
        for pieces in _pieces(board, reference):
            piece, theirs, *others = (each.reshape(-1, width) for each in pieces)
            distance += (frameworks.difference(piece, theirs) ** 2).sum(0)
            errors = [
                error + (frameworks.difference(other, theirs) ** 2).sum(0)
                for error, other in zip(errors, others, strict=True)
            ]
            numbers = frameworks.finite(theirs)
            signal += (numbers**2).sum(0)
            total += numbers.sum(0)
        self.distance, self.signal = (float(np.sqrt(each.sum() / (self.rows * width))) for each in (distance, signal))
        self.errors = [float(np.sqrt(each.sum() / (self.rows * width))) for each in errors]
        self.column_distances = np.sqrt(distance / self.rows)
        known = [np.where(np.isfinite(each), each, 0) for each in errors]  # other kernels may answer infinity
        self.column_errors = np.sqrt(np.max([np.zeros(width), *known], axis=0) / self.rows)
        self.column_spreads = np.sqrt(np.maximum(signal / self.rows - (total / self.rows) ** 2, 0))


def _pieces(board: Array, reference: Reference) -> Iterator[list[Array]]:
    """The board's answers to some rows, this host's, and the others."""
    step = max(1, min(CHUNK_ROWS, CHUNK_VALUES // max(1, math.prod(board.shape[1:]))))
    for start in range(0, len(board), step):
        rows = reference.rows[start : start + step]
        yield [
            board[start : start + step],
            *(np.asarray(each[rows]) for each in (reference.answers, *reference.others)),
        ]


def doubt_of(board: Array, reference: Reference) -> Doubt | None:
    """The doubt about an output whose answers on the board are wrong; None: they are right."""
    if board.shape[1:] != reference.answers.shape[1:]:
        how = f"it answers {board.shape[1:]} for a row, and {reference.answers.shape[1:]} on this host"
        return _differs(how, reference)
    if (board.dtype.kind == "f") != (reference.answers.dtype.kind == "f"):
        return _differs(f"it answers {board.dtype}, and {reference.answers.dtype} on this host", reference)
    if not board.size:
        return None
    if board.dtype.kind in "iub":
        return _doubt_of_integers(board, reference)
    found = compared(board, reference)
    if not math.isfinite(found.distance):
        return _differs("one of them answers NaN or infinity where the other answers numbers", reference)
    if found.distance > found.within:
        far, may = (units.percent(each / (found.signal or 1)) for each in (found.distance, found.within))
        rows = units.counted(len(board), "row")
        return _differs(f"{far} apart over {rows}, where other kernels may be {may} apart", reference)
    if found.columns:
        which = ", ".join(map(str, found.columns[:5])) + (", ..." if len(found.columns) > 5 else "")
        return _differs(
            f"{units.counted(len(found.columns), 'column')} of its answers ({which}) "
            f"{'differ' if len(found.columns) > 1 else 'differs'} from this host's",
            reference,
        )
    return None


def _doubt_of_integers(board: Array, reference: Reference) -> Doubt | None:
    """Doubt integers of which more differ than between right answers, and too many for chance."""
    differing, *others = (
        sum(counts) for counts in zip(*map(_counts_that_differ, _pieces(board, reference)), strict=True)
    )
    share, may = differing / board.size, max(AT_LEAST, TIMES_OWN_ERROR * max(others, default=0) / board.size)
    parts = -(-board.size // MOST_TRIALS)
    if share <= may or at_least(differing // parts, board.size // parts, may) > UNLIKELY:
        return None
    rows = units.counted(len(board), "row")
    how = f"{units.percent(share)} of its values differ over {rows}, where {units.percent(may)} may with other kernels"
    return _differs(how, reference)


def _counts_that_differ(pieces: list[Array]) -> list[int]:
    """How many values of the board's, and of each of the others, are not this host's."""
    board, here, *others = pieces
    return [int(np.count_nonzero(each != here)) for each in (board, *others)]


def _differs(how: str, reference: Reference) -> Doubt:
    where = f"the output '{shortened(reference.output, 100)}', " if reference.output else ""
    return Doubt(
        what="golden differs",
        evidence=f"this file answers differently on the board and on this host, with the same kernels: {where}{how}",
        remedy=OTHER_ANSWERS,
        invalid=True,
    )


# --- classes

CLASSES_AT_LEAST = 0.01


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
