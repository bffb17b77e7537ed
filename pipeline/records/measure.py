"""Stage 5, measure: each file in each runtime."""

from pipeline.records.artifact import Artifact
from pipeline.records.base import Record
from pipeline.records.doubt import Doubt
from pipeline.records.energy import Energy
from pipeline.records.pairs import EnergyPaired, Paired
from pipeline.records.quality import Alike, Quality, Signal
from pipeline.records.subject import VARIANTS, Step, Subject, subject_of


class Latency(Record, frozen=True):
    """Steady state, of one inference: of whole inputs (`TensorSpec.fixed`), of sequences of one step.

    `median_s` is the median of the launches' medians (a launch is a fresh process); `low_s` to `high_s` is its
    distribution-free interval at 95 % or more, from 6 launches on (pipeline/statistics/order.py).
    """

    launches: int
    runs: int
    median_s: float
    low_s: float
    high_s: float
    p10_s: float
    p90_s: float
    p99_s: float | None  # None: fewer than 662 runs (MLPerf's floor for a p99 at 99 % confidence)
    min_s: float
    launch_medians_s: tuple[float, ...]  # in the order of the rounds
    launch_p10_s: tuple[float, ...]
    histogram_edges_s: tuple[float, ...]
    histogram_counts: tuple[int, ...]


class MemoryStep(Record, frozen=True):
    step: str  # python, runtime_imported, model_loaded, allocated (where that is a step of its own), inputs_ready, first_inference, end
    resident_bytes: int | None  # None: this kernel does not report it
    anonymous_bytes: int | None
    file_bytes: int | None
    private_dirty_bytes: int | None = None


class Memory(Record, frozen=True):
    """The model's own share is the growth of anonymous memory from "runtime imported" to the end, without the rows made ready."""

    steps: tuple[MemoryStep, ...]  # of the launch with the median peak
    peak_bytes: int | None
    model_anonymous_bytes: int | None  # the median of the launches
    launch_growth_bytes: tuple[
        int, ...
    ] = ()  # the model's own share in each launch; (): this kernel does not report it
    launch_peak_bytes: tuple[int, ...] = ()
    # what the board had less of at the end; None: the runtime uses no GPU that shares it
    gpu_shared_bytes: int | None = None


class Operator(Record, frozen=True):
    """One kernel that the runtime runs in each inference; it may stand for several operators of the file that were fused."""

    name: str
    kind: str
    shapes: str  # of its inputs and outputs; "": the runtime does not report it
    mean_s: float  # of all runs but the slowest tenth
    runs: int


class BoardAccuracy(Record, frozen=True):
    """What the board answered for the evaluation rows: classes, or numbers where they are not classes."""

    rows: int
    accuracy_ratio: float | None  # None: no labels
    differs_from_host_ratio: float | None  # top-1 differs from the same file on the host; None: no host runtime
    answers: Artifact | None  # top-1 class of each row as the board answered, int64 .npy; None: no classes
    error_rms: float | None = None  # no classes: against the same file on the host, in units of the output
    spread: float | None = None  # standard deviation of the host's answers over the rows
    qualities: tuple[Quality, ...] = ()  # of the plan's tasks, by what the board answered
    output: str = ""  # of several, the worst: the one that the error is of; "": there is one
    signals: tuple[Signal, ...] = ()  # of each output, against the model that the file was made from
    alike: tuple[Alike, ...] = ()  # to that model, in the terms of each task that has such a number


class EndToEnd(Record, frozen=True):
    """One row through [task] preprocess, the model and postprocess on the board, timed as one in launches of their own."""

    latency: Latency | None  # None: it was not measured, and a doubt says why
    # medians of the launches' medians; preprocess with bringing a row into the form that the model takes, postprocess with reading the answers
    preprocess_s: float = 0.0
    inference_s: float = 0.0
    postprocess_s: float = 0.0
    rows: int = 0  # in rotation
    doubts: tuple[Doubt, ...] = ()
    raw: Artifact | None = None  # every launch as the agent sent it, JSON lines

    @property
    def shares(self) -> tuple[float, float, float]:
        """Return the shares of preprocess, inference and postprocess in their sum."""
        parts = (self.preprocess_s, self.inference_s, self.postprocess_s)
        whole = sum(parts) or 1.0
        before, model, after = (each / whole for each in parts)
        return before, model, after


class Conditions(Record, frozen=True):
    """The state of the board at one moment. None: it does not report it."""

    temperature_c: float | None
    cpu_khz: int | None
    governor: str | None
    throttle_flags: int | None
    load_average: float | None
    cpu_pressure_ratio: float | None  # share of the last 10 s in which some task waited for a CPU
    available_bytes: int | None


class Measurement(Record, frozen=True):
    variant: str
    format: str
    artifact: Artifact
    runtime: str
    runtime_version: str
    threads: int
    cold_start_s: float | None  # from the start of the process to the first answer; None: an older run
    import_s: float
    load_s: float
    first_inference_s: float
    warmup_runs: int
    latency: Latency
    memory: Memory
    energy: Energy
    accuracy: BoardAccuracy | None
    before: Conditions
    after: Conditions
    doubts: tuple[Doubt, ...]
    raw: Artifact  # every launch as the agent sent it, JSON lines: nanoseconds and bytes
    operators: tuple[Operator, ...] = ()  # in the order in which they ran, in a launch of their own
    operators_note: str = ""  # where they come from, or why there are none; "": not requested
    swept: bool = False  # with other threads than those that limits judge
    name: str = ""  # as Converted's, and so are these three
    role: str = ""
    kind: str = ""
    step: Step | None = None
    # the first of its own answers, of a launch that answered all rows: what its other launches answer, too (wire.Launched.golden)
    golden: tuple[float, ...] | None = None
    end_to_end: EndToEnd | None = None  # None: the plan does not time it

    @property
    def subject(self) -> Subject:
        return subject_of(self, self.runtime, self.threads if self.swept else None)

    @property
    def label(self) -> str:
        return self.subject.label

    @property
    def file(self) -> str:
        return self.subject.file

    @property
    def of_step(self) -> bool:
        """Whether it is of a model between two passes: measured for the ledger, not asked for."""
        return self.variant not in VARIANTS

    @property
    def trusted(self) -> bool:
        """Whether its latency may be printed without a mark."""
        return not any(doubt.touches == "latency" for doubt in self.doubts)

    @property
    def valid(self) -> bool:
        """Whether its latency may be used at all."""
        return not any(doubt.invalid for doubt in self.doubts if doubt.touches == "latency")


class NotMeasured(Record, frozen=True):
    """A file that this board could not run."""

    variant: str
    format: str
    runtime: str
    evidence: str
    remedy: str
    threads: int | None = None  # where it is not the number that is judged
    name: str = ""  # as Converted's, and so are these two
    role: str = ""
    step: Step | None = None

    @property
    def swept(self) -> bool:
        return self.threads is not None

    @property
    def subject(self) -> Subject:
        return subject_of(self, self.runtime, self.threads)

    @property
    def label(self) -> str:
        return self.subject.label


class Measured(Record, frozen=True):
    measurements: tuple[Measurement, ...]
    failures: tuple[NotMeasured, ...] = ()
    paired: tuple[Paired, ...] = ()
    energy_paired: tuple[EnergyPaired, ...] = ()
    unpaired: tuple[NotMeasured, ...] = ()  # that should have been measured in pairs, and could not be
    seed: int = 0  # of the order of launches
    # of all launches of files alone together, with the page cache charged to them; None: the board does not report it
    job_peak_bytes: int | None = None
