"""The promise of a container, for every pass that returns one: it holds exactly the weights of the model that was saved."""

import zlib
from collections.abc import Iterable

import numpy as np

from pipeline.compress.codebooks import container_file
from pipeline.compress.settings import FAULT
from pipeline.errors import ModelError, PromiseError
from pipeline.frameworks import Array


def check(container: bytes, weights: Iterable[tuple[str, Array]]) -> dict[str, float]:
    """Compare what a container holds with a model's floating point weights, in their order. PromiseError, or the sizes as claims.

    A weight is called there as in the model; of weights with one name, as nested models may have, the later ones get a suffix.
    """
    try:
        tensors = container_file.tensors(container)
    except ModelError as error:
        raise PromiseError(f"its container cannot be read: {error.message}", hint=FAULT) from error
    held = [each for each in tensors if np.issubdtype(each.values.dtype, np.floating)]
    expected = [(name, values) for name, values in weights if values.size]
    if len(held) != len(expected):
        raise PromiseError(
            f"the container holds {len(held)} weights, and the model has {len(expected)}",
            hint=FAULT,
        )
    for found, (name, values) in zip(held, expected, strict=True):
        if not found.name.startswith(name):
            raise PromiseError(f"the container has '{found.name}' in the place of the weights '{name}'", hint=FAULT)
        if found.values.dtype != values.dtype or not np.array_equal(found.values, values):
            raise PromiseError(f"the container has other values of the weights '{name}' than the model", hint=FAULT)
    raw = sum(values.nbytes for _, values in expected)
    return {
        "raw_bytes": float(raw),
        "packed_bytes": float(len(container_file.write(tensors, entropy_coded=False))),
        "entropy_coded_bytes": float(len(container)),
        "deflated_bytes": float(len(zlib.compress(container, 9))),
        "times_smaller": raw / len(container),
    }
