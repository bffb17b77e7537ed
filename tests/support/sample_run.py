"""A made-up run for the tests of the report. Nothing here was measured: every number is a SAMPLE."""

import math
from typing import Any

import msgspec
import numpy as np

from pipeline.records import (
    Agreement,
    Artifact,
    BoardAccuracy,
    BoardFacts,
    BoardSample,
    Compared,
    Comparison,
    Compressed,
    Conditions,
    Converted,
    Data,
    DeployedFile,
    DeployedRuntime,
    Deployment,
    Doubt,
    Energy,
    Latency,
    Loaded,
    Measured,
    Measurement,
    Memory,
    MemoryStep,
    Model,
    NotMeasured,
    Outcome,
    Paired,
    PassReport,
    Quantile,
    RunRecord,
    Side,
    StageTime,
    TailRatios,
    TensorSpec,
    Verdict,
)

CONTENDED = Doubt(
    what="contended",
    evidence="other programs took the CPU in 4 of 6 launches",
    remedy="Stop what else runs on the board, then measure again.",
)
THROTTLED = Doubt(
    what="throttled",
    evidence="the board throttled in 5 of 6 launches (flags 0x4)",
    remedy="Cool the board (a fan, a pause), then measure again.",
    invalid=True,
)
WITHHELD = Doubt(
    what="contended between blocks",
    evidence="other programs took the CPU in 60 of 80 blocks",
    remedy="Stop what else runs on the board, then measure again.",
    withholds="tail",
)
CAN_NOT_RUN = NotMeasured(
    variant="original",
    format="onnx-fp32",
    runtime="onnxruntime",
    evidence="no onnxruntime wheel for cp38 linux_armv7l",
    remedy="Leave this format out, or use a newer Python on the board.",
)


def artifact(name: str, size_bytes: int = 1000, format: str = "tflite") -> Artifact:  # noqa: A002
    return Artifact(sha256=(name.encode().hex() * 64)[:64], format=format, size_bytes=size_bytes)


def latency(median_s: float, launches: int = 6, spread: float = 0.02) -> Latency:
    rng = np.random.default_rng(7)
    medians = sorted(median_s * (1 + spread * rng.standard_normal(launches)))
    medians = [value * median_s / float(np.median(medians)) for value in medians]
    values = median_s * np.exp(0.03 * rng.standard_normal(3000) + 0.4 * (rng.random(3000) < 0.03) * rng.random(3000))
    counts, edges = np.histogram(values, bins=60)
    return Latency(
        launches=launches,
        runs=3000,
        median_s=median_s,
        low_s=float(min(medians)),
        high_s=float(max(medians)),
        p10_s=float(np.quantile(values, 0.1)),
        p90_s=float(np.quantile(values, 0.9)),
        p99_s=float(np.quantile(values, 0.99)),
        min_s=float(values.min()),
        launch_medians_s=tuple(float(value) for value in rng.permutation(medians)),
        launch_p10_s=tuple(float(value) * 0.97 for value in medians),
        histogram_edges_s=tuple(float(edge) for edge in edges),
        histogram_counts=tuple(int(count) for count in counts),
    )


def conditions(temperature_c: float = 48.2, flags: int = 0) -> Conditions:
    return Conditions(
        temperature_c=temperature_c,
        cpu_khz=2_400_000,
        governor="performance",
        throttle_flags=flags,
        load_average=0.42,
        cpu_pressure_ratio=0.01,
        available_bytes=6 * 2**30,
    )


def measurement(
    variant: str = "original",
    format: str = "tflite-fp32",  # noqa: A002
    runtime: str = "ai_edge_litert",
    median_s: float = 1.25e-3,
    size_bytes: int = 411_000,
    accuracy_ratio: float | None = 0.9208,
    **changes: Any,
) -> Measurement:
    made = Measurement(
        variant=variant,
        format=format,
        artifact=artifact(variant + format, size_bytes),
        runtime=runtime,
        runtime_version="2.1.0",
        threads=1,
        cold_start_s=0.41,
        import_s=0.335,
        load_s=0.019,
        first_inference_s=median_s * 2.6,
        warmup_runs=60,
        latency=latency(median_s),
        memory=Memory(
            steps=tuple(
                MemoryStep(
                    step=step, resident_bytes=total << 20, anonymous_bytes=own << 20, file_bytes=total - own << 20
                )
                for step, total, own in (
                    ("python", 10, 5),
                    ("runtime_imported", 45, 20),
                    ("model_loaded", 48, 23),
                    ("first_inference", 49, 24),
                    ("end", 49, 24),
                )
            ),
            peak_bytes=49 << 20,
            model_anonymous_bytes=4 << 20,
        ),
        energy=Energy(readings=(), note="This board has no power meter."),
        accuracy=BoardAccuracy(
            rows=10_000,
            accuracy_ratio=accuracy_ratio,
            differs_from_host_ratio=0.0 if format.endswith("fp32") else 0.0012,
            answers=artifact("answers"),
        ),
        before=conditions(),
        after=conditions(51.0),
        doubts=(),
        raw=artifact("raw" + variant + format + runtime),
    )
    return msgspec.structs.replace(made, **changes)


