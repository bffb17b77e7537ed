"""The tables of a plan, and what may stand in each."""

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the plan's tables."""


CONTROL_FREE = r"^[^\x00-\x1f]*$"
Text = Annotated[str, Meta(min_length=1, max_length=4000, pattern=CONTROL_FREE)]
"""A path or a name: nothing in it that no file and no board is called by."""
TextOrMore = Annotated[str, Meta(min_length=1, max_length=4000)]
"""As Text, where a list or a table may stand, too. `_check_text` has its pattern: msgspec 0.22 frees that of such a union twice, and crashes."""


def _check_text(key: str, value: object) -> None:
    """Raise ValueError for a TextOrMore that Text would refuse."""
    if isinstance(value, str) and re.search(CONTROL_FREE, value) is None:
        raise ValueError(f"{key} has a line break or another control character in it")


Name = Annotated[str, Meta(min_length=1, max_length=1000, pattern=CONTROL_FREE)]
"""Of an input or output."""
Length = Annotated[int, Meta(ge=1, le=2**31)]


class ModelTable(Table, frozen=True):
    path: Text
    signature: Name | None = None  # of a file that has several; None: the default one, or the only one
    # of an input that no row fixes: one number, or lists in lists with its shape
    constants: dict[Name, float | int | bool | list[Any]] = {}
    shape: dict[
        Name, Annotated[tuple[Length, ...], Meta(max_length=8)]
    ] = {}  # of the whole tensor; else the rows fix open axes
    state: dict[
        Name, Name
    ] = {}  # input = "output": what the model passes from one step to the next; rows are then sequences
    sequences: bool = False  # rows are sequences also without `state`: the model keeps it inside
    custom_objects: Text | None = None  # "module:function" next to the plan: the model's own classes, by name


class DataTable(Table, frozen=True):
    """Each is an .npz or .npy file, a folder of .npy files, or "module:function" next to the plan: docs/data.md."""

    training: Text | None = None
    calibration: Text | None = None
    evaluation: Text | None = None
    raw: bool = False  # rows for quantized inputs are integers as the file holds them, and not real values
    nonfinite: bool = False  # evaluation rows may hold NaN and infinity


class ConvertTable(Table, frozen=True):
    formats: tuple[str, ...] = ()  # empty: the model's own file, as it is
    # how onnx-int8 writes them; "auto": by the board's processor
    onnx_int8_activations: Literal["auto", "signed", "unsigned", "unsigned-7bit"] = "auto"


class BoardTable(Table, frozen=True):
    name: Text = "local"
    # of a runtime: its version, or a wheel file; others have the versions of targets/provision.py
    runtimes: dict[Text, Text] = {}
    tune: bool = False  # set governor and clocks for the time of the measurement, where the board's user may


MOST_THREADS = 256
Threads = Annotated[int, Meta(ge=1, le=MOST_THREADS)]


