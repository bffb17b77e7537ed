"""How often is edgepress's verdict on latency wrong, and how often are the rules of other tools wrong on the same traces?

    .venv/bin/python benchmarks/verdicts/selftest.py collect --model tflite --trials 300     # adds to build/selftest/; may be stopped and repeated
    .venv/bin/python benchmarks/verdicts/selftest.py collect --model tflite --slower --trials 100
    .venv/bin/python benchmarks/verdicts/selftest.py show                                    # the tables of all that was collected

A trial compares a file with itself, slowed down by arithmetic, or with a file that is really slower (--slower). It lasts until the verdict is
known for every slowdown, so one set of traces serves them all. --cpu binds the processes to one CPU. Two collections at the same time, each
with its own XDG_CACHE_HOME and CPU, disturb each other as other jobs would.
"""

import contextlib
import json
import math
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command, other_tools
from benchmarks._support.experiment import EXAMPLE, table
from benchmarks._support.launches import LAUNCH
from benchmarks._support.machine import describe
from benchmarks._support.results import ROOT, results
from device_agent import wire
from device_agent.record import replace
from pipeline import flow, selftest, units
from pipeline.plan import read
from pipeline.progress import Silent
from pipeline.selftest import SLOWDOWNS
from pipeline.statistics.paired_test import LOOKS, detectable, effect, judged, rule_of
from targets import inventory, open_session, provision

FOLDER = ROOT / "build" / "selftest"
RULE, SHARPER = rule_of(0.03, None), rule_of(0.03, 0.005)
RUNTIMES = {"tflite": "ai_edge_litert", "onnx": "onnxruntime"}
WIDER = 304  # channels of the widest layer, 256 in the example: some 3 % more work
PLAN = """
seed = 7
[model]
path = "{model}"
[data]
calibration = "data:calibration"
evaluation = "data:evaluation"
[convert]
formats = ["tflite-fp32", "onnx-fp32"]
"""


def files(slower: bool) -> dict[str, Path]:
    """Return the example's uncompressed model in both formats, or one with a wider layer (untrained, for only its speed matters)."""
    folder = FOLDER / ("slower" if slower else "model")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data.py").write_bytes((EXAMPLE / "data.py").read_bytes())
    model = folder / "model.keras"
    if not model.exists():
        if slower:
            import keras

            config = keras.saving.load_model(EXAMPLE / "model.keras").get_config()
            widest = next(each["config"] for each in config["layers"] if each["config"].get("filters") == 256)
            widest["filters"] = WIDER
            keras.Model.from_config(_rebuilt(config)).save(model)
        else:
            model.write_bytes((EXAMPLE / "model.keras").read_bytes())
    plan = folder / "edge.toml"
    plan.write_text(PLAN.format(model="model.keras"))
    now = flow.run(read(plan), Silent(), until="convert")
    found = {one.format.partition("-")[0]: now.store.path(one.artifact) for one in now.converted}
    found["rows"] = now.store.path(now.loaded.data.evaluation.inputs[0].artifact)
    return found


def _rebuilt(config):
    """Return the configuration without the shapes that were stored with each layer: they no longer fit."""
    for layer in config["layers"]:
        layer.pop("build_config", None)
    return config


@contextlib.contextmanager
def launches(name: str, slower: bool, cpu: int | None) -> Iterator[tuple]:
    """Yield (session, launch, launch of the slower file or None)."""
    known = [files(False), files(True)] if slower else [files(False)]
    with open_session(inventory.find("local", Path())) as session:
        sites, _ = provision.install(session, provision.wheels(RUNTIMES[name], session.machine))
        rows = known[0]["rows"].read_bytes()
        rows_sha256 = known[0]["rows"].stem
        session.put(rows, rows_sha256)
        made = []
        for each in known:
            session.put(each[name].read_bytes(), each[name].stem)
            launch = replace(
                LAUNCH,
                model_sha256=each[name].stem,
                model_format=name,
                runtime=RUNTIMES[name],
                sites=sites,
                inputs=(wire.Input(tensor="", shape=(), sha256=rows_sha256, constant=False),),
                rotated_rows=8,
                cpus=() if cpu is None else (cpu,),
            )
            made.append(launch)
        yield session, made[0], made[1] if slower else None


def collect(name: str, slower: bool, number: int, cpu: int | None) -> None:
    path = FOLDER / f"{name}{'-slower' if slower else ''}.jsonl"
    with launches(name, slower, cpu) as (session, launch, other), path.open("a") as file:
        (first,) = (
            each for each in session.follow(session.submit((launch,), "selftest")) if isinstance(each, wire.Launched)
        )
        session.forget_fetched()
        latency_s = statistics.median(first.latency_ns) / 1e9
        seed = time.time_ns() % 2**31
        pairing = selftest.pairing_of(launch, latency_s, (RULE, SHARPER), seed, other)
        for traces in selftest.trials(session, pairing, number, Silent()):
            paired = traces.paired
            one = {
                "log_ratios": traces.log_ratios,
                "seconds": traces.seconds,
                "load": os.getloadavg()[0],
                "pressure": [pair.a.before.cpu_pressure_centi for pair in paired],
                "latency_s": latency_s,
                "pairs": [
                    {side: other_tools.reduced(getattr(pair, side).latency_ns) for side in "ab"} for pair in paired
                ],
            }
            file.write(json.dumps(one) + "\n")
            file.flush()


