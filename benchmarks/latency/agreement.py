"""Does our median agree with that of LiteRT's own benchmark tool and of a bare loop around the runtime?

    .venv/bin/python benchmarks/latency/agreement.py [--rounds 10]

All use the same file, the same runtime version and one thread on the same CPU, each in a process of its own, and alternate. LiteRT's tool
rounds to 0.01 ms, which is 14 % of a small model's time, so its `round` is replaced; nothing else is. It calls LiteRT through another
interface (CompiledModel) than the agent (Interpreter): what that adds to a call is measured on its own, alternately in one process. The
files are those of the example (made here if they are absent) and a MobileNetV2 of random weights, where a call is a small part of the time.
"""

import contextlib
import hashlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.launches import LAUNCH, median_s
from benchmarks._support.machine import describe
from benchmarks._support.results import ROOT, results
from device_agent import wire
from device_agent.record import replace
from pipeline import flow, units
from pipeline.plan import read
from pipeline.progress import Silent
from pipeline.statistics.order import median_interval
from targets import Session, inventory, open_session, provision

PLAN = ROOT / "examples" / "fashion_mnist" / "edge.toml"
CPU = max(os.sched_getaffinity(0))
LIMIT = 0.02
TIMED_S = 0.5
TOOL = "import ai_edge_litert.tools.benchmark_litert_model as tool; tool.round = lambda value, _: value; tool.main()"
BARE = """
import statistics, sys, time
import numpy as np
path, rows, runs = sys.argv[1], np.load(sys.argv[2]), int(sys.argv[3])
if path.endswith(".onnx"):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    feed = {session.get_inputs()[0].name: rows}
    def invoke(): session.run(None, feed)
else:
    from ai_edge_litert.interpreter import Interpreter
    interpreter = Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]
    scale, zero = source["quantization"]
    interpreter.set_tensor(source["index"], (rows / scale + zero).clip(-128, 127).astype(source["dtype"]) if scale else rows)
    invoke = interpreter.invoke
def times(runs):
    for _ in range(runs):
        start = time.perf_counter_ns()
        invoke()
        yield time.perf_counter_ns() - start
list(times(runs))
print(statistics.median(times(runs)) / 1e9)
"""
INTERFACES = """
import statistics, sys, time
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.hardware_accelerator import HardwareAccelerator
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.options import CpuOptions, Options
path, runs = sys.argv[1], int(sys.argv[3])
interpreter = Interpreter(path, num_threads=1)
interpreter.allocate_tensors()
options = Options(hardware_accelerators=HardwareAccelerator.CPU, cpu_options=CpuOptions(num_threads=1))
model = CompiledModel.from_file(path, options=options)
key = list(model.get_signature_list())[0]
inputs = {name: model.create_input_buffer_by_name(key, name) for name in model.get_input_tensor_details(key)}
outputs = {name: model.create_output_buffer_by_name(key, name) for name in model.get_output_tensor_details(key)}
def block(invoke):
    found = []
    for _ in range(max(5, runs // 20)):
        start = time.perf_counter_ns()
        invoke()
        found.append(time.perf_counter_ns() - start)
    return statistics.median(found)
differences = []
for _ in range(40):
    other = block(lambda: model.run_by_name(key, inputs, outputs))
    differences.append(other - block(interpreter.invoke))
print(statistics.median(differences) / 1e9)
"""


def run(*arguments: object) -> str:
    """Return what a program prints that this Python runs on CPU."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", *map(str, arguments)],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {CPU}),
    )
    return done.stdout


def tool(path: Path, runs: int) -> float:
    """Return the median of LiteRT's tool in seconds."""
    with tempfile.NamedTemporaryFile(suffix=".json") as result:
        counts = ("--num_threads", 1, "--num_runs", runs, "--warmup_runs", runs)
        run(TOOL, "--model", path, *counts, "--result_json", result.name)
        return float(json.loads(Path(result.name).read_text())["latency"]["median_ms"]) / 1e3


def alternately(rounds: int, mine: Callable[[], float], other: Callable[[], float]) -> list[tuple[float, float]]:
    pairs = []
    for number in range(rounds):
        if number % 2:
            first = mine()
            pairs.append((first, other()))
        else:
            second = other()
            pairs.append((mine(), second))
    return pairs


