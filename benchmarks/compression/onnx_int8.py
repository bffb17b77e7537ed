"""The forms of onnx-int8 side by side: time, accuracy, agreement with fp32 and size of the example's files in ONNX Runtime here.

    .venv/bin/python benchmarks/onnx_int8.py [--rounds 40] [--rows 10000]

One thread; the files take turns, 50 inferences each, so that other load meets all alike. The minimum is what a busy machine disturbs least.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import data
import numpy as np
import onnxruntime

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[2] / "examples/fashion_mnist"))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from benchmarks._support.machine import describe
from benchmarks._support.results import results
from pipeline import flow, plan
from pipeline.progress import Silent
from pipeline.records import Converted
from pipeline.store import Store

EXAMPLE = Path(__file__).parents[2] / "examples/fashion_mnist/model.keras"
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
    (folder / "edge.toml").write_text(PLAN.format(model=EXAMPLE, form=form))
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--rows", type=int, default=10_000)
    asked = parser.parse_args()
    print(f"{describe()}; ONNX Runtime {onnxruntime.__version__}", flush=True)
    with results(__file__) as add, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        x, y = data.evaluation()
        np.savez(folder / "evaluation.npz", x=x[: asked.rows], y=y[: asked.rows])
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
        for _ in range(asked.rounds):
            for name, session in sessions.items():
                took[name] += timed(session, x[:1])
        print(f"{'form':<16}{'min us':>9}{'median us':>11}{'accuracy %':>12}{'same class %':>14}{'bytes':>10}  why")
        for name, file in files.items():
            told = file.agreement
            add("median", round(statistics.median(took[name])), "µs", of=name)
            add("accuracy", round(100 * told.accuracy_ratio, 2), "%", of=name)
            add("size", file.artifact.size_bytes, "bytes", of=name)
            print(
                f"{name:<16}{min(took[name]):>9.0f}{statistics.median(took[name]):>11.0f}{100 * told.accuracy_ratio:>12.2f}"
                f"{100 * told.top1_agreement_ratio:>14.2f}{file.artifact.size_bytes:>10,}  {file.note}"
            )
    print(f"load average at the end {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
