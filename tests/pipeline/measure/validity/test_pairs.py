"""Doubts about pairs: each is raised by what it is about."""

import pytest

from device_agent.record import replace
from device_agent.wire import Core
from pipeline.measure.validity import Expected, doubts_of_pairs
from tests.support.launched import (
    CLEAN,
    FIXED,
    LATER,
    PAIR,
    blocks,
    conditions,
    launch,
    names,
    pair_names,
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"cpu_khz": 2389000}, []),  # 0.46 %
        ({"cpu_khz": 2387000}, ["clocks differ"]),
        ({"cpu_khz": None}, []),
        ({"run_delay_ns": 90_000}, []),
        ({"run_delay_ns": 110_000}, ["contended"]),  # 5.5 % of all four blocks
        ({"run_delay_ns": None, "involuntary_switches": 1}, []),  # 2 in 40
        ({"run_delay_ns": None, "involuntary_switches": 2}, ["contended"]),
    ],
)
def test_blocks_of_pairs(changes, expected):
    assert pair_names([blocks(**changes)] * 4) == expected


@pytest.mark.parametrize(
    ("runtime", "gpu_khz", "expected"),
    [
        ("onnxruntime_cuda", 600_000, ["clocks differ"]),
        ("onnxruntime_tensorrt", 600_000, ["clocks differ"]),
        ("onnxruntime_cuda", 623_000, []),  # 0.3 %
        ("onnxruntime", 600_000, []),  # whatever the GPU does, it does not run this model
    ],
)
def test_the_gpu_counts_where_it_runs_the_model(runtime, gpu_khz, expected):
    provider = {"onnxruntime_cuda": "CUDA", "onnxruntime_tensorrt": "Tensorrt", "onnxruntime": "CPU"}[runtime]
    ran = launch(delegates=(f"{provider}ExecutionProvider",))
    mine = tuple(replace(one, gpu_khz=gpu_khz if one.side == "B" else 624_750) for one in PAIR.blocks)
    pair = replace(PAIR, a=ran, b=ran, blocks=mine)
    assert pair_names([pair], baseline=Expected(runtime=runtime), candidate=Expected(runtime=runtime)) == expected


def test_a_clock_below_zero_is_none():
    """Whatever a board says: a mean of 0 cannot be divided by."""
    made = tuple(replace(one, cpu_khz=1 if number % 2 else -1) for number, one in enumerate(PAIR.blocks))
    assert pair_names([replace(PAIR, blocks=made)]) == []


@pytest.mark.parametrize(("hit", "expected"), [(1, []), (2, ["swapped"]), (4, ["swapped"])])
def test_a_model_whose_pages_are_read_again_in_half_of_the_blocks(hit, expected):
    made = tuple(replace(one, major_faults=3 * (number < hit)) for number, one in enumerate(PAIR.blocks))
    assert pair_names([replace(PAIR, blocks=made)]) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((600000, 2400000), (600000, 2400000), []),
        ((600000, 2400000), (2400000, 2400000), ["clock limits changed"]),
        ((None, None), (600000, 2400000), []),
    ],
)
def test_limits_of_a_clock_that_change(before, after, expected):
    hit = launch(
        before=conditions(cores=(Core(3, None, *before),)), after=replace(LATER, cores=(Core(3, None, *after),))
    )
    assert names([CLEAN] * 5 + [hit]) == expected


@pytest.mark.parametrize(
    ("found", "words"),
    [("b" * 64, "held bbbbbbbbbbbb... and not aaaaaaaaaaaa..."), ("", "was written to during the launch")],
)
def test_an_agent_that_has_read_another_file(found, words):
    asked = Expected(model_sha256="a" * 64, inputs_sha256=())
    assert pair_names([PAIR], baseline=asked, candidate=asked) == []
    (doubt,) = doubts_of_pairs([PAIR, replace(PAIR, b=launch(model_sha256=found))], asked, asked)
    assert (doubt.what, doubt.invalid) == ("another file", True)
    assert words in doubt.evidence
    assert "the candidate" in doubt.evidence
    (doubt,) = doubts_of_pairs([replace(PAIR, a=launch(inputs_sha256=("c" * 64,)))], asked, asked)
    assert "of the inputs of the baseline" in doubt.evidence


def test_no_pairs_no_doubts():
    assert doubts_of_pairs([]) == ()


def test_a_pair_is_below_its_clock_only_between_its_launches():
    fixed = launch(before=conditions(cores=FIXED), after=replace(LATER, cores=FIXED))
    pair = replace(PAIR, a=fixed, b=fixed)
    slow = replace(pair, blocks=tuple(replace(one, cpu_khz=2300000) for one in pair.blocks))
    assert pair_names([pair]) == []
    assert pair_names([pair, slow]) == ["below its clock"]


def test_a_side_that_throttled_is_enough():
    assert pair_names([PAIR] * 9 + [replace(PAIR, b=launch(after=replace(LATER, cooling_states=1)))]) == ["throttled"]
