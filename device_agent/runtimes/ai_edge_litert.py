"""LiteRT, the successor of TensorFlow Lite's runtime: 64-bit only."""

from importlib import metadata

from ai_edge_litert.interpreter import Interpreter

from device_agent.runtimes._tflite import Model


def version() -> str:
    return metadata.version("ai-edge-litert")


def open_model(path: str, threads: int) -> Model:
    return Model(Interpreter, path, threads)
