"""Stage 1, load: the model, its data."""

from pipeline.records.base import Record, Sha256


class Artifact(Record, frozen=True):
    """A file in the store, known by its content."""

    sha256: Sha256
    format: str  # keras, tflite, onnx, npy or codebook
    size_bytes: int


class TensorSpec(Record, frozen=True):
    """Shape without the batch axis; None is an axis of any length."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


class Model(Record, frozen=True):
    name: str
    artifact: Artifact
    input: TensorSpec | None  # None: this host has nothing that can read the file (no extra installed)
    output: TensorSpec | None
    parameters: int | None  # None: the file's format does not say
    accuracy_ratio: float | None = None  # on the evaluation rows, by the framework that made the model
    outputs: Artifact | None = None  # what the model answered for the evaluation rows, (rows, ...) float32 .npy
    classes: bool = False  # the answers are scores of classes: labels say so, or each is a distribution


class Rows(Record, frozen=True):
    """One set of rows of the data, kept in the store: `x` float32/int (rows, ...), `y` integer labels (rows,)."""

    x: Artifact
    y: Artifact | None
    rows: int
    row_shape: tuple[int, ...]
    dropped_rows: int = 0  # left out because the same row is in the evaluation set


class Data(Record, frozen=True):
    training: Rows | None = None
    calibration: Rows | None = None
    evaluation: Rows | None = None


class Loaded(Record, frozen=True):
    model: Model
    data: Data
    baseline: Artifact | None = None  # [compare] baseline: the deployable file to judge against
