"""How often does the idle power while the board is busy, which cannot be measured, lie within the stated uncertainty?

    .venv/bin/python benchmarks/energy/energy_idle.py [DRAWS]

Ten seconds of idle before and after a window are read ten times a second without an error. The kinds of noise are made up; none was recorded
on a board.
"""

import math
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.results import results
from device_agent import wire
from pipeline.measure.energy.reading import Idle
from pipeline.measure.energy.trace import Curve

STEP_S, IDLE_S, GAP_S = 0.1, 10.0, 0.3


def remembers(seconds):
    """Return noise with this correlation time (an Ornstein-Uhlenbeck process)."""

    def noise(rng, t_s):
        kept, x = math.exp(-STEP_S / seconds), rng.normal(size=len(t_s))
        for n in range(1, len(x)):
            x[n] = kept * x[n - 1] + math.sqrt(1 - kept**2) * x[n]
        return 0.002 * x

    return noise


def swings(low_s, high_s):
    """Return noise of three sine waves with periods between these."""

    def noise(rng, t_s):
        sizes, periods, phases = (
            rng.uniform(0.0005, 0.003, 3),
            rng.uniform(low_s, high_s, 3),
            rng.uniform(0, 2 * math.pi, 3),
        )
        return (sizes[:, None] * np.sin(2 * np.pi * t_s / periods[:, None] + phases[:, None])).sum(0)

    return noise


KINDS = {
    "white": lambda rng, t_s: rng.normal(0, 0.01, len(t_s)),
    "a random walk": lambda rng, t_s: np.cumsum(rng.normal(0, 0.0003, len(t_s))),
    "forgets in 3 s": remembers(3),
    "forgets in 10 s": remembers(10),
    "forgets in 30 s": remembers(30),
    "swings of 3 to 12 s": swings(3, 12),
    "swings of 15 to 40 s": swings(15, 40),
    "swings of 40 to 200 s": swings(40, 200),
}


def inside(kind, window_s, draws, rng):
    """Count how many of the draws lie inside."""
    start_s, found = IDLE_S + GAP_S, 0
    after = start_s + window_s + GAP_S
    t_s = np.arange(0, after + IDLE_S, STEP_S)
    for _ in range(draws):
        curve = Curve(trace_of(t_s, 2 * (1 + KINDS[kind](rng, t_s))), 0)
        idle = Idle(curve, [(0, IDLE_S), (after, after + IDLE_S)])
        found += abs(idle.watt - curve.joules((start_s, start_s + window_s)) / window_s) <= idle.uncertainty_w
    return found


def trace_of(t_s, watts):
    return wire.PowerTrace(
        meter="m",
        rail="",
        quality="measured",
        gain_ppm=None,
        offset_uw=None,
        period_ns=int(STEP_S * 1e9),
        delay_ns=0,
        t_ns=tuple(int(t * 1e9) for t in t_s),
        power_uw=tuple(int(watt * 1e6) for watt in watts),
        energy_uj=(),
        failed=0,
        missed=0,
        reading_ns=0,
        note="",
    )


def main():
    parser = command.parser(__doc__)
    parser.add_argument("draws", metavar="DRAWS", type=int, nargs="?", default=1000)
    draws = parser.parse_args().draws
    print(f"idle inside the stated 95 %, {draws} draws each; simulated\nkind | around 5 s | around 30 s")
    with results(__file__) as add:
        for number, kind in enumerate(KINDS):
            shares = [inside(kind, s, draws, np.random.default_rng((number, s))) / draws for s in (5, 30)]
            print(f"{kind} | {shares[0]:.1%} | {shares[1]:.1%}", flush=True)
            for window_s, share in zip((5, 30), shares, strict=True):
                add(f"idle inside the stated 95 %, around {window_s} s", round(100 * share, 1), "%", of=kind)


if __name__ == "__main__":
    main()
