"""A limit on energy: from the pairs, through a board that is simulated or the real agent, to the verdict. No meter's hardware."""

import itertools
import math
import re
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from device_agent import wire
from device_agent.record import replace
from pipeline import deploy
from pipeline.measure.energy.pair import joules_of_pair
from pipeline.measure.energy.trace import NoEnergyError
from pipeline.measure.experiment import Experiment
from pipeline.measure.pairs import energy
from pipeline.measure.pairs.run import Pairing, look_by_look
from pipeline.measure.pairs.sides import Sides
from pipeline.plan import read
from pipeline.records import Outcome
from pipeline.statistics.paired_test import rule_of
from pipeline.store import Store
from targets import inventory, open_session
from tests.support.compared import plan as plan_of
from tests.support.energy_board import BASE, METER, ONE, RULE, S, deployed, energy_verdict, reading, with_readings
from tests.support.experiments import experiment_of
from tests.support.launched import CLEAN
from tests.support.sessions import MODEL, SHA, launch


class Board:
    """Stands for a session: each pair takes no time, and uses what `watts` says: B takes `more` of A, differing from pair to pair."""

    def __init__(self, more, fault=""):
        self.more, self.fault, self.rng, self.wanted, self.jobs = more, fault, np.random.default_rng(5), (), 0

    def submit(self, launches, label, pairs, cooling):
        self.wanted, self.jobs = pairs, self.jobs + 1
        return "job"

    def follow(self, job_id):
        yield from (self.ran(index, pair) for index, pair in enumerate(self.wanted))

    def ran(self, index, pair):
        idle_s, block_s = pair.a.idle_ns / S, pair.block_min_ns / S
        factor = {"A": 1.0, "B": (1 + self.more) * math.exp(self.rng.normal(0, 0.004))}
        t, blocks = idle_s + 0.1, []
        for cycle, sides in enumerate(pair.cycles):
            for side in sides:
                blocks.append(
                    wire.Block(cycle, side, round(t * S), round((t + block_s) * S), 1000, 0, 0, 0, None, None, 0, None)
                )
                t += block_s
        edges = np.array([block.start_ns for block in blocks] + [blocks[-1].end_ns])
        at = np.arange(0.005, t + idle_s + 0.2, METER.period_s)
        place = np.searchsorted(edges, at * S, side="right") - 1
        levels = np.array([*(3.0 * factor[block.side] for block in blocks), 0.0, 0.0])
        watts = 2 + levels[np.where(place < len(blocks), place, -1)]
        keep = at < (t / 2 if self.fault == "dies" else 1e9)
        if self.fault == "drifts":
            watts = watts * np.where(at > t, 1.2, 1)
        trace = wire.PowerTrace(
            meter="ina226", rail="5 V", quality="measured", gain_ppm=None, offset_uw=None, period_ns=round(METER.period_s * S),
            delay_ns=0, t_ns=tuple(int(x * S) for x in at[keep]), power_uw=tuple(int(x * 1e6) for x in watts[keep]), energy_uj=(),
            failed=0, missed=0, reading_ns=0, note="",
        )  # fmt: skip
        idle = ((0, round(idle_s * S)), (round((t + 0.1) * S), round((t + 0.1 + idle_s) * S)))
        return wire.Paired(0, index, CLEAN, CLEAN, tuple(blocks), idle, (trace,))


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """A function: (what the board does) -> (record, verdict); the launches are not looked at, only the power."""
    monkeypatch.setattr(Experiment, "candidate_of", lambda _, one: one)
    monkeypatch.setattr(Experiment, "launch_of", lambda *_: launch(mode="turns"))
    monkeypatch.setattr(Sides, "doubts_of", lambda *_: ())
    monkeypatch.setattr(wire, "encode", lambda _: b"")

    def of(board, meters=(METER,), sides=None):
        sides = sides or [with_readings(each, reading()) for each in (BASE, ONE)]
        said = []
        progress = SimpleNamespace(say=said.append, step=lambda *_: None)
        experiment = experiment_of(
            session=board,
            plan=plan_of(energy_regression=0.05),
            deployment=deployed(*meters),
            store=Store(tmp_path),
            progress=progress,
        )
        (found,) = energy.energy_in_pairs(experiment, sides)
        return found, energy_verdict(sides[1], sides[0], found), said

    return of


