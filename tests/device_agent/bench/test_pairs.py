"""Pairs: two processes that take turns, by the order that the host has drawn."""

import pytest

from device_agent import wire
from device_agent.record import replace
from tests.support.agent_pairs import CYCLES, pair, side
from tests.support.agent_process import LAUNCH, sleep_model


def median(values):
    return sorted(values)[len(values) // 2]


def test_sides_take_turns_in_the_order_of_the_host(agent):
    a, b = agent.store(sleep_model(latency_us=500)), agent.store(sleep_model(latency_us=1500))
    paired, ended = agent.run(pair(side(a), side(b)))
    assert isinstance(paired, wire.Paired), paired
    assert ended.state == wire.FINISHED
    assert [(block.cycle, block.side) for block in paired.blocks] == [
        (cycle, each) for cycle, sides in enumerate(CYCLES) for each in sides
    ]
    assert all(before.end_ns <= after.start_ns for before, after in zip(paired.blocks, paired.blocks[1:], strict=False))
    for name, launched, level_ns in (("A", paired.a, 500_000), ("B", paired.b, 1_500_000)):
        mine = [block for block in paired.blocks if block.side == name]
        assert sum(block.runs for block in mine) == len(launched.latency_ns)
        assert all(block.end_ns - block.start_ns >= 3_000_000 or block.runs == 20 for block in mine)
        assert all(3 <= block.runs <= 20 for block in mine)
        assert 0.95 * level_ns <= min(launched.latency_ns) <= median(launched.latency_ns) < 3 * level_ns
        assert launched.steady in (True, False)


def test_launches_come_before_pairs_and_the_index_counts_on(agent):
    model = agent.store(sleep_model())
    first, second, _ = agent.run(pair(side(model), side(model)), replace(LAUNCH, model_sha256=model))
    assert (type(first), first.index) == (wire.Launched, 0)
    assert (type(second), second.index) == (wire.Paired, 1)
    (job,) = agent.ask(wire.Jobs()).jobs
    assert (job.launches, job.done) == (2, 2)


@pytest.mark.parametrize("which", ["a", "b"])
def test_a_side_that_crashes_fails_the_pair_and_not_the_job(agent, which):
    good, bad = agent.store(sleep_model()), agent.store(sleep_model(crash="SIGSEGV"))
    sides = {"a": side(good), "b": side(good)}
    sides[which] = side(bad)
    failed, paired, ended = agent.run(pair(**sides), pair(side(good), side(good)))
    assert (failed.error, failed.index) == ("SIGSEGV", 0)
    assert ("baseline" if which == "a" else "candidate") in failed.message
    assert isinstance(paired, wire.Paired)
    assert ended.state == wire.FINISHED


@pytest.mark.parametrize(
    "changes",
    [{"starts": "AA"}, {"cycles": ()}, {"cycles": ("AABB",)}, {"block_min_runs": 0}, {"block_max_runs": 10**7}],
)
def test_a_pair_that_makes_no_sense_is_refused(agent, changes):
    model = agent.store(sleep_model())
    both = replace(side(model), timed_max_runs=600_000)
    (refused,) = agent.run(pair(both, both, **changes))
    assert (refused.error, type(refused)) == ("bad_request", wire.Failure)


def test_a_long_block_counts_more_inferences_than_are_kept(agent):
    """For the meters: a block of seconds of a model of microseconds."""
    few = replace(side(agent.store(sleep_model(latency_us=100))), timed_max_runs=10)
    paired, _ = agent.run(pair(few, few, block_min_runs=8, block_max_runs=1 << 40))
    assert all(block.runs >= 8 and block.end_ns - block.start_ns >= 3_000_000 for block in paired.blocks)
    assert (len(paired.a.latency_ns), len(paired.b.latency_ns)) == (10, 10)


@pytest.mark.parametrize(("missing", "name"), [("A", "baseline"), ("B", "candidate")])
def test_a_file_that_is_not_there_is_told_of_its_own_side(agent, missing, name):
    """Whichever of the two would have been started first."""
    model = agent.store(sleep_model())
    a, b = (side("f" * 64 if each == missing else model) for each in "AB")
    for starts in ("AB", "BA"):
        failed, _ = agent.run(pair(a, b, starts=starts))
        assert (failed.error, failed.message.partition(" ")[0]) == ("not_found", name)


def test_a_side_alone_is_refused(agent):
    (refused,) = agent.run(side(agent.store(sleep_model())))
    assert refused.error == "bad_request"


def test_both_sides_are_bound_to_the_same_cpu(agent):
    model = agent.store(sleep_model())
    paired, _ = agent.run(pair(side(model), side(model)))
    assert paired.a.cpus == paired.b.cpus
    assert len(paired.a.cpus) == 1
