"""A process feeds the tree of an INA3221 in real time; the agent's own sampler reads it, and at last the whole product does.

What is shown is made up from the CPU time that the runners really used, and logged: the truth is the integral of that log.
"""

import os
import time

import numpy as np
import pytest

from benchmarks.energy import energy_real_time as real_time
from device_agent import wire
from pipeline.measure.energy.reading import reading_of
from pipeline.records import Outcome

S = 10**9
# what a machine shared with other tests does to a sampler of 100 Hz: no number, as it should
BUSY = ("missing", "nothing was read")


def told(reading):
    """The reading, if this machine let it be taken."""
    if any(why in reading.invalid for why in BUSY):
        pytest.skip(f"this machine is too busy to read a meter in time: {reading.invalid}")
    assert reading.invalid == ""
    return reading


def test_the_log_is_integrated_in_steps(tmp_path):
    """2 W from 1 s on, 6 W from 3 s on: by hand 2 x 2 + 6 x 2 J from 1 to 5 s."""
    log = real_time.Writer(tmp_path)
    log.shown = np.array([[1 * S, 2_000_000], [3 * S, 6_000_000]])
    assert log.joules(1 * S, 5 * S) == pytest.approx(16)
    assert log.joules(2 * S, int(3.5 * S)) == pytest.approx(2 + 3)


def test_cpu_time_becomes_power(tmp_path):
    """A process of another tree, and one that waits, use nothing; one that computes uses a core's worth."""
    load = real_time.Load(tmp_path)
    load._runners = lambda: {os.getpid()}
    load(time.monotonic_ns())
    spent_ns, now_ns = time.process_time_ns(), time.monotonic_ns()
    while time.process_time_ns() - spent_ns < 100_000_000:
        pass
    busy_s, end_ns = 0.1, time.monotonic_ns()
    share = busy_s / ((end_ns - now_ns) / 1e9)
    assert load(end_ns) == pytest.approx(real_time.IDLE_W + real_time.BUSY_W * share, rel=0.1)
    assert real_time.Load(tmp_path)._runners() == set()


def test_a_known_curve_in_real_time():
    said, gross_j, net_j = real_time.known(4)
    if said.invalid:  # once more, before it is skipped
        said, gross_j, net_j = real_time.known(5)
    told(said)
    # 95 % intervals; two and a half of them, since a machine that tests share feeds late now and then
    assert said.gross_j == pytest.approx(gross_j, abs=2.5 * said.gross.total_j)
    assert said.net_j == pytest.approx(net_j, abs=2.5 * said.net.total_j)
    assert said.net.total_j < 0.15 * said.net_j


def test_the_product_tells_the_joules_that_were_shown(tmp_path):
    """`edgepress run` as a user types it: a number in the record and on its page."""
    said, record, shown, store = real_time.edgepress_run(tmp_path, 40, limit=False)
    assert said.returncode == 0, said.stderr
    (one,) = record.measured.measurements
    (reading,) = one.energy.readings
    told(reading)
    assert (reading.meter, reading.rail) == ("jetson_ina3221", "VDD_IN")
    assert reading.gross_j == pytest.approx(real_time.shown_j(one, shown, store), abs=2.5 * reading.gross.total_j)
    assert 0 < reading.net_j < reading.gross_j
    assert reading.idle_before_w == pytest.approx(real_time.IDLE_W, abs=0.1)
    # the same from what is kept: one core at work is BUSY_W above idle
    launched, *_ = map(wire.decode, store.path(one.energy.raw).read_bytes().splitlines(keepends=True))
    assert reading_of(launched.power[0], launched.energy).net_j == pytest.approx(reading.net_j)
    assert reading.net_j * reading.inferences / reading.window_s < real_time.BUSY_W * 1.05
    page = next((tmp_path / ".edgepress" / "reports").rglob("*.html")).read_text()
    assert "jetson_ina3221" in page


@pytest.mark.whole
@pytest.mark.parametrize(("layers", "outcome"), [(40, Outcome.PASS), (52, Outcome.REGRESSED)])
def test_the_product_judges_by_what_was_shown(tmp_path, layers, outcome):
    """A copy passes a limit of 5 %; a file of 30 % more layers, which takes so much more CPU time, does not."""
    said, record, *_ = real_time.edgepress_run(tmp_path, layers)
    for one in record.measured.measurements:
        told(one.energy.readings[0])
    (verdict,) = record.compared.verdicts
    if any(why in verdict.why for why in BUSY):
        pytest.skip(f"this machine is too busy to read a meter in time: {verdict.why}")
    assert verdict.outcome is outcome, verdict.why
    assert said.returncode == outcome.exit_code
    assert verdict.metric == "energy_regression"
    assert verdict.baseline > 0
    assert "jetson_ina3221 (measured)" in verdict.why
    if outcome is Outcome.REGRESSED:
        assert 0.15 < verdict.change < 0.45
