"""What the kernel reported on each launch's memory -> one Memory. A launch is a fresh process: each is one value."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median_low

from device_agent.wire import Launched
from pipeline.records import Memory, MemoryStep

BASE, ROWS = "runtime_imported", "inputs_ready"
# Its memory is the board's own on a Jetson, and no process's: the board as a whole is asked, so other programs count too.
GPU_RUNTIMES = ("onnxruntime_cuda", "onnxruntime_tensorrt")


def memory_of(timed: Sequence[Launched], runtime: str) -> Memory:
    middle = sorted(timed, key=lambda launch: launch.peak_bytes or 0)[len(timed) // 2]
    growth = _growths(timed, "anonymous_bytes")
    gone = _growths(timed, "available_bytes") if runtime in GPU_RUNTIMES else ()
    return Memory(
        steps=tuple(
            MemoryStep(
                step=step.step,
                resident_bytes=step.resident_bytes,
                anonymous_bytes=step.anonymous_bytes,
                file_bytes=step.file_bytes,
                private_dirty_bytes=step.private_dirty_bytes,
            )
            for step in middle.memory
        ),
        peak_bytes=middle.peak_bytes,
        model_anonymous_bytes=max(0, median_low(growth))
        if growth
        else None,  # a runtime may give back what it took to start
        launch_growth_bytes=growth,
        launch_peak_bytes=_whole([launch.peak_bytes for launch in timed]),
        gpu_shared_bytes=max(0, -median_low(gone)) if gone else None,
    )


def job_peak_of(launches: Sequence[Launched]) -> int | None:
    """Return the highest peak of a control group, which counts on from launch to launch."""
    return max((launch.job_peak_bytes for launch in launches if launch.job_peak_bytes is not None), default=None)


def _growths(timed: Sequence[Launched], name: str) -> tuple[int, ...]:
    """Return the growth of each launch, from BASE to its last step, without what was taken for the rows: they are not the model's."""
    found: list[int | None] = []
    for launch in timed:
        sizes = [(step.step, getattr(step, name)) for step in launch.memory]
        grown: int | None = 0
        counts = BASE not in dict(sizes)
        for (start, before), (step, after) in pairwise(sizes):
            counts |= start == BASE
            if counts and step != ROWS:
                grown = None if grown is None or before is None or after is None else grown + after - before
        found.append(grown)
    return _whole(found)


def _whole(values: Sequence[int | None]) -> tuple[int, ...]:
    """Return the steps of all launches; (): not every launch reported them."""
    return () if None in values else tuple(value for value in values if value is not None)
