"""Runtimes: one file each, one line in RUNTIMES. Only the runner imports them, in its own process.

A runtime's file imports its library at the top (that is what import_ns measures) and has
    version() -> str
    profile(path, threads, row, folder, limits) -> (operators, note)   if the library can time its kernels: see runtimes/_profile.py
    open_model(path, threads) -> an object with
        allocate             None, or a function that makes the loaded model ready, if the library does that separately; called
                             first, and once
        input_shape          of one inference: the first dimension is 1
        input_dtype          numpy's name of the input type: "float32", "int8", ...
        fitted(row)          the model's input for `row`, an array of input_shape[1:]; None: zeros. float32 is quantized
                             if the model has a scale and zero point. ValueError if shape or dtype do not fit
        feed(fitted)         set the input. Not timed
        invoke()             one inference. The ONLY part that is timed
        delegates            what runs the model, according to the library; () if it does not report that
        output()             the output of the last invoke: float32, dequantized, of shape (1, ...)

A model has one input and one output here; open_model raises ValueError for any other.
"""

from typing import Any, Tuple

RUNTIMES = {
    "ai_edge_litert": "device_agent.runtimes.ai_edge_litert",
    "onnxruntime": "device_agent.runtimes.onnxruntime",
    "onnxruntime_cuda": "device_agent.runtimes.onnxruntime_cuda",
    "onnxruntime_tensorrt": "device_agent.runtimes.onnxruntime_tensorrt",
    "sleep": "device_agent.runtimes.sleep",
    "tflite_runtime": "device_agent.runtimes.tflite_runtime",
}


def fitted(row: Any, shape: Tuple[int, ...], dtype: str, scale: float, zero_point: int) -> Any:
    """Return the array of `shape` and `dtype` that a model takes for `row`. A scale of 0: the input is not quantized."""
    import numpy as np

    if row is None:
        row = np.zeros(shape[1:], "float32" if scale else dtype)
    if row.shape != shape[1:]:
        raise ValueError(f"the model takes rows of shape {shape[1:]}, the inputs have {row.shape}")
    if row.dtype == dtype:
        return np.ascontiguousarray(row).reshape(shape)
    if row.dtype != "float32" or not scale:
        raise ValueError(f"the model takes {dtype}, the inputs are {row.dtype}")
    limits = np.iinfo(dtype)
    steps = np.rint(row / np.float32(scale)) + zero_point  # rint: half to even
    return np.clip(steps, limits.min, limits.max).astype(dtype).reshape(shape)


def dequantized(output: Any, scale: float, zero_point: int) -> Any:
    return (output.astype("float32") - zero_point) * scale if scale else output.astype("float32")


def only(things: Any, what: str) -> Any:
    """Return the only item. ValueError if there are more or none."""
    if len(things) != 1:
        raise ValueError(f"the model has {len(things)} {what}s; the agent measures models with one")
    return things[0]
