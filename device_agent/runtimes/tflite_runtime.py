"""TensorFlow Lite's small package: Python 3.8 to 3.11, also 32-bit ARM. Needs numpy 1: with numpy 2 its Interpreter fails."""

import tflite_runtime
from tflite_runtime.interpreter import Interpreter

from device_agent.runtimes._tflite import TfliteModel
from device_agent.wire import Launch


def version() -> str:
    return str(tflite_runtime.__version__)


def open_model(path: str, launch: Launch) -> TfliteModel:
    return TfliteModel(Interpreter, path, launch)