def comparison(one: Measurement, baseline: Measurement, spread: float = 0.01) -> Comparison:
    ratio = one.latency.median_s / baseline.latency.median_s
    drop = None
    if one.accuracy and baseline.accuracy and one.accuracy.accuracy_ratio and baseline.accuracy.accuracy_ratio:
        drop = (baseline.accuracy.accuracy_ratio - one.accuracy.accuracy_ratio) * 100
    return Comparison(
        subject=one.subject,
        baseline_subject=baseline.subject,
        size_ratio=one.artifact.size_bytes / baseline.artifact.size_bytes,
        latency_ratio=ratio,
        latency_low=ratio * (1 - spread),
        latency_high=ratio * (1 + spread),
        accuracy_drop_points=drop,
        trusted=one.trusted and baseline.trusted,
    )


def side(p10_s: list[float], tail: float = 1.5) -> Side:
    """SAMPLE quantiles around the pairs' 10th percentiles; `tail` is how many times the median a p99 is."""
    median_s = 1.03 * float(np.median(p10_s))
    return Side(
        runs=6000,
        mean_s=1.02 * median_s,
        throughput_per_s=1 / (1.02 * median_s),
        quantiles=tuple(
            Quantile(percent=percent, value_s=value_s, low_s=0.99 * value_s, high_s=1.01 * value_s)
            for percent, value_s in (
                (50, median_s),
                (90, 1.1 * median_s),
                (95, 1.2 * median_s),
                (99, tail * median_s),
            )
        ),
        pair_p10_s=tuple(p10_s),
    )


def board_samples(pairs: int, told: bool = True, cycles: int = 3) -> tuple[BoardSample, ...]:
    """SAMPLE of a board that becomes warmer while its clock stays."""
    return tuple(
        BoardSample(
            t_s=2.2 * pair + 0.022 * number,
            end_s=2.2 * pair + 0.022 * number + 0.02,
            pair=pair,
            side="ABBABAABABBA"[number],
            cpu_khz=2_400_000 if told else None,
            temperature_c=48.0 + 0.5 * pair if told else None,
        )
        for pair in range(pairs)
        for number in range(4 * cycles)
    )


def paired(one: Measurement, baseline: Measurement, change: float = 0.0, pairs: int = 10, **changes: Any) -> Paired:
    """SAMPLE pairs around this change, as a share."""
    rng = np.random.default_rng(11)
    level = 1 + 0.04 * np.sin(np.arange(pairs))  # what the board does to both
    log_ratios = math.log1p(change) + 0.004 * rng.standard_normal(pairs)
    baseline_s = baseline.latency.p10_s * level
    made = Paired(
        subject=one.subject,
        baseline_subject=baseline.subject,
        margin=0.005,
        limit=0.03,
        log_ratios=tuple(map(float, log_ratios)),
        tails=tuple(
            TailRatios(percent=percent, log_ratios=tuple(float(value) * 1.5 for value in log_ratios))
            for percent in (95, 99)
        ),
        baseline=side([float(value) for value in baseline_s]),
        candidate=side([float(value) for value in baseline_s * np.exp(log_ratios)]),
        seconds=2.2 * pairs,
        board_samples=board_samples(pairs),
        doubts=(),
        raw=artifact("pairs" + one.label),
    )
    return msgspec.structs.replace(made, **changes)


def by_pairs(found: Paired, outcome: Outcome, *numbers: float, percent: int | None = None) -> Verdict:
    """A SAMPLE verdict on latency, or on its tail: `numbers` are change, low and high."""
    change, low, high = numbers
    return Verdict(
        subject=found.subject,
        metric="latency_tail" if percent else "latency_regression",
        unit="s",
        baseline_subject=found.baseline_subject,
        baseline=found.baseline.quantile(percent or 50),
        candidate=found.candidate.quantile(percent or 50),
        change=change,
        low=low,
        high=high,
        limit=0.15 if percent else 0.03,
        outcome=outcome,
        why="SAMPLE reason",
        detectable=0.0123,
        pairs=len(found.log_ratios),
        seconds=found.seconds,
        margin=0.15 if percent else 0.005,
        percent=percent,
    )


