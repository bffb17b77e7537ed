"""Every record that crosses a stage border. Frozen; every number has its unit in its name.

SCHEMA history (`RunRecord.schema`; it rises when a field changes its meaning or goes away):
    1  first
    2  energy is a reading for each meter; latency is judged by pairs
    3  given files are called by their names; answers are classes only where labels, or they themselves, say so; a converted file has the
       answers of other kernels; a measurement has its golden answers
"""

import math
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from pipeline import units

SCHEMA = 3

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all records."""


VARIANTS = ("original", "compressed", "baseline")
"""Of a file. Any other variant is the model behind one pass of a longer chain: `step_variant`."""


def step_variant(number: int, name: str) -> str:
    """The variant of the model as the pass `name` left it, which is the `number`th of the chain."""
    return f"{number}-{name}"


def file_of(variant: str, format_name: str, name: str, role: str) -> str:
    """What a file is called: by its own name where it was given, and by its role where the plan has a baseline."""
    return (name or f"{variant} {format_name}") + (f" ({role})" if role else "")


def label_of(file: str, runtime: str, threads: int | None = None) -> str:
    """The name of one file in one runtime, wherever it is spoken of. `threads`: where it is not the number that is judged."""
    return f"{file} @ {runtime}" + ("" if threads is None else f" x{threads}")


# --- load ---------------------------------------------------------------------------------------------------------


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
    parameters: int | None  # None: the file's format does not tell
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


# --- compress -----------------------------------------------------------------------------------------------------


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
    multiply_accumulates_before: int | None  # of one inference; None: it can not be told from the graph
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


# --- convert ------------------------------------------------------------------------------------------------------


class Processor(Record, frozen=True):
    """Of the board that files are made for."""

    arch: str = ""  # uname -m, or "arm"; "": not known
    integer_dot_product: bool | None = None  # x86: VNNI; None: not known
    told_by: str = ""


class Agreement(Record, frozen=True):
    """A converted file against the model that it was made from (a baseline: against the plan's model), on the
    evaluation rows, on this host.
    """

    rows: int
    largest_error: float  # in units of the output, and so are these two
    error_rms: float  # root mean square
    spread: float  # standard deviation of the model's answers over the rows: what an error is large or small against
    top1_agreement_ratio: float | None  # None: the answers are no scores of classes
    accuracy_ratio: float | None
    source_accuracy_ratio: float | None


class Converted(Record, frozen=True):
    variant: str  # one of VARIANTS, or of `step_variant`
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

    @property
    def file(self) -> str:
        return file_of(self.variant, self.format, self.name, self.role)


# --- deploy -------------------------------------------------------------------------------------------------------


class BoardFacts(Record, frozen=True):
    """What the board said of itself. None: it does not tell."""

    model: str
    cpu: str
    cpu_count: int
    arch: str
    kernel: str
    os: str
    python: str
    libc: str
    memory_bytes: int | None
    cpu_max_khz: int | None
    governor: str | None
    is_board: bool  # False for local and virtual: this machine, which is not the board that will run the model
    emulated: bool = False  # True: its processor is a program, and every timing is of that program


class DeployedRuntime(Record, frozen=True):
    name: str
    sites: tuple[Sha256, ...]  # on the board, one for each of `packages`; (): it needs none
    packages: tuple[str, ...]  # wheel file names
    sent_bytes: int  # 0: was already there


class DeployedFile(Record, frozen=True):
    artifact: Artifact
    sent_bytes: int  # 0: was already there


class DeployedMeter(Record, frozen=True):
    """A power meter that watches the run."""

    name: str
    settings: tuple[tuple[str, str], ...]
    on_board: bool  # False: this machine reads it
    rail: str
    quality: str  # measured, coarse
    period_s: float
    accumulates: bool  # it adds up energy itself


class Deployment(Record, frozen=True):
    target: str
    address: str
    board: BoardFacts
    agent_sha256: Sha256
    agent_sent_bytes: int  # 0: was already there
    first_answer_s: float  # from the authenticated connection to the agent's hello
    runtimes: tuple[DeployedRuntime, ...]
    files: tuple[DeployedFile, ...]
    evaluation: DeployedFile | None = None  # the rows that the board answers, (rows, ...) .npy
    evaluation_indices: Artifact | None = None  # which of the evaluation set's rows they are, int64 .npy
    meters: tuple[DeployedMeter, ...] = ()  # that watch
    note: str | None = None  # why this target and not the one that was asked for

    @property
    def where(self) -> str:
        """The board for people: its name in the plan, and what it said of itself."""
        board = self.board
        known = [name for name in (board.model, board.cpu) if name != "unknown"]
        count = units.counted(board.cpu_count, "CPU")
        return f"{self.target} ({', '.join((*(('emulated',) if board.emulated else ()), *known, count, board.arch))})"

    @property
    def sent_bytes(self) -> int:
        """Everything that had to be sent; 0: it was all on the board already."""
        files = self.files if self.evaluation is None else (*self.files, self.evaluation)
        sent = sum(file.sent_bytes for file in files) + sum(runtime.sent_bytes for runtime in self.runtimes)
        return self.agent_sent_bytes + sent


# --- measure ------------------------------------------------------------------------------------------------------


class Doubt(Record, frozen=True):
    """Why a number should not be trusted, and what would make it trustworthy."""

    what: str
    evidence: str
    remedy: str
    invalid: bool = False  # True: the number must not be used at all
    decides_nothing: bool = False  # True: the number may be shown, but no limit is judged by it
    touches: str = "latency"  # which number: latency, accuracy, energy, or "energy METER"
    withholds: str = ""  # which gate says nothing then: "tail", of the upper quantiles


class Latency(Record, frozen=True):
    """Steady state, one inference, batch 1.

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
    resident_bytes: int | None  # None: this kernel does not tell
    anonymous_bytes: int | None
    file_bytes: int | None
    private_dirty_bytes: int | None = None


class Memory(Record, frozen=True):
    """The model's own share is the growth of anonymous memory from "runtime imported" to the end, without the rows made ready."""

    steps: tuple[MemoryStep, ...]  # of the launch with the median peak
    peak_bytes: int | None
    model_anonymous_bytes: int | None  # the median of the launches
    launch_growth_bytes: tuple[int, ...] = ()  # the model's own share in each launch; (): this kernel does not tell
    launch_peak_bytes: tuple[int, ...] = ()
    # what the board had less of at the end; None: the runtime uses no GPU that shares it
    gpu_shared_bytes: int | None = None


class Operator(Record, frozen=True):
    """One kernel that the runtime runs in each inference; it may stand for several operators of the file that were fused."""

    name: str
    kind: str
    shapes: str  # of its inputs and outputs; "": the runtime does not tell
    mean_s: float  # of all runs but the slowest tenth
    runs: int


class EnergyParts(Record, frozen=True):
    """Half-widths of 95 % intervals, in joules of one inference. A data sheet's limit is taken as one."""

    gain_j: float | None  # of the meter; None: nobody says how exact it is, and the whole is at least the rest
    sampling_j: float  # of what happened between two readings
    sync_j: float  # of the meter's clock against the board's
    idle_j: float  # of the idle power that is subtracted

    @property
    def total_j(self) -> float:
        return math.hypot(self.gain_j or 0.0, self.sampling_j, self.sync_j, self.idle_j)


class PowerSpan(Record, frozen=True):
    what: str  # idle or window; where two files take turns: idle, A or B
    start_s: float
    end_s: float


class PowerCurve(Record, frozen=True):
    """What a meter told over time, for the eye: means over equal steps, so that each keeps its energy. 0 s is the start of the
    window, or of the first block.
    """

    start_s: float
    step_s: float
    watts: tuple[float | None, ...]  # one a step; None: nothing was read for too long
    spans: tuple[PowerSpan, ...]  # in their order


class EnergyReading(Record, frozen=True):
    """What one meter says of one file. Joules are of one inference; None: `invalid` says why there are none."""

    meter: str
    rail: str  # what it measures
    quality: str  # measured, coarse
    inferences: int
    readings: int
    failed: int  # readings that failed, over all of the launch
    window_s: float | None = None
    expected: int | None = None  # readings in the window
    dropped: int | None = None  # of those, missing
    gross_j: float | None = None  # everything
    net_j: float | None = None  # less what the board uses when it waits
    gross: EnergyParts | None = None
    net: EnergyParts | None = None
    idle_before_w: float | None = None
    idle_after_w: float | None = None
    edge_s: float | None = None  # by how much the time of a reading is not known
    invalid: str = ""
    curve: PowerCurve | None = None  # also where it is invalid; None: the trace is none, or its clock is not known


class Energy(Record, frozen=True):
    """One reading for each meter that watched; none: nothing measured it, and `note` says why. Never a guess."""

    readings: tuple[EnergyReading, ...]
    note: str
    # the launch for the meters as the agent sent it, then the traces of this machine, JSON lines
    raw: Artifact | None = None

    @property
    def best(self) -> EnergyReading | None:
        """The one for a table: with a number, measured rather than coarse, in the order of the plan."""
        valid = [one for one in self.readings if one.net_j is not None]
        return min(valid, key=lambda one: one.quality != "measured", default=None)


class BoardAccuracy(Record, frozen=True):
    """What the board answered for the evaluation rows: classes, or, where they are none, numbers."""

    rows: int
    accuracy_ratio: float | None  # None: no labels
    differs_from_host_ratio: float | None  # top-1 differs from the same file on the host; None: no host runtime
    answers: Artifact | None  # top-1 class of each row as the board answered, int64 .npy; None: no classes
    error_rms: float | None = None  # no classes: against the same file on the host, in units of the output
    spread: float | None = None  # standard deviation of the host's answers over the rows


class Conditions(Record, frozen=True):
    """The state of the board at one moment. None: it does not tell."""

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
    cold_start_s: float  # from the start of the process to the first answer
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
    operators_note: str = ""  # where they come from, or why there are none; "": nobody asked
    swept: bool = False  # with other threads than those that limits judge: shown beside them
    name: str = ""  # as Converted's, and so are these two
    role: str = ""
    kind: str = ""
    # the first of its own answers, of a launch that answered all rows: what its other launches answer, too (wire.Launched.golden)
    golden: tuple[float, ...] | None = None

    @property
    def label(self) -> str:
        file = file_of(self.variant, self.format, self.name, self.role)
        return label_of(file, self.runtime, self.threads if self.swept else None)

    @property
    def file(self) -> str:
        """The name of the file, with the threads where they are not those that are judged."""
        file = file_of(self.variant, self.format, self.name, self.role)
        return file + (f" x{self.threads}" if self.swept else "")

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
    name: str = ""  # as Converted's, and so is this
    role: str = ""

    @property
    def swept(self) -> bool:
        return self.threads is not None

    @property
    def label(self) -> str:
        return label_of(file_of(self.variant, self.format, self.name, self.role), self.runtime, self.threads)


class Quantile(Record, frozen=True):
    """`low_s` to `high_s`: its distribution-free 95 % interval over the inferences, which takes each for an independent one."""

    percent: int
    value_s: float
    low_s: float | None  # None: too few runs
    high_s: float | None


class Side(Record, frozen=True):
    """One file over all of its blocks."""

    runs: int
    mean_s: float
    throughput_per_s: float  # inferences, one after the other: 1 / mean
    quantiles: tuple[Quantile, ...]  # 50, 90, 95 and 99 per cent
    pair_p10_s: tuple[float, ...]  # of each pair

    def quantile(self, percent: float) -> float | None:
        return next((each.value_s for each in self.quantiles if each.percent == percent), None)


class TailRatios(Record, frozen=True):
    percent: int
    log_ratios: tuple[float, ...]  # of this quantile, candidate / baseline, one a pair


class Glance(Record, frozen=True):
    """The board just behind one block. None: it does not tell."""

    t_s: float  # since the first block
    end_s: float
    pair: int
    side: str  # A, the baseline, or B
    cpu_khz: int | None
    temperature_c: float | None


class Paired(Record, frozen=True):
    """A candidate and its baseline that took turns on the board: what the verdict on latency rests on."""

    subject: str
    baseline_subject: str
    margin: float  # by these it was decided when enough was measured
    limit: float
    log_ratios: tuple[float, ...]  # candidate / baseline, one a pair, in their order: pipeline/measure/pairs/ratio.py
    tails: tuple[TailRatios, ...]
    baseline: Side
    candidate: Side
    seconds: float
    glances: tuple[Glance, ...]
    doubts: tuple[Doubt, ...]
    raw: Artifact  # every pair as the agent sent it, JSON lines, gzip


class EnergyPaired(Record, frozen=True):
    """A candidate and its baseline that took turns under one power meter: what the verdict on energy rests on, or in `doubts`
    why there is none.
    """

    subject: str
    baseline_subject: str
    margin: float
    limit: float
    meter: str = ""  # "": none
    quality: str = ""  # measured, coarse
    log_ratios: tuple[float, ...] = ()  # candidate / baseline, net joules of one inference, one a pair
    baseline_j: float | None = None  # the median of the pairs
    candidate_j: float | None = None
    seconds: float = 0.0
    doubts: tuple[Doubt, ...] = ()
    raw: Artifact | None = None  # every pair as the agent sent it, JSON lines, gzip; None: nothing was run
    curve: PowerCurve | None = None  # of the first pair; where a pair's trace can not be trusted, of that one


class Measured(Record, frozen=True):
    measurements: tuple[Measurement, ...]
    failures: tuple[NotMeasured, ...] = ()
    paired: tuple[Paired, ...] = ()
    energy_paired: tuple[EnergyPaired, ...] = ()
    unpaired: tuple[NotMeasured, ...] = ()  # that should have been measured beside its baseline, and could not
    seed: int = 0  # of the order of launches
    # of all launches of files alone together, with the page cache charged to them; None: the board does not tell
    job_peak_bytes: int | None = None


# --- compare ------------------------------------------------------------------------------------------------------


class Outcome(StrEnum):
    """Of one limit, and of the whole run (its worst limit)."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    REGRESSED = "REGRESSED"
    INCONCLUSIVE = "INCONCLUSIVE"
    INVALID = "INVALID"

    @property
    def exit_code(self) -> int:
        return {"PASS": 0, "REGRESSED": 1, "INCONCLUSIVE": 3, "INVALID": 6}[self]


class Verdict(Record, frozen=True):
    """One limit of the plan, judged for one measured file. `low` and `high`: the interval of `change`, of 95 %; by pairs and
    of memory of 98 %, and the verdict can be read off it.
    """

    subject: str  # label of the measurement
    metric: str  # accuracy_drop_points, latency_regression, latency_tail, energy_regression, memory_growth_bytes, memory_peak_bytes or size_bytes
    unit: str
    baseline_subject: str | None
    baseline: float | None
    candidate: float | None  # None here and below: INVALID, there is no number
    change: float | None
    low: float | None
    high: float | None
    limit: float
    outcome: Outcome
    why: str
    detectable: float | None = None  # the smallest change that so many pairs call REGRESSED 95 % of the time
    pairs: int | None = None
    seconds: float | None = None  # that the board spent on it
    margin: float | None = (
        None  # by pairs: what is surely above it is REGRESSED; the limit unless the plan has a smaller one
    )
    percent: int | None = None  # of latency_tail: which quantile


class Comparison(Record, frozen=True):
    """One measured file beside its baseline in the same runtime: candidate / baseline.

    By pairs where there are any: pipeline/statistics/paired_test.py. Else `latency_ratio` is the median over rounds of the ratio of the two launches' 10th percentiles, which contention moves
    least; `latency_low` to `latency_high` is its distribution-free interval at 95 % or more, from 6 rounds on.
    """

    subject: str
    baseline_subject: str
    size_ratio: float
    latency_ratio: float
    latency_low: float
    latency_high: float
    accuracy_drop_points: float | None
    trusted: bool
    pairs: int | None = None


class Compared(Record, frozen=True):
    verdicts: tuple[Verdict, ...]
    comparisons: tuple[Comparison, ...]
    outcome: Outcome
    steps: tuple[Comparison, ...] = ()  # each pass's model beside the one before it, in the same format and runtime
    notes: tuple[str, ...] = ()  # what kind of file the plan's baseline is


# --- report -------------------------------------------------------------------------------------------------------


class StageTime(Record, frozen=True):
    stage: str
    seconds: float
    cached: bool


class RunRecord(Record, frozen=True, kw_only=True):
    """One run, whole: what `run --json` prints and `report` reads back."""

    schema: int = SCHEMA
    run_id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f-]{1,40}$")]
    created_utc: str
    edgepress_version: str
    plan_path: str
    plan_sha256: Sha256
    measured_by_sha256: Sha256  # of the plan without its limits: `compare` judges anew only what the same plan measured
    seed: int
    loaded: Loaded
    compressed: Compressed
    converted: tuple[Converted, ...]
    deployment: Deployment
    measured: Measured
    compared: Compared | None  # None: measured, not judged yet
    stages: tuple[StageTime, ...]

    @property
    def outcome(self) -> Outcome:
        """Of the whole run; nothing judged yet is not a pass."""
        return self.compared.outcome if self.compared else Outcome.INCONCLUSIVE
