"""ONNX Runtime on an NVIDIA GPU by TensorRT, from the board's own system (onnxruntime-gpu). Not yet run on hardware."""

from device_agent.runtimes._onnxruntime import OnnxModel, version
from device_agent.wire import Launch

__all__ = ["open_model", "version"]


def open_model(path: str, launch: Launch) -> OnnxModel:
    return OnnxModel(path, launch, "TensorrtExecutionProvider")
