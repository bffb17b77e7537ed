"""Numbers as text: no rounding that changes what is said."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import units

ONE = {
    units.seconds: (12.3e-6, "12.3 µs"),
    units.size: (4404019, "4.20 MiB"),
    units.energy: (0.31, "310 mJ"),
    units.percent: (0.9022, "90.22 %"),
    units.percent_change: (0.031, "+3.10 %"),
    units.points: (0.05, "+0.05"),
    units.in_points: (0.43, "0.43 points"),
    units.change: (0.281, "0.28x"),
    units.smaller: (0.25, "4.00x"),
    units.number: (0.01234, "0.0123"),
    units.count: (10000, "10,000"),
    units.temperature: (51.04, "51.0 °C"),
    units.frequency: (2_400_000, "2400 MHz"),
    units.flags: (0x50005, "0x50005"),
}
FACTORS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}


@pytest.mark.parametrize("text", ONE, ids=lambda function: function.__name__)
def test_each_unit_says_one_number_and_what_is_not_known(text):
    value, expected = ONE[text]
    assert text(value) == expected
    assert text(None) == units.UNKNOWN


@given(st.floats(min_value=1e-9, max_value=1e4))
def test_a_duration_reads_back_within_half_a_percent(value_s):
    number, unit = units.seconds(value_s).split(" ")
    assert float(number) * FACTORS[unit] == pytest.approx(value_s, rel=0.006)
    assert len(re.sub(r"\D", "", number)) <= 4 or value_s >= 1000
    assert not (unit != "s" and float(number) >= 1000)


@given(st.floats(min_value=1e-9, max_value=1e3), st.floats(min_value=1, max_value=1.5))
def test_both_ends_of_an_interval_have_one_unit(low_s, wider):
    low, high = units.interval(low_s, low_s * wider).split(units.TO)
    number, unit = high.split(" ")
    assert float(low) <= float(number)
    assert float(low) * FACTORS[unit] == pytest.approx(low_s, rel=0.02)


def test_few_is_not_none_and_nearly_all_is_not_all():
    assert units.percent(1 / 1_000_000) == "<0.01 %"
    assert units.percent(999_999 / 1_000_000) == ">99.99 %"
    assert (units.percent(0), units.percent(1)) == ("0.00 %", "100.00 %")


def test_a_ratio_is_not_rounded_to_nothing_and_has_a_digit_more_near_one():
    assert units.change(0.00431) == "0.0043x"
    assert units.change(1.004) == "1.004x"
    assert units.change(13.04) == "13.0x"
    assert units.change_interval(0.279, 0.284) == "0.279x\u20130.284x"
    assert units.change_interval(12.9, 13.2) == "12.9x\u201313.2x"


def test_one_is_no_plural():
    counted = [units.counted(1, "row"), units.counted(2000, "row"), units.counted(2, "launch"), units.counted(0, "CPU")]
    assert counted == ["1 row", "2,000 rows", "2 launches", "0 CPUs"]


def test_no_negative_nothing():
    assert units.points(-0.001) == "+0.00"
    assert units.seconds(0) == "0 s"


def test_a_gain_of_accuracy_is_no_loss():
    assert units.accuracy_lost(0.43) == "loses 0.43 points of accuracy"
    assert units.accuracy_lost(-0.2) == "gains 0.20 points of accuracy"