class MeasureTable(Table, frozen=True):
    threads: Threads | Annotated[tuple[Threads, ...], Meta(min_length=1, max_length=16)] = 1  # limits judge the first
    cpus: tuple[Annotated[int, Meta(ge=0, le=4095)], ...] = ()  # to be bound to; empty: `threads` of the fastest
    # those to measure, or "all" that this board can have; empty: the best that it can have for each kind of file
    runtimes: tuple[Text, ...] | TextOrMore = ()
    launches: Annotated[int, Meta(ge=1, le=1000)] = 6  # fresh processes per file and runtime; 6 give a 95 % interval
    timed_seconds: Annotated[float, Meta(gt=0, le=3600)] = 0.3  # in each launch
    evaluation_rows: Annotated[int, Meta(ge=1)] | None = None  # on the board; None: all
    # the most that a file's answers may be; where they are more, a part of the rows is answered
    answer_bytes: Annotated[int, Meta(ge=1, le=2**40)] = 200_000_000
    answers: Literal["whole", "float16"] = "whole"  # how the board sends floating point
    temperature_band_c: Annotated[float, Meta(gt=0, le=100)] = 5.0  # above the temperature at the beginning
    # the most that all launches together wait for the band
    cool_seconds: Annotated[float, Meta(ge=0, le=36_000)] = 120.0
    operators: bool = True  # one more launch of each file, in which the runtime profiles its kernels: some 1 s
    end_to_end: bool = False  # also time [task] preprocess and postprocess on the board, together with the model
    # "auto": those that the board has, and those of its table in boards.toml; (): none
    meters: tuple[Text, ...] = ("auto",)
    energy_seconds: Annotated[float, Meta(gt=0, le=600)] | None = None  # None: as long as the slowest meter needs
    energy_idle_seconds: Annotated[float, Meta(ge=1, le=15)] = 10  # before and after
    steps: bool = True  # also the models between two passes, for the ledger: which pass made it faster

    @property
    def thread_counts(self) -> tuple[int, ...]:
        """Each once; the first is what limits judge, the others are measured as well."""
        return (self.threads,) if isinstance(self.threads, int) else tuple(dict.fromkeys(self.threads))

    def __post_init__(self) -> None:
        _check_text("runtimes", self.runtimes)


MOST_TASKS = 100


class TaskTable(Table, frozen=True):
    """What the model is for, or one of its outputs where there are several: docs/tasks.md."""

    kind: (
        Literal[
            "classification",
            "binary",
            "multilabel",
            "regression",
            "segmentation",
            "keypoints",
            "reconstruction",
            "embedding",
            "sequence",
            "detection",
            "custom",
        ]
        | None
    ) = None
    name: Name | None = None  # what labels and limits call it, where there are several; None: as its output
    metric: Text | None = None  # None: the first of its kind
    output: Name | None = None  # that labels are compared with; None: the only one
    # "module:function" next to the plan: of rows before the model is given them, and of its outputs before they are judged
    preprocess: Text | None = None
    postprocess: Text | None = None
    higher_is_better: bool | None = None  # of a metric of the user's own
    threshold: Annotated[float, Meta(gt=0, lt=1)] | None = None
    ignored: Annotated[int, Meta(ge=-1, le=65_535)] | None = None
    blank: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    share: Annotated[float, Meta(gt=0, le=10)] | None = None
    # of detection: pipeline/records/quality.py, Detector
    labels: Text | None = None  # a COCO file with the boxes of the evaluation rows
    head: Literal["ssd", "yolo", "anchors", "boxes"] | None = None
    outputs: dict[Literal["boxes", "classes", "scores", "count"], Name] | None = None
    classes: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    objectness: bool | None = None
    anchors: (
        Annotated[tuple[tuple[Length, Annotated[int, Meta(ge=1, le=100)]], ...], Meta(min_length=1, max_length=16)]
        | None
    ) = None
    first_class: Annotated[int, Meta(ge=0, le=1_000_000)] | Literal["listed"] | None = None
    least_score: Annotated[float, Meta(gt=0, lt=1)] | None = None
    overlap: Annotated[float, Meta(gt=0, le=1)] | None = None
    unit: Literal["pixels", "shares"] | None = None
    label_unit: Literal["pixels", "shares"] | None = None
    picture: tuple[Length, Length] | None = None


class TrainingTable(Table, frozen=True):
    """How passes that train learn from labels: docs/training.md."""

    loss: TextOrMore | dict[Name, Text] | None = (
        None  # of the output, or of each by its name; None: the compiled model's
    )
    loss_weights: dict[Name, Annotated[float, Meta(gt=0, le=1e6)]] = {}
    function: Text | None = None  # "module:function" next to the plan, which trains in place of edgepress's own loop
    augment: Text | None = None  # "module:function" next to the plan, which changes each batch
    class_weight: dict[Annotated[str, Meta(pattern=r"^[0-9]{1,6}$")], Annotated[float, Meta(ge=0, le=1e6)]] = {}

    def __post_init__(self) -> None:
        _check_text("loss", self.loss)

    @property
    def learns(self) -> bool:
        """Return whether labels may have any form: the plan says what learns from them."""
        return self.loss is not None or self.function is not None