def paired_run(**changes: Any) -> RunRecord:
    """Three judged files: one surely slower, one that passes, one doubted of which nothing could be shown."""
    base = measurement()
    slow = measurement("compressed", "tflite-fp32", median_s=1.32e-3)
    fast = measurement("original", "tflite-int8", median_s=1.25e-3)
    unclear = measurement("compressed", "tflite-int8", median_s=1.27e-3, doubts=(CONTENDED,))
    found = (
        paired(slow, base, 0.055),
        paired(fast, base, 0.001, pairs=14),
        paired(unclear, base, 0.02, pairs=20, tails=()),
    )
    found = (*found[:2], msgspec.structs.replace(found[2], doubts=(WITHHELD,)))
    numbers = ((0.055, 0.051, 0.059), (0.001, -0.002, 0.004), (0.02, 0.003, 0.036))
    outcomes = (Outcome.REGRESSED, Outcome.PASS, Outcome.INCONCLUSIVE)
    verdicts = [by_pairs(one, outcome, *each) for one, outcome, each in zip(found, outcomes, numbers, strict=True)]
    verdicts.append(by_pairs(found[0], Outcome.PASS, 0.082, 0.07, 0.09, percent=95))
    comparisons = tuple(
        msgspec.structs.replace(
            comparison(one, base), latency_ratio=1 + change, latency_low=1 + low, latency_high=1 + high,
            pairs=len(each.log_ratios),
        )
        for one, each, (change, low, high) in zip((slow, fast, unclear), found, numbers, strict=True)
    )  # fmt: skip
    run = run_of(
        (base, slow, fast, unclear), verdicts=tuple(verdicts), comparisons=comparisons, outcome=Outcome.REGRESSED
    )
    run = msgspec.structs.replace(run, measured=msgspec.structs.replace(run.measured, paired=found))
    return msgspec.structs.replace(run, **changes)


def board(**changes: Any) -> BoardFacts:
    made = BoardFacts(
        model="Raspberry Pi 5 Model B Rev 1.0",
        cpu="Cortex-A76",
        cpu_count=4,
        arch="aarch64",
        kernel="6.12.34+rpt-rpi-2712",
        os="Debian GNU/Linux 12 (bookworm)",
        python="3.11.2",
        libc="glibc 2.36",
        memory_bytes=8 * 2**30,
        cpu_max_khz=2_400_000,
        governor="performance",
        is_board=True,
    )
    return msgspec.structs.replace(made, **changes)


def small_model(name: str = "small") -> Model:
    return Model(name="fashion_cnn", artifact=artifact(name), inputs=(), outputs=(), parameters=31_000)


def pass_report(name: str = "prune_channels", **changes: Any) -> PassReport:
    made = PassReport(
        name=name,
        settings={"ratio": 0.5, "importance": "l1", "recover": {"epochs": 4, "distill": True}},
        model=small_model(),
        parameters_before=101_770,
        parameters_after=31_402,
        nonzero_before=101_770,
        nonzero_after=31_390,
        multiply_accumulates_before=8_400_000,
        multiply_accumulates_after=2_120_000,
        raw_before_bytes=407_080,
        raw_after_bytes=125_608,
        deflated_before_bytes=377_000,
        deflated_after_bytes=118_000,
        accuracy_before_ratio=0.9208,
        accuracy_after_ratio=0.9177,
        claims={"channels_removed_ratio": 0.5},
        seconds=94.0,
    )
    return msgspec.structs.replace(made, **changes)


