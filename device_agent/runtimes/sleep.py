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
from typing import Any, List, Sequence

from device_agent.runtimes._model import Model, Tensor
from device_agent.wire import Launch

SPIN_NS = 200_000  # the kernel wakes a sleeper about 0.06 ms late; the last part is a busy wait


def version() -> str:
    return "1"


class SleepModel(Model):
    def __init__(self, path: str, launch: Launch) -> None:
        super().__init__(launch)
        with open(path, encoding="utf-8") as file:
            settings = json.load(file)
        self.latency_ns = int(settings.get("latency_us", 500) * 1000)
        self.jitter_ns = int(settings.get("jitter_us", 0) * 1000)
        self.answer = settings.get("outputs", [0.0])
        self.held = b"\1" * settings.get("hold_bytes", 0)
        self.crash = settings.get("crash")
        self.hang = settings.get("hang", False)
        self._found({"x": Tensor("x", (1, 4), "float32")}, {"y": Tensor("y", (1, len(self.answer)), "float32")})
        self.random = random.Random(0)  # noqa: S311
        os.write(1, settings.get("prints", "").encode())

    def fitted(self, rows: Sequence[Any]) -> List[Any]:
        return [None] if all(row is None for row in rows) else super().fitted(rows)  # timing needs no numpy

    def _set(self, tensor: Tensor, array: Any) -> None:
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

    def _get(self, name: str) -> Any:  # noqa: ARG002 - it has one
        import numpy as np

        return np.array([self.answer], "float32")


def open_model(path: str, launch: Launch) -> SleepModel:
    return SleepModel(path, launch)
