"""A runtime of known speed, for tests and for trying out edgepress without a model. Timing needs no numpy.

The "model" is JSON: {"latency_us": 500, "jitter_us": 0, "outputs": [0.1, 0.9], "hold_bytes": 0, "crash": null or "SIGSEGV", "hang": false,
"prints": ""}. It answers each row of four numbers with `outputs`; it holds `hold_bytes` of memory, touched when it is loaded; `prints` goes to
file descriptor 1, as native code does.
"""

import json
import os
import random
import signal
import time
from typing import Any

SPIN_NS = 200_000  # the kernel wakes a sleeper about 0.06 ms late; the last part is a busy wait


def version() -> str:
    return "1"


class Model:
    allocate = None

    def __init__(self, path: str) -> None:
        with open(path, encoding="utf-8") as file:
            settings = json.load(file)
        self.latency_ns = int(settings.get("latency_us", 500) * 1000)
        self.jitter_ns = int(settings.get("jitter_us", 0) * 1000)
        self.outputs = settings.get("outputs", [0.0])
        self.held = b"\1" * settings.get("hold_bytes", 0)
        self.crash = settings.get("crash")
        self.hang = settings.get("hang", False)
        self.input_shape = (1, 4)
        self.input_dtype = "float32"
        self.delegates = ()
        self.random = random.Random(0)  # noqa: S311
        os.write(1, settings.get("prints", "").encode())

    def fitted(self, row: Any) -> Any:
        if row is not None and (row.shape != (4,) or row.dtype != "float32"):
            raise ValueError(f"the model takes rows of shape (4,), float32; the inputs have {row.shape}, {row.dtype}")
        return row

    def feed(self, row: Any) -> None:
        pass

    def invoke(self) -> None:
        end_ns = time.perf_counter_ns() + self.latency_ns
        if self.jitter_ns:
            end_ns += self.random.randrange(self.jitter_ns + 1)
        if self.crash:
            os.kill(os.getpid(), signal.Signals[self.crash])
        while self.hang:
            time.sleep(1)
        time.sleep(max(0, end_ns - SPIN_NS - time.perf_counter_ns()) / 1e9)
        while time.perf_counter_ns() < end_ns:
            pass

    def output(self) -> Any:
        import numpy as np

        return np.array([self.outputs], "float32")


def open_model(path: str, threads: int) -> Model:  # noqa: ARG001 - as in all runtimes
    return Model(path)
