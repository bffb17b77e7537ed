"""Which limits there are. A limit is one file, and one line here.

A limit is judged by an interval, never by a single number: pipeline/compare/by_interval.py, or, for files that were measured in pairs,
pipeline/compare/by_pairs.py.
"""

from typing import Protocol

from pipeline.compare.by_task import Bound
from pipeline.compare.case import Case
from pipeline.compare.limits import accuracy, ceiling, energy, floor, latency, memory, quality, size, tail
from pipeline.plan import Plan
from pipeline.plan_tables import LimitsTable
from pipeline.records import Verdict


class Limit(Protocol):
    """What the module of a limit has."""

    KEYS: tuple[str, ...]  # keys of the plan's [limits] that it reads; without the first it is not set
    METRICS: tuple[str, ...]  # what its verdicts are about: pipeline.metrics
    RELATIVE: bool  # judges against a baseline, and so never the baseline itself
    REQUIRED: bool  # it is INVALID where nothing could be measured; False: it is left out where it cannot be judged

    def check(self, plan: Plan, /) -> None:
        """PlanError where the plan could never be judged by it. Called for every plan in which one of KEYS is set."""

    def judge(self, case: Case, /) -> list[Verdict]:
        """One verdict or more on a measured file. Called where the limit is set."""


LIMITS: dict[str, Limit] = {
    "size": size,
    "accuracy": accuracy,
    "quality": quality,
    "floor": floor,
    "ceiling": ceiling,
    "latency": latency,
    "tail": tail,
    "energy": energy,
    "memory": memory,
}
"""Name of a limit -> its module. Verdicts are given in this order."""


def value_of(limit: Limit, limits: LimitsTable) -> Bound | None:
    """What the plan allows, or what it allows of each task; None: the plan does not set this limit."""
    value: Bound | None = getattr(limits, limit.KEYS[0])
    return value
