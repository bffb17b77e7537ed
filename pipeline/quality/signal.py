"""How much of each output a file keeps, in dB, and which parts of it are dead: one error over a whole output cannot see a score of 0 to 1
next to pixel coordinates.

The signal is what varies over the rows, and the noise is the squared error: 0 dB is what an answer reaches that is the same for all rows.
"""

import math
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from pipeline.quality.statistic import Array, Floats
from pipeline.records import Converted, Model, Signal, Task
from pipeline.safe_text import shortened

DEAD_DB = 1.0  # with this or less, the error is as large as all that varies
LEAST_ROWS = 16  # of fewer, nothing is called dead
MOST_CHANNELS = 256  # of an axis: more are pixels or time
MOST_VALUES = 1 << 22  # of a row: more are judged as a whole
LITTLE = 0.05  # of what lies from 0 to 1: a score that varies by less is nowhere near a decision, and 8 bits are right to call it 0
CHUNK_VALUES = 1 << 21
ALIKE = frozenset({"classification", "embedding", "reconstruction", "segmentation"})
"""Kinds of tasks whose channels are of one unit and mean something together only: classes that are never likely, pixels that stay dark."""


def signals(
    outputs: Sequence[Array],
    sources: Sequence[Array],
    names: Sequence[str],
    alike: Collection[int] = (),
) -> tuple[Signal, ...]:
    """Return the signal of each output of floating point, (rows, ...) alike, against the model's. `names`: "" where there is one.
    `alike`: those whose channels mean something together only.
    """
    found = []
    for place, (output, source, name) in enumerate(zip(outputs, sources, names, strict=True)):
        if output.shape == source.shape and output.dtype.kind == source.dtype.kind == "f" and output.size:
            found.append(_signal(output, source, name, alike=place in alike))
    return tuple(found)


def alike_outputs(about: Model | Converted, tasks: Sequence[Task]) -> set[int]:
    """Return the outputs whose channels are of one unit and mean something together only: classes, and what a task says."""
    return ({about.scored} if about.classes else set()) | {each.scored for each in tasks if each.kind in ALIKE}


class _Sums:
    """What is summed of each value of a row over the rows: the variance of the source, the mean squared error, the range of the source."""

    @np.errstate(invalid="ignore", over="ignore")  # a file may answer infinity
    def __init__(self, output: Array, source: Array) -> None:
        rows, width = len(output), math.prod(output.shape[1:])
        squares, total, total_squares = np.zeros((3, width))
        self.low, self.high = np.full(width, np.inf), np.full(width, -np.inf)
        middle = np.nan_to_num(np.asarray(source[0], np.float64).ravel())  # sums of squares far from zero lose digits
        for answers, exact in _pieces(output, source, width):
            squares += np.square(answers - exact).sum(0)
            total += (exact - middle).sum(0)
            total_squares += np.square(exact - middle).sum(0)
            self.low, self.high = np.minimum(self.low, exact.min(0)), np.maximum(self.high, exact.max(0))
        self.noise = squares / rows
        self.varied = np.maximum(total_squares / rows - np.square(total / rows), 0.0)
        self.varied[self.high == self.low] = 0.0


def _pieces(output: Array, source: Array, width: int) -> Iterator[tuple[Floats, Floats]]:
    step = max(1, CHUNK_VALUES // max(1, width))
    for start in range(0, len(output), step):
        both = (np.asarray(each[start : start + step], np.float64).reshape(-1, width) for each in (output, source))
        answers, exact = both
        unknown = ~np.isfinite(exact)  # where the model has no number, a file can keep none
        yield np.where(unknown, 0.0, answers), np.where(unknown, 0.0, exact)


def _signal(output: Array, source: Array, name: str, *, alike: bool) -> Signal:
    """`alike`: its channels mean something together only."""
    sums, shape = _Sums(output, source), output.shape[1:]
    enough = len(output) >= LEAST_ROWS
    whole = _of_channels(sums, (math.prod(shape),), None)
    found = Signal(output=name, snr_db=_known(whole.db[0]), dead=bool(enough and whole.dead[0]))
    if math.prod(shape) > MOST_VALUES:
        return found
    axes = [axis for axis in reversed(range(len(shape))) if 2 <= shape[axis] <= MOST_CHANNELS]
    channels = {axis: _of_channels(sums, shape, axis) for axis in axes}
    if not channels:
        return found
    axis = next((axis for axis, each in channels.items() if each.dead.any()), axes[0])
    dead = np.flatnonzero(channels[axis].dead) if enough and not alike else np.zeros(0, int)
    return Signal(
        output=name,
        snr_db=found.snr_db,
        dead=found.dead,
        axis=axis + 1,
        channels_db=tuple(_known(each) for each in channels[axis].db),
        dead_channels=tuple(dead.tolist()),
    )


class _Channels:
    """(channels,) each."""

    def __init__(self, db: Floats, dead: Array) -> None:
        self.db, self.dead = db, dead


def _of_channels(sums: _Sums, shape: tuple[int, ...], axis: int | None) -> _Channels:
    """Return the channels along an axis of a row; None: all of it as one."""
    others = tuple(each for each in range(len(shape)) if each != axis)

    def together(values: Floats, how: np.ufunc) -> Floats:
        found: Floats = np.atleast_1d(how.reduce(values.reshape(shape), axis=others))
        return found

    varied, noise = together(sums.varied, np.add), together(sums.noise, np.add)
    low, high = together(sums.low, np.minimum), together(sums.high, np.maximum)
    with np.errstate(divide="ignore", invalid="ignore"):
        db = np.where((varied > 0) & (noise > 0), 10 * (np.log10(varied) - np.log10(noise)), np.nan)
    little = (low >= 0) & (high <= 1) & (together(sums.high - sums.low, np.maximum) < LITTLE)
    return _Channels(db, (db <= DEAD_DB) & ~little)


def _known(db: float) -> float | None:
    return None if math.isnan(db) else float(db)


def sentence(signal: Signal) -> str:
    """Say what of it is dead; "" where nothing is."""
    where = f" in the output '{shortened(signal.output, 100)}'" if signal.output else ""
    if signal.dead:
        return f"its answers{where} are dead: they are as far from the model's as those vary over the rows ({signal.snr_db:.1f} dB)"
    if not signal.dead_channels:
        return ""
    many, of = len(signal.dead_channels), len(signal.channels_db)
    which = ", ".join(map(str, signal.dead_channels[:5])) + (", ..." if many > 5 else "")
    return (
        f"{many} of the {of} along axis {signal.axis} of its answers{where} ({which}) {'are' if many > 1 else 'is'} dead: as far from the "
        "model's as those vary over the rows"
    )


REMEDY = (
    "Values of very different size in one output share one scale of 8 bits, and the small ones become 0. Let the model answer them in outputs of "
    "their own, or of one size: boxes from 0 to 1, as the scores are."
)