@pytest.mark.parametrize(
    ("more", "outcome"), [(0.0, Outcome.PASS), (0.03, Outcome.PASS), (0.08, Outcome.REGRESSED), (-0.3, Outcome.PASS)]
)
def test_a_change_is_judged_by_pairs(judged, more, outcome):
    board = Board(more)
    found, verdict, said = judged(board)
    assert verdict.outcome is outcome
    assert verdict.low <= verdict.change <= verdict.high
    assert verdict.change == pytest.approx(more, abs=0.006)
    joules = 3 * 0.25 / 1000  # 3 W for a block's 0.25 s
    assert verdict.candidate == pytest.approx(joules * (1 + more), rel=0.02)
    assert (verdict.pairs, verdict.unit, board.jobs) == (10, "J", 1)
    assert verdict.detectable > verdict.margin == 0.05
    assert ("(proven), within the limit of 5.00 %" in verdict.why) is (more == 0.03)
    assert "ina226 (measured)" in verdict.why
    assert found.raw is not None
    assert [span.what for span in found.curve.spans].count("A") == 4
    assert "by ina226: 60.0 s to 120 s" in said[0]  # said before


def test_neither_asks_for_all_looks(judged):
    board = Board(0.03)
    swings = itertools.cycle((0.3, -0.3))
    board.rng = SimpleNamespace(normal=lambda *_: next(swings))
    _, verdict, _ = judged(board)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert (verdict.pairs, board.jobs) == (20, 3)


@pytest.mark.parametrize(("fault", "why"), [("dies", "ended .* too early"), ("drifts", "idle drifted")])
def test_a_broken_trace_is_invalid_with_its_evidence(judged, fault, why):
    found, verdict, _ = judged(Board(0.0, fault))
    assert verdict.outcome is Outcome.INVALID
    assert (verdict.change, verdict.candidate, found.log_ratios, found.baseline_j) == (None, None, (), None)
    assert re.search(why, verdict.why)


def test_no_meter_and_no_valid_reading_spend_no_time(judged):
    board = Board(0.0)
    _, verdict, _ = judged(board, meters=())
    assert verdict.outcome is Outcome.INVALID
    assert "no power meter" in verdict.why
    sides = [with_readings(BASE, reading()), with_readings(ONE, reading(invalid="idle drifted from 2 to 3 W"))]
    _, verdict, _ = judged(board, sides=sides)
    assert "ina226: idle drifted from 2 to 3 W" in verdict.why
    assert board.jobs == 0


def test_the_measured_meter_judges_and_a_file_without_a_clock_never_does():
    coarse = msgspec.structs.replace(METER, name="shelly", quality="coarse", on_board=False)
    csv = msgspec.structs.replace(METER, name="csv", on_board=False)
    sides = [with_readings(each, reading("csv"), reading("shelly"), reading()) for each in (BASE, ONE)]
    assert energy.meter_for(deployed(csv, coarse, METER), sides) == (METER, [reading()] * 2)
    assert energy.meter_for(deployed(csv, coarse), sides)[0] == coarse
    with pytest.raises(NoEnergyError, match="csv: the clock"):
        energy.meter_for(deployed(csv), sides)
    emulated = deployed(METER)
    emulated = msgspec.structs.replace(emulated, board=msgspec.structs.replace(emulated.board, emulated=True))
    with pytest.raises(NoEnergyError, match="emulated"):
        energy.meter_for(emulated, sides)


@pytest.mark.parametrize(
    ("period_s", "accumulates", "scatter", "edge_s", "cycles", "block_s", "pair_s"),
    [
        (0.01, True, 0.0, 0.0055, 2, 0.25, 6),  # a counter: the least
        (0.01, False, 0.0, 0.0138, 1, 0.5, 6),  # edges that ask for blocks of 0.28 s
        (0.01, False, 0.03, 0.005, 2, 0.525, 8.2),  # readings that scatter: 2 s of a side
        (0.01, False, 0.3, 0.005, 2, 1.25, 14),  # but no more than joules would need
        (0.1, False, 0.3, 0.06, 2, 7.5, 72),
        (1.0, False, 0.0, 1.0, 1, 20, 102),  # a plug
    ],
)
def test_pairs_are_as_long_as_the_meter_needs(period_s, accumulates, scatter, edge_s, cycles, block_s, pair_s):
    meter = msgspec.structs.replace(METER, period_s=period_s, accumulates=accumulates)
    alone = [reading(scatter=scatter, edge_s=edge_s)] * 2
    made = energy.lengths_for(meter, alone, 10, RULE)
    assert made.shape.cycles == cycles
    assert made.shape.min_ns == pytest.approx(block_s * S, rel=0.01)
    assert made.pair_s == pytest.approx(pair_s, rel=0.01)
    assert made.shape.runs <= 40_000  # whose times are kept
    other = energy.lengths_for(msgspec.structs.replace(meter, on_board=False), alone, 10, RULE)
    assert other.shape.min_ns >= (edge_s + energy.OTHER_CLOCK_S) / 0.05 * S
    assert energy.lengths_for(meter, alone, 1, RULE).idle_s == 1  # as asked for


