"""The launch that benchmarks change with device_agent.record.replace: one thread, one row, no meters."""

import statistics
import sys

from device_agent import wire
from targets import Session

LAUNCH = wire.Launch(
    mode="time",
    model_sha256="",
    model_format="",
    runtime="",
    sites=(),
    inputs=(),
    outputs=(),
    state=(),
    sequences=False,
    half=False,
    rotated_rows=1,
    threads=1,
    cpus=(),
    warmup_min_ns=200_000_000,
    warmup_max_ns=10**10,
    timed_min_ns=300_000_000,
    timed_min_runs=20,
    timed_max_runs=60_000,
    timeout_ns=10**11,
    meters=(),
    idle_ns=0,
    pattern_ns=0,
    end_to_end=None,
)


def median_s(session: Session, launch: wire.Launch) -> float:
    """Return the median of one launch in seconds, as the agent measures it."""
    job = session.submit((launch,), "benchmark")
    (answer,) = (each for each in session.follow(job) if not isinstance(each, wire.Event))
    session.forget(job)  # so that the same launch is measured again
    if not isinstance(answer, wire.Launched):
        sys.exit(f"a launch failed: {answer}")
    return statistics.median(answer.latency_ns) / 1e9
