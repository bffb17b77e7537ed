"""Which form of onnx-int8 is the fastest in ONNX Runtime on this machine, and how accurate and how large is each?

    .venv/bin/python benchmarks/compression/onnx_int8.py [--rounds 40] [--rows 10000]

The files are those of the example, run with one thread. They alternate, 50 inferences each, so that other load meets all alike. A busy
machine disturbs the minimum least.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.experiment import EXAMPLE, example_data
from benchmarks._support.machine import describe
from benchmarks._support.results import results
from pipeline import flow, plan
from pipeline.progress import Silent
from pipeline.records import Converted
from pipeline.store import Store

FORMS = ("signed", "unsigned", "unsigned-7bit", "auto")
PLAN = """
[model]
path = "{model}"
[data]
calibration = "calibration.npz"
evaluation = "evaluation.npz"
[convert]
formats = ["onnx-int8"]
onnx_int8_activations = "{form}"
"""


def made(folder: Path, form: str) -> tuple[Store, tuple[Converted, ...]]:
    (folder / "edge.toml").write_text(PLAN.format(model=EXAMPLE / "model.keras", form=form))
    now = flow.run(plan.read(folder / "edge.toml"), Silent(), until="convert")
    return now.store, now.converted


def timed(session: Any, row: Any) -> list[float]:
    name, took = session.get_inputs()[0].name, []
    for _ in range(50):
        began = time.perf_counter_ns()
        session.run(None, {name: row})
        took.append((time.perf_counter_ns() - began) / 1e3)
    return took


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--rows", type=int, default=10_000)
    given = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import onnxruntime

    data = example_data()
    print(f"{describe()}; ONNX Runtime {onnxruntime.__version__}", flush=True)
    with results(__file__) as add, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        x, y = data.evaluation()
        np.savez(folder / "evaluation.npz", x=x[: given.rows], y=y[: given.rows])
        np.savez(folder / "calibration.npz", x=data.calibration()[0])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        files, sessions, took = {}, {}, {}
        for form in FORMS:
            store, converted = made(folder, form)
            for each in converted:
                files.setdefault("fp32" if each.format == "onnx-fp32" else form, each)
        for name, file in files.items():
            sessions[name] = onnxruntime.InferenceSession(
                str(store.path(file.artifact)), options, providers=["CPUExecutionProvider"]
            )
            took[name] = []
        for _ in range(given.rounds):
            for name, session in sessions.items():
                took[name] += timed(session, x[:1])
        print(f"{'form':<16}{'min us':>9}{'median us':>11}{'accuracy %':>12}{'same class %':>14}{'bytes':>10}  why")
        for name, file in files.items():
            agreement = file.agreement
            add("median", round(statistics.median(took[name])), "µs", of=name)
            add("accuracy", round(100 * agreement.accuracy_ratio, 2), "%", of=name)
            add("size", file.artifact.size_bytes, "bytes", of=name)
            print(
                f"{name:<16}{min(took[name]):>9.0f}{statistics.median(took[name]):>11.0f}{100 * agreement.accuracy_ratio:>12.2f}"
                f"{100 * agreement.top1_agreement_ratio:>14.2f}{file.artifact.size_bytes:>10,}  {' '.join(file.notes)}"
            )
    print(f"load average at the end {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
