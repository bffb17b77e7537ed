"""Stage 2, compress: what each pass did."""

from typing import Any

from pipeline.records.artifact import Artifact
from pipeline.records.base import Record
from pipeline.records.model import Model


class SensitivityPoint(Record, frozen=True):
    """What one change to one part of the model does to it, nothing else changed and nothing trained."""

    part: str  # a layer, or layers that can only change together
    change: str  # prune_channels, prune_weights or quantize
    amount: float  # the ratio that is pruned, or the bits that a weight keeps
    accuracy_ratio: float | None  # None: the rows have no labels
    agreement_ratio: float | None  # share of rows with the answer of before; None: the answers are not class scores
    error: float  # root mean square difference of the answers, in units of the output


UNTRAINED = "The weights of before the training are kept"
"""In the note of a pass whose training ended worse than it began."""


class PassReport(Record, frozen=True):
    """What one pass did to the model. `claims` is what `ensures` found to be really there."""

    name: str
    settings: dict[str, Any]
    model: Model  # as the pass left it
    parameters_before: int
    parameters_after: int
    nonzero_before: int
    nonzero_after: int
    multiply_accumulates_before: int | None  # of one inference; None: the graph does not show it
    multiply_accumulates_after: int | None
    raw_before_bytes: int  # the weights as they are
    raw_after_bytes: int
    deflated_before_bytes: int  # the weights, zlib level 6: what the file weighs in a compressed download
    deflated_after_bytes: int
    accuracy_before_ratio: float | None
    accuracy_after_ratio: float | None
    claims: dict[str, float]
    seconds: float
    notes: tuple[str, ...] = ()  # what was left as it was and why, what does not pay
    container: Artifact | None = None  # the weights in the pass's own packed form (docs/codebook.md)
    sensitivity: tuple[SensitivityPoint, ...] = ()


class Compressed(Record, frozen=True):
    model: Model
    passes: tuple[PassReport, ...]