class CompareTable(Table, frozen=True):
    baseline: Text | None = None  # a .tflite or .onnx file to judge against, measured again in the same run


# as a share. Not without an end: TOML knows `inf`, which no record can hold and nothing is judged by
MOST_SLOWER = 1000


NotNegative = Annotated[float, Meta(ge=0)]


class LimitsTable(Table, frozen=True):
    """`applies_to` names what is judged: "format" or "format@runtime"; empty: every compressed file."""

    accuracy_drop_points: Annotated[float, Meta(ge=0, le=100)] | None = None
    # of the task's metric, in its unit, of a ratio 0.01 is a point; of several tasks one for all, or for each by its name
    metric_drop: NotNegative | dict[Name, NotNegative] | None = None
    metric_at_least: float | dict[Name, float] | None = None  # of the metric itself, where higher is better
    metric_at_most: float | dict[Name, float] | None = None  # the same, where lower is better
    latency_regression: Annotated[float, Meta(gt=0, le=MOST_SLOWER)] | None = None
    latency_margin: Annotated[float, Meta(ge=0, le=MOST_SLOWER)] | None = (
        None  # a stricter rule: REGRESSED from a smaller change on
    )
    latency_tail: Annotated[float, Meta(gt=0, le=MOST_SLOWER)] = 0.15  # p95 and p99; judged with latency_regression
    # net joules of one inference, by a power meter
    energy_regression: Annotated[float, Meta(gt=0, le=MOST_SLOWER)] | None = None
    energy_margin: Annotated[float, Meta(ge=0, le=MOST_SLOWER)] | None = None  # as latency_margin
    memory_regression_bytes: Annotated[int, Meta(ge=0)] | None = None
    size_bytes: Annotated[int, Meta(ge=0)] | None = None
    applies_to: tuple[str, ...] = ()


# the limits that are shares: they may be written with %
SHARES = ("latency_regression", "latency_margin", "latency_tail", "energy_regression", "energy_margin")


class HostTable(Table, frozen=True):
    """What a process on this machine may take: reading the data, loading, all passes together, each conversion."""

    minutes: Annotated[float, Meta(gt=0, le=100_000)] = 60
    compress_minutes: Annotated[float, Meta(gt=0, le=100_000)] = 1440  # passes may train
    # of all that run at once; None: three quarters of the machine's (pipeline.bounds)
    memory_bytes: Annotated[int, Meta(ge=64 * 2**20, le=2**50)] | None = None


class StateTable(Table, frozen=True):
    """What stays in the state folder after a run; the newest run of each plan and what it needs always does."""

    keep_runs: Annotated[int, Meta(ge=1, le=1_000_000)] = 20  # of this plan
    max_bytes: Annotated[int, Meta(ge=0)] = 5_000_000_000


class Tables(Table, frozen=True):
    model: ModelTable
    data: DataTable = DataTable()
    compress: tuple[dict[str, Any], ...] = ()  # settings belong to the passes: pipeline.compress.settings_of
    convert: ConvertTable = ConvertTable()
    board: BoardTable = BoardTable()
    measure: MeasureTable = MeasureTable()
    task: TaskTable | Annotated[tuple[TaskTable, ...], Meta(min_length=1, max_length=MOST_TASKS)] = TaskTable()
    training: TrainingTable = TrainingTable()
    compare: CompareTable = CompareTable()
    limits: LimitsTable = LimitsTable()
    host: HostTable = HostTable()
    state: StateTable = StateTable()
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0

    @property
    def tasks(self) -> tuple[TaskTable, ...]:
        """The tables of the task, of which there is one unless the plan has [[task]]."""
        return (self.task,) if isinstance(self.task, TaskTable) else self.task
