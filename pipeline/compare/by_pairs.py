"""A limit on a ratio, judged by interleaved pairs -> a Verdict: what latency, its tail and energy have in common."""

from collections.abc import Sequence

from pipeline import units
from pipeline.compare.reasons import not_measured, within
from pipeline.errors import PlanError
from pipeline.metrics import METRICS
from pipeline.plan import Plan
from pipeline.records import Doubt, EnergyPaired, Measurement, Outcome, Paired, Verdict
from pipeline.statistics.paired_test import Effect, Rule, effect, judged

ANOTHER_LIMIT = "its pairs were enough for the limit that was set then: run `edgepress measure` again"


def check_margin(plan: Plan, limit_key: str, margin_key: str) -> None:
    """PlanError where the plan's margin is above the limit that it is for."""
    limit, margin = (getattr(plan.tables.limits, key) for key in (limit_key, margin_key))
    if margin is not None and margin > (limit or 0):
        raise PlanError(
            f"{plan.path}: limits.{margin_key} is {margin}, above {limit_key}",
            hint=f"{margin_key} must not exceed {limit_key}: a proven change above the margin is REGRESSED. Leave it out to judge by the limit alone.",
        )


def by_pairs(
    candidate: Measurement,
    baseline: Measurement,
    paired: Paired | EnergyPaired,
    log_ratios: Sequence[float],
    rule: Rule,
    metric: str,
    values: tuple[float | None, float | None],
    worse: str,
    undecided: str = "",
    by: str = "",
    doubts: Sequence[Doubt] = (),
) -> Verdict:
    """`log_ratios`: candidate / baseline, one a pair. `values`: of the baseline and of the candidate, for people. `worse`: in which
    way, "slower"; `undecided`: why neither could be shown; `by`: added to every reason.

    INVALID, with the evidence, where one of `doubts` is; the others are named.
    """
    invalid = dict.fromkeys(doubt.evidence for doubt in doubts if doubt.invalid)
    if invalid:
        return not_measured(candidate.subject, metric, rule.limit, f"it was not measured validly: {'; '.join(invalid)}")
    found, outcome = effect(log_ratios, rule), judged(log_ratios, rule)
    stopped_early = outcome is Outcome.INCONCLUSIVE and len(log_ratios) < rule.looks[-1]
    # measuring never stops at an early look without an answer
    why = ANOTHER_LIMIT if stopped_early else (_why(outcome, found, rule, worse) or undecided) + by
    named = ", ".join(dict.fromkeys(doubt.what for doubt in doubts))
    return Verdict(
        subject=candidate.subject,
        metric=metric,
        unit=METRICS[metric].unit,
        baseline_subject=baseline.subject,
        baseline=values[0],
        candidate=values[1],
        change=found.ratio - 1,
        low=found.low - 1,
        high=found.high - 1,
        limit=rule.limit,
        outcome=outcome,
        why=f"{why} (doubted: {named})" if named else why,
        detectable=found.detectable,
        pairs=len(log_ratios),
        seconds=paired.seconds,
        margin=rule.margin,
    )


def _why(outcome: Outcome, found: Effect, rule: Rule, worse: str) -> str:
    """Say why. A proven change is named even where the limit allows it."""
    if outcome is Outcome.REGRESSED:
        bound = "limit" if rule.margin >= rule.limit else "margin"
        return f"{worse} by more than the {bound} of {units.percent(rule.margin)}"
    if outcome is not Outcome.PASS:
        return ""
    if found.low > 1:
        return within(worse, units.percent(found.ratio - 1), units.percent(rule.limit))
    return f"{worse} by less than the limit of {units.percent(rule.limit)}, if at all"
