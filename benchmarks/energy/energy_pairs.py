"""How often is the verdict on energy wrong with simulated meters, and how long does it take?

    .venv/bin/python benchmarks/energy/energy_pairs.py [TRIALS [SEED [METER...]]]

The candidate uses the same energy as its baseline, or 5 % more. The board is simulated as in energy_curves.py; the agent's sampler and
meter are real, and so are the host's plan of the pairs, its arithmetic and its test. Each verdict has a board and a model of its own, which
is first measured on its own, as in a plan. Each process of a pair uses more or less by chance. The limit is 5 %, by the sharper rule:
`energy_margin` is a sixth of it. The time is that of the blocks and idle times, with 2 s a pair for the start of its processes.
"""

import math
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
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
from pipeline.measure.pairs.energy import lengths_for
from pipeline.records import DeployedMeter
from pipeline.statistics.paired_test import decide, rule_of

PROCESS_SD = 0.004  # standard deviation of the power of a process
RULE = rule_of(0.05, 0.05 / 6)


class Case:
    """One board, model and meter, with the `lengths` of its pairs."""

    def __init__(self, name, rng):
        self.name, self.rng, self.board, self.each = name, rng, Board(rng), rng.uniform(0.002, 0.03)
        self.gain = 1 + rng.uniform(-1, 1) * GAINS[name]
        meter = DeployedMeter(
            name=name,
            settings=(),
            on_board=name != "joulescope",
            rail="",
            quality="measured",
            period_s=PERIODS_S[name],
            accumulates=name in COUNTERS,
        )
        alone = [trial(name, rng, True, board=self.board, each=self.each)[0] for _ in range(2)]
        self.invalid = next((one.invalid for one in alone if one.invalid), "")
        self.lengths = None if self.invalid else lengths_for(meter, alone, 10, RULE)

    def pair(self, change, fault=None):
        """Return the log of candidate / baseline of one pair as a plan would run it. NoEnergyError where it has no number."""
        rng, lengths = self.rng, self.lengths
        process = {"A": math.exp(rng.normal(0, PROCESS_SD)), "B": (1 + change) * math.exp(rng.normal(0, PROCESS_SD))}
        t, spans, blocks = lengths.idle_s, [], []
        for cycle in range(lengths.shape.cycles):
            for side in rng.choice(["ABBA", "BAAB"]):
                runs = math.ceil(lengths.shape.min_ns / 1e9 / self.each)
                spans.append((t, t + runs * self.each, process[side], self.each))
                blocks.append((cycle, side, t, t + runs * self.each, runs))
                t += runs * self.each + 0.002
        drift = DRIFT if fault == "idle drift" else None
        world = World(rng, spans, t + lengths.idle_s + 0.5, drift, self.board)
        trace, zero_ns, sync = sampled(self.name, world, rng, self.gain)
        at = lambda s: zero_ns + int(s * 1e9)  # noqa: E731
        trace = broken(trace, rng, fault, at(lengths.idle_s), at(t), sync)
        ran = tuple(
            wire.Block(cycle, side, at(a), at(b), runs, 0, 0, 0, None, None, 0, None)
            for cycle, side, a, b, runs in blocks
        )
        idle = ((at(0.05), at(lengths.idle_s)), (at(t), at(t + lengths.idle_s)))
        return joules_of_pair(wire.Paired(0, 0, None, None, ran, idle, (trace,)), trace, sync).log_ratio


def verdict(name, rng, change):
    """Return (the verdict, after how many simulated seconds)."""
    case = Case(name, rng)
    if case.invalid:
        return f"INVALID alone: {case.invalid[:40]}", math.nan
    ratios = []
    for look in RULE.looks:
        try:
            ratios += [case.pair(change) for _ in range(look - len(ratios))]
        except NoEnergyError as error:
            return f"INVALID: {str(error)[:40]}", look * case.lengths.pair_s
        if outcome := decide(ratios, RULE):
            return str(outcome), look * case.lengths.pair_s
    raise AssertionError("the last look decides")


def number_given(name, rng, fault):
    """Return whether a pair with this fault has a number."""
    case = Case(name, rng)
    assert not case.invalid, case.invalid
    try:
        case.pair(0.0, fault)
    except NoEnergyError:
        return False
    return True


def main():
    parser = command.parser(__doc__)
    parser.add_argument("trials", metavar="TRIALS", type=int, nargs="?", default=100)
    parser.add_argument("seed", metavar="SEED", type=int, nargs="?", default=0)
    parser.add_argument("meters", metavar="METER", nargs="*", help=f"of {', '.join(PERIODS_S)}; all by default")
    given = parser.parse_args()
    trials, seed, names = given.trials, given.seed, given.meters or list(PERIODS_S)
    began = time.monotonic()
    print(f"{trials} verdicts of each meter and change, limit {RULE.limit:.0%}, seed {seed}; simulated, no hardware")
    print("meter | true change | verdicts | simulated time to a verdict: median, longest | within 60 s")
    with results(__file__) as add:
        judge_pairs(add, names, trials, seed)
        judge_faults(add, names, trials, seed)
    print(f"took {time.monotonic() - began:.0f} s")


def judge_pairs(add, names, trials, seed):
    for name in names:
        number = list(PERIODS_S).index(name)
        for change in (0.0, 0.05):
            rng = np.random.default_rng((seed, number, round(100 * change)))
            found = [verdict(name, rng, change) for _ in range(trials)]
            verdicts = Counter(what for what, _ in found)
            counts = ", ".join(f"{what} {count}" for what, count in verdicts.most_common())
            seconds = np.array([seconds for _, seconds in found])
            case, wanted = ("unchanged", "PASS") if not change else ("+5 %", "REGRESSED")
            others = ", ".join(f"{count} {what}" for what, count in verdicts.items() if what != wanted)
            add(f"{case}: {wanted}", verdicts[wanted], f"of {trials}", of=name, note=others)
            add(f"{case}: time to the verdict, median", round(float(np.nanmedian(seconds))), "s", of=name)
            add(f"{case}: within 60 s", int(np.count_nonzero(seconds <= 60)), f"of {trials}", of=name)
            print(
                f"{name} | {change:+.0%} | {counts} | {np.nanmedian(seconds):.0f} s, {np.nanmax(seconds):.0f} s"
                f" | {np.count_nonzero(seconds <= 60)}",
                flush=True,
            )


def judge_faults(add, names, trials, seed):
    print("\nmeter | pairs with a fault that have a number: " + ", ".join(FAULTS))
    for name in names:
        rng = np.random.default_rng((seed, 100 + list(PERIODS_S).index(name)))
        count = max(1, trials // 10)
        given = [sum(number_given(name, rng, fault) for _ in range(count)) for fault in FAULTS]
        print(f"{name} | {', '.join(map(str, given))} of {count} each", flush=True)
        add("pairs with a fault that had a number", sum(given), f"of {count * len(FAULTS)}", of=name)


if __name__ == "__main__":
    main()
