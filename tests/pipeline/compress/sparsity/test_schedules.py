"""Schedules, by hand."""

import pytest

from pipeline.compress.sparsity.schedules import Schedule
from pipeline.errors import PlanError


def changes(rise, steps):
    return [step for step in range(steps + 1) if rise.changes(step - 1, step)]


def test_polynomial_decay_at_its_begin_middle_and_end():
    rise = Schedule(initial_sparsity=0.2, begin_step=100, end_step=300).over(400, 0.8)
    assert rise.sparsity(99) == 0
    assert rise.sparsity(100) == pytest.approx(0.2)
    assert rise.sparsity(200) == pytest.approx(0.8 - 0.6 * 0.125)  # (1 - 1/2)^3 = 1/8
    assert rise.sparsity(250) == pytest.approx(0.8 - 0.6 / 64)
    assert rise.sparsity(300) == rise.sparsity(10_000) == 0.8


def test_a_linear_one():
    rise = Schedule(begin_step=0, end_step=10, power=1).over(20, 0.5)
    assert [rise.sparsity(step) for step in (0, 2, 5, 10)] == pytest.approx([0, 0.1, 0.25, 0.5])


def test_masks_change_every_so_many_steps_and_at_the_end():
    assert changes(Schedule(begin_step=3, end_step=14, frequency=4).over(30, 0.5), 30) == [3, 7, 11, 14]
    assert changes(Schedule(kind="constant", begin_step=5).over(30, 0.5), 30) == [5]


def test_steps_that_are_made_several_at_a_time_miss_no_change():
    rise = Schedule(begin_step=3, end_step=14, frequency=4).over(30, 0.5)
    assert [step for step in range(0, 31, 5) if rise.changes(step - 5, step)] == [5, 10, 15]


def test_a_constant_schedule_is_all_at_once():
    rise = Schedule(kind="constant", begin_step=5).over(30, 0.7)
    assert [rise.sparsity(step) for step in (4, 5, 29)] == [0, 0.7, 0.7]


def test_by_default_it_ends_at_three_quarters_and_rises_in_small_steps():
    rise = Schedule().over(400, 0.8)
    assert (rise.begin, rise.end, rise.frequency) == (0, 300, 15)
    assert Schedule().over(40_000, 0.8).frequency == 100
    assert Schedule().over(2, 0.8).end == 1


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (Schedule(begin_step=50, end_step=50), r"end_step is 50, which is not after schedule\.begin_step 50"),
        (Schedule(end_step=100), "ends at step 100, but the training has 100 steps"),
        (Schedule(kind="constant", begin_step=200), "ends at step 200, but the training has 100 steps"),
        (Schedule(initial_sparsity=0.9), r"initial_sparsity 0\.9 is above the final sparsity 0\.8"),
    ],
)
def test_schedules_that_can_not_be(schedule, message):
    with pytest.raises(PlanError, match=message) as caught:
        schedule.over(100, 0.8)
    assert caught.value.hint
