"""The limit on energy -> a Verdict, by pairs that took turns under a power meter."""

from pipeline.compare.by_pairs import UNPAIRED, by_turns
from pipeline.compare.limits import not_measured
from pipeline.plan import LimitsTable
from pipeline.records import EnergyPaired, Measurement, Verdict
from pipeline.statistics.paired_test import rule_of

METRIC = "energy_regression"


def energy(
    candidate: Measurement, baseline: Measurement | None, paired: EnergyPaired | None, limits: LimitsTable
) -> Verdict:
    """Net joules of one inference: REGRESSED where more by more than the limit (0.05 is 5 %) or the plan's smaller margin, PASS where
    by less than the limit.

    INVALID without a valid trace, and where it was never measured: no number is made up of what each file used alone.
    """
    limit = limits.energy_regression or 0.0
    if baseline is None:
        return not_measured(candidate.label, METRIC, limit, "nothing to compare with was measured in this runtime")
    if paired is None:
        return not_measured(candidate.label, METRIC, limit, UNPAIRED)
    rule = rule_of(limit, limits.energy_margin)
    alone = [doubt for each in (baseline, candidate) for doubt in each.doubts if doubt.touches == "energy"]
    return by_turns(
        candidate, baseline, paired, paired.log_ratios, rule, METRIC, "J", (paired.baseline_j, paired.candidate_j), "more",
        "that it is on one side of the limit could not be shown: a better meter, or a board that is left alone, would tell",
        f"; by {paired.meter} ({paired.quality})", [*alone, *paired.doubts],
    )  # fmt: skip
