"""The limit on energy with simulated meters: how often is its verdict wrong on two files of which one uses so much more?

    .venv/bin/python benchmarks/energy_pairs.py [TRIALS [SEED [METER...]]]

What is simulated is the board (benchmarks/energy.py); what runs is the agent's sampler and meter, and the host's plan of the pairs,
arithmetic and test. Each verdict has a board and a model of its own, which is first measured alone, as a plan does; each process of
a pair uses more or less by chance. A limit of 5 %, by the sharper rule: `energy_margin` is a sixth of it. The time is that of the blocks and idle times, with 2 s a pair for the start of
its processes.
"""

import math
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support.results import results
from benchmarks.energy.energy_curves import (
    COUNTERS,
    DRIFT,
    FAULTS,
    GAINS,
    PERIODS_S,
    Board,
    World,
    broken,
    sampled,
    trial,
)
from device_agent import wire
from pipeline.measure.energy.pair import joules_of_pair
from pipeline.measure.energy.trace import NoEnergyError
from pipeline.measure.pairs.energy import plans_for
from pipeline.records import DeployedMeter
from pipeline.statistics.paired_test import decide, rule_of

PROCESS_SD = 0.004  # of a process's power, by chance
RULE = rule_of(0.05, 0.05 / 6)


class Case:
    """One board, model and meter; `plans` of its pairs."""

    def __init__(self, name, rng):
        self.name, self.rng, self.board, self.each = name, rng, Board(rng), rng.uniform(0.002, 0.03)
        self.gain = 1 + rng.uniform(-1, 1) * GAINS[name]
        meter = DeployedMeter(
            name=name, settings=(), on_board=name != "joulescope", rail="", quality="measured", period_s=PERIODS_S[name],
            accumulates=name in COUNTERS,
        )  # fmt: skip
        alone = [trial(name, rng, True, board=self.board, each=self.each)[0] for _ in range(2)]
        self.invalid = next((one.invalid for one in alone if one.invalid), "")
        self.plans = None if self.invalid else plans_for(meter, alone, 10, RULE)

    def pair(self, change, fault=None):
        """Log of candidate / baseline of one pair as a plan would run it. NoEnergyError."""
        rng, plans = self.rng, self.plans
        process = {"A": math.exp(rng.normal(0, PROCESS_SD)), "B": (1 + change) * math.exp(rng.normal(0, PROCESS_SD))}
        t, spans, blocks = plans.idle_s, [], []
        for cycle in range(plans.shape.cycles):
            for side in rng.choice(["ABBA", "BAAB"]):
                runs = math.ceil(plans.shape.min_ns / 1e9 / self.each)
                spans.append((t, t + runs * self.each, process[side], self.each))
                blocks.append((cycle, side, t, t + runs * self.each, runs))
                t += runs * self.each + 0.002
        drift = DRIFT if fault == "idle drift" else None
        world = World(rng, spans, t + plans.idle_s + 0.5, drift, self.board)
        trace, zero_ns, sync = sampled(self.name, world, rng, self.gain)
        at = lambda s: zero_ns + int(s * 1e9)  # noqa: E731
        trace = broken(trace, rng, fault, at(plans.idle_s), at(t), sync)
        of = tuple(
            wire.Block(cycle, side, at(a), at(b), runs, 0, 0, 0, None, None, 0, None)
            for cycle, side, a, b, runs in blocks
        )
        idle = ((at(0.05), at(plans.idle_s)), (at(t), at(t + plans.idle_s)))
        return joules_of_pair(wire.Paired(0, 0, None, None, of, idle, (trace,)), trace, sync).log_ratio


def verdict(name, rng, change):
    """(what is said, after how many simulated seconds)."""
    case = Case(name, rng)
    if case.invalid:
        return f"INVALID alone: {case.invalid[:40]}", math.nan
    ratios = []
    for look in RULE.looks:
        try:
            ratios += [case.pair(change) for _ in range(look - len(ratios))]
        except NoEnergyError as error:
            return f"INVALID: {str(error)[:40]}", look * case.plans.pair_s
        if outcome := decide(ratios, RULE):
            return str(outcome), look * case.plans.pair_s
    raise AssertionError("the last look decides")


def number_given(name, rng, fault):
    """Whether a pair with this fault has a number."""
    case = Case(name, rng)
    assert not case.invalid, case.invalid
    try:
        case.pair(0.0, fault)
    except NoEnergyError:
        return False
    return True


def main():
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    names = sys.argv[3:] or list(PERIODS_S)
    began = time.monotonic()
    print(f"{trials} verdicts of each meter and change, limit {RULE.limit:.0%}, seed {seed}; simulated, no hardware")
    print("meter | true change | verdicts | simulated time to a verdict: median, longest | within 60 s")
    with results(__file__) as add:
        everything(add, names, trials, seed)
    print(f"took {time.monotonic() - began:.0f} s")


def everything(add, names, trials, seed):
    for name in names:
        number = list(PERIODS_S).index(name)
        for change in (0.0, 0.05):
            rng = np.random.default_rng((seed, number, round(100 * change)))
            found = [verdict(name, rng, change) for _ in range(trials)]
            told = ", ".join(f"{what} {count}" for what, count in Counter(what for what, _ in found).most_common())
            seconds = np.array([seconds for _, seconds in found])
            case, wanted = ("unchanged", "PASS") if not change else ("+5 %", "REGRESSED")
            others = ", ".join(
                f"{count} {what}" for what, count in Counter(what for what, _ in found).items() if what != wanted
            )
            add(f"{case}: {wanted}", sum(what == wanted for what, _ in found), f"of {trials}", of=name, note=others)
            add(f"{case}: time to the verdict, median", round(float(np.nanmedian(seconds))), "s", of=name)
            add(f"{case}: within 60 s", int(np.count_nonzero(seconds <= 60)), f"of {trials}", of=name)
            print(
                f"{name} | {change:+.0%} | {told} | {np.nanmedian(seconds):.0f} s, {np.nanmax(seconds):.0f} s"
                f" | {np.count_nonzero(seconds <= 60)}",
                flush=True,
            )
    print("\nmeter | pairs with a fault that have a number: " + ", ".join(FAULTS))
    for name in names:
        rng = np.random.default_rng((seed, 100 + list(PERIODS_S).index(name)))
        count = max(1, trials // 10)
        given = [sum(number_given(name, rng, fault) for _ in range(count)) for fault in FAULTS]
        print(f"{name} | {', '.join(map(str, given))} of {count} each", flush=True)
        add("pairs with a fault that had a number", sum(given), f"of {count * len(FAULTS)}", of=name)


if __name__ == "__main__":
    main()
