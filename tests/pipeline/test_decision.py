"""The paired test: exact, of the level that it says, and its interval agrees with its verdict."""

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.decision import LOOKS, Rule, decide, detectable, effect, judged, sign_flip
from pipeline.records import Outcome

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
