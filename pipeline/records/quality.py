"""What a model is for, and how good its answers are."""

from collections.abc import Sequence

import msgspec

from pipeline.records.artifact import Artifact
from pipeline.records.base import Record


class Detector(Record, frozen=True):
    """How boxes are read from the answers of a detector, and from labels: pipeline/quality/kinds/detection.py."""

    head: str  # ssd, yolo, anchors or boxes
    outputs: dict[str, str] = msgspec.field(
        default_factory=dict
    )  # boxes, classes, scores, count: the output that has them; {}: by shapes and values
    classes: int | None = None  # of yolo: how many there are
    objectness: bool | None = None  # of yolo: whether each box has one more value before those of its classes
    anchors: tuple[tuple[int, int], ...] = ()  # of anchors: the stride of each layer, and the boxes of its cells
    first_class: int = 0  # the label of the model's class 0
    least_score: float = 0.001  # of boxes that are counted: average precision needs low ones, too
    overlap: float | None = None  # from which on the weaker of two boxes of a class is left out; None: the head's own
    unit: str | None = None  # of answers: pixels, or shares of the picture; None: pixels where a number is above 2
    label_unit: str | None = None  # the same of labels
    picture: tuple[int, int] | None = None  # width and height in pixels; None: of the model's input


class Task(Record, frozen=True):
    """The task of a plan, by pipeline/quality/table.py: kind, metric, and the settings of the metric."""

    kind: str
    metric: str
    title: str  # of the metric
    higher_is_better: bool
    ratio: bool  # the metric lies from 0 to 1, and a change is given in points; else it has the unit of the answers
    output: str | None = None  # that labels are compared with; None: the only one
    # of the model's outputs in their order, by which all files of it are judged: a pass or a format may rename them; (): it cannot be read here
    names: tuple[str, ...] = ()
    threshold: float = 0.5  # of a probability, from which on it counts as true
    ignored: int | None = 255  # the label of pixels that count nowhere
    blank: int = 0  # the symbol of CTC for none
    share: float = 0.2  # of an object's size, within which a keypoint is right
    postprocess: str | None = (
        None  # "module:function" next to the plan: what makes of the outputs those that are judged
    )
    code: str = ""  # changes with the source of the user's own functions
    detector: Detector | None = None
    name: str = ""  # what labels, limits and reports call it, where the plan has several tasks; "": it is the only one

    @property
    def scored(self) -> int:
        """Which of the outputs, by `names`, labels are compared with; 0 where the task has several, or some of its own making."""
        return self.names.index(self.output) if self.output in self.names else 0


class Quality(Record, frozen=True):
    """The metric of a task on evaluation rows."""

    value: float
    rows: int
    statistic: Artifact  # what each row contributes, .npz: pipeline/quality/kept.py
    others: dict[str, float] = msgspec.field(default_factory=dict)  # what else a metric of the user's own says
    task: str = ""  # its name, as Task has it


def quality_of(qualities: Sequence[Quality], task: Task) -> Quality | None:
    """Return the quality of that task; None: it has none."""
    return next((each for each in qualities if each.task == task.name), None)


class Alike(Record, frozen=True):
    """How like its model's the answers of a file are, in the terms of a task and without labels: pipeline/quality/likeness.py."""

    title: str  # of the number
    value: float
    task: str = ""  # its name, as Task has it


class Signal(Record, frozen=True):
    """One output of a file against the model that it was made from: 10 log10(variance over the rows / mean squared error), in dB.

    None: nothing differs, or nothing varies.
    """

    output: str  # its name; "": there is one
    snr_db: float | None
    dead: bool = False  # its error is as large as all that varies in it
    axis: int | None = (
        None  # of the answers, whose first axis is that of the rows; None: no axis is short enough to have channels
    )
    channels_db: tuple[float | None, ...] = ()  # along that axis
    dead_channels: tuple[int, ...] = ()
