"""How often is the verdict wrong on this board? Trials of a file against itself, and against itself made slower by arithmetic."""

import hashlib
import math
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, stdev

import msgspec
import numpy as np

from device_agent import wire
from pipeline import units
from pipeline.errors import PlanError, StageError
from pipeline.measure.candidate import ROTATED_ROWS, START_TIMEOUT_S, WARMUP_MAX_NS, WARMUP_MIN_NS
from pipeline.measure.pairs.run import BLOCK_NS, MeasuredPairs, Pairing, block_lengths_for, until_decided
from pipeline.measure.remedies import evidence, remedy
from pipeline.measure.validity import doubts_of_pairs
from pipeline.progress import Progress
from pipeline.records import Outcome, Record
from pipeline.statistics.order import proportion_interval
from pipeline.statistics.paired_test import POWER, Rule, detectable, judged, smallest_limit
from targets import Session, provision

MODEL = Path(__file__).with_name("selftest.tflite")  # the example's net, pruned, int8: only its speed counts
PREFERRED = ("ai_edge_litert", "onnxruntime")  # of several that can run the file
LABEL = "selftest"
FIRST_RUNS, TIMED_MAX_RUNS = 3, 10_000  # only to find how long the blocks must be
SLOWDOWNS = (0.0, 0.02, 0.03, 0.05, 0.10)
"""Shares by which every recorded time of the candidate is raised, with the limit itself. 0: every REGRESSED is a false alarm."""
SHARPER = 1 / 6  # of the limit, 0.5 % at 3 %: what 300 unchanged pairs of files did not exceed


class Rate(Record, frozen=True):
    """What the verdicts were on one slowdown. `low` and `high`: exact 95 % interval of the share that was REGRESSED."""

    slowdown: float
    trials: int
    regressed: int
    passed: int
    inconclusive: int
    regressed_low: float
    regressed_high: float
    passed_high: float


class SelfTest(Record, frozen=True):
    board: str
    address: str
    emulated: bool
    model: str  # its file's name
    model_sha256: str
    runtime: str
    runtime_version: str
    threads: int
    latency_s: float  # of one inference, alone
    created_utc: str
    limit: float
    rates: tuple[Rate, ...]  # by the limit alone; of no trials where the board was never fit
    margin: float  # of the stricter rule
    sharper: tuple[Rate, ...]  # the same trials by it
    deviation: float | None  # standard deviation of one pair's log ratio
    smallest_limit: float | None  # the limit that an unchanged file passes at the first look, after 10 pairs
    smallest_limit_last: float | None  # by the last look
    detectable_last: float | None  # by the stricter rule's last look
    seconds_median: float | None  # of a verdict on the unchanged file
    seconds_longest: float | None
    invalid: tuple[str, ...]  # of each trial for which the board was not fit: why


class Request(Record, frozen=True):
    """`model` None: a small net that comes along. `inputs` None: zeros. `runtime` None: one that can run the file."""

    model: Path | None
    runtime: str | None
    inputs: Path | None
    threads: int
    trials: int
    rule: Rule  # the limit alone
    sharper: Rule  # with a margin
    seed: int


def run(session: Session, request: Request, progress: Progress) -> SelfTest:
    """Run all trials, one after the other. PlanError for what cannot be run there, StageError for what fails there."""
    machine = session.machine
    path = request.model or MODEL
    launch = _launch(session, request, path)
    first = _first(session, launch)
    latency_s = median(first.latency_ns) / 1e9
    pairing = pairing_of(launch, latency_s, (request.rule, request.sharper), request.seed)
    found, invalid = [], []
    for traces in trials(session, pairing, request.trials, progress):
        reasons = [doubt.evidence for doubt in doubts_of_pairs(traces.paired) if doubt.invalid]
        if reasons:
            invalid.append(reasons[0])
        else:
            found.append(traces)
    ratios = [trace.log_ratios for trace in found]
    deviation = stdev(ratio for trial in ratios for ratio in trial) if ratios else None
    seconds = [seconds_of(trace, request.rule) for trace in found]
    looks = request.rule.looks
    return SelfTest(
        board=machine.model or machine.cpu or machine.arch,
        address=session.address,
        emulated=machine.emulator is not None,
        model=path.name,
        model_sha256=launch.model_sha256,
        runtime=launch.runtime,
        runtime_version=first.runtime_version,
        threads=request.threads,
        latency_s=latency_s,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        limit=request.rule.limit,
        rates=rates(ratios, request.rule),
        margin=request.sharper.margin,
        sharper=rates(ratios, request.sharper),
        deviation=deviation,
        smallest_limit=None if deviation is None else smallest_limit(deviation, looks[0], request.rule),
        smallest_limit_last=None if deviation is None else smallest_limit(deviation, looks[-1], request.rule),
        detectable_last=None if deviation is None else detectable(deviation, looks[-1], request.sharper),
        seconds_median=median(seconds) if seconds else None,
        seconds_longest=max(seconds, default=None),
        invalid=tuple(invalid),
    )


