"""The limit on energy, by interleaved pairs under a power meter."""

from pipeline.compare.by_pairs import by_pairs, check_margin
from pipeline.compare.case import Case
from pipeline.compare.reasons import NO_BASELINE, UNPAIRED, not_measured
from pipeline.errors import PlanError
from pipeline.metrics import ENERGY
from pipeline.plan import Plan
from pipeline.records import Verdict
from pipeline.statistics.paired_test import rule_of

KEYS: tuple[str, ...] = ("energy_regression", "energy_margin")
METRICS: tuple[str, ...] = (ENERGY,)
RELATIVE = True
REQUIRED = True


def check(plan: Plan) -> None:
    """The margin is the smaller of the two, and there is a meter."""
    check_margin(plan, *KEYS)
    if plan.tables.limits.energy_regression is not None and not plan.tables.measure.meters:
        raise PlanError(
            f"{plan.path}: limits.energy_regression needs a power meter, but measure.meters is empty",
            hint='Leave measure.meters out ("auto"), or name one; docs/energy.md.',
        )


def judge(case: Case) -> list[Verdict]:
    """Net joules of one inference: REGRESSED where more by more than the limit (0.05 is 5 %) or the plan's smaller margin, PASS where
    by less than the limit.

    INVALID without a valid trace, and where it was never measured: no number is derived from what each file used alone.
    """
    candidate, baseline, paired = case.candidate, case.baseline, case.energy_paired
    limit = case.limits.energy_regression or 0.0
    if baseline is None or paired is None:
        return [not_measured(candidate.subject, ENERGY, limit, NO_BASELINE if baseline is None else UNPAIRED)]
    rule = rule_of(limit, case.limits.energy_margin)
    alone = [doubt for each in (baseline, candidate) for doubt in each.doubts if doubt.touches == "energy"]
    verdict = by_pairs(
        candidate,
        baseline,
        paired,
        paired.log_ratios,
        rule,
        ENERGY,
        values=(paired.baseline_j, paired.candidate_j),
        worse="more",
        undecided="that it is on one side of the limit could not be shown: a better meter, or a board that is left alone, would show it",
        by=f"; by {paired.meter} ({paired.quality})",
        doubts=[*alone, *paired.doubts],
    )
    return [verdict]
