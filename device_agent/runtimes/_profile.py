"""Times of a runtime's kernels: what the profiles of all runtimes share.

A runtime that has `profile(path, threads, row, folder, limits)` answers (operators, note): wire.Operator for each kernel, in the
order in which they ran, and where they come from; or no operators, and why. It runs alone in a process, after everything was timed:
a profile slows down what it looks at, and may crash.
"""

import time
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Sequence

from device_agent.record import to_fields
from device_agent.wire import Launch, Operator

WARM_RUNS = 3  # not counted; the second inference takes 1.2 times the later ones, the fourth as long (278 launches)


class Limits(NamedTuple):
    min_ns: int
    min_runs: int
    max_runs: int


def told(launch: Launch, runtime: Any, path: str, row: Any, folder: str) -> Dict[str, Any]:
    """The fields of wire.Launched that a profile fills."""
    if not hasattr(runtime, "profile"):
        return {"operators_note": f"{launch.runtime} can not tell how long its operators take"}
    limits = Limits(launch.timed_min_ns, launch.timed_min_runs, launch.timed_max_runs)
    found, note = runtime.profile(path, launch.threads, row, folder, limits)
    return {"operators": [to_fields(one) for one in found], "operators_note": note}


def repeat(invoke: Callable[[], None], limits: Limits) -> int:
    """Run as often as the limits say; how often that was."""
    end_ns = time.perf_counter_ns() + limits.min_ns
    runs = 0
    while runs < limits.max_runs and (runs < limits.min_runs or time.perf_counter_ns() < end_ns):
        invoke()
        runs += 1
    return runs


def averaged(name: str, kind: str, shapes: str, times_ns: Sequence[int]) -> Operator:
    """The mean without the slowest tenth: one run of 25 ms, when another program had the CPU, made a kernel of 11 microseconds the
    slowest of its net. No median: the times are whole microseconds.
    """
    kept = sorted(times_ns)[: len(times_ns) - len(times_ns) // 10]
    return Operator(name=name, kind=kind, shapes=shapes, mean_ns=sum(kept) // len(kept), runs=len(times_ns))


def shapes_text(inputs: Iterable[Sequence[Any]], outputs: Iterable[Sequence[Any]]) -> str:
    """[[1, 28, 28, 1], [8, 3, 3, 1]], [[1, 28, 28, 8]] -> '1x28x28x1, 8x3x3x1 -> 1x28x28x8'."""

    def text(shapes: Iterable[Sequence[Any]]) -> str:
        sizes: List[str] = ["x".join(map(str, shape)) or "scalar" for shape in shapes]
        return ", ".join(sizes)

    return f"{text(inputs)} -> {text(outputs)}"
