"""The models of tests/models, and the runtimes of this machine that run them."""

import importlib
from pathlib import Path

import pytest

from device_agent.runtimes import RUNTIMES

MODELS = Path(__file__).parents[1] / "models"
SELFTEST = Path(__file__).parents[2] / "pipeline" / "selftest.tflite"


# runtimes whose library is not called as they are
LIBRARY = {"sleep": "json", "onnxruntime_cuda": "onnxruntime", "onnxruntime_tensorrt": "onnxruntime"}


GPU = {"onnxruntime_cuda": "CUDAExecutionProvider", "onnxruntime_tensorrt": "TensorrtExecutionProvider"}


DENSE = {
    "tflite_runtime": "dense_float.tflite",
    "ai_edge_litert": "dense_float.tflite",
    "onnxruntime": "dense.onnx",
    "onnxruntime_cuda": "dense.onnx",
    "onnxruntime_tensorrt": "dense.onnx",
}


def runtime_or_skip(name: str):
    library = LIBRARY.get(name, name)
    found = pytest.importorskip(
        library, reason=f"{library} is not installed here (tflite_runtime needs numpy < 2)", exc_type=ImportError
    )
    if name in GPU and GPU[name] not in found.get_available_providers():
        pytest.skip(f"the onnxruntime here has no {GPU[name]}")
    return importlib.import_module(RUNTIMES[name])