def run_of(
    measurements: tuple[Measurement, ...],
    *,
    verdicts: tuple[Verdict, ...] = (),
    comparisons: tuple[Comparison, ...] = (),
    failures: tuple[NotMeasured, ...] = (),
    outcome: Outcome = Outcome.PASS,
    facts: BoardFacts | None = None,
    **changes: Any,
) -> RunRecord:
    """A RunRecord around these measurements."""
    files = {one.artifact.sha256: one for one in measurements}.values()
    made = RunRecord(
        run_id="20261123-211500-5ca1ab",
        created_utc="2026-11-23T21:15:00Z",
        edgepress_version="0.1.0",
        plan_path="examples/fashion_mnist/edge.toml",
        plan_sha256="ab" * 32,
        measured_by_sha256="cd" * 32,
        seed=7,
        loaded=Loaded(
            model=Model(
                name="fashion_cnn",
                artifact=artifact("model", 1_253_000, "keras"),
                inputs=(TensorSpec(name="x", shape=(None, 28, 28, 1), dtype="float32"),),
                outputs=(TensorSpec(name="y", shape=(None, 10), dtype="float32"),),
                parameters=101_770,
                accuracy_ratio=0.9208,
            ),
            data=Data(),
        ),
        compressed=Compressed(
            model=small_model(),
            passes=(pass_report(),),
        ),
        converted=tuple(
            Converted(
                variant=one.variant,
                format=one.format,
                artifact=one.artifact,
                agreement=Agreement(
                    rows=10_000,
                    largest_error=2.4e-6 if one.format.endswith("fp32") else 0.083,
                    error_rms=1.1e-7 if one.format.endswith("fp32") else 0.0071,
                    spread=0.27,
                    top1_agreement_ratio=0.9991,
                    accuracy_ratio=0.9201,
                    source_accuracy_ratio=0.9208,
                ),
            )
            for one in files
        ),
        deployment=Deployment(
            target="pi5",
            address="pi@192.0.2.17:22",
            board=facts or board(),
            agent_sha256="cd" * 32,
            agent_sent_bytes=0,
            first_answer_s=0.62,
            runtimes=tuple(
                DeployedRuntime(name=name, sites=("ef" * 32,), packages=(f"{name}-2.1.0-cp311.whl",), sent_bytes=0)
                for name in dict.fromkeys(one.runtime for one in measurements)
            ),
            files=tuple(DeployedFile(artifact=one.artifact, sent_bytes=one.artifact.size_bytes) for one in files),
        ),
        measured=Measured(measurements=measurements, failures=failures, seed=7),
        compared=Compared(verdicts=verdicts, comparisons=comparisons, outcome=outcome),
        stages=tuple(
            StageTime(stage=stage, seconds=seconds, cached=stage == "load")
            for stage, seconds in (
                ("load", 0.02),
                ("compress", 94.1),
                ("convert", 12.3),
                ("deploy", 3.1),
                ("measure", 41.0),
            )
        ),
    )
    return msgspec.structs.replace(made, **changes)


def whole_run() -> RunRecord:
    """Two runtimes, two variants, two formats; int8 slower in one of them; one doubted, one invalid, one failed."""
    rows = []
    for runtime, medians in (
        ("ai_edge_litert", (1.25e-3, 0.352e-3, 0.52e-3, 0.161e-3)),
        ("tflite_runtime", (1.31e-3, 17.1e-3, 1.312e-3, 6.9e-3)),
    ):
        for (variant, form, size_bytes, accuracy_ratio), median_s in zip(
            (
                ("original", "tflite-fp32", 411_000, 0.9208),
                ("original", "tflite-int8", 109_000, 0.9201),
                ("compressed", "tflite-fp32", 129_000, 0.9177),
                ("compressed", "tflite-int8", 37_700, 0.9165),
            ),
            medians,
            strict=True,
        ):
            rows.append(measurement(variant, form, runtime, median_s, size_bytes, accuracy_ratio))
    rows[3] = msgspec.structs.replace(rows[3], doubts=(CONTENDED,))
    rows[5] = msgspec.structs.replace(rows[5], doubts=(CONTENDED,))
    rows[7] = msgspec.structs.replace(rows[7], doubts=(CONTENDED, THROTTLED), after=conditions(84.9, 4))
    comparisons = tuple(comparison(rows[index], rows[index // 4 * 4]) for index in (1, 2, 3, 5, 6, 7))
    verdicts = (
        verdict("accuracy_drop_points", rows[3], rows[0], (0.9208, 0.9165, 0.43, 0.1, 0.76, 1.0), Outcome.PASS),
        verdict("size_bytes", rows[3], None, (None, 37_700, 37_700, 37_700, 37_700, 200_000), Outcome.PASS),
        verdict("latency_regression", rows[2], rows[0], (1.25e-3, 0.52e-3, -0.584, -0.6, -0.57, 0.03), Outcome.PASS),
        verdict(
            "latency_regression",
            rows[6],
            rows[4],
            (1.31e-3, 1.312e-3, 0.0015, -0.008, 0.041, 0.03),
            Outcome.INCONCLUSIVE,
        ),
        verdict("latency_regression", rows[7], rows[4], (None, None, None, None, None, 0.03), Outcome.INVALID),
    )
    return run_of(
        tuple(rows),
        verdicts=verdicts,
        comparisons=comparisons,
        failures=(CAN_NOT_RUN,),
        outcome=Outcome.INVALID,
    )


def verdict(
    metric: str,
    one: Measurement,
    baseline: Measurement | None,
    numbers: tuple[float | None, float | None, float | None, float | None, float | None, float],
    outcome: Outcome,
) -> Verdict:
    at, candidate, change, low, high, limit = numbers
    return Verdict(
        subject=one.subject,
        metric=metric,
        unit={"accuracy_drop_points": "points", "latency_regression": "s", "size_bytes": "bytes"}[metric],
        baseline_subject=baseline.subject if baseline else None,
        baseline=at,
        candidate=candidate,
        change=change,
        low=low,
        high=high,
        limit=limit,
        outcome=outcome,
        why=f"SAMPLE reason for {outcome.lower()}.",
    )


EMULATED = board(is_board=False, emulated=True)
