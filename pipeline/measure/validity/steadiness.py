"""Rules about the times themselves."""

from pipeline import units
from pipeline.measure.validity.evidence import Observed
from pipeline.records import Doubt
from pipeline.statistics.order import ENOUGH, covers

SPREAD_RATIO = 0.10  # width of the interval of the median, relative to it
ENOUGH_TIMES = 8  # of a side of the shortest pair. With a clock that counts single ns, two inferences of µs are never equal by chance


def never_steady(observed: Observed) -> Doubt | None:
    launches = observed.launches
    hit = [launch for launch in launches if not launch.steady]
    if len(hit) * 2 < len(launches):
        return None
    return Doubt(
        what="never steady",
        evidence=f"the warm-up reached its limit in {len(hit)} of {units.counted(len(launches), 'launch')} before the times settled",
        remedy="Stop other work on the machine, let the board cool, then measure again.",
    )


def times_all_the_same(observed: Observed) -> Doubt | None:
    """Doubt times that do not vary: the clock is too coarse for this model, or nothing was measured. Neither is worth a number."""
    launches = [launch for launch in observed.launches if len(launch.latency_ns) >= ENOUGH_TIMES]
    same = [launch for launch in launches if min(launch.latency_ns) == max(launch.latency_ns)]
    if not same:
        return None
    first = same[0].latency_ns
    return Doubt(
        what="times all the same",
        evidence=f"each of {units.counted(len(first), 'inference')} took exactly {units.count(first[0])} ns, in {len(same)} of "
        f"{units.counted(len(launches), 'launch')}: the board's clock counts in steps that are too long for them, or stands still",
        remedy="Look at the board's clock (/sys/devices/system/clocksource/clocksource0/current_clocksource), then measure again.",
        invalid=True,
    )


def few_launches(observed: Observed) -> Doubt | None:
    latency = observed.latency
    if latency is None or latency.launches >= ENOUGH:
        return None
    return Doubt(
        what="few launches",
        evidence=f"{units.counted(latency.launches, 'launch')}: "
        + (
            f"the interval is one of {units.percent(covers(latency.launches, 0))} only"
            if latency.launches > 1
            else "no interval"
        ),
        remedy=f"Set [measure] launches to {ENOUGH} or more.",
    )


def launches_disagree(observed: Observed) -> Doubt | None:
    latency = observed.latency
    if latency is None:
        return None
    width = (latency.high_s - latency.low_s) / latency.median_s
    if width <= SPREAD_RATIO:
        return None
    return Doubt(
        what="launches disagree",
        evidence=f"the median of a launch lies between {units.seconds(latency.low_s)} and {units.seconds(latency.high_s)}",
        remedy="Stop other work on the machine, or raise [measure] launches, then measure again.",
    )
