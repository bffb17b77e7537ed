"""The paired test: exact, of the level that it says, and its interval agrees with its verdict."""

import itertools
import math
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.records import Outcome
from pipeline.statistics.paired_test import (
    LOOKS,
    Rule,
    decide,
    detectable,
    effect,
    judged,
    rule_of,
    sign_flip,
    smallest_limit,
)

RULE = Rule(margin=0.005, limit=0.03)
LOGS = st.floats(-0.2, 0.2).map(lambda value: round(value, 6))


@settings(max_examples=60, deadline=None)
@given(st.lists(LOGS, min_size=1, max_size=9))
def test_the_probability_is_that_of_all_signs(values):
    sums = [
        math.fsum(s * v for s, v in zip(signs, values, strict=True))
        for signs in itertools.product((1, -1), repeat=len(values))
    ]
    expected = sum(one >= math.fsum(values) - 1e-9 for one in sums) / len(sums)
    assert sign_flip(values) == pytest.approx(expected)


def test_as_a_table_has_it():
    """Darwin's maize, as Fisher (1935, section 21) has it: 863 of 32,768 sums are as large in one direction."""
    darwin = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    assert sign_flip(darwin) == 863 / 2**15


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_proves_nothing(value):
    with pytest.raises(ValueError, match="not finite"):
        judged([value] * LOOKS[0], RULE)


@settings(max_examples=40, deadline=None)
@given(st.lists(LOGS, min_size=LOOKS[0], max_size=LOOKS[0]))
def test_the_verdict_can_be_read_off_the_interval(values):
    found, outcome = effect(values, RULE), decide(values, RULE)
    assert found.low <= found.ratio + 1e-9
    assert found.ratio <= found.high + 1e-9
    near = any(abs(bound - edge) < 1e-6 for bound in (found.low, found.high) for edge in (1.005, 1.03))
    if not near:
        expected = Outcome.REGRESSED if found.low > 1.005 else Outcome.PASS if found.high < 1.03 else None
        assert outcome is expected


def test_false_alarms_are_as_rare_as_alpha_promises():
    """Symmetric noise without any margin, heavy tails and all: at most alpha of all cases, give and take the draw."""
    shuffle = random.Random(5)
    rule = Rule(margin=0.0, limit=0.03, alpha=0.05, looks=(10, 12))
    trials = [[shuffle.choice((1, -1)) * 0.01 * shuffle.paretovariate(1.5) for _ in range(12)] for _ in range(1500)]
    share = sum(judged(trial, rule) is Outcome.REGRESSED for trial in trials) / len(trials)
    assert 0.01 < share < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1500)


def test_what_is_called_detectable_is_detected():
    shuffle = random.Random(6)
    rule = Rule(margin=0.005, limit=0.03, looks=(10,))
    smallest = detectable(0.005, 10, rule)
    trials = [[math.log1p(smallest) + shuffle.gauss(0, 0.005) for _ in range(10)] for _ in range(400)]
    assert 0.91 < sum(judged(trial, rule) is Outcome.REGRESSED for trial in trials) / len(trials) < 0.99


def test_looks_are_only_where_they_were_announced():
    clear = [math.log(1.2)] * 20
    assert decide(clear[:9], RULE) is None
    assert decide(clear[:10], RULE) is Outcome.REGRESSED
    assert decide(clear[:11], RULE) is None
    unclear = [math.log(1.015) + each for each in (0.05, -0.05) * 10]
    assert decide(unclear[:14], RULE) is None
    assert decide(unclear, RULE) is Outcome.INCONCLUSIVE


def test_too_few_pairs_have_no_interval():
    few = effect([0.01, 0.02], RULE)
    assert (few.low, few.high) == (0.0, math.inf)
    assert judged([0.01, 0.02], RULE) is Outcome.INCONCLUSIVE
    with pytest.raises(ValueError, match="too many"):
        sign_flip([0.0] * 25)


# --- the limit is the limit


LIMIT = rule_of(0.03, None)


def test_without_a_margin_it_is_the_limit():
    assert (LIMIT.margin, LIMIT.limit) == (0.03, 0.03)
    assert rule_of(0.03, 0.0).margin == 0.0  # asked for: any slowdown at all
    assert rule_of(0.03, 0.01).margin == 0.01


@settings(max_examples=8, deadline=None)
@given(st.lists(st.floats(1e-4, 0.2), min_size=10, max_size=10), st.sampled_from([0.03, 0.05, 1.0]))
def test_at_the_limit_each_wrong_verdict_has_exactly_its_share_of_all_signs(sizes, limit):
    """Worse by exactly the limit, with any noise that is symmetric: of the 1,024 orders of signs, all equally likely, at most a
    third of alpha are called REGRESSED at the first look, and as many PASS.
    """
    rule = rule_of(limit, None)
    found = dict.fromkeys((*Outcome, None), 0)
    for signs in itertools.product((1, -1), repeat=10):
        found[decide([math.log1p(limit) + s * size for s, size in zip(signs, sizes, strict=True)], rule)] += 1
    most = math.floor(1024 * rule.level)
    assert 1 <= found[Outcome.REGRESSED] == found[Outcome.PASS] <= most == 3
    assert found[None] == 1024 - 2 * found[Outcome.PASS]  # INCONCLUSIVE comes only after the last look