def show() -> None:
    print(f"{describe()}\n")
    with results(__file__) as add:
        show_all(add)


def show_all(add) -> None:
    for path in sorted(FOLDER.glob("*.jsonl")):
        found = [json.loads(line) for line in path.read_text().splitlines()]
        if len(found) > 1:
            print(f"## {path.stem}: {len(found)} trials\n")
            _show(add, path.stem, found, slower=path.stem.endswith("-slower"))


def _show(add, name_of: str, found: list[dict], slower: bool) -> None:
    ratios = [one["log_ratios"] for one in found]
    deviation = statistics.stdev(ratio for trial in ratios for ratio in trial)
    seconds = sorted(one["seconds"] * _share(one["log_ratios"]) for one in found)
    loads = sorted(one["load"] for one in found)
    print(
        f"one inference {units.seconds(statistics.median(one['latency_s'] for one in found))}; load average {loads[0]:.1f} to {loads[-1]:.1f}, "
        f"median {statistics.median(loads):.1f}; sd of a pair {deviation:.2%}; a verdict took {statistics.median(seconds):.1f} s "
        f"(median; longest {seconds[-1]:.1f} s); detectable at the first look {detectable(deviation, LOOKS[0], SHARPER):.2%}\n"
    )
    note = f"when it was collected: load average {loads[0]:.1f} to {loads[-1]:.1f}"
    add("time for a verdict: median", round(statistics.median(seconds), 1), "s", of=name_of, note=note)
    add("time for a verdict: longest", round(seconds[-1], 1), "s", of=name_of)
    for name, rule in (("by the limit alone", RULE), ("by the sharper rule", SHARPER)):
        for rate in selftest.rates(ratios, rule, (0.0,) if slower else SLOWDOWNS):
            print(
                f"{name}, slowed by {rate.slowdown:.0%}: REGRESSED {rate.regressed} of {rate.trials} ({rate.regressed_low:.1%} to {rate.regressed_high:.1%}), "
                f"PASS {rate.passed} (at most {rate.passed_high:.1%}), INCONCLUSIVE {rate.inconclusive}"
            )
            figure = f"{name}, slowed by {rate.slowdown:.0%}: REGRESSED".replace("%", " %")
            note = f"{100 * rate.regressed_low:.1f} to {100 * rate.regressed_high:.1f} % (95 %); PASS {rate.passed}"
            add(figure, rate.regressed, f"of {rate.trials} trials", of=name_of, note=note)
    if slower:
        whole = effect([ratio for trial in ratios for ratio in trial][:20], RULE)
        every = statistics.fmean(ratio for trial in ratios for ratio in trial)
        print(
            f"a really slower file: {math.expm1(every):+.2%} over all pairs; one trial: {whole.low - 1:+.2%} to {whole.high - 1:+.2%}\n"
        )
        return
    print()
    rules = other_tools.RULES
    lines = []
    for label, judge in rules.items():
        hits = [
            sum(judge(one["pairs"], share, random.Random(number)) for number, one in enumerate(found))
            for share in SLOWDOWNS
        ]
        lines.append([label, *(f"{hit / len(found):.1%}" for hit in hits)])
        for share, hit in zip(SLOWDOWNS, hits, strict=True):
            figure = f"called slower, {share:.0%} slower".replace("%", " %")
            add(figure, round(100 * hit / len(found), 1), "%", of=f"{label} ({name_of})")
    for name, rule in (("by the limit alone", RULE), ("with a margin of 0.5 %", SHARPER)):
        ours = selftest.rates(ratios, rule, SLOWDOWNS)
        lines.append([f"edgepress: REGRESSED {name}", *(f"{rate.regressed / rate.trials:.1%}" for rate in ours)])
    print(table(["flagged as slower", *(f"x{1 + share:.2f}" for share in SLOWDOWNS)], lines), "\n")


def _share(log_ratios: list[float]) -> float:
    """Return the share of a trial's time that the verdict on the unchanged file needed."""
    needed = next((look for look in LOOKS if judged(log_ratios[:look], RULE) != "INCONCLUSIVE"), len(log_ratios))
    return min(1.0, needed / len(log_ratios))


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("what", choices=("collect", "show"))
    parser.add_argument("--model", choices=RUNTIMES, default="tflite")
    parser.add_argument("--slower", action="store_true")
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--cpu", type=int)
    given = parser.parse_args()
    if given.what == "collect":
        collect(given.model, given.slower, given.trials, given.cpu)
    else:
        show()


if __name__ == "__main__":
    main()
