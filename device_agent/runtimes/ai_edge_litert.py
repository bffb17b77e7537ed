"""LiteRT, the successor of TensorFlow Lite's runtime: 64-bit only."""

import os
from importlib import metadata
from typing import Any, List, Sequence, Tuple

from ai_edge_litert import interpreter

from device_agent.runtimes._profile import Limits
from device_agent.runtimes._tflite import TfliteModel
from device_agent.wire import Launch, Operator


def version() -> str:
    return metadata.version("ai-edge-litert")


def open_model(path: str, launch: Launch) -> TfliteModel:
    return TfliteModel(interpreter.Interpreter, path, launch)


def profile(path: str, launch: Launch, rows: Sequence[Any], folder: str, limits: Limits) -> Tuple[List[Operator], str]:  # noqa: ARG001
    from device_agent.runtimes import _litert_profile

    model = open_model(path, launch)
    model.allocate()
    package = os.path.dirname(interpreter.__file__)
    return _litert_profile.profile(package, version(), model, path, rows, limits)
