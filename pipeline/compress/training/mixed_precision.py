"""Training with the layers computing in bfloat16, where that is faster on this machine. The weights stay float32.

bfloat16 has float32's range, so that it needs no loss scaling as float16 does (Kalamkar et al., arXiv 1905.12322). Processors without
instructions for it convert back and forth and are slower with it: so it is measured, not assumed.
"""

import contextlib
import time
from collections.abc import Callable, Iterator

import numpy as np

from pipeline import units
from pipeline.frameworks.types import KerasModel, KerasVariable

POLICY = "mixed_bfloat16"
GAIN = 1.1  # it must be faster by this: below, noise would decide, and differently in the next run
WARM_UP_STEPS, TIMED_STEPS = 2, 5


@contextlib.contextmanager
def computing_in(model: KerasModel, policy: str | None) -> Iterator[None]:
    """Let every layer of the model compute as this dtype policy says, inside the context. Trace a tf.function inside. None: as they do."""
    layers = model._flatten_layers() if policy else []  # noqa: SLF001 - Keras offers no other way into wrappers
    before = [layer.dtype_policy for layer in layers]
    for layer in layers:
        layer.dtype_policy = policy
    try:
        yield
    finally:
        for layer, was in zip(layers, before, strict=True):
            layer.dtype_policy = was


def is_faster(
    step_in: Callable[[str | None], Callable[[], object]], variables: list[KerasVariable]
) -> tuple[bool, str]:
    """Time a few training steps in float32 and in bfloat16, and put all variables back. Also the sentence that gives the result.

    `step_in` makes a step that computes with the given policy.
    """
    before = [variable.numpy() for variable in variables]
    times = [_seconds(step_in(policy)) for policy in (None, POLICY)]
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    faster = times[1] * GAIN <= times[0]
    return faster, (
        f"mixed precision: a training step took {units.seconds(times[0])} in float32 and {units.seconds(times[1])} in bfloat16 "
        f"on this machine, so it was trained in {'bfloat16' if faster else 'float32'}"
    )


def _seconds(step: Callable[[], object]) -> float:
    for _ in range(WARM_UP_STEPS):
        step()
    times = []
    for _ in range(TIMED_STEPS):
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return float(np.median(times))
