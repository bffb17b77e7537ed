"""What a job may still say, and how long that may take: by a clock of the test's own."""

import pytest

from device_agent import wire as w
from device_agent.record import replace
from targets import errors, job_records
from targets.job_records import ExpectedRecords
from targets.submission import NO_COOLING, Cooling, submission
from tests.support.launched import CLEAN
from tests.support.launched import PAIR as PAIRED
from tests.support.sessions import launch

S = 10**9
PAIR = w.Pair(launch(mode="turns"), launch(mode="turns"), "AB", ("ABBA",), 1, 1, 9)


@pytest.fixture
def clock(monkeypatch):
    """clock[0]: what time it is."""
    now = [1000.0]
    monkeypatch.setattr(job_records.time, "monotonic", lambda: now[0])
    return now


def job(launches=(), pairs=(), cooling=NO_COOLING):
    return submission(tuple(launches), "test", tuple(pairs), cooling)


def event(index=0, phase="timed"):
    return w.Event(1, index, phase, 1, 2)


def failed(index=0):
    return w.LaunchFailed(1, index, "load", "KeyError", "what it said")


def ended(state=w.FINISHED):
    return w.Ended(1, "1" * 32, state, "")


def refused(it, record, words):
    with pytest.raises(errors.NotTheAgent) as caught:
        it.check_end(record) if isinstance(record, w.Ended) else it.check(record)
    assert caught.value.message == f"pi sent {words}"
    assert caught.value.hint == "Run again; if it happens twice, remove the board's edgepress folder and run again."


def test_what_is_waited_for(clock):
    it = ExpectedRecords("pi", job([launch()], [PAIR]))
    assert it.doing() == "answer launch 1 of 2 of the job (started)"
    it.check(event(phase="a phase with a very long name"))
    assert it.doing() == "answer launch 1 of 2 of the job (a phase with a very )"
    it.check(replace(CLEAN, index=0))
    assert it.doing() == "answer launch 2 of 2 of the job (started)"
    it.check(replace(PAIRED, index=1))
    assert it.doing() == "end the job"
    assert it.results == 2
    it.check_end(ended())


def test_what_is_waited_for_of_anothers_job(clock):
    it = ExpectedRecords("pi", None)
    assert it.doing() == "answer launch 1 of the job (started)"
    assert (it.left_s(), it.line_bytes) == (3600.0, w.MAX_LINE_BYTES)
    it.check(failed())
    it.check_end(ended())
    known = ExpectedRecords("pi", None, 2)
    assert known.doing() == "answer launch 1 of 2 of the job (started)"
    assert (
        ExpectedRecords("pi", job([launch()]), 5).doing().startswith("answer launch 1 of 1 of")
    )  # what was asked for is known


def test_how_long_a_launch_may_take(clock):
    """300 s without news, and while it idles; in all its own limit, the cooling, and two minutes."""
    one = launch(timeout_ns=500 * S, idle_ns=20 * S, pattern_ns=3 * S, timed_min_ns=1 * S)
    it = ExpectedRecords("pi", job([one, launch()], cooling=Cooling(2000, 50 * S)))
    assert it.left_s() == 300 + 24
    clock[0] += 400
    assert it.left_s() == 500 + 50 + 120 - 400
    it.check(event())
    assert it.left_s() == 500 + 50 + 120 - 400  # an event is no result
    it.check(failed())
    assert it.left_s() == pytest.approx(30 + 50 + 120)
    clock[0] += 50
    assert it.left_s() == pytest.approx(30 + 120)
    it.check(failed(1))
    assert it.left_s() == 120.0


def test_both_sides_of_a_pair_take_their_time(clock):
    sides = [launch(mode="turns", timeout_ns=t * S, idle_ns=i * S, timed_min_ns=0) for t, i in ((400, 7), (300, 5))]
    it = ExpectedRecords("pi", job(pairs=[replace(PAIR, a=sides[0], b=sides[1])]))
    assert it.left_s() == 300 + 12
    clock[0] += 600
    assert it.left_s() == 400 + 300 + 120 - 600


METER = (w.MeterUse("ina219", ()),)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (job([launch(timed_max_runs=100)]), (4 << 20) + 24 * 100),
        (job([launch(timed_max_runs=100), launch(timed_max_runs=900)]), (4 << 20) + 24 * 900),
        (job(pairs=[replace(PAIR, a=launch(timed_max_runs=10), b=launch(timed_max_runs=20))]), (4 << 20) + 24 * 30),
        (job([launch(timed_max_runs=10**7)]), 32 << 20),
        (job([launch(mode="profile")]), 32 << 20),
        (job([launch(meters=METER)]), 32 << 20),
        (job(pairs=[replace(PAIR, b=launch(meters=METER))]), 32 << 20),
        (job(), 4 << 20),
    ],
)
def test_how_long_a_line_may_be(request_, expected):
    assert ExpectedRecords("pi", request_).line_bytes == expected


@pytest.mark.parametrize("request_", [job([launch(), launch()]), None])
def test_results_in_their_order(request_):
    it = ExpectedRecords("pi", request_, 2)
    refused(it, event(1), "a record of launch 2 where launch 1 runs")
    refused(it, failed(1), "a record of launch 2 where launch 1 runs")
    it.check(failed())
    refused(it, failed(), "a record of launch 1 where launch 2 runs")
    refused(it, ended(), "the end of a job with 1 of 2 results")
    it.check_end(ended(w.CANCELLED))
    it.check(failed(1))
    refused(it, failed(2), "a record of launch 3 where launch 3 runs")
    refused(it, event(2), "a record of launch 3 where launch 3 runs")
    it.check_end(ended())


def test_a_result_of_the_other_kind():
    it = ExpectedRecords("pi", job([launch()], [PAIR]))
    refused(it, replace(PAIRED, index=0), "Paired for launch 1, which should be Launched")
    it.check(replace(CLEAN, index=0))
    refused(it, replace(CLEAN, index=1), "Launched for launch 2, which should be Paired")
    it.check(failed(1))


def test_anothers_results_may_be_of_either_kind():
    it = ExpectedRecords("pi", None)
    it.check(replace(PAIRED, index=0))
    it.check(replace(CLEAN, index=1))


def test_so_many_events_of_one_launch(clock):
    """1,000, and 8 for each second that it may take: 30 of its own, and 120."""
    it = ExpectedRecords("pi", job([launch(), launch()]))
    for result in range(2):
        for _ in range(1000 + 8 * 150):
            it.check(event(result))
        if result == 0:
            it.check(failed())
    refused(it, event(1), "more than 2200 events of one launch")


def test_so_many_events_of_anothers_job(monkeypatch):
    monkeypatch.setattr(job_records, "UNKNOWN_EVENTS", 3)
    it = ExpectedRecords("pi", None)
    for _ in range(3):
        it.check(event())
    refused(it, event(), "more than 3 events of one launch")
