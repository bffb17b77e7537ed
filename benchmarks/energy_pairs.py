"""The limit on energy with simulated meters: how often is its verdict wrong on two files of which one uses so much more?

    .venv/bin/python benchmarks/energy_pairs.py [TRIALS [METER...]]

What is simulated is the board (benchmarks/energy.py); what runs is the agent's sampler and meter, and the host's arithmetic and
test. Each pair is a board of its own, with another model, noise and idle power: wider apart than pairs on one board are. A limit of 5 %.
"""

import math
import sys
import time
from collections import Counter

import numpy as np
from energy import GAINS, World, sampled

from device_agent import wire
from pipeline.decision import decide, rule_of
from pipeline.measure.energy_beside import plans_for
from pipeline.measure.energy_ratio import joules_of_pair
from pipeline.measure.power import NoEnergyError
from pipeline.records import DeployedMeter

PERIODS_S = {"jetson_ina3221": 0.01, "ina226": 0.01, "pi5_pmic": 0.1, "rapl": 0.1, "joulescope": 0.1}
ACCUMULATE = {"rapl", "joulescope"}
RULE = rule_of(0.05, None)


def pair(name, rng, change):
    """Log of candidate / baseline of one pair as a plan would run it."""
    meter = DeployedMeter(
        name=name, settings=(), on_board=True, rail="", quality="measured", period_s=PERIODS_S[name], accumulates=name in ACCUMULATE
    )  # fmt: skip
    plans = plans_for(meter, 10)
    each, t, spans, blocks = rng.uniform(0.002, 0.03), plans.idle_s, [], []
    for cycle in range(plans.shape.cycles):
        for side in rng.choice(["ABBA", "BAAB"]):
            runs = math.ceil(plans.shape.min_ns / 1e9 / each)
            spans.append((t, t + runs * each, 1 + change * (side == "B"), each))
            blocks.append((cycle, side, t, t + runs * each, runs))
            t += runs * each + 0.002
    trace, zero_ns, sync = sampled(
        name, World(rng, spans, t + plans.idle_s + 0.5), rng, 1 + rng.uniform(-1, 1) * GAINS[name]
    )
    at = lambda s: zero_ns + int(s * 1e9)  # noqa: E731
    of = tuple(
        wire.Block(cycle, side, at(a), at(b), runs, 0, 0, None, None, 0, None) for cycle, side, a, b, runs in blocks
    )
    idle = ((at(0.05), at(plans.idle_s)), (at(t), at(t + plans.idle_s)))
    return joules_of_pair(wire.Paired(0, 0, None, None, of, idle, (trace,)), trace, sync).log_ratio


def verdict(name, rng, change):
    ratios = []
    for look in RULE.looks:
        try:
            ratios += [pair(name, rng, change) for _ in range(look - len(ratios))]
        except NoEnergyError as error:
            return f"INVALID: {str(error).split(':')[0][:40]}", len(ratios)
        if outcome := decide(ratios, RULE):
            return str(outcome), look
    raise AssertionError("the last look decides")


def main():
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    began = time.monotonic()
    print(f"{trials} verdicts of each meter and change, limit {RULE.limit:.0%}; simulated, no hardware")
    print("meter | true change | verdicts | median pairs")
    for number, name in enumerate(sys.argv[2:] or PERIODS_S):
        for change in (0.0, 0.05, 0.10):
            rng = np.random.default_rng((number, round(100 * change)))
            found = [verdict(name, rng, change) for _ in range(trials)]
            told = ", ".join(f"{what} {count}" for what, count in Counter(what for what, _ in found).most_common())
            print(f"{name} | {change:+.0%} | {told} | {np.median([pairs for _, pairs in found]):g}", flush=True)
    print(f"took {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
