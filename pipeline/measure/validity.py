"""Why a measurement should not be trusted, read from what the agent saw around it. Doubt is a result."""

from collections.abc import Sequence

from device_agent.wire import Conditions, Launched
from pipeline import units
from pipeline.order_statistics import ENOUGH, covers
from pipeline.records import BoardFacts, Doubt, Latency

# Bits of `vcgencmd get_throttled`, Raspberry Pi documentation: 0 under-voltage, 1 frequency capped, 2 throttled,
# 3 soft temperature limit; 16 to 19 the same "has occurred since boot".
THROTTLED_NOW, THROTTLED_SINCE_BOOT = 0x0000F, 0xF0000
SWITCHES_RATIO = 0.05  # involuntary switches per inference: above it, one time in twenty holds the work of others
RUN_DELAY_RATIO = 0.05  # share of the timed part in which the process waited for a CPU
FREQUENCY_RATIO = 0.02
SPREAD_RATIO = 0.10  # width of the interval of the median, relative to it


def doubts_of(launches: Sequence[Launched], latency: Latency) -> tuple[Doubt, ...]:
    found = [
        _throttled(launches), _governor(launches), _frequency(launches), _contended(launches), _unsteady(launches),
        _few(latency), _spread(latency),
    ]  # fmt: skip
    return tuple(doubt for doubt in found if doubt is not None)


def doubts_about(board: BoardFacts) -> tuple[Doubt, ...]:
    """What is doubted whatever was seen while measuring, because of where it was measured."""
    if not board.emulated:
        return ()
    return (
        Doubt(
            what="emulated",
            evidence="the processor is emulated by a program: its times are of that program, not of a board",
            remedy="Measure on a real board. Accuracy and size are judged here as on any other.",
            decides_nothing=True,
        ),
    )


def _throttled(launches: Sequence[Launched]) -> Doubt | None:
    def bad(before: Conditions, after: Conditions) -> bool:
        old, new = before.throttle_flags, after.throttle_flags
        newly = new & ~old & THROTTLED_SINCE_BOOT if old is not None and new is not None else 0
        return bool(((old or 0) | (new or 0)) & THROTTLED_NOW or newly)

    hit = [launch for launch in launches if bad(launch.before, launch.after)]
    if not hit:
        return None
    flags = max(launch.after.throttle_flags or 0 for launch in hit)
    return Doubt(
        what="throttled",
        evidence=f"the board throttled or lacked voltage in {len(hit)} of {len(launches)} launches (flags {flags:#x})",
        remedy="Cool the board, give it a supply that holds 5 V under load, then measure again.",
        invalid=True,
    )


def _governor(launches: Sequence[Launched]) -> Doubt | None:
    seen = {condition.governor for launch in launches for condition in (launch.before, launch.after)} - {None}
    if len(seen) < 2:
        return None
    return Doubt(
        what="governor changed",
        evidence=f"the CPU frequency governor changed while measuring: {', '.join(sorted(map(str, seen)))}",
        remedy="Set one governor (performance) and keep whatever changes it from running, then measure again.",
        invalid=True,
    )


def _frequency(launches: Sequence[Launched]) -> Doubt | None:
    clocks = [c.cpu_khz for launch in launches for c in (launch.before, launch.after) if c.cpu_khz]
    if not clocks or max(clocks) - min(clocks) <= FREQUENCY_RATIO * max(clocks):
        return None
    return Doubt(
        what="clock drifts",
        evidence=f"the CPU ran at {units.frequency(min(clocks))} to {units.frequency(max(clocks))} between launches",
        remedy="Set the governor to performance, or fix the frequency, then measure again.",
    )


def _contended(launches: Sequence[Launched]) -> Doubt | None:
    hit = []
    for launch in launches:
        if launch.run_delay_ns is not None:
            contended = launch.run_delay_ns > RUN_DELAY_RATIO * sum(launch.latency_ns)
        else:  # a kernel without schedstats
            contended = launch.involuntary_switches > SWITCHES_RATIO * len(launch.latency_ns)
        if contended:
            hit.append(launch)
    if len(hit) * 2 < len(launches):
        return None
    return Doubt(
        what="contended",
        evidence=f"other programs took the CPU in {len(hit)} of {len(launches)} launches",
        remedy="Stop other work on the machine, then measure again; the ratio to the baseline suffers less than the median.",
    )


def _unsteady(launches: Sequence[Launched]) -> Doubt | None:
    hit = [launch for launch in launches if not launch.steady]
    if len(hit) * 2 < len(launches):
        return None
    return Doubt(
        what="never steady",
        evidence=f"the warm-up reached its limit in {len(hit)} of {len(launches)} launches before the times settled",
        remedy="Stop other work on the machine, let the board cool, then measure again.",
    )


def _few(latency: Latency) -> Doubt | None:
    if latency.launches >= ENOUGH:
        return None
    return Doubt(
        what="few launches",
        evidence=f"{latency.launches} launches give an interval of {units.percent(covers(latency.launches, 0))} only",
        remedy=f"Set [measure] launches to {ENOUGH} or more.",
    )


def _spread(latency: Latency) -> Doubt | None:
    width = (latency.high_s - latency.low_s) / latency.median_s
    if width <= SPREAD_RATIO:
        return None
    return Doubt(
        what="launches disagree",
        evidence=f"the median of a launch lies between {units.seconds(latency.low_s)} and {units.seconds(latency.high_s)}",
        remedy="Stop other work on the machine, or raise [measure] launches, then measure again.",
    )
