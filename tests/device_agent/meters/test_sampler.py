"""What the sampler makes of meters, by itself and in launches and pairs."""

import os
import threading
import time
from pathlib import Path

import pytest

from device_agent import wire
from device_agent.meters._sampler import Sampler
from device_agent.record import replace
from tests.support.agent_process import LAUNCH, sleep_model, wait_until
from tests.support.meters import use


def recording(folder: Path, seconds: float, watts: float = 4.0, step_s: float = 0.005) -> Path:
    path = folder / "trace"
    path.write_text("".join(f"{number * step_s:.3f} {watts}\n" for number in range(round(seconds / step_s))))
    return path


def test_each_period_is_read_once_at_no_fixed_moment(tmp_path):
    sampler = Sampler((use("replay", path=recording(tmp_path, 30), period_ms=10),))
    sampler.enter("idle")
    reader = sampler.readers[0]
    wait_until(lambda: len(reader.readings) >= 60)
    sampler.stop()
    (trace,) = sampler.traces()
    steps = [after - before for before, after in zip(trace.t_ns, trace.t_ns[1:], strict=False)]
    assert min(steps) > 0
    assert len({round(step / 1e6) for step in steps}) > 5  # in step with nothing
    span_ns = trace.t_ns[-1] - trace.t_ns[0]
    assert len(trace.t_ns) + trace.missed == pytest.approx(span_ns / 10_000_000 + 1, abs=4)
    assert set(trace.power_uw) == {4_000_000}
    assert (trace.energy_uj, trace.note, trace.failed) == ((), "", 0)
    assert trace.reading_ns > 0
    asked = len(reader.readings)
    time.sleep(0.05)
    assert len(reader.readings) == asked


def test_it_pauses_where_it_is_told_to_and_goes_on(tmp_path):
    sampler = Sampler((use("replay", path=recording(tmp_path, 30)),))
    reader = sampler.readers[0]
    sampler.enter("load")
    time.sleep(0.05)
    assert reader.readings == []
    sampler.enter("with")
    wait_until(lambda: len(reader.readings) >= 5)
    sampler.enter("without")
    time.sleep(0.03)
    paused = len(reader.readings)
    time.sleep(0.1)
    assert len(reader.readings) == paused
    sampler.enter("timed")
    wait_until(lambda: len(reader.readings) > paused)
    sampler.stop()
    assert (
        sampler.traces()[0].missed < 8
    )  # a pause of ten periods is not ten misses; a busy machine has some of its own


def test_a_meter_that_dies_is_told_and_one_that_blocks_delays_no_other(tmp_path, monkeypatch):
    """The first is over after 0.2 s; the second is a pipe that nobody writes to; the third is fine."""
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr("device_agent.meters._sampler.JOIN_S", 0.2)
    short = tmp_path / "short"
    short.mkdir()
    uses = (
        use("replay", path=recording(short, 0.2)), use("replay", path=tmp_path / "pipe"), use("replay", path=recording(tmp_path, 30)),
    )  # fmt: skip
    sampler = Sampler(uses)
    sampler.enter("timed")
    wait_until(lambda: sampler.readers[0].failed > 3 and len(sampler.readers[2].readings) > 30)
    sampler.stop()
    died, blocked, fine = sampler.traces()
    assert died.note == "a reading failed: the recording is over"
    assert len(died.power_uw) > 5
    assert (blocked.t_ns, "does not answer" in blocked.note) == ((), True)
    assert (fine.failed, fine.note) == (0, "")
    threading.Thread(target=(tmp_path / "pipe").write_text, args=("0 1\n",), daemon=True).start()  # lets the thread end


def test_a_launch_for_the_meters(agent, tmp_path):
    """Through the whole agent: the phases, their times, and both forms of a trace around them."""
    model = agent.store(sleep_model(latency_us=2000))
    trace = use("replay", path=recording(tmp_path, 60), rail="5 V", gain_percent=1)
    launch = replace(
        LAUNCH, mode="energy", model_sha256=model, meters=(trace, use("ina226", shunt_ohm=1)), idle_ns=300_000_000,
        pattern_ns=100_000_000, timed_min_ns=500_000_000,
    )  # fmt: skip
    launched, _ = agent.run(launch)
    assert isinstance(launched, wire.Launched), launched
    ran, (told, absent) = launched.energy, launched.power
    assert ran.end_ns - ran.start_ns == pytest.approx(500_000_000, rel=0.1)
    assert 0 < ran.runs * 2_000_000 <= ran.end_ns - ran.start_ns  # as many as fit; a busy machine runs fewer
    assert len(ran.busy) == 3
    (before, after) = ran.idle
    assert ran.busy[-1][1] < before[0] < before[1] < ran.start_ns < ran.end_ns < after[0] < after[1]
    assert [round((end - start) / 1e8) for start, end in ran.idle] == [3, 3]
    assert len(ran.sampler) == 6
    means_ns = [mean_ns for pair in ran.sampler for mean_ns in pair]
    assert 1_900_000 < min(means_ns) < 4_000_000  # a busy machine makes some of them longer
    assert (told.rail, told.quality, told.gain_ppm, told.offset_uw) == ("5 V", "coarse", 10_000, None)
    assert told.t_ns[0] < before[0] + 180_000_000
    assert told.t_ns[-1] > after[1] - 180_000_000
    inside = sum(ran.start_ns <= t_ns <= ran.end_ns for t_ns in told.t_ns)
    assert inside + told.missed >= 45
    assert (absent.t_ns, "/dev/i2c-1" in absent.note) == ((), True)
    assert launched.latency_ns == ()


def test_a_pair_is_watched_as_a_whole(agent, tmp_path):
    side = replace(
        LAUNCH, mode="turns", model_sha256=agent.store(sleep_model(latency_us=1000)), idle_ns=200_000_000,
        meters=(use("replay", path=recording(tmp_path, 60)),), timed_max_runs=5000,
    )  # fmt: skip
    pair = wire.Pair(side, side, "AB", ("ABBA",), 100_000_000, 5, 1000)
    assert isinstance(agent.submit(pair), wire.Accepted)
    job_id = agent.last_job
    agent.write(wire.encode(wire.Follow(job_id, 0)))
    paired = agent.until(wire.Paired, wire.LaunchFailed)
    assert isinstance(paired, wire.Paired), paired
    (before, after), (trace,) = paired.idle, paired.power
    assert before[1] <= paired.blocks[0].start_ns
    assert paired.blocks[-1].end_ns <= after[0]
    assert trace.t_ns[0] < before[0] + 180_000_000
    assert trace.t_ns[-1] >= after[1] - 180_000_000
