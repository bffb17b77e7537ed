"""The limits of the plan and what became of them, in words."""

from pipeline import units
from pipeline.metrics import METRICS, Metric
from pipeline.records import Outcome, Verdict
from pipeline.report.trust import INVALID, WORSE, Trust, guarded, level_of, mark_about
from pipeline.report.view import JudgedLimit
from pipeline.safe_text import shortened

LONGEST_NAME = 40  # of a task
UNKNOWN = Metric(unit="", touches="", level=units.number, change=units.number, amount=units.number, limit=units.number)


def limits(trust: Trust) -> tuple[JudgedLimit, ...]:
    """One for each verdict."""
    return tuple(_limit(verdict, trust) for verdict in trust.compared.verdicts)


def _limit(verdict: Verdict, trust: Trust) -> JudgedLimit:
    """A number is as trusted as its measurements; where the verdict itself is INVALID nothing of it is printed."""
    metric = METRICS.get(verdict.metric, UNKNOWN)
    mark, baseline_mark = _marks(verdict, metric.touches, trust)
    by_test = verdict.pairs is not None or metric.by_test
    change_mark = INVALID if INVALID in {mark, baseline_mark} else mark or baseline_mark
    interval = f"{metric.change(verdict.low)} to {metric.change(verdict.high)}" if verdict.low != verdict.high else ""
    return JudgedLimit(
        outcome=verdict.outcome,
        subject=verdict.subject.label,
        metric=verdict.metric + _part(verdict),
        baseline_subject=verdict.baseline_subject.label if verdict.baseline_subject else "",
        baseline=guarded(metric.level(verdict.baseline), baseline_mark)
        if verdict.baseline is not None
        else units.UNKNOWN,
        candidate=guarded(metric.level(verdict.candidate), mark),
        change=guarded(metric.change(verdict.change), change_mark),
        interval=f"{level_of(by_test=by_test)}: {guarded(interval, change_mark)}"
        if interval and change_mark != INVALID
        else "",
        bound=metric.bound,
        limit=metric.limit(verdict.limit),
        why=verdict.why,
    )


def _part(verdict: Verdict) -> str:
    """Return which quantile of a latency it is about, or whose metric."""
    part = f"p{units.count(verdict.percent)}" if verdict.percent else shortened(verdict.task, LONGEST_NAME)
    return f" ({part})" if part else ""


def _marks(verdict: Verdict, touches: str, trust: Trust) -> tuple[str, str]:
    """How far the numbers of the candidate and of the baseline may be trusted."""
    if verdict.outcome is Outcome.INVALID:
        return INVALID, INVALID
    if touches != "latency":
        return trust.about(verdict.subject, touches), trust.about(verdict.baseline_subject, touches)
    paired = trust.paired.get(verdict.subject)
    of_pairs = mark_about(paired.doubts if paired else ())
    return max(trust.of(verdict.subject), of_pairs, key=WORSE.index), trust.of(verdict.baseline_subject)