def _launch(session: Session, request: Request, path: Path) -> wire.Launch:
    """Return the launch of the file; the file, its rows and a runtime are on the board afterwards."""
    model_format = path.suffix.removeprefix(".")
    able = [
        name
        for name in provision.possible(session.machine)
        if model_format in provision.RUNTIMES[name].formats and not provision.RUNTIMES[name].for_tests
    ]
    runtime = request.runtime or next((name for name in (*PREFERRED, *able) if name in able), None)
    if runtime not in able:
        raise PlanError(
            f"{path} cannot be run in {request.runtime or 'any runtime'} on {session.address}",
            hint=f"Runtimes for it there: {', '.join(able) or 'none'}. A model is a .tflite or .onnx file.",
        )
    _check_rows(request.inputs)
    if request.threads > session.machine.cpu_count:
        raise PlanError(
            f"{request.threads} threads on a board with {units.counted(session.machine.cpu_count, 'CPU')} would wait for each other",
            hint="Give fewer --threads.",
        )
    sites, _ = provision.install(session, provision.wheels(runtime, session.machine))
    return wire.Launch(
        mode="time",
        model_sha256=_put(session, path),
        model_format=model_format,
        runtime=runtime,
        sites=sites,
        inputs=tuple(wire.Input("", (), _put(session, path), False) for path in (request.inputs,) if path),
        outputs=(),
        state=(),
        sequences=False,
        half=False,
        rotated_rows=ROTATED_ROWS,
        threads=request.threads,
        cpus=(),
        warmup_min_ns=WARMUP_MIN_NS,
        warmup_max_ns=WARMUP_MAX_NS,
        timed_min_ns=BLOCK_NS,
        timed_min_runs=FIRST_RUNS,
        timed_max_runs=TIMED_MAX_RUNS,
        timeout_ns=START_TIMEOUT_S * 10**9,
        meters=(),
        idle_ns=0,
        pattern_ns=0,
        end_to_end=None,
    )


