"""What the board is asked to launch, and in which order."""

import random
from collections.abc import Sequence

import msgspec

from device_agent import wire
from pipeline.plan import Plan
from pipeline.records import VARIANTS, Converted, Deployment, label_of
from targets import provision
from targets.session import Cooling

# Warm-up until steady, but at least 0.2 s: clocks need as long to rise. The steadiness test decides, and a
# launch is repeated six times. A model of 100 ms gets its 20 runs for that test within the limit of 10 s.
WARMUP_MIN_NS, WARMUP_MAX_NS = 200_000_000, 10_000_000_000
TIMED_MIN_RUNS = 20
MAX_RUNS_PER_S, MAX_RUNS = 200_000, 1_000_000  # the runner keeps room for so many times: 8 bytes each
# A profile is an average over whole microseconds: many runs, but ONNX Runtime writes 0.5 kB for each kernel and run
PROFILED_NS, PROFILED_MIN_RUNS, PROFILED_MAX_RUNS = 300_000_000, 3, 300
START_TIMEOUT_S = 300  # to import, load and warm up on a slow board
SLOWEST_S = 10  # one inference: whatever is slower than this hangs
ROTATED_ROWS = 8  # real rows, by turns: zeros, or one row for ever, can be faster


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One file in one runtime, with a number of threads."""

    converted: Converted
    runtime: str
    sites: tuple[str, ...]
    threads: int
    swept: bool  # not the number of threads that limits judge

    @property
    def label(self) -> str:
        threads = self.threads if self.swept else None
        return label_of(self.converted.file, self.runtime, threads)

    @property
    def in_full(self) -> bool:
        """Whether it answers all rows and tells of its operators: not the ledger's files, and each file once."""
        return self.converted.variant in VARIANTS and not self.swept


Schedule = list[tuple[Candidate, wire.Launch]]


def candidates_of(converted: Sequence[Converted], deployment: Deployment, plan: Plan) -> list[Candidate]:
    """Each file in each runtime; where the plan has several numbers of threads, with each, but not the files of the ledger."""
    first, *others = plan.tables.measure.thread_counts
    return [
        Candidate(converted=each, runtime=runtime.name, sites=runtime.sites, threads=threads, swept=threads != first)
        for each in converted
        for runtime in deployment.runtimes
        if each.artifact.format in provision.RUNTIMES[runtime.name].formats
        for threads in (first, *(others if each.variant in VARIANTS else ()))
    ]


def schedule_of(candidates: Sequence[Candidate], plan: Plan, deployment: Deployment, rows: int) -> Schedule:
    """First the answers of all files but those of the ledger, whose accuracy the host knows. Then rounds: in each, every
    candidate once, in an order of its own, so that drift meets all alike. Last the times of the operators.
    """
    shuffle = random.Random(plan.tables.seed)  # noqa: S311 - an order, not a secret
    schedule: Schedule = []
    if deployment.evaluation is not None:
        schedule += [
            (candidate, launch_of("evaluate", candidate, plan, deployment, rows))
            for candidate in candidates
            if candidate.in_full
        ]
    schedule += [
        (candidate, launch_of("time", candidate, plan, deployment, rows))
        for _ in range(plan.tables.measure.launches)
        for candidate in shuffle.sample(candidates, len(candidates))
    ]
    if plan.tables.measure.operators:
        schedule += [
            (candidate, launch_of("profile", candidate, plan, deployment, rows))
            for candidate in candidates
            if candidate.in_full
        ]
    return schedule


def launch_of(mode: str, candidate: Candidate, plan: Plan, deployment: Deployment, rows: int) -> wire.Launch:
    timed_s = plan.tables.measure.timed_seconds
    inferences = rows if mode == "evaluate" else TIMED_MIN_RUNS
    profile = mode == "profile"
    return wire.Launch(
        mode=mode,
        model_sha256=candidate.converted.artifact.sha256,
        model_format=candidate.converted.artifact.format,
        runtime=candidate.runtime,
        sites=candidate.sites,
        inputs_sha256=deployment.evaluation.artifact.sha256 if deployment.evaluation else "",
        rotated_rows=ROTATED_ROWS,
        threads=candidate.threads,
        cpus=plan.tables.measure.cpus,
        warmup_min_ns=WARMUP_MIN_NS,
        warmup_max_ns=WARMUP_MAX_NS,
        timed_min_ns=PROFILED_NS if profile else round(timed_s * 1e9),
        timed_min_runs=PROFILED_MIN_RUNS if profile else TIMED_MIN_RUNS,
        timed_max_runs=PROFILED_MAX_RUNS
        if profile
        else min(MAX_RUNS, max(TIMED_MIN_RUNS, round(timed_s * MAX_RUNS_PER_S))),
        timeout_ns=round((START_TIMEOUT_S + timed_s + inferences * SLOWEST_S) * 1e9),
        meters=(),
        idle_ns=0,
        pattern_ns=0,
    )


def cooling_of(plan: Plan) -> Cooling:
    table = plan.tables.measure
    return Cooling(round(table.temperature_band_c * 1e3), round(table.cool_seconds * 1e9))
