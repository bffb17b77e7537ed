"""How often does the verdict on memory call an unchanged model larger, and does it find 256 kB more?

    .venv/bin/python benchmarks/verdicts/memory.py [--same 100] [--more 20] [--launches 5]

Three runtimes: `sleep`, whose model can hold 256 kB more of touched memory; LiteRT and ONNX Runtime, whose candidate has one more layer of
256 x 256 float32 weights, 256 KiB, which both copy into anonymous memory. Each comparison has its own launches, 5 a side in shuffled rounds,
and is judged by the code that judges a plan's `memory_regression_bytes`. Needs the extras (TensorFlow makes LiteRT's model).
"""

import contextlib
import functools
import hashlib
import io
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import stdev

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.launches import LAUNCH
from benchmarks._support.machine import describe
from benchmarks._support.results import results
from device_agent import wire
from device_agent.record import replace
from pipeline import units
from pipeline.compare.by_interval import LAUNCHES
from pipeline.compare.case import Case
from pipeline.compare.limits import memory as memory_limit
from pipeline.measure.memory import memory_of
from pipeline.plan_tables import LimitsTable
from pipeline.records import Measured, Memory, Verdict
from targets import Session, inventory, open_session, provision
from tests.support.sample_run import measurement

LIMIT_BYTES = 128 * 1024
WIDE = 256
MORE_BYTES = 4 * WIDE * WIDE
Keep = Callable[[str, int, int, str], None]  # anonymous or peak, called REGRESSED, of how many, a note
BATCH = 10  # comparisons in one job
BRIEF = replace(LAUNCH, warmup_min_ns=0, warmup_max_ns=20_000_000, timed_min_ns=1, timed_max_runs=20)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sleep_model(layers: int) -> bytes:
    return json.dumps({"latency_us": 100, "hold_bytes": layers * MORE_BYTES}).encode()


def onnx_model(layers: int) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    draw = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(draw.normal(size=(WIDE, WIDE)).astype("float32"), f"w{k}") for k in range(layers)
    ]
    nodes = [helper.make_node("MatMul", [f"x{k}", f"w{k}"], [f"x{k + 1}"]) for k in range(layers)]
    ends = [helper.make_tensor_value_info(f"x{k}", TensorProto.FLOAT, [1, WIDE]) for k in (0, layers)]
    graph = helper.make_graph(nodes, "dense", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def litert_model(layers: int) -> bytes:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    tf.random.set_seed(0)
    model = tf.keras.Sequential([tf.keras.Input((WIDE,)), *(tf.keras.layers.Dense(WIDE) for _ in range(layers))])
    with contextlib.redirect_stdout(io.StringIO()):
        return bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())


RUNTIMES = {
    "sleep": ("sleep", sleep_model),
    "onnxruntime": ("onnx", onnx_model),
    "ai_edge_litert": ("tflite", litert_model),
}


class Comparisons:
    """Baseline and candidate in one runtime, measured again for each comparison."""

    def __init__(self, session: Session, runtime: str, launches: int) -> None:
        self.session, self.runtime, self.launches = session, runtime, launches
        wheels = () if runtime == "sleep" else provision.wheels(runtime, session.machine)
        sites = provision.install(session, wheels)[0] if wheels else ()
        ending, make = RUNTIMES[runtime]
        self.sides = []
        for layers in (4, 5):
            data = make(layers)
            session.put(data, sha256(data))
            self.sides.append(
                replace(BRIEF, model_sha256=sha256(data), model_format=ending, runtime=runtime, sites=sites)
            )
        self.drawn = random.Random(0)

    def verdicts(self, count: int, *, larger: bool) -> list[tuple[list[Verdict], Memory, Memory]]:
        baseline, candidate = self.sides[0], self.sides[1 if larger else 0]
        found = []
        while len(found) < count:
            batch = min(BATCH, count - len(found))
            order = [
                (number, side)
                for number in range(batch)
                for _ in range(self.launches)
                for side in self.drawn.sample((0, 1), 2)
            ]
            answers = self._run([(baseline, candidate)[side] for _, side in order])
            for number in range(batch):
                memories = [
                    memory_of(
                        [answer for each, answer in zip(order, answers, strict=True) if each == (number, side)],
                        self.runtime,
                    )
                    for side in (0, 1)
                ]
                sides = [measurement(memory=memory) for memory in memories]
                limits = LimitsTable(memory_regression_bytes=LIMIT_BYTES)
                measured = Measured(measurements=tuple(sides))
                case = Case(candidate=sides[1], baseline=sides[0], measured=measured, limits=limits)
                found.append((memory_limit.judge(case), *memories))
        return found

    def _run(self, launches: Sequence[wire.Launch]) -> list[wire.Launched]:
        job = self.session.submit(tuple(launches), "benchmark")
        answers = [each for each in self.session.follow(job) if not isinstance(each, wire.Event)]
        self.session.forget(job)
        failed = next((each for each in answers if isinstance(each, wire.LaunchFailed)), None)
        if failed:
            sys.exit(f"a launch failed: {failed}")
        return sorted(answers, key=lambda each: each.index)