def _check_rows(path: Path | None) -> None:
    """Raise PlanError for what is not a numeric .npy file. Its shape is the model's affair."""
    if path is None:
        return
    hint = "Give rows of the model's input as numpy.save writes them: an array of numbers, (rows, ...)."
    try:
        kind = np.load(path, mmap_mode="r", allow_pickle=False).dtype.kind
    except FileNotFoundError as error:
        raise PlanError(f"{path} cannot be read: {error.strerror}", hint="Give the path of a file.") from error
    # an empty file is EOFError, half an .npz BadZipFile, a whole one has no dtype
    except (OSError, ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise PlanError(f"{path} is not a numeric .npy file", hint=hint) from error
    if kind not in "fiub":
        raise PlanError(f"{path} is not a numeric .npy file", hint=hint)


def _put(session: Session, path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PlanError(f"{path} cannot be read: {error.strerror}", hint="Give the path of a file.") from error
    sha256 = hashlib.sha256(data).hexdigest()
    session.put(data, sha256)
    return sha256


def _first(session: Session, launch: wire.Launch) -> wire.Launched:
    """Launch the file alone, to learn how long one inference takes and whether it runs at all."""
    job_id = session.submit((launch,), LABEL)
    (answer,) = (each for each in session.follow(job_id) if not isinstance(each, wire.Event))
    session.forget_fetched()
    if isinstance(answer, wire.LaunchFailed):
        raise _does_not_run(answer)
    if not isinstance(answer, wire.Launched) or not answer.latency_ns:
        raise StageError("the agent sent no times", hint="Run again; report it if it happens twice.")
    return answer


def _does_not_run(failed: wire.LaunchFailed) -> StageError:
    return StageError(
        f"the file does not run on this board: {evidence(failed)}",
        hint=f"{remedy(failed)} --runtime names one, --model a file, --inputs rows of the model's shape.",
    )


def pairing_of(
    launch: wire.Launch, latency_s: float, rules: tuple[Rule, ...], seed: int, slower: wire.Launch | None = None
) -> Pairing:
    """Return the pairing of a file with itself, for the verdict of every rule on every slowdown; a slowdown by the limit itself runs
    to the last look most often. `slower`, another file, is judged as it is.
    """
    factors = (0.0,) if slower else tuple(math.log1p(share) for share in slowdowns_of(rules[0].limit))
    return Pairing(
        baseline=launch,
        candidate=slower or launch,
        shape=block_lengths_for(latency_s),
        rules=rules,
        seed=seed,
        label=LABEL,
        factors=factors,
    )


def trials(session: Session, pairing: Pairing, number: int, progress: Progress) -> Iterator[MeasuredPairs]:
    """Yield the traces of each trial, which has an order of its own. StageError where the file does not run."""
    last = pairing.looks[-1]
    for trial in range(number):

        def tell(done: int, trial: int = trial) -> None:
            progress.step(trial * last + done, number * last, f"trial {trial + 1} of {number}")

        traces = until_decided(session, msgspec.structs.replace(pairing, seed=pairing.seed + trial), tell)
        session.forget_fetched()
        if traces.failed:
            raise _does_not_run(traces.failed)
        yield traces


def slowdowns_of(limit: float) -> tuple[float, ...]:
    return tuple(sorted({*SLOWDOWNS, limit}))


def rates(ratios: Sequence[Sequence[float]], rule: Rule, slowdowns: Sequence[float] | None = None) -> tuple[Rate, ...]:
    """Return the verdicts on the log ratios of each trial, slowed down by each share."""
    found = []
    for share in slowdowns_of(rule.limit) if slowdowns is None else slowdowns:
        outcomes = [judged([ratio + math.log1p(share) for ratio in trial], rule) for trial in ratios]
        regressed, passed = outcomes.count(Outcome.REGRESSED), outcomes.count(Outcome.PASS)
        low, high = proportion_interval(regressed, len(outcomes))
        found.append(
            Rate(
                slowdown=share,
                trials=len(outcomes),
                regressed=regressed,
                passed=passed,
                inconclusive=len(outcomes) - regressed - passed,
                regressed_low=low,
                regressed_high=high,
                passed_high=proportion_interval(passed, len(outcomes))[1],
            )
        )
    return tuple(found)


def seconds_of(traces: MeasuredPairs, rule: Rule) -> float:
    """Return what the verdict on the unchanged file took: a trial continues for the slowdowns, too."""
    needed = next(
        (look for look in rule.looks if judged(traces.log_ratios[:look], rule) is not Outcome.INCONCLUSIVE),
        len(traces.log_ratios),
    )
    return traces.seconds * min(1.0, needed / len(traces.log_ratios))


def caught(found: Sequence[Rate]) -> float | None:
    """The smallest slowdown that was REGRESSED as often as POWER asks; None: not even the largest."""
    return next((rate.slowdown for rate in found if rate.slowdown and rate.regressed >= POWER * rate.trials), None)


def resolves(found: SelfTest) -> bool:
    """Whether an unchanged file passes by the limit as often as POWER asks: by what was seen, or by what follows from the deviation."""
    unchanged = found.rates[0]
    seen = unchanged.trials > 0 and unchanged.passed >= POWER * unchanged.trials
    return seen or (found.smallest_limit_last or math.inf) <= found.limit
