"""Pairs on a real agent: known slowdowns, how long blocks are, one band of temperature for all."""

import hashlib
import json
import math
import random
from pathlib import Path

import msgspec
import pytest

from device_agent import wire
from device_agent.record import replace
from pipeline.measure.pairs.run import (
    BlockLengths,
    Pairing,
    block_lengths_for,
    look_by_look,
    until_decided,
)
from pipeline.records import Outcome
from pipeline.statistics.paired_test import Rule, judged
from targets import inventory, open_session
from targets.session import NO_COOLING, Cooling
from tests.support.agent_process import LAUNCH
from tests.support.launched import CLEAN

RULE = Rule(margin=0.005, limit=0.03)


@pytest.fixture
def session(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with open_session(inventory.find("local", tmp_path)) as opened:
        yield opened


def launch_of(session, **model):
    data = json.dumps({"latency_us": 300, **model}).encode()
    sha256 = hashlib.sha256(data).hexdigest()
    session.put(data, sha256)
    return replace(LAUNCH, model_sha256=sha256, warmup_min_ns=1_000_000, warmup_max_ns=20_000_000)


def pairing_of(baseline=LAUNCH, candidate=LAUNCH, **changes):
    known = {"shape": block_lengths_for(1e-4), "rules": (RULE,), "seed": 1, "label": "test"}
    return Pairing(baseline=baseline, candidate=candidate, **known | changes)


def test_a_file_that_takes_twice_the_time_is_caught_with_ten_pairs(session):
    told = []
    traces = until_decided(session, pairing_of(launch_of(session), launch_of(session, latency_us=600)), told.append)
    assert told == list(range(1, 11))
    assert math.exp(traces.log_ratios[0]) == pytest.approx(2, rel=0.05)
    assert judged(traces.log_ratios, RULE) is Outcome.REGRESSED
    assert len({pair.blocks[0].side for pair in traces.paired}) == 2 or len(traces.paired) < 10  # the order is drawn


def test_a_side_that_fails_ends_it(session):
    traces = until_decided(session, pairing_of(launch_of(session), launch_of(session, crash="SIGABRT")), print)
    assert traces.failed is not None
    assert traces.failed.error == "SIGABRT"
    assert traces.log_ratios == ()


@pytest.mark.parametrize("latency_s", [1e-5, 1e-4, 1e-3, 1e-2, 0.05, 0.3, 2.0])
def test_a_pair_lasts_seconds_whatever_the_model_takes(latency_s):
    shape = block_lengths_for(latency_s)
    block_s = max(shape.min_ns / 1e9, shape.min_runs * latency_s)
    assert shape.max_runs * latency_s >= shape.min_ns / 1e9 * 0.99
    assert 4 * shape.cycles * block_s <= 4 * 4 * max(1.0, latency_s)
    assert shape.min_runs <= shape.max_runs
    assert shape.runs * 2 <= 1_000_000


def test_the_order_is_drawn_and_can_be_drawn_again():
    made = [pairing_of(shape=block_lengths_for(1e-3)).pairs(40, random.Random(seed)) for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]
    assert {pair.starts for pair in made[0]} == {"AB", "BA"}
    assert {cycle for pair in made[0] for cycle in pair.cycles} == {"ABBA", "BAAB"}


class Board:
    """Stands for a session: it answers every pair with blocks as asked, or as `damage` makes them."""

    def __init__(self, damage=lambda paired: paired):
        self.damage, self.wanted, self.bands = damage, (), []

    def submit(self, launches, label, pairs, cooling):
        self.wanted = pairs
        self.bands.append(cooling)
        return "job"

    def follow(self, job_id):
        for index, pair in enumerate(self.wanted):
            began_mc = 45_000 + 1000 * len(self.bands) + index
            a = replace(CLEAN, before=replace(CLEAN.before, temperature_mc=began_mc))
            made = tuple(
                wire.Block(cycle, side, 0, 1, 5, 0, 0, 1, None, None, 0, None)
                for cycle, sides in enumerate(pair.cycles)
                for side in sides
            )
            yield self.damage(wire.Paired(index + 1, index, a, CLEAN, made, (), ()))


def looked(board, cooling=NO_COOLING):
    shape = BlockLengths(cycles=3, min_ns=0, min_runs=5, max_runs=9)
    pairing = pairing_of(shape=shape, rules=(msgspec.structs.replace(RULE, looks=(2, 4, 7)),), cooling=cooling)
    return list(look_by_look(board, pairing, lambda _: None))


def test_all_pairs_of_a_verdict_have_one_band():
    board = Board()
    assert [len(answers) for answers in looked(board, Cooling(5000, 10**9))] == [7, 7, 7]  # one list that grows
    began_mc = 45_000 + 1000
    assert board.bands == [Cooling(5000, 10**9), *[Cooling(5000, 10**9, began_mc)] * 2]
    again = Board()
    looked(again)
    assert set(again.bands) == {NO_COOLING}


def test_the_folder_of_the_agent_is_the_tests_own(session, tmp_path):
    assert Path(tmp_path, "edgepress", "local-board").exists()
