"""ONNX Runtime on an NVIDIA GPU by TensorRT, from the board's own system (onnxruntime-gpu). Not yet run on hardware."""

from device_agent.runtimes._onnxruntime import Model, version

__all__ = ["open_model", "version"]


def open_model(path: str, threads: int) -> Model:
    return Model(path, threads, "TensorrtExecutionProvider")
