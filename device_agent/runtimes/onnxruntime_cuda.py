"""ONNX Runtime on an NVIDIA GPU by CUDA, as the board's own system has it (onnxruntime-gpu). Was not run on hardware yet."""

from device_agent.runtimes._onnxruntime import Model, version

__all__ = ["open_model", "version"]


def open_model(path: str, threads: int) -> Model:
    return Model(path, threads, "CUDAExecutionProvider")
