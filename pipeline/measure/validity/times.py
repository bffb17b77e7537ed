"""Rules about the times themselves."""

from pipeline import units
from pipeline.measure.validity.seen import Seen
from pipeline.order_statistics import ENOUGH, covers
from pipeline.records import Doubt

SPREAD_RATIO = 0.10  # width of the interval of the median, relative to it


def never_steady(seen: Seen) -> Doubt | None:
    launches = seen.launches
    hit = [launch for launch in launches if not launch.steady]
    if len(hit) * 2 < len(launches):
        return None
    return Doubt(
        what="never steady",
        evidence=f"the warm-up reached its limit in {len(hit)} of {units.counted(len(launches), 'launch')} before the times settled",
        remedy="Stop other work on the machine, let the board cool, then measure again.",
    )


def few_launches(seen: Seen) -> Doubt | None:
    latency = seen.latency
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


def launches_disagree(seen: Seen) -> Doubt | None:
    latency = seen.latency
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
