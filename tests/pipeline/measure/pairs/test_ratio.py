"""The ratio of a pair: which times it is made of, and what a damaged answer becomes."""

import math

import numpy as np
import pytest

from device_agent import wire
from pipeline.errors import StageError
from pipeline.measure.pairs import ratio
from pipeline.measure.pairs.run import latency_ratio_of


def paired_of(a, b, sides="ABBA", runs=30):
    """A pair of blocks of `runs` times each, `a` and `b` being the levels in ns."""
    noise = np.random.default_rng(3)
    times = {
        side: (level * (1 + noise.exponential(0.02, runs * sides.count(side)))).astype(int).tolist()
        for side, level in (("A", a), ("B", b))
    }
    launched = {side: wire.Launched.__new__(wire.Launched) for side in "AB"}
    for side, record in launched.items():
        record.__dict__["latency_ns"] = tuple(times[side])
    made = tuple(
        wire.Block(number // 4, side, number, number + 1, runs, 0, None, 1, None, None, 0, None)
        for number, side in enumerate(sides)
    )
    paired = wire.Paired.__new__(wire.Paired)
    paired.__dict__.update(a=launched["A"], b=launched["B"], blocks=made)
    return paired


def with_times(paired, a, b):
    for launched, times in ((paired.a, a), (paired.b, b)):
        launched.__dict__["latency_ns"] = tuple(times)
    return paired


def test_the_ratio_is_that_of_the_low_quantile():
    """What lies above it, even most of the times, is what others did to them."""
    pair = paired_of(1, 1, "ABBA", runs=30)
    disturbed = [100_000] * 10 + [300_000] * 20
    assert ratio.log_ratio(with_times(pair, [100_000] * 60, disturbed * 2)) == 0.0
    assert ratio.log_ratio(with_times(pair, disturbed * 2, [100_000] * 60)) == 0.0
    assert ratio.log_ratio(with_times(pair, [100_000] * 60, [*[103_000] * 10, *[300_000] * 20] * 2)) == pytest.approx(
        math.log(1.03)
    )


@pytest.mark.parametrize(("runs", "counts"), [(2, True), (3, False), (9, False), (10, True)])
def test_the_first_inference_of_a_short_block_is_left_out(runs, counts):
    pair = paired_of(1, 1, "ABBA", runs=runs)
    found = ratio.log_ratio(with_times(pair, [100_000] * 2 * runs, [50_000, *[100_000] * (runs - 1)] * 2))
    assert (found != 0.0) == counts


def test_the_ratio_is_that_of_the_levels_and_one_slow_cycle_does_not_matter():
    calm = paired_of(100_000, 103_000, "ABBABAABABBA")
    assert ratio.log_ratio(calm) == pytest.approx(math.log(1.03), abs=0.003)
    slow = list(calm.b.latency_ns)
    slow[:60] = [9 * time for time in slow[:60]]  # both B blocks of the first cycle
    calm.b.__dict__["latency_ns"] = tuple(slow)
    assert ratio.log_ratio(calm) == pytest.approx(math.log(1.03), abs=0.004)


def test_short_blocks_lose_their_first_inference():
    pair = paired_of(100_000, 100_000, runs=5)
    cold = [10 * time if index % 5 == 0 else time for index, time in enumerate(pair.b.latency_ns)]
    pair.b.__dict__["latency_ns"] = tuple(cold)
    assert ratio.log_ratio(pair) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("damage", ["short", "long", "none", "negative", "no time"])
def test_a_pair_that_does_not_fit_itself_is_refused(damage):
    pair = paired_of(100_000, 100_000)
    if damage == "short":
        pair.a.__dict__["latency_ns"] = pair.a.latency_ns[:-1]
    elif damage == "long":
        pair.b.__dict__["latency_ns"] = (*pair.b.latency_ns, 100_000)
    elif damage == "no time":
        pair.a.__dict__["latency_ns"] = (0,) * len(pair.a.latency_ns)
    elif damage == "none":
        pair.__dict__["blocks"] = ()
    else:
        pair.a.__dict__["latency_ns"] = tuple(-time for time in pair.a.latency_ns)
    with pytest.raises(StageError, match="cannot be read"):
        latency_ratio_of(pair)
