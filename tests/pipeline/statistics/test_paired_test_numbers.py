"""The numbers of the paired test, against tables and by hand: what test_paired_test.py only holds within the noise of its draws."""

import math
from statistics import NormalDist

import pytest

from pipeline.records import Outcome
from pipeline.statistics.paired_test import LOOKS, Rule, decide, detectable, effect, judged, sign_flip, smallest_limit
from pipeline.statistics.paired_test import _bound as bound
from pipeline.statistics.paired_test import _student as student

ONE_LOOK = Rule(margin=0.02, limit=0.03, alpha=0.01, looks=(16,))


@pytest.mark.parametrize(
    ("share", "freedom", "quantile"),
    [
        (0.90, 9, 1.383), (0.95, 9, 1.833), (0.99, 9, 2.821), (0.995, 9, 3.250), (0.9995, 9, 4.781),
        (0.90, 13, 1.350), (0.95, 13, 1.771), (0.99, 13, 2.650), (0.995, 13, 3.012), (0.9995, 13, 4.221),
        (0.90, 19, 1.328), (0.95, 19, 1.729), (0.99, 19, 2.539), (0.995, 19, 2.861), (0.9995, 19, 3.883),
        (0.05, 9, -1.833), (0.5, 9, 0.0),
    ],
)  # fmt: skip
def test_the_quantile_is_that_of_the_table(share, freedom, quantile):
    """Fisher and Yates, Statistical Tables (1938), table III, at the degrees of freedom of our looks: to 0.3 %."""
    assert student(NormalDist().inv_cdf(share), freedom) == pytest.approx(quantile, rel=0.003, abs=1e-12)


@pytest.mark.parametrize(
    ("z", "freedom", "quantile"),
    [
        (1.0, 1, 1 + 2 / 4 + 24 / 96 + 24 / 384),
        (2.0, 1, 2 + 10 / 4 + 294 / 96 + 1098 / 384),
        (2.0, 10, 2 + 0.25 + 0.030625 + 0.002859375),
        (-3.0, 1, -3 - 30 / 4 - 1656 / 96 - 11592 / 384),
    ],
)
def test_the_expansion_is_that_of_the_handbook(z, freedom, quantile):
    """Abramowitz and Stegun, 26.7.5, up to the third power of the degrees of freedom."""
    assert student(z, freedom) == pytest.approx(quantile, rel=1e-12)


def test_the_smallest_change_that_is_seen_by_hand():
    """16 pairs: t(0.99, 15) = 2.602 and t(0.95, 15) = 1.753 of the table; a deviation of 0.4 % is 0.1 % of their mean."""
    apart = (2.602 + 1.753) * 0.004 / 4
    assert smallest_limit(0.004, 16, ONE_LOOK) == pytest.approx(math.exp(apart) - 1, rel=1e-3)
    assert detectable(0.004, 16, ONE_LOOK) == pytest.approx(1.02 * math.exp(apart) - 1, rel=2e-4)


def test_three_looks_share_what_one_may_spend():
    """t(0.995, 15) = 2.947: alpha is divided by the number of looks."""
    rule = Rule(margin=0.02, limit=0.03, alpha=0.015, looks=(10, 14, 16))
    assert rule.level == pytest.approx(0.005)
    assert smallest_limit(0.004, 16, rule) == pytest.approx(math.exp((2.947 + 1.753) * 0.001) - 1, rel=1e-3)


def test_a_rule_is_what_the_docs_say():
    rule = Rule(margin=0.03, limit=0.03)
    assert (rule.alpha, rule.looks, rule.level) == (0.01, (10, 14, 20), 0.01 / 3)


SPREAD = [0.011, 0.013, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09]


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        (1, 0.011),  # all are above it
        (2, 0.012),  # the smallest may lie below it, by less than the next lies above: half way between the two
        (3, 0.013),  # then that the two smallest are below counts as well
    ],
)
def test_the_bound_is_the_mean_of_the_smallest_that_so_many_orders_allow(signs, expected):
    assert bound(SPREAD, signs / 1024) == pytest.approx(expected, abs=1e-10)


def test_the_bound_of_too_few_is_none():
    assert bound([0.01] * 9, 2**-10) == -math.inf
    assert bound([0.01] * 10, 2**-10) == pytest.approx(0.01, abs=1e-10)


def test_an_effect_by_hand():
    rule = Rule(margin=0.02, limit=0.03, alpha=2 / 1024, looks=(10,))
    found = effect(SPREAD, rule)
    assert found.ratio == pytest.approx(math.exp(0.0464))
    assert found.low == pytest.approx(math.exp(0.012), abs=1e-9)
    assert found.high == pytest.approx(math.exp(0.085), abs=1e-9)
    deviation = math.sqrt(sum((each - 0.0464) ** 2 for each in SPREAD) / 9)
    assert found.detectable == pytest.approx(detectable(deviation, 10, rule))


@pytest.mark.parametrize(
    ("small", "tied"),
    [(0.9e-12, True), (1.1e-12, False)],
)
def test_sums_that_only_rounding_tells_apart_are_the_same(small, tied):
    """The slack is 1e-12 of one more than all sizes: 2e-12 here."""
    assert sign_flip([1.0, small]) == (0.5 if tied else 0.25)


def test_the_slack_is_one_of_all_sizes():
    assert sign_flip([1.0, -2.0, 2.2e-12]) == 0.625
    assert sign_flip([1.0, -2.0, 1.8e-12]) == 0.75
    assert sign_flip([1.0, 2.0, 1.8e-12]) == 0.25
    assert sign_flip([1.0, 2.0, 2.2e-12]) == 0.125


def test_24_signs_can_be_flipped_and_25_cannot():
    """The number is looked at first: what is not finite shows that it was not too large."""
    with pytest.raises(ValueError, match=r"^a value that is not finite$"):
        sign_flip([math.nan] * 24)
    with pytest.raises(ValueError, match=r"^25 values have too many signs$"):
        sign_flip([math.nan] * 25)


def test_before_and_behind_the_last_look():
    rule = Rule(margin=0.03, limit=0.03)
    clear = [math.log(1.2)] * 21
    assert [decide(clear[:pairs], rule) for pairs in (9, 15, 19)] == [None] * 3
    assert decide(clear, rule) is Outcome.INCONCLUSIVE
    assert [decide(clear[:pairs], rule) for pairs in LOOKS] == [Outcome.REGRESSED] * 3
    assert judged(clear[:9], rule) is Outcome.INCONCLUSIVE
