"""Times of a runtime's kernels: shared by the profiles of all runtimes.

A runtime's `profile(path, launch, rows, folder, limits)` returns (operators, note): a wire.Operator for each kernel in execution
order, and their source; or no operators, and why. It runs in its own process, after everything was timed: a profiler slows down what
it observes, and may crash.
"""

import time
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Sequence

from device_agent.record import to_fields
from device_agent.wire import Launch, Operator

# Not counted: the second inference takes 1.2 times as long as later ones, the fourth just as long (278 launches).
WARM_RUNS = 3


class Limits(NamedTuple):
    min_ns: int
    min_runs: int
    max_runs: int


def profiled(launch: Launch, runtime: Any, path: str, rows: Sequence[Any], folder: str) -> Dict[str, Any]:
    """Profile the model. Returns the fields of wire.Launched that this fills."""
    if not hasattr(runtime, "profile"):
        return {"operators_note": f"{launch.runtime} cannot report how long its operators take"}
    limits = Limits(launch.timed_min_ns, launch.timed_min_runs, launch.timed_max_runs)
    found, note = runtime.profile(path, launch, rows, folder, limits)
    return {"operators": [to_fields(one) for one in found], "operators_note": note}


def repeat(invoke: Callable[[], None], limits: Limits) -> int:
    """Run as often as the limits say. Returns how often."""
    end_ns = time.perf_counter_ns() + limits.min_ns
    runs = 0
    while runs < limits.max_runs and (runs < limits.min_runs or time.perf_counter_ns() < end_ns):
        invoke()
        runs += 1
    return runs


def averaged(name: str, kind: str, shapes: str, times_ns: Sequence[int]) -> Operator:
    """Average without the slowest tenth: one run of 25 ms, when another program had the CPU, made a kernel of 11 microseconds the
    slowest of its model. Not the median: the times are whole microseconds.
    """
    kept = sorted(times_ns)[: len(times_ns) - len(times_ns) // 10]
    return Operator(name=name, kind=kind, shapes=shapes, mean_ns=sum(kept) // len(kept), runs=len(times_ns))


def shapes_text(inputs: Iterable[Sequence[Any]], outputs: Iterable[Sequence[Any]]) -> str:
    """[[1, 28, 28, 1], [8, 3, 3, 1]], [[1, 28, 28, 8]] -> '1x28x28x1, 8x3x3x1 -> 1x28x28x8'."""

    def text(shapes: Iterable[Sequence[Any]]) -> str:
        sizes: List[str] = ["x".join(map(str, shape)) or "scalar" for shape in shapes]
        return ", ".join(sizes)

    return f"{text(inputs)} -> {text(outputs)}"
