"""ONNX Runtime on the CPU."""

from device_agent.runtimes._onnxruntime import Model, version

__all__ = ["open_model", "version"]


def open_model(path: str, threads: int) -> Model:
    return Model(path, threads)
