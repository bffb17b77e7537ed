"""ONNX Runtime on the CPU."""

from device_agent.runtimes._onnxruntime import Model, profile, version

__all__ = ["open_model", "profile", "version"]


def open_model(path: str, threads: int) -> Model:
    return Model(path, threads)
