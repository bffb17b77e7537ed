"""Integers for an input whose values a file scales: whether they are real values, or what the file holds, a plan must say."""

from collections.abc import Callable, Sequence

import numpy as np

from pipeline.errors import DataError, PlanError
from pipeline.frameworks import tflite_description
from pipeline.records import Column, Data, TensorSpec
from pipeline.safe_text import shortened

INTEGERS = ("int8", "uint8", "int16")
"""Types that files quantize inputs to."""


def check_use(inputs: Sequence[TensorSpec], file: str, *, raw: bool) -> None:
    """PlanError for [data] raw where no input can be quantized: it would be ignored, and the plan would seem to say what is run."""
    if raw and not any(each.dtype in INTEGERS for each in inputs):
        kinds = ", ".join(dict.fromkeys(each.dtype for each in inputs))
        raise PlanError(
            f"data.raw is true, and {file} has no quantized input: its inputs are {kinds}",
            hint="Leave raw out of [data].",
        )


def check_unread(data: Data, content: bytes, file: str, signature: str | None, *, raw: bool) -> None:
    """As both, of a .tflite file that no runtime on this host opens: its board would take integers as they are."""
    found = tflite_description.inputs_of(content, file, signature)
    if not found:
        return
    check_use([spec for spec, _ in found], file, raw=raw)
    by_name, scaled = {spec.name: spec for spec, _ in found}, {spec.name for spec, scales in found if scales}
    for key in ("evaluation", "calibration", "training"):
        rows = getattr(data, key)
        for column in () if rows is None else rows.inputs:
            spec = found[0][0] if len(found) == 1 and column.name == "x" else by_name.get(column.name)
            if spec is not None:
                check(
                    column,
                    spec,
                    lambda each: "float32" if each.name in scaled else each.dtype,
                    f"data.{key}",
                    file,
                    raw=raw,
                )


def check(
    column: Column, spec: TensorSpec, real_dtype: Callable[[TensorSpec], str], key: str, file: str, *, raw: bool
) -> None:
    """DataError for rows that are not what [data] raw says, and for integers of which nothing says whether they are real values.

    `real_dtype`: of the runner, the type of real values where the file scales them, else that of the input.
    """
    name = shortened(spec.name, 100)
    if raw and column.dtype != spec.dtype:
        raise DataError(
            f"data.raw is true, and the rows of {key} for the input '{name}' are {column.dtype}, not {spec.dtype}",
            hint=f"Give them as the file holds them, {spec.dtype}; or leave raw out, and give real values as float32.",
        )
    if not raw and real_dtype(spec) != spec.dtype and np.dtype(column.dtype).kind != "f":
        raise DataError(
            f"the rows of {key} for the input '{name}' are {column.dtype}, and {file} scales its values to {spec.dtype}: nothing says "
            "whether they are real values",
            hint=f"If they are numbers as the file holds them, such as pixels from 0 to 255, give them as {spec.dtype}, and add to [data]: "
            "raw = true. Real values, as for training, are given as float32.",
        )
