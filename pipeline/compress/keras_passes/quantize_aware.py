"""Train with the rounding of an 8-bit file in the model, so that the weights learn to make up for it (arXiv 1712.05877).

Batch normalisation is folded first. Then every kernel is rounded (one scale for each output channel of a convolution, one for a dense
layer), and every activation (256 values over the range that calibration rows reach). The format `tflite-int8` takes these ranges and
answers as the trained model does. Without `recover` only the ranges are set: quantization after training.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from pipeline.compress import training as train
from pipeline.compress.base import Changed, Claims
from pipeline.compress.context import Context
from pipeline.compress.fake_quantize.callback import ObserveRanges, fake_quantized
from pipeline.compress.fake_quantize.check import check
from pipeline.compress.fake_quantize.expand import recurrent
from pipeline.compress.formats.keras_model import layers_of
from pipeline.compress.rows import Batches, refuse_steps, structured_as
from pipeline.compress.settings import PassSettings, Recover
from pipeline.compress.sparsity.kernels import pruned_kernels
from pipeline.compress.training import batch_norm
from pipeline.errors import DataError, PromiseError
from pipeline.frameworks import Array
from pipeline.frameworks.types import KerasModel


class Settings(PassSettings, frozen=True):
    weight_bits: Literal[4, 8] = 8
    rows: Annotated[int, Meta(ge=1)] = (
        500  # to see the ranges; TensorFlow's guide to post-training quantization asks for 100 to 500
    )
    freeze_after: Annotated[float, Meta(ge=0, le=1)] = 0.5  # share of the training after which the ranges stay
    recover: Recover | None = None


def requires(model: KerasModel, settings: Settings, context: Context) -> None:
    """Refuse layers that have no 8-bit form, and models without rows to see their ranges."""
    check(model)
    rows = context.calibration or context.training
    if rows is None or not rows.rows:
        raise DataError(
            "quantize_aware needs rows to see the range of every activation, but data.calibration and data.training are missing",
            hint='Add to [data]: calibration = "module:function" or an .npz; 100 to 500 rows of training data will do.',
        )
    refuse_steps(model, context, "quantize_aware cannot observe")
    Batches(model, rows, "data.calibration" if context.calibration else "data.training")
    train.check(model, settings.recover, context)


def apply(model: KerasModel, settings: Settings, context: Context) -> Changed:
    """Fold, round, observe, train."""
    from pipeline.frameworks import fake_quantization

    rows = _drawn(settings, context)
    quantized = fake_quantized(model, rows, settings.weight_bits)
    notes = _notes(model, settings)
    how = settings.recover
    if how is None:
        fake_quantization.settle(quantized)
        return Changed(quantized, notes)
    watching = ObserveRanges(rows, settings.freeze_after, steps=train.steps_of(how, context))
    only_rounded = train.Untrained(
        lambda: fake_quantization.settle(quantized),
        [layer.factor.variable for layer in fake_quantization.rounded_of(quantized)],
    )
    trained = structured_as(quantized, fake_quantization.before_fixed_output(quantized))
    notes += train.recover(trained, how, context, [watching], untrained=only_rounded)
    return Changed(train.without_training_state(quantized), notes)


def ensures(before: KerasModel, after: KerasModel, settings: Settings) -> Claims:
    """Every kernel has at most 2^weight_bits - 1 values in each channel and its zeros of before, and every activation has a range."""
    from pipeline.frameworks import fake_quantization

    layers, ranges = fake_quantization.rounded_of(after), fake_quantization.ranges_of(after)
    zeros = {kernel.path: np.asarray(kernel) == 0 for kernel in pruned_kernels(before)}
    most = 0
    for layer in layers:
        kernel = np.asarray(layer.kernel)
        columns = np.asarray(layer.columns(kernel))
        steps = columns / np.asarray(layer.scales(columns))
        values = max(len(np.unique(np.rint(column))) for column in steps.reshape(-1, steps.shape[-1]).T)
        if np.abs(steps - np.rint(steps)).max() > 1e-3 or values > 2**settings.weight_bits - 1:
            raise _broken(f"the kernel of layer '{layer.name}' is not rounded to {settings.weight_bits} bits")
        lost = zeros.get(layer.kernel.path)
        if lost is not None and lost.shape == kernel.shape and kernel[lost].any():
            raise _broken(f"weights of layer '{layer.name}' that were zero are zero no longer")
        most = max(most, values)
    for layer in ranges:
        if not layer.scale > 0:
            raise _broken(f"the range '{layer.name}' holds nothing")
    return {
        "weight_bits": float(settings.weight_bits),
        "quantized_layers": float(len(layers)),
        "quantized_activations": float(len(ranges)),
        "most_values_of_a_channel": float(most),
    }


def _broken(what: str) -> PromiseError:
    return PromiseError(what, hint="This is a fault of the pass. Take it out of the plan and report it.")


def _drawn(settings: Settings, context: Context) -> Array | dict[str, Array]:
    """Rows to observe, drawn by the seed."""
    found = context.calibration or context.training
    assert found is not None  # requires
    count = min(settings.rows, found.rows)
    chosen = np.sort(np.random.default_rng(context.seed).permutation(found.rows)[:count])
    if isinstance(found.x, Mapping):
        return {name: np.asarray(x[chosen]) for name, x in found.x.items()}
    return np.asarray(found.x[chosen])


def _notes(model: KerasModel, settings: Settings) -> tuple[str, ...]:
    notes = []
    if any(batch_norm.norms_of(model)):
        notes.append("batch normalisation is folded into the layers before it, with its statistics as they were")
    unrolled = [layer.name for layer in layers_of(model) if type(layer).__name__ in {*recurrent.CELLS, "Bidirectional"}]
    if unrolled:
        notes.append(f"{', '.join(unrolled)}: written out step by step, in every format that is made of this model")
    if settings.weight_bits < 8:
        notes.append(
            "tflite-int8 stores the 4-bit weights in 8 bits: the file is smaller where it is compressed, and no faster"
        )
    return tuple(notes)
