"""Operators that draw random numbers: no two answers of such a file are alike, and a comparison of them says nothing."""

from collections.abc import Iterable

ONNX = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
"""https://onnx.ai/onnx/operators: those that have an attribute `seed`, but for Dropout, which does nothing at inference."""
TFLITE = {"MULTINOMIAL", "RANDOM_STANDARD_NORMAL", "RANDOM_UNIFORM", "STABLEHLO_RNG_BIT_GENERATOR"}


def sentence(operators: Iterable[str], drawing: set[str]) -> str | None:
    """Say which of a file's operators are of `drawing`, ONNX or TFLITE; None: none of them."""
    found = sorted(drawing & set(operators))
    if not found:
        return None
    return (
        f"It draws random numbers ({', '.join(found)}): its answers differ from one inference to the next, and the board's cannot be "
        "compared with this host's. Make the random numbers an input."
    )
