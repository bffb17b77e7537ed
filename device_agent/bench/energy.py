"""Mode "energy" of a runner: idle, busy for a known time, idle again, while the agent reads the meters.

The phases, reported to the agent: pattern (busy and idle, alternating), idle, without and with (short blocks, the meters paused
and read, alternating: the cost of reading), timed, settle (idle afterwards). The warm-up is between idle and the blocks.
"""

import time
from typing import Any, Callable, Dict, Iterator, List, Tuple

from device_agent.wire import Launch

PATTERN_CYCLES = 3
SAMPLER_PAIRS = 6
SAMPLER_BLOCK_NS = 250_000_000  # and at least one inference
LEAD_NS = 300_000_000  # of load before and after the timed part
SWITCH_S = 0.05  # for the agent to learn of a phase, before it counts

clock = time.perf_counter_ns  # CLOCK_MONOTONIC


def measure(
    model: Any, rows: Iterator[Any], launch: Launch, enter: Callable[[str, int], None], warm_up: Callable[[], Any]
) -> Dict[str, Any]:
    """Return the fields of wire.EnergyWindow. `enter` reports a phase to the agent; `warm_up` runs until steady."""

    def invoke() -> None:
        model.feed(next(rows), fresh=False)
        model.invoke()

    busy = _pattern(invoke, launch.pattern_ns, enter)
    enter("idle", 1)
    time.sleep(SWITCH_S)
    before = _idle(launch.idle_ns)
    warm_up()
    sampler = (
        [_sampler_cost(invoke, enter, number % 2 == 1) for number in range(SAMPLER_PAIRS)] if launch.meters else []
    )
    enter("timed", 1)
    _run(invoke, LEAD_NS)
    start_ns = clock()
    runs = _run(invoke, launch.timed_min_ns)
    end_ns = clock()
    _run(invoke, LEAD_NS)  # so that a clock that is a little off costs no energy at the edges
    enter("settle", 1)
    after = _idle(launch.idle_ns)
    return {
        "runs": runs,
        "start_ns": start_ns,
        "end_ns": end_ns,
        "lead_ns": LEAD_NS,
        "idle": (before, after),
        "busy": tuple(busy),
        "sampler": tuple(sampler),
    }


def _run(invoke: Callable[[], None], least_ns: int) -> int:
    """Run for that time, at least once. Returns how often."""
    end_ns, runs = clock() + least_ns, 0
    while not runs or clock() < end_ns:
        invoke()
        runs += 1
    return runs


def _idle(idle_ns: int) -> Tuple[int, int]:
    start_ns = clock()
    time.sleep(idle_ns / 1e9)
    return start_ns, clock()


def _pattern(invoke: Callable[[], None], half_ns: int, enter: Callable[[str, int], None]) -> List[Tuple[int, int]]:
    if not half_ns:
        return []
    enter("pattern", 1)
    time.sleep(half_ns / 1e9)
    busy = []
    for _ in range(PATTERN_CYCLES):
        start_ns = clock()
        _run(invoke, half_ns)
        busy.append((start_ns, clock()))
        time.sleep(half_ns / 1e9)
    return busy


def _sampler_cost(invoke: Callable[[], None], enter: Callable[[str, int], None], with_first: bool) -> Tuple[int, int]:
    """Return the mean ns of an inference (without, with) readings."""
    mean_ns = {}
    for phase in ("with", "without") if with_first else ("without", "with"):
        enter(phase, 1)
        _run(invoke, int(SWITCH_S * 1e9))
        start_ns = clock()
        runs = _run(invoke, SAMPLER_BLOCK_NS)
        mean_ns[phase] = (clock() - start_ns) // runs
    return mean_ns["without"], mean_ns["with"]
