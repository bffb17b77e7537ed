"""Metrics of sequences of symbols: word and character error rate, and greedy decoding of CTC answers."""

from collections.abc import Hashable, Sequence

import numpy as np

from pipeline.quality.statistic import Array, Quotient


def error_rate(truths: Sequence[Sequence[Hashable]], found: Sequence[Sequence[Hashable]]) -> Quotient:
    """Return the edits of all rows over the length of all truths: of lists of words the word error rate, of texts that of characters.

    Nothing is stripped or folded: spaces and capitals count, unless the caller removes them.
    """
    edits = [edit_distance(truth, one) for truth, one in zip(truths, found, strict=True)]
    return Quotient(np.array(edits, np.float64), np.array([len(each) for each in truths], np.float64))


def edit_distance(truth: Sequence[Hashable], found: Sequence[Hashable]) -> int:
    """Return the fewest insertions, deletions and substitutions from one to the other (Levenshtein)."""
    numbers: dict[Hashable, int] = {}
    columns = np.array([numbers.setdefault(each, len(numbers)) for each in found], np.int64)
    index = np.arange(len(found) + 1)
    row = index
    for place, symbol in enumerate(truth, 1):
        change = np.minimum(row[1:] + 1, row[:-1] + (columns != numbers.get(symbol, -1)))
        row = np.minimum.accumulate(np.append(place, change) - index) + index
    return int(row[-1])


def greedy_ctc(scores: Array, blank: int = 0) -> list[int]:
    """Return the symbols of (steps, symbols) scores: the best of each step, without repeats, then without blanks (Graves et al. 2006)."""
    best = np.asarray(scores).argmax(-1)
    changes = np.append(True, best[1:] != best[:-1])
    return [int(each) for each in best[changes] if each != blank]
