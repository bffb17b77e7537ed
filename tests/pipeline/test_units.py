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
    units.faster: (0.281, "3.56x faster"),
    units.smaller: (0.25, "4.00x smaller"),
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
    assert units.faster(0.00431) == "232x faster"
    assert units.faster(1.004) == "1.004x slower"
    assert units.faster(13.04) == "13.0x slower"
    assert units.faster(1 / 1.14) == "1.14x faster"
    assert units.smaller(1.2) == "1.20x larger"
    assert units.smaller(0.00431) == "232x smaller"


def test_a_ratio_of_nearly_one_is_no_difference_and_none_of_nothing_is_told():
    assert (units.faster(1.0), units.faster(1.0004), units.faster(0.9996)) == ("as fast", "as fast", "as fast")
    assert (units.faster(1.0006), units.smaller(1.0)) == ("1.001x slower", "the same size")
    assert (units.faster(0.0), units.smaller(0), units.faster_interval(0.0, 1.0)) == (units.UNKNOWN,) * 3


def test_the_ends_of_a_ratio_say_their_direction():
    assert units.faster_interval(0.27, 0.29) == "3.45x to 3.70x faster"
    assert units.faster_interval(1.051, 1.059) == "1.051x to 1.059x slower"
    assert units.faster_interval(0.95, 1.2) == "1.20x slower to 1.053x faster"
    assert units.faster_interval(12.9, 13.2) == "12.9x to 13.2x slower"
    assert (
        units.faster_interval(12.91, 12.93) == "12.91x to 12.93x slower"
    )  # a digit more, where they would read the same
    assert units.faster_interval(None, 1.0) == units.UNKNOWN


@given(st.floats(min_value=1e-3, max_value=1e3))
def test_a_ratio_reads_back_in_its_direction(ratio):
    text = units.faster(ratio)
    if text == "as fast":
        assert ratio == pytest.approx(1, abs=0.0006)
        return
    number, word = text.split("x ")
    assert float(number) >= 1
    assert (1 / float(number) if word == "faster" else float(number)) == pytest.approx(ratio, rel=0.006)


def test_one_is_no_plural():
    counted = [units.counted(1, "row"), units.counted(2000, "row"), units.counted(2, "launch"), units.counted(0, "CPU")]
    assert counted == ["1 row", "2,000 rows", "2 launches", "0 CPUs"]


def test_no_negative_nothing():
    assert units.points(-0.001) == "+0.00"
    assert units.seconds(0) == "0 s"


def test_a_gain_of_accuracy_is_no_loss():
    assert units.accuracy_lost(0.43) == "loses 0.43 points of accuracy"
    assert units.accuracy_lost(-0.2) == "gains 0.20 points of accuracy"
