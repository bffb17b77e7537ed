"""Answers for many rows at once, of models whose rows do not know of each other."""

from pathlib import Path

import numpy as np

from pipeline.frameworks.feeds import Feeds
from pipeline.frameworks.rows import BATCH_ROWS, Array, Count
from pipeline.frameworks.runner import Answers, Runner, row_of

SAME = 1e-3
"""How far an answer may be from that in another batch, as a share of the largest: rounding alone is 1,000 times smaller."""


def in_batches(runner: Runner, feeds: Feeds) -> bool:
    """Return whether rows can be put together: all shapes have an open batch, and the first rows have the same answers together as
    alone. A model may mean its whole batch, or give another number of rows than it takes.
    """
    outputs_batch = all(each.shape is not None and each.shape[:1] == (None,) for each in runner.outputs)
    if not feeds.batched or not outputs_batch:
        return False
    rows = min(2, feeds.rows)
    together = runner.run(feeds.batch(0, rows))
    alone = [runner.run(next(feeds.steps(index))) for index in range(rows)]
    return all(
        len(block) == rows and all(_alike(block[index], row_of(alone[index][place])) for index in range(rows))
        for place, block in enumerate(together)
    )


def batched_answers(runner: Runner, feeds: Feeds, folder: Path, count: Count) -> tuple[Array, ...]:
    """As `Runner.answers`, where rows can be put together."""
    found = Answers(folder, feeds.rows, runner.outputs, runner.name)
    for start in range(0, feeds.rows, BATCH_ROWS):
        found.add_block(start, runner.run(feeds.batch(start, start + BATCH_ROWS)))
        count(min(start + BATCH_ROWS, feeds.rows), feeds.rows)
    return found.arrays()


def _alike(one: Array, other: Array) -> bool:
    if one.shape != other.shape:
        return False
    most = SAME * float(np.abs(other.astype(np.float64)).max(initial=0))
    return bool(np.allclose(one.astype(np.float64), other.astype(np.float64), rtol=0, atol=most, equal_nan=True))
