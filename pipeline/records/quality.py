"""What a model is for, and how good its answers are."""

from pipeline.records.artifact import Artifact
from pipeline.records.base import Record


class Task(Record, frozen=True):
    """The task of a plan, by pipeline/quality/table.py: kind, metric, and the settings of the metric."""

    kind: str
    metric: str
    title: str  # of the metric
    higher_is_better: bool
    ratio: bool  # the metric lies from 0 to 1, and a change is given in points; else it has the unit of the answers
    threshold: float = 0.5  # of a probability, from which on it counts as true
    ignored: int | None = 255  # the label of pixels that count nowhere
    blank: int = 0  # the symbol of CTC for none
    share: float = 0.2  # of an object's size, within which a keypoint is right


class Quality(Record, frozen=True):
    """The metric of the task on evaluation rows."""

    value: float
    rows: int
    statistic: Artifact  # what each row contributes, .npz: pipeline/quality/kept.py
