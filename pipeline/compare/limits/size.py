"""The limit on the size of a file: absolute, with no baseline and no interval, because a file has its size."""

from pipeline.compare.by_interval import BREAKS, KEEPS
from pipeline.compare.case import Case
from pipeline.metrics import SIZE
from pipeline.plan import Plan
from pipeline.records import Outcome, Verdict

KEYS: tuple[str, ...] = ("size_bytes",)
METRICS: tuple[str, ...] = (SIZE,)
RELATIVE = False
REQUIRED = True


def check(_plan: Plan) -> None:
    """Every file has a size."""


def judge(case: Case) -> list[Verdict]:
    """PASS where the file has at most this number of bytes."""
    limit, bytes_ = case.limits.size_bytes or 0, float(case.candidate.artifact.size_bytes)
    outcome, why = (Outcome.PASS, KEEPS) if bytes_ <= limit else (Outcome.REGRESSED, BREAKS)
    return [
        Verdict(
            subject=case.candidate.subject,
            metric=SIZE,
            unit="B",
            candidate=bytes_,
            change=bytes_,
            low=bytes_,
            high=bytes_,
            limit=limit,
            outcome=outcome,
            why=why,
        )
    ]
