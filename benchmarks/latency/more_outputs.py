"""What does one more output cost in the timed loop?

    .venv/bin/python benchmarks/latency/more_outputs.py [--rounds 20]

The agent times a file and asks for one of its two outputs, or for both, by turns, each time in a process of its own. TFLite computes all
outputs in any case, and its answers are not read while it is timed; ONNX Runtime is asked for names, and copies what it is asked for.
"""

import contextlib
import hashlib
import io
import os
import statistics
import sys
import tempfile
from pathlib import Path

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.launches import LAUNCH, median_s
from benchmarks._support.machine import describe
from benchmarks._support.results import results
from device_agent.record import replace
from pipeline import units
from pipeline.statistics.order import median_interval
from targets import inventory, open_session, provision

WIDTH = 256


def onnx_file(path: Path) -> tuple[str, str]:
    """Two layers; the hidden one is an output, too. Returns what the runtime calls the outputs."""
    from onnx import TensorProto, helper, numpy_helper, save

    rng = np.random.default_rng(0)
    weights = [numpy_helper.from_array(rng.normal(0, 0.05, (WIDTH, WIDTH)).astype(np.float32), name) for name in "vw"]
    nodes = [
        helper.make_node("MatMul", ["x", "v"], ["a"]),
        helper.make_node("Relu", ["a"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "w"], ["y"]),
    ]
    x, hidden, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, WIDTH]) for name in ("x", "hidden", "y"))
    graph = helper.make_graph(nodes, "graph", [x], [y, hidden], weights)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return "y", "hidden"


def tflite_file(path: Path) -> tuple[str, str]:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    x = tf.keras.Input((WIDTH,), name="x", batch_size=1)
    hidden = tf.keras.layers.Dense(WIDTH, activation="relu")(x)
    model = tf.keras.Model(x, {"y": tf.keras.layers.Dense(WIDTH)(hidden), "hidden": hidden})
    with contextlib.redirect_stdout(io.StringIO()):
        path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    from ai_edge_litert.interpreter import Interpreter

    first, second = (str(each["index"]) for each in Interpreter(str(path)).get_output_details())
    return first, second


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    print(describe(), flush=True)
    with results(__file__) as add, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        target = msgspec.structs.replace(inventory.find("local", folder), root=str(folder / "board"))
        with open_session(target) as session:
            for kind, runtime, make in (("tflite", "ai_edge_litert", tflite_file), ("onnx", "onnxruntime", onnx_file)):
                path = folder / f"two.{kind}"
                names = make(path)
                content = path.read_bytes()
                sha256 = hashlib.sha256(content).hexdigest()
                session.put(content, sha256)
                sites, _ = provision.install(session, provision.wheels(runtime, session.machine))
                both = replace(
                    LAUNCH, model_sha256=sha256, model_format=kind, runtime=runtime, sites=sites, outputs=names
                )
                launches = [both, replace(both, outputs=names[:1])]
                ratios = []
                for number in range(given.rounds):
                    order = launches if number % 2 else launches[::-1]
                    took = {launch.outputs: median_s(session, launch) for launch in order}
                    ratios.append(took[both.outputs] / took[names[:1]])
                ratio, (low, high) = statistics.median(ratios), median_interval(np.array(ratios))
                print(
                    f"{kind}: with both outputs {ratio:.3f} of the time with one ({low:.3f} to {high:.3f}), "
                    f"the last {units.seconds(took[both.outputs])}",
                    flush=True,
                )
                value, *interval = (round(100 * (each - 1), 1) for each in (ratio, low, high))
                more, told = "one more output", f"95 %, {len(ratios)} pairs"
                add(more, value, "%", of=kind, interval=interval, interval_is=told)
    print(f"load average at the end {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
