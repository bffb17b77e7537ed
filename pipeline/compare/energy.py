"""The limit on energy -> a Verdict, by pairs that took turns under a power meter."""

from pipeline import units
from pipeline.compare.limits import UNPAIRED, not_measured
from pipeline.decision import effect, judged, rule_of
from pipeline.plan import LimitsTable
from pipeline.records import EnergyPaired, Measurement, Outcome, Verdict

METRIC = "energy_regression"


def energy(
    candidate: Measurement, baseline: Measurement | None, paired: EnergyPaired | None, limits: LimitsTable
) -> Verdict:
    """Net joules of one inference: REGRESSED where more by more than the margin, PASS where by less than the limit (0.05 is 5 %).

    INVALID without a valid trace, and where it was never measured: no number is made up of what each file used alone.
    """
    limit = limits.energy_regression or 0.0
    if baseline is None:
        return not_measured(candidate.label, METRIC, limit, "nothing to compare with was measured in this runtime")
    if paired is None:
        return not_measured(candidate.label, METRIC, limit, UNPAIRED)
    invalid = dict.fromkeys(doubt.evidence for doubt in paired.doubts if doubt.invalid)
    if invalid:
        return not_measured(candidate.label, METRIC, limit, f"it was not measured validly: {'; '.join(invalid)}")
    rule = rule_of(limit, limits.energy_margin)
    found, outcome = effect(paired.log_ratios, rule), judged(paired.log_ratios, rule)
    said = {
        Outcome.REGRESSED: f"more by more than the margin of {units.percent(rule.margin)}",
        Outcome.PASS: "more by less than the limit, if at all",
        Outcome.INCONCLUSIVE: "neither could be shown: a better meter, or a board that is left alone, would tell",
    }[outcome]
    named = dict.fromkeys(
        doubt.what for each in (baseline, candidate) for doubt in each.doubts if doubt.touches == "energy"
    )
    doubted = f" (doubted: {', '.join(named)})" if named else ""
    return Verdict(
        subject=candidate.label, metric=METRIC, unit="J", baseline_subject=baseline.label, baseline=paired.baseline_j,
        candidate=paired.candidate_j, change=found.ratio - 1, low=found.low - 1, high=found.high - 1, limit=limit,
        outcome=outcome, why=f"{said}; by {paired.meter} ({paired.quality}){doubted}", detectable=found.detectable,
        pairs=len(paired.log_ratios), seconds=paired.seconds, margin=rule.margin,
    )  # fmt: skip
