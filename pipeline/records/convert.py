"""Stage 3, convert: the files that can run on a board."""

from pipeline.records.base import Record
from pipeline.records.model import Artifact
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


class Converted(Record, frozen=True):
    variant: str  # one of VARIANTS, or a step's
    format: str  # a name of pipeline.convert.table.CONVERTERS
    artifact: Artifact
    agreement: Agreement | None  # None: no evaluation data, or no runtime for it on this host
    outputs: Artifact | None = None  # the host's answers for the evaluation rows
    # the same of other kernels of this host: LiteRT's without a delegate, ONNX Runtime's without fused integer ones; None: they would
    # compute the same, since nothing is quantized
    other_outputs: Artifact | None = None
    source_outputs: Artifact | None = (
        None  # what the model that it was made of answered; None: unknown, or it is that model
    )
    notes: tuple[str, ...] = ()  # sentences: what should be known of a file that works
    kind: str = ""  # float32, int8, "float with int8 weights", ... by its tensors; "": no runtime for it on this host
    classes: bool = False  # as Model.classes
    name: str = ""  # of a file that was given; "": it was made
    role: str = ""  # candidate or baseline, where the plan has a baseline
    step: Step | None = None  # of a model between two passes

    @property
    def file(self) -> str:
        return file_of(self.variant, self.format, self.name, self.role)