def tell(found: Sequence[tuple[list[Verdict], Memory, Memory]], what: str, keep: Keep) -> Counter[str]:
    """Print one line for each of the two verdicts and keep its figures; return the number of each outcome for anonymous memory."""
    counts = []
    for index, (name, field) in enumerate((("anonymous", "launch_growth_bytes"), ("peak", "launch_peak_bytes"))):
        outcomes = Counter(str(verdicts[index].outcome) for verdicts, *_ in found)
        changes = sorted(verdicts[index].change for verdicts, *_ in found)
        within = [stdev(getattr(memory, field)) for _, *memories in found for memory in memories]
        print(
            f"  {what}, {name}: {dict(outcomes)}; change {units.size_change(changes[0])} to {units.size_change(changes[-1])}, "
            f"median {units.size_change(changes[len(changes) // 2])}; sd of a side's launches {units.size(sum(within) / len(within))}",
            flush=True,
        )
        note = f"{outcomes['INCONCLUSIVE']} INCONCLUSIVE" if outcomes["INCONCLUSIVE"] else ""
        keep(name, outcomes["REGRESSED"], len(found), note)
        counts.append(outcomes)
    return counts[0]


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("--same", type=int, default=100)
    parser.add_argument("--more", type=int, default=20)
    parser.add_argument("--launches", type=int, default=LAUNCHES, help=f"of each side; {LAUNCHES} or more")
    parser.add_argument("--runtimes", nargs="+", default=list(RUNTIMES), choices=RUNTIMES)
    given = parser.parse_args()
    if given.launches < LAUNCHES:
        parser.error(f"with fewer than {LAUNCHES} launches there is no verdict")
    print(f"{describe()}; {given.launches} launches a side, limit {units.size(LIMIT_BYTES)}", flush=True)
    missed = False
    with results(__file__) as add, tempfile.TemporaryDirectory() as folder:
        target = msgspec.structs.replace(inventory.find("local", Path(folder)), root=folder)
        with open_session(target) as session:
            for runtime in given.runtimes:
                sides = Comparisons(session, runtime, given.launches)
                print(f"{runtime}:", flush=True)

                def keep(name: str, hits: int, of: int, note: str, runtime=runtime, what="") -> None:
                    kind = "anonymous memory" if name == "anonymous" else "peak of the process"
                    add(f"{kind}, {what}", hits, f"of {of}", of=runtime, note=note)

                unchanged = functools.partial(keep, what="unchanged: false alarms")
                larger = functools.partial(keep, what=f"{units.size(MORE_BYTES)} more: REGRESSED")
                same = tell(sides.verdicts(given.same, larger=False), f"unchanged, {given.same} comparisons", unchanged)
                found = sides.verdicts(given.more, larger=True)
                more = tell(found, f"{units.size(MORE_BYTES)} more, {given.more} comparisons", larger)
                missed |= same["REGRESSED"] > 0 or more["REGRESSED"] < given.more
    print(f"load average at the end {os.getloadavg()[0]:.2f}")
    print("MISSED" if missed else "no false alarm, and every addition found")
    sys.exit(missed)


if __name__ == "__main__":
    main()
