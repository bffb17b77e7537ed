"""Stage 1, load: the model, its data."""

from pipeline.records.artifact import Artifact
from pipeline.records.base import Record
from pipeline.records.quality import Quality, Task


class TensorSpec(Record, frozen=True):
    """One input or output, by its name: the order of tensors in a file means nothing.

    `shape` is of the whole tensor, as the model or the file says it: None is an axis of any length. A row of an input is the whole
    tensor, or lacks its first axis where that is 1 or open: which of the two, the data's number of axes says.
    """

    name: str
    shape: tuple[int | None, ...] | None  # None: of an output, any number of axes
    dtype: str  # numpy's name
    tensor: str = ""  # what a runtime calls it: its index in TFLite, its name in ONNX; "" in a Keras model
    axes: tuple[str, ...] = ()  # names of its axes, "" for one that has none; (): the file names none
    # of an input: the whole tensor in one inference on the board; None: neither the file, the plan nor the rows say it
    fixed: tuple[int, ...] | None = None


class Model(Record, frozen=True):
    name: str
    artifact: Artifact
    inputs: tuple[TensorSpec, ...]  # (): this host has nothing that can read the file (no extra installed)
    outputs: tuple[TensorSpec, ...]
    parameters: int | None  # None: the file's format does not say
    # (input, output): each step takes what the one before has answered, the first zeros; such inputs have no rows
    state: tuple[tuple[str, str], ...] = ()
    sequences: bool = False  # a row is a sequence of steps; what the model keeps between them ends with the row
    accuracy_ratio: float | None = None  # on the evaluation rows, by the framework that made the model
    # what the model answered for the evaluation rows, (rows, ...) .npy, of sequences (rows, steps, ...), for each of `outputs`
    answers: tuple[Artifact, ...] = ()
    classes: bool = (
        False  # one of the outputs, `scored`, has scores of classes: labels say so, or each is a distribution
    )
    scored: int = 0  # which of `outputs` labels are compared with
    qualities: tuple[Quality, ...] = ()  # on the evaluation rows, of each task that has labels


class Column(Record, frozen=True):
    """The rows of one input, kept in the store: (rows, ...) .npy."""

    name: str  # of the input
    artifact: Artifact
    shape: tuple[int, ...]  # of a row; of a sequence with its steps
    dtype: str  # numpy's name
    constant: bool = False  # it has one row, which belongs to each row of the others


class Rows(Record, frozen=True):
    """One set of rows of the data, a column for each input of the model that takes any, and integer labels `y` (rows,), or labels of the
    plan's task, `targets` (rows, ...).
    """

    inputs: tuple[Column, ...]
    y: Artifact | None
    rows: int
    targets: Artifact | None = None
    one_hot: int | None = None  # `y` was given as rows of this many zeros with a single 1
    named: tuple[Column, ...] = ()  # labels of outputs, by the output's name, where they were given so
    weights: Artifact | None = None  # of training rows: how much each counts, (rows,) or (rows, 1)
    dropped_rows: int = 0  # left out because the same row is in the evaluation set


class RowsBefore(Record, frozen=True):
    """Some evaluation rows as the user's data has them, before [task] preprocess."""

    columns: tuple[Column, ...]  # by the names that the data gives them
    indices: Artifact  # which rows of the set they are, int64 .npy
    rows: int


class OwnFunction(Record, frozen=True):
    """A function that goes to the board: its file needs nothing but numpy and Python's library."""

    module: str  # the name of the file, without .py
    name: str
    file: Artifact


class EndToEndFunctions(Record, frozen=True):
    """What is timed on the board together with the model, [measure] end_to_end, and what it made of the first of the rows on this host."""

    preprocess: OwnFunction | None
    postprocess: OwnFunction | None
    before: RowsBefore
    fed: dict[str, str]  # input -> the array of preprocess that it takes; of an input with a constant there is none
    outputs: tuple[str, ...]  # what postprocess knows the model's outputs by, in their order
    gives: dict[str, tuple[int, ...]]  # array of postprocess -> its shape for one row


class Data(Record, frozen=True):
    """The rows of a plan, and what its model is for, where the plan says so: a task, or one for each of several outputs."""

    training: Rows | None = None
    calibration: Rows | None = None
    evaluation: Rows | None = None
    tasks: tuple[Task, ...] = ()
    before: RowsBefore | None = None  # where the plan times them on the board; of rows without preprocess there is none
    end_to_end: EndToEndFunctions | None = None


class Loaded(Record, frozen=True):
    model: Model
    data: Data
    baseline: Artifact | None = None  # [compare] baseline: the deployable file to judge against
    notes: tuple[str, ...] = ()  # sentences on how it runs: what keeps state, which signature was taken
