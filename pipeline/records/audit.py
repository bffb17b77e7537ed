"""What is known of a model's file by reading it: pipeline/audit."""

from pipeline.records.base import Record


class Island(Record, frozen=True):
    """Floating point operators in a row, in a file that computes in integers."""

    maker: str  # the operator that begins it
    at: str  # the name of what that operator makes
    operators: int
    kinds: tuple[str, ...]  # of all its operators
    macs: int | None


class Waste(Record, frozen=True):
    """Work that gives nothing."""

    what: str
    operators: int
    at: str  # the name of what the first of them makes


class Border(Record, frozen=True):
    """An input or an output of the file. real = scale * (stored - zero point)."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None
    scale: float | None = None
    zero_point: int | None = None


class Share(Record, frozen=True):
    """The operators of one kind of arithmetic."""

    operators: int
    macs: int
    macs_ratio: float | None  # of all multiply-accumulates; None: there are none, or some are not known


class AuditedOperator(Record, frozen=True):
    """One operator, in the order of the file."""

    kind: str
    version: int
    name: str  # of what it makes
    dtype: str  # of what it makes
    shape: tuple[int | None, ...] | None
    arithmetic: str  # pipeline/audit/kinds.py
    stored: str  # the type of its weights where it is smaller
    parameters: int  # numbers that the file holds for it
    macs: int | None
    graph: int = 0  # 0: it runs with each inference; else in a branch, a loop or a function of the file


class Runs(Record, frozen=True):
    """Whether a runtime can run the file. None: nothing that was probed tells."""

    runtime: str
    version: str
    can: bool | None
    why: str = ""


class Audit(Record, frozen=True):
    """One file."""

    file: str
    family: str
    size_bytes: int
    operators: tuple[AuditedOperator, ...]
    shares: dict[str, Share]
    macs: int | None
    parameters: int
    islands: tuple[Island, ...]
    waste: tuple[Waste, ...]
    moves: dict[str, int]  # operators that copy and compute nothing
    inputs: tuple[Border, ...]
    outputs: tuple[Border, ...]
    activation_bytes: int | None  # the most that values between operators take at once
    constant_bytes: int | None
    needs: str  # operator set, IR or the lowest runtime that the file claims
    runs: tuple[Runs, ...]
    is_what_it_claims: bool | None  # None: its name claims nothing
    findings: tuple[str, ...]  # sentences