def test_a_sharper_rule_makes_longer_pairs():
    alone = [reading(scatter=0.03)] * 2
    lengths = [
        energy.lengths_for(METER, alone, 10, rule_of(0.05, margin)).shape.min_ns / S
        for margin in (0.05, 0.05 / 6, 0.049)
    ]
    assert lengths == pytest.approx([0.525, 0.764, 1.25], rel=0.01)  # never longer than joules need


def test_a_trace_too_late_for_its_blocks_is_no_number():
    pair = SimpleNamespace(a=launch(idle_ns=S), block_min_ns=round(1.25 * S), cycles=("ABBA", "BAAB"))
    paired = Board(0.1).ran(0, pair)
    assert joules_of_pair(paired, paired.power[0]).log_ratio == pytest.approx(math.log(1.1), abs=0.02)
    with pytest.raises(NoEnergyError, match=r"too much for blocks of 1\.25 s"):
        joules_of_pair(paired, replace(paired.power[0], delay_ns=120_000_000))
    odd = replace(paired, blocks=(replace(paired.blocks[0], side="C"), *paired.blocks[1:]))
    with pytest.raises(NoEnergyError, match="inferences or side"):
        joules_of_pair(odd, paired.power[0])


# --- the real agent


def test_the_agent_runs_such_pairs_with_its_meter(tmp_path, monkeypatch):
    """The recording knows when the blocks are: 2 W, and 5 W from 1.0 s on for four blocks. More inferences run than are kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    recorded = tmp_path / "recorded"
    recorded.write_text("".join(f"{n / 100:.2f} {5.0 if 100 <= n < 300 else 2.0}\n" for n in range(3000)))
    target = msgspec.structs.replace(
        inventory.find("local", tmp_path), meters={"replay": {"path": str(recorded), "period_ms": 50}}
    )
    path = tmp_path / "edge.toml"
    path.write_text('[model]\npath = "m.onnx"\n[measure]\nmeters = ["replay"]\n')
    tables = read(path)
    with open_session(target) as session:
        (meter,) = deploy.meters.chosen(session, tables, target)
        session.put(MODEL, SHA)
        lengths = energy.lengths_for(meter, [reading(edge_s=0.025)] * 2, 1, RULE)
        a = energy._for_meter(launch(), meter, lengths)
        experiment = experiment_of(session=session, plan=tables)
        pairing = Pairing(
            baseline=a,
            candidate=a,
            shape=msgspec.structs.replace(lengths.shape, cycles=1, min_ns=S // 2),
            rules=(msgspec.structs.replace(RULE, looks=(1,)),),
            seed=1,
            label="test",
            cooling=experiment.cooling,
        )
        (pair,) = look_by_look(session, pairing, print)
    (answer,) = pair
    assert isinstance(answer, wire.Paired), answer
    assert [len(answer.power), len(answer.idle), len(answer.blocks)] == [1, 2, 4]
    assert all(block.end_ns - block.start_ns >= S // 2 for block in answer.blocks)
    assert all(end - start >= S for start, end in answer.idle)
    metered = energy.Metered(experiment, meter)
    if metered.ratio_of(answer) is None:
        pytest.skip(f"this machine is too busy to read a meter in time: {metered.why}")
    (joules,), (curve,) = metered.joules, metered.curves
    assert [span.what for span in curve.spans] == ["idle", *(block.side for block in answer.blocks), "idle"]
    first = answer.blocks[0]
    assert joules.baseline_j == pytest.approx(3 * (first.end_ns - first.start_ns) / S / first.runs, rel=0.4)
    assert abs(joules.log_ratio) < 0.5


def test_silent_progress_will_do():
    assert energy.energy_in_pairs(experiment_of(plan=plan_of(), deployment=deployed()), ()) == ()