def test_a_pass_is_proven_below_the_limit_and_not_below_the_margin():
    around = [math.log1p(0.01) + each for each in (0.012, -0.012) * 5]  # 1 %, give or take 1.1 points
    assert decide(around, rule_of(0.03, 0.005)) is Outcome.PASS
    assert decide(around, rule_of(0.01, 0.005)) is None


def slowed(trials, slower, deviation, seed, pairs=14):
    """Log ratios with heavy tails, as on a board that others use."""
    shuffle = random.Random(seed)
    return [
        [math.log1p(slower) + shuffle.gauss(0, deviation) * shuffle.choice((1, 1, 1, 4)) for _ in range(pairs)]
        for _ in range(trials)
    ]


@pytest.mark.parametrize(("limit", "margin"), [(0.03, None), (0.05, None), (0.03, 0.005)])
def test_over_all_looks_a_bound_is_crossed_wrongly_in_at_most_one_case_of_a_hundred(limit, margin):
    rule = msgspec.structs.replace(
        rule_of(limit, margin), looks=(10, 12, 14)
    )  # the last of 2^20 signs would take minutes
    slack = 3 * math.sqrt(rule.alpha / 1000)
    for bound, wrong in ((rule.margin, Outcome.REGRESSED), (rule.limit, Outcome.PASS)):
        outcomes = [judged(trial, rule) for trial in slowed(1000, bound, 0.006, seed=11)]
        assert outcomes.count(wrong) / 1000 <= rule.alpha + slack
    if margin is None:
        assert outcomes.count(Outcome.INCONCLUSIVE) / 1000 > 0.97


@pytest.mark.parametrize("limit", [0.03, 0.05])
def test_an_unchanged_file_passes_as_soon_as_by_the_sharper_rule(limit):
    """Noise as of a busy board: 0.7 % of a pair's ratio, and four times that in each fourth."""
    trials = slowed(150, 0.0, 0.007, seed=12, pairs=20)
    plain, sharper = rule_of(limit, None), rule_of(limit, limit / 6)
    pairs = {rule: [needed(trial, rule) for trial in trials] for rule in (plain, sharper)}
    assert all(one <= other for one, other in zip(pairs[plain], pairs[sharper], strict=True))
    assert pairs[plain].count(LOOKS[0]) / len(trials) > (0.6 if limit == 0.03 else 0.95)
    assert not [trial for trial in trials if judged(trial, plain) is Outcome.REGRESSED]


def needed(trial, rule):
    return next((look for look in LOOKS if judged(trial[:look], rule) is not Outcome.INCONCLUSIVE), LOOKS[-1])


def test_what_lies_on_a_bound_is_on_neither_side():
    on_it = [math.log1p(0.03)] * LOOKS[-1]
    assert sign_flip([0.0] * 10) == 1.0
    assert judged(on_it, LIMIT) is Outcome.INCONCLUSIVE
    assert decide(on_it[: LOOKS[0]], LIMIT) is None
    assert judged([value + 1e-6 for value in on_it], LIMIT) is Outcome.REGRESSED
    assert judged([value - 1e-6 for value in on_it], LIMIT) is Outcome.PASS


@pytest.mark.parametrize(("alpha", "proven"), [(2**-10, True), (2**-10 - 1e-9, False)])
def test_a_probability_of_exactly_the_level_is_enough(alpha, proven):
    rule = Rule(limit=0.03, margin=0.03, alpha=alpha, looks=(10,))
    above, below = ([math.log1p(share)] * 10 for share in (0.05, 0.01))
    assert (decide(above, rule) is Outcome.REGRESSED) is proven
    assert (decide(below, rule) is Outcome.PASS) is proven
    found = effect(above, rule)
    assert (found.low > 0) is proven
    assert math.isfinite(found.high) is proven


def test_the_smallest_limit_is_that_by_which_an_unchanged_file_passes():
    rule = Rule(margin=0.03, limit=0.03, looks=(10,))
    limit = smallest_limit(0.005, 10, rule)
    assert detectable(0.005, 10, Rule(margin=0.0, limit=0.03, looks=(10,))) == pytest.approx(limit)
    shuffle = random.Random(14)
    trials = [[shuffle.gauss(0, 0.005) for _ in range(10)] for _ in range(400)]
    passed = sum(judged(trial, Rule(margin=limit, limit=limit, looks=(10,))) is Outcome.PASS for trial in trials)
    assert 0.91 < passed / 400 < 0.99


def test_an_early_look_stands_whatever_comes_behind_it():
    early = [math.log(1.05)] * 10 + [math.log(0.5)] * 10
    assert judged(early, LIMIT) is Outcome.REGRESSED
    assert decide(early, LIMIT) is Outcome.PASS  # the last look alone would say so
    late = [math.log1p(0.03) + each for each in (0.3, -0.3) * 5] + [math.log(0.5)] * 10
    assert [judged(late[:look], LIMIT) for look in (10, 13, 19)] == [Outcome.INCONCLUSIVE] * 3
    assert judged(late, LIMIT) is Outcome.PASS
