"""Stage 3, convert: the files that can run on a board."""

from pipeline.records.artifact import Artifact
from pipeline.records.base import Record
from pipeline.records.model import TensorSpec
from pipeline.records.quality import Alike, Quality, Signal
from pipeline.records.subject import Step, file_of


class Processor(Record, frozen=True):
    """The processor of the board that files are made for."""

    arch: str = ""  # uname -m, or "arm"; "": not known
    integer_dot_product: bool | None = None  # x86: VNNI; None: not known
    told_by: str = ""


class Agreement(Record, frozen=True):
    """A converted file against the model that it was made from (a baseline: against the plan's model), on the
    evaluation rows, on this host.
    """

    rows: int
    largest_error: float  # in units of the output, and so are these two
    error_rms: float | None  # root mean square; None here and below: an older run
    spread: (
        float | None
    )  # standard deviation of the model's answers over the rows: what an error is large or small against
    top1_agreement_ratio: float | None  # None: the answers are not class scores
    accuracy_ratio: float | None
    source_accuracy_ratio: float | None
    qualities: tuple[Quality, ...] = ()  # of the plan's tasks; the source's are Model.qualities
    output: str = ""  # of several, the worst: the one that the errors above are of; "": there is one
    signals: tuple[Signal, ...] = ()  # of each output of floating point
    alike: tuple[Alike, ...] = ()  # to the model in the terms of each task that has such a number


class Converted(Record, frozen=True):
    variant: str  # one of VARIANTS, or a step's
    format: str  # a name of pipeline.convert.table.CONVERTERS
    artifact: Artifact
    agreement: Agreement | None  # None: no evaluation data, or no runtime for it on this host
    inputs: tuple[TensorSpec, ...] = ()  # in the order of the model's, and so are outputs; (): nothing here can read it
    outputs: tuple[TensorSpec, ...] = ()
    state: tuple[tuple[str, str], ...] = ()  # as Model's, and so is this
    sequences: bool = False
    answers: tuple[Artifact, ...] = ()  # the host's for the evaluation rows, of each output: as Model.answers
    # the same of other kernels of this host: LiteRT's without a delegate, ONNX Runtime's without fused integer ones; (): they would
    # compute the same, since nothing is quantized
    other_answers: tuple[Artifact, ...] = ()
    source_answers: tuple[Artifact, ...] = ()  # of the model that it was made from; (): unknown, or it is that model
    notes: tuple[str, ...] = ()  # sentences: what should be known of a file that works
    kind: str = ""  # float32, int8, "float with int8 weights", ... by its tensors; "": no runtime for it on this host
    classes: bool = False  # as Model's, and so is this
    scored: int = 0
    name: str = ""  # of a file that was given; "": it was made
    role: str = ""  # candidate or baseline, where the plan has a baseline
    step: Step | None = None  # of a model between two passes

    @property
    def file(self) -> str:
        return file_of(self.variant, self.format, self.name, self.role)
