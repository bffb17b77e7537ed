"""Rules about other programs that used the board during the measurement."""

from device_agent.wire import Conditions, Launched, Paired
from pipeline import units
from pipeline.measure.validity.evidence import Observed
from pipeline.records import Doubt

SWITCHES_RATIO = 0.05  # involuntary switches per inference: above it, one time in twenty holds the work of others
RUN_DELAY_RATIO = 0.05  # share of the timed part in which the process waited for a CPU
PRESSURE_RATIO = 0.20  # share of the time in which some task waited for a CPU, or for the storage (PSI)
OTHERS_RATIO = 0.20  # of one CPU
MEMORY_RATIO = 0.05  # share of the time in which some task waited for memory (PSI)
ALONE_RATIO = 0.05  # of one CPU: below it the tasks that wait for one are our own
LEAST_WINDOW_US = 200_000  # the kernel counts CPU time in ticks of 10 ms


def contended(observed: Observed) -> Doubt | None:
    """The low quantile that pairs are judged by moves little under contention; a tail says nothing then."""
    found = (
        [_in_pair(pair) or _around(pair.a) for pair in observed.pairs]
        if observed.pairs
        else [_in_launch(launch) or _around(launch) for launch in observed.launches]
    )
    reasons = [reason for reason in found if reason]
    if len(reasons) * 2 < len(found) or not reasons:
        return None
    of = units.counted(len(found), "pair" if observed.pairs else "launch")
    return Doubt(
        what="contended",
        evidence=f"other programs used the board in {len(reasons)} of {of}: {reasons[0]}{_culprit(observed)}",
        remedy="Stop other work on the machine, then measure again; the ratio to the baseline suffers less than the median.",
        withholds="tail",
    )


def short_of_memory(observed: Observed) -> Doubt | None:
    shares = [_part(before, after, "memory_stalled_us") for before, after in observed.windows]
    if sum(share > MEMORY_RATIO for share in shares) * 2 < len(shares) or max(shares, default=0) <= MEMORY_RATIO:
        return None
    return Doubt(
        what="short of memory",
        evidence=f"programs waited for memory for up to {units.percent(max(shares))} of a launch",
        remedy="Stop other programs on the board, or use a smaller model; then measure again.",
        withholds="tail",
    )


def _in_launch(launch: Launched) -> str:
    return _taken(
        _threads(launch) * launch.counted_ns,
        len(launch.latency_ns),
        launch.run_delay_ns,
        launch.involuntary_switches,
    )


def _in_pair(pair: Paired) -> str:
    """Return the reason by the blocks of a pair: between them a side only waits for its turn."""
    delays = [block.run_delay_ns for block in pair.blocks]
    return _taken(
        _threads(pair.a) * sum(block.counted_ns for block in pair.blocks),
        sum(block.runs for block in pair.blocks),
        None if None in delays else sum(delay for delay in delays if delay is not None),
        sum(block.involuntary_switches for block in pair.blocks),
    )


def _threads(launch: Launched) -> int:
    """Return the number of threads: their waiting is added up, and each is bound to a CPU of its own."""
    return max(1, len(launch.cpus))


def _taken(counted_ns: int, runs: int, delay_ns: int | None, switches: int) -> str:
    """Return why, in words; empty where nothing did. A runtime may have more threads than CPUs, and all may wait: not more than always."""
    if delay_ns is not None:
        share = min(1.0, delay_ns / max(counted_ns, 1))
        return f"the model waited for a CPU for {units.percent(share)} of its time" if share > RUN_DELAY_RATIO else ""
    per_run = switches / max(runs, 1)  # a kernel without schedstats
    return f"it was interrupted {units.number(per_run)} times an inference" if per_run > SWITCHES_RATIO else ""


def _around(launch: Launched) -> str:
    """Return the reason by what was seen from before the launch to after it."""
    before, after = launch.before, launch.after
    if after.t_ns - before.t_ns < LEAST_WINDOW_US * 1000:
        return ""
    stolen = _share(before, after, "steal_us") or 0
    if stolen > OTHERS_RATIO:
        return f"the hypervisor took {units.percent(stolen)} of a CPU"
    busy = _share(before, after, "busy_us")
    others = None if busy is None else busy - (_share(before, after, "own_us") or 0)
    if others is not None and others > OTHERS_RATIO:
        return f"they used {units.percent(others)} of a CPU"
    waited = _part(before, after, "cpu_stalled_us")
    if waited > PRESSURE_RATIO and (others is None or others > ALONE_RATIO):
        return f"some program waited for a CPU for {units.percent(waited)} of the time"
    stored = _part(before, after, "io_stalled_us")
    return (
        f"some program waited for the storage for {units.percent(stored)} of the time"
        if stored > PRESSURE_RATIO
        else ""
    )


def _share(before: Conditions, after: Conditions, name: str) -> float | None:
    """Return the share of the window; CPU time is a share of one CPU."""
    old, new = getattr(before, name), getattr(after, name)
    return None if old is None or new is None else max(0, new - old) / max((after.t_ns - before.t_ns) / 1000, 1)


def _part(before: Conditions, after: Conditions, name: str) -> float:
    """Return the share of the window for what cannot last longer: the kernel's counter and the clock are read one after the other."""
    return min(1.0, _share(before, after, name) or 0.0)


def _culprit(observed: Observed) -> str:
    """Return the program that used most in any window."""
    after = [after for _, after in observed.windows]
    worst = max(after, key=lambda one: one.busiest_us)
    return f" (most by {worst.busiest}, {units.seconds(worst.busiest_us / 1e6)} of CPU time)" if worst.busiest else ""
