"""Is the verdict ever wrong while the board throttles, or while other programs run on it?

    .venv/bin/python benchmarks/verdicts/interference.py collect --trials 10              # adds to build/interference/; may be stopped and repeated
    .venv/bin/python benchmarks/verdicts/interference.py collect --trials 10 --busy 2     # while two programs compute on the same CPUs
    .venv/bin/python benchmarks/verdicts/interference.py show

A trial compares the model of `edgepress selftest` with itself until the verdict is known for every slowdown. The slowdowns are added by
arithmetic, and so is the throttling: from one random moment to the next, 8 s on average, all measured times of both sides are 15 % longer.
It is drawn DRAWS times for each trial; the draws of one trial are not independent. A verdict is wrong if it is REGRESSED where the file
became slower by the limit or less, or PASS where it became slower by the limit or more.
"""

import contextlib
import hashlib
import json
import math
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.experiment import table
from benchmarks._support.launches import LAUNCH
from benchmarks._support.machine import describe
from benchmarks._support.results import ROOT, results
from device_agent import wire
from device_agent.record import replace
from pipeline import units
from pipeline.measure.pairs.ratio import log_ratio
from pipeline.measure.pairs.run import Pairing, block_lengths_for, until_decided
from pipeline.measure.validity import doubts_of_pairs
from pipeline.selftest import MODEL
from pipeline.statistics.paired_test import judged, rule_of
from targets import inventory, open_session, provision

FOLDER = ROOT / "build" / "interference"
RULE = rule_of(0.03, None)
FACTORS = (1.0, 1.03, 1.10)
DRAWS = 20
SLOWER, DWELL_S = 1.15, 8.0
BUSY = "while True: sum(range(100_000))"
RUNTIME = "ai_edge_litert"
OUTCOMES = ("REGRESSED", "PASS", "INCONCLUSIVE", "INVALID")


@contextlib.contextmanager
def competing(number: int) -> Iterator[None]:
    """Run this number of programs that only compute, on the CPUs that all processes share."""
    running = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(number)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def collect(trials: int, busy: int) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open_session(inventory.find("local", Path())) as session, (FOLDER / f"busy-{busy}.jsonl").open("a") as file:
        sites, _ = provision.install(session, provision.wheels(RUNTIME, session.machine))
        data, seed = MODEL.read_bytes(), random.SystemRandom().randrange(2**31)
        model = put(session, data)
        launch = replace(LAUNCH, model_sha256=model, model_format="tflite", runtime=RUNTIME, sites=sites)
        job = session.submit((launch,), "interference")
        (first,) = (each for each in session.follow(job) if isinstance(each, wire.Launched))
        latency_s = sorted(first.latency_ns)[len(first.latency_ns) // 2] / 1e9
        with competing(busy):
            for trial in range(trials):
                pairing = Pairing(
                    baseline=launch,
                    candidate=launch,
                    shape=block_lengths_for(latency_s),
                    rules=(RULE,),
                    seed=seed + trial,
                    label="interference",
                    factors=tuple(map(math.log, FACTORS)),
                )
                traces = until_decided(session, pairing, lambda _: None)
                session.forget_fetched()
                draws = [throttled(traces.paired, random.Random(seed + trial * DRAWS + draw)) for draw in range(DRAWS)]
                doubts = doubts_of_pairs(traces.paired)
                one = {
                    "log_ratios": traces.log_ratios,
                    "throttled": draws,
                    "seconds": traces.seconds,
                    "load": os.getloadavg()[0],
                    "doubts": [doubt.what for doubt in doubts],
                    "invalid": any(doubt.invalid for doubt in doubts),
                }
                file.write(json.dumps(one) + "\n")
                file.flush()


def put(session, data: bytes) -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    session.put(data, sha256)
    return sha256


def throttled(pairs: Sequence[wire.Paired], draw: random.Random) -> list[float]:
    """Return the log ratios of the pairs as they would be if the board had been slower from time to time."""
    now_s, slow, steps = 0.0, draw.random() < 0.5, []
    start_ns = pairs[0].blocks[0].start_ns
    while now_s * 1e9 < pairs[-1].blocks[-1].end_ns - start_ns:
        now_s += draw.expovariate(1 / DWELL_S)
        steps.append((start_ns + now_s * 1e9, slow))
        slow = not slow
    return [log_ratio(_slower(pair, steps)) for pair in pairs]


def _slower(pair: wire.Paired, steps: list[tuple[float, bool]]) -> wire.Paired:
    times: dict[str, list[int]] = {"A": [], "B": []}
    left = {"A": list(pair.a.latency_ns), "B": list(pair.b.latency_ns)}
    for block in pair.blocks:
        slow = next(slow for until_ns, slow in steps if block.start_ns <= until_ns)
        now, left[block.side] = left[block.side][: block.runs], left[block.side][block.runs :]
        times[block.side] += [round(time * SLOWER) for time in now] if slow else now
    return replace(
        pair, a=replace(pair.a, latency_ns=tuple(times["A"])), b=replace(pair.b, latency_ns=tuple(times["B"]))
    )


def is_wrong(outcome: str, factor: float) -> bool:
    return factor <= 1 + RULE.margin if outcome == "REGRESSED" else outcome == "PASS" and factor >= 1 + RULE.limit


def show() -> None:
    print(f"{describe()}\n")
    with results(__file__) as add:
        show_all(add)


def show_all(add) -> None:
    lines = []
    for path in sorted(FOLDER.glob("*.jsonl")):
        found = [json.loads(line) for line in path.read_text().splitlines()]
        loads = sorted(one["load"] for one in found)
        print(
            f"{path.stem}: {len(found)} trials, {units.seconds(sum(one['seconds'] for one in found) / len(found))} each, load average "
            f"{loads[0]:.1f} to {loads[-1]:.1f}; doubted: {dict(Counter(what for one in found for what in one['doubts'])) or 'nothing'}"
        )
        for name, key in (("as measured", "log_ratios"), (f"throttled by arithmetic, {DRAWS} draws each", "throttled")):
            for factor in FACTORS:
                outcomes = [
                    "INVALID" if one["invalid"] else judged([ratio + math.log(factor) for ratio in ratios], RULE).value
                    for one in found
                    for ratios in (one[key] if key == "throttled" else [one[key]])
                ]
                count = Counter(outcomes)
                wrong = sum(is_wrong(outcome, factor) for outcome in outcomes)
                note = f"load average {loads[0]:.1f} to {loads[-1]:.1f}"
                change = f"{factor - 1:+.0%}".replace("%", " %")
                add(f"wrong verdicts at {change}", wrong, f"of {len(outcomes)}", of=f"{path.stem}, {name}", note=note)
                counts = (str(count[each]) for each in OUTCOMES)
                lines.append([path.stem, name, f"x{factor:.2f}", *counts, str(wrong)])
    print()
    print(table(("load", "", "true", *OUTCOMES, "wrong"), lines))


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("what", choices=("collect", "show"))
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--busy", type=int, default=0)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the competing programs end, too
    if given.what == "collect":
        collect(given.trials, given.busy)
    else:
        show()


if __name__ == "__main__":
    main()
