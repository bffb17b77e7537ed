"""Did it get worse? The paired test of every verdict on a ratio: exact, sequential, with the change that it could see.

A pair is one number: the log of candidate / baseline, both measured at the same moment on the same board. If nothing changed, the
random order of processes and blocks makes each pair's sign a coin toss, whatever the noise looks like; so flipping the signs in
all 2^n ways shows how often chance alone gives as much (Fisher's randomization test, The Design of Experiments, 1935, section 21).

The limit is the limit. REGRESSED where the test rejects "worse by no more than `limit`", PASS where it rejects "worse by `limit` or
more": the same values, shifted by the limit, with either sign. Each at `alpha` divided by the number of looks (Bonferroni: looking
again must not find what is not there), so a file that is worse by exactly the limit gets REGRESSED with probability at most `alpha`,
and PASS with probability at most `alpha`. Neither after the last look: INCONCLUSIVE.

A `margin` below the limit is the stricter rule: REGRESSED where "worse by no more than `margin`" is rejected. Then REGRESSED goes first:
a change proven above the margin is REGRESSED even if it is below the limit.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from pipeline.records import Outcome

LOOKS = (10, 14, 20)  # 2^-9 is the smallest p of 9 pairs; alpha / 3 needs that many
ALPHA = 0.01  # one-sided, of each of the two answers
POWER = 0.95  # of the change that is called detectable


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Shares: 0.03 is 3 % worse."""

    margin: float  # at most the limit; the limit itself unless the plan asks for the stricter rule
    limit: float
    alpha: float = ALPHA
    looks: tuple[int, ...] = LOOKS

    @property
    def level(self) -> float:
        """The significance level of one look."""
        return self.alpha / len(self.looks)


def rule_of(limit: float, margin: float | None) -> Rule:
    """`margin` None: the limit."""
    return Rule(limit=limit, margin=limit if margin is None else margin)


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """Candidate / baseline. `low` to `high` are the bounds that the test does not reject at the level of one look, so the verdict
    can be read off them. Over all looks they hold the truth in at least 1 - 2 alpha of all cases.
    """

    ratio: float
    low: float
    high: float
    detectable: float  # the smallest true change, as a share, that is called REGRESSED with POWER after this number of pairs like these


def sign_flip(values: Sequence[float]) -> float:
    """P(a sum as large as this one), if each value could as well have the other sign. One-sided, exact; at most 24 values.

    ValueError for more, and for one that is not finite: by NaN, which is not above anything, p would be 0 and all be proven.
    """
    if len(values) > 24:
        raise ValueError(f"{len(values)} values have too many signs")
    if not all(map(math.isfinite, values)):
        raise ValueError("a value that is not finite")
    sums: npt.NDArray[Any] = np.zeros(1)
    for value in values:
        sums = np.concatenate((sums + value, sums - value))
    observed = math.fsum(values)
    slack = 1e-12 * (1 + math.fsum(map(abs, values)))  # the same sum, added in another order
    return float(np.count_nonzero(sums >= observed - slack)) / len(sums)


def decide(log_ratios: Sequence[float], rule: Rule) -> Outcome | None:
    """REGRESSED, PASS, or, after the last look, INCONCLUSIVE. None: more pairs, up to the next look."""
    if len(log_ratios) not in rule.looks:
        return None if len(log_ratios) < rule.looks[-1] else Outcome.INCONCLUSIVE
    if sign_flip([value - math.log1p(rule.margin) for value in log_ratios]) <= rule.level:
        return Outcome.REGRESSED
    if sign_flip([math.log1p(rule.limit) - value for value in log_ratios]) <= rule.level:
        return Outcome.PASS
    return Outcome.INCONCLUSIVE if len(log_ratios) == rule.looks[-1] else None


def judged(log_ratios: Sequence[float], rule: Rule) -> Outcome:
    """The verdict on what was measured, as it would have come while measuring: at the first look that decides."""
    for look in rule.looks:
        outcome = decide(log_ratios[:look], rule) if look <= len(log_ratios) else None
        if outcome in {Outcome.REGRESSED, Outcome.PASS}:
            return outcome
    return Outcome.INCONCLUSIVE


def effect(log_ratios: Sequence[float], rule: Rule) -> Effect:
    """How much it changed, from two pairs on. With fewer pairs than a look needs, `low` and `high` are 0 and infinity."""
    middle = fmean(log_ratios)
    return Effect(
        ratio=math.exp(middle),
        low=math.exp(_bound(log_ratios, rule.level)),
        high=math.exp(-_bound([-value for value in log_ratios], rule.level)),
        detectable=detectable(stdev(log_ratios), len(log_ratios), rule),
    )


def detectable(deviation: float, pairs: int, rule: Rule) -> float:
    """The smallest change that `pairs` pairs, of logs with this standard deviation, call REGRESSED with POWER.

    By Student's t, to which the sign-flip test comes close where the values are not skewed; `edgepress selftest` measures it.
    """
    return math.expm1(math.log1p(rule.margin) + _apart(deviation, pairs, rule))


def smallest_limit(deviation: float, pairs: int, rule: Rule) -> float:
    """The smallest limit by which an unchanged file passes with POWER after `pairs` pairs; as `detectable`."""
    return math.expm1(_apart(deviation, pairs, rule))


def _apart(deviation: float, pairs: int, rule: Rule) -> float:
    """How far from a bound the truth must lie for the test to prove with POWER on which side it is."""
    normal, freedom = NormalDist(), pairs - 1
    needed = _student(normal.inv_cdf(1 - rule.level), freedom) + _student(normal.inv_cdf(POWER), freedom)
    return needed * deviation / math.sqrt(pairs)


def _bound(values: Sequence[float], level: float) -> float:
    """The largest bound that the test rejects: the values are above it. Minus infinity where there are too few."""
    if 0.5 ** len(values) > level:
        return -math.inf
    low, high = min(values) - 1e-9, fmean(values)
    for _ in range(40):  # halving: to 1e-12 of the range
        bound = (low + high) / 2
        if sign_flip([value - bound for value in values]) <= level:
            low = bound
        else:
            high = bound
    return low


def _student(z: float, freedom: int) -> float:
    """The quantile of Student's t for the quantile `z` of the normal (Abramowitz and Stegun, 26.7.5)."""
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + math.fsum(term / freedom**power for power, term in enumerate(terms, start=1))