def mobilenet(folder: Path) -> Path:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    path = folder / "mobilenet_v2.tflite"
    model = tf.keras.applications.MobileNetV2((96, 96, 3), weights=None)
    with contextlib.redirect_stdout(io.StringIO()):
        path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    return path


def files(folder: Path) -> list[tuple[str, Path, tuple[int, ...]]]:
    """Return (name, path, shape of the input) of each file."""
    now = flow.run(read(PLAN), Silent(), until="convert")
    found = []
    for name in ("tflite-fp32", "tflite-int8", "onnx-int8"):
        file = next(each for each in now.converted if each.format == name and each.variant == "compressed").artifact
        path = folder / f"{name}.{file.format}"
        path.write_bytes(now.store.path(file).read_bytes())
        found.append((name, path, (1, 28, 28, 1)))
    return [*found, ("MobileNetV2 tflite-fp32", mobilenet(folder), (1, 96, 96, 3))]


def keep(add, name: str, other: str, pairs: Sequence[tuple[float, float]]) -> float:
    """Print and keep one comparison with the 95 % interval of its median; return how far its ratio is from 1."""
    ratios = [mine / theirs for mine, theirs in pairs]
    ratio, (low, high) = statistics.median(ratios), median_interval(np.array(ratios))
    mine, theirs = (units.seconds(statistics.median(side)) for side in zip(*pairs, strict=True))
    verdict = "within" if abs(ratio - 1) <= LIMIT else "NOT within"
    print(
        f"{name}: ours {mine}, {other} {theirs}, ratio {ratio:.3f} ({low:.3f} to {high:.3f}), {verdict} {LIMIT:.0%}; pairs {min(ratios):.3f} to {max(ratios):.3f}",
        flush=True,
    )
    value, *interval = (round(100 * (each - 1), 1) for each in (ratio, low, high))
    figure = f"our median against {other}"
    add(figure, value, "%", of=name, interval=interval, interval_is=f"95 %, {len(pairs)} pairs")
    return abs(ratio - 1)


def compared(
    add, session: Session, folder: Path, name: str, path: Path, shape: tuple[int, ...], rounds: int
) -> list[float]:
    """Return how far each ratio of this file is from 1."""
    rows = folder / "row.npy"
    np.save(rows, np.random.default_rng(0).uniform(0, 1, shape).astype("float32"))
    runtime = "onnxruntime" if path.suffix == ".onnx" else "ai_edge_litert"
    sites, _ = provision.install(session, provision.wheels(runtime, session.machine))
    sent = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (path, rows)]
    for file, name_of_it in zip((path, rows), sent, strict=True):
        session.put(file.read_bytes(), name_of_it)
    launch = replace(
        LAUNCH,
        model_sha256=sent[0],
        model_format=path.suffix[1:],
        runtime=runtime,
        sites=sites,
        inputs=(wire.Input(tensor="", shape=(), sha256=sent[1], constant=False),),
        cpus=(CPU,),
        warmup_min_ns=500_000_000,
        timed_min_ns=round(TIMED_S * 1e9),
        timed_max_runs=100_000,
    )
    runs = max(20, round(TIMED_S / median_s(session, launch)))

    def mine() -> float:
        return median_s(session, launch)

    off = [keep(add, name, "a bare loop", alternately(rounds, mine, lambda: float(run(BARE, path, rows, runs))))]
    if runtime == "ai_edge_litert":
        pairs = alternately(rounds, mine, lambda: tool(path, runs))
        off.append(keep(add, name, "LiteRT's tool", pairs))
        cost_s = float(run(INTERFACES, path, "", runs))
        print(f"LiteRT's interface takes {units.seconds(cost_s)} more for a call")
        less = "LiteRT's tool, less what its interface takes more for a call"
        keep(add, name, less, [(one, theirs - cost_s) for one, theirs in pairs])
    return off


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--only", nargs="+", help="names of the files")
    given = parser.parse_args()
    print(describe(), flush=True)
    off = []
    with results(__file__) as add, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        target = msgspec.structs.replace(inventory.find("local", folder), root=str(folder / "board"))
        with open_session(target) as session:
            for name, path, shape in files(folder):
                if given.only is None or name in given.only:
                    off += compared(add, session, folder, name, path, shape, given.rounds)
    print(f"load average at the end {os.getloadavg()[0]:.2f}; largest difference {max(off):.1%}")
    sys.exit(max(off) > LIMIT)


if __name__ == "__main__":
    main()
