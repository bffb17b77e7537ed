"""ONNX Runtime on the CPU."""

from device_agent.runtimes._onnxruntime import OnnxModel, profile, version
from device_agent.wire import Launch

__all__ = ["open_model", "profile", "version"]


def open_model(path: str, launch: Launch) -> OnnxModel:
    return OnnxModel(path, launch)
