"""Let a few values stand for all weights of a kernel: multi-bit quantization through a lookup table, and a file that is as small as that.

After `prune_weights` this is the chain of Deep Compression (arXiv 1510.00149): zeros stay exactly zero, and the container's entropy
coder makes them nearly free. All kernels take part, also depthwise ones, embeddings and the last layer; biases and normalisation stay
as they are. At run time the weights are floating point numbers again.
"""

import numpy as np

from pipeline import units
from pipeline.compress import training as train
from pipeline.compress.base import Changed, Claims
from pipeline.compress.codebooks import container_file
from pipeline.compress.codebooks.levels import quantized
from pipeline.compress.codebooks.settings import CodebookSettings
from pipeline.compress.codebooks.tables import from_rows, rows_of
from pipeline.compress.context import Context
from pipeline.compress.formats import FORMATS
from pipeline.compress.formats.base import weigh
from pipeline.compress.formats.keras_model import layers_of
from pipeline.compress.settings import FAULT, Recover, check_names
from pipeline.compress.sparsity.kernels import Kernel, kernels_of
from pipeline.compress.training import batch_norm
from pipeline.errors import PromiseError, StageError
from pipeline.frameworks import Array
from pipeline.frameworks.types import Constraint, KerasModel, TfTensor


class Settings(CodebookSettings, frozen=True):
    recalibrate: bool = False  # batch normalisation, where there is no recover (which has its own)
    recover: Recover | None = None  # train; weights that share a level keep sharing it


def requires(model: KerasModel, settings: Settings, context: Context) -> None:
    """Refuse settings that name no layer, and models without kernels."""
    check_names(settings.exclude, [layer.name for layer in layers_of(model)], "codebook.exclude")
    kernels = kernels_of(model, settings.exclude)
    check_names(settings.bits_of, list(dict.fromkeys(kernel.layer for kernel in kernels)), "codebook.bits_of")
    if not kernels:
        raise StageError(
            f"codebook finds no kernel in {model.name}",
            hint="It takes the kernels of convolutions, dense and recurrent layers, attention and embeddings, except `exclude`.",
        )
    train.check(model, settings.recover, context)
    if settings.recover is None and settings.recalibrate:
        batch_norm.check(model, context)


def apply(model: KerasModel, settings: Settings, context: Context) -> Changed:
    """Put every kernel on its levels, train them if asked to, and pack all weights of the model into a container."""
    kernels = kernels_of(model, settings.exclude)
    indices: list[Array] = []
    for done, kernel in enumerate(kernels, 1):
        indices.append(_on_levels(kernel, settings))
        context.tell(done, len(kernels), f"finding levels, {kernel.layer}")
    notes: tuple[str, ...] = ()
    if settings.recover is not None:
        notes = _recover(model, kernels, indices, settings.recover, context)
    elif settings.recalibrate:
        notes = batch_norm.recalibrate_or_say(model, context)
    container = pack(model, settings)
    raw = weigh(FORMATS["keras"].weights(model)).raw_bytes
    notes = (*notes, _what_it_buys(len(container), raw))
    with_zeros = sum(bool((np.asarray(kernel.variable) == 0).any()) for kernel in kernels)
    if with_zeros:
        notes = (*notes, f"in {with_zeros} of {len(kernels)} kernels one of the levels is zero")
    return Changed(model, notes=notes, container=container)


def _what_it_buys(container_bytes: int, raw_bytes: int) -> str:
    taken = f"the container takes {units.size(container_bytes)} where the weights take {units.size(raw_bytes)}"
    if container_bytes >= raw_bytes:
        return f'{taken}: it buys nothing here. Small kernels do better with granularity = "tensor"'
    return (
        f"{taken}: smaller to store and to send, but not faster to run, because in memory the weights are floating point "
        "numbers again"
    )


def pack(model: KerasModel, settings: Settings) -> bytes:
    """Return the container of all weights of the model, in the order of `model.weights`."""
    axes = {id(kernel.variable): settings.axes(kernel.outputs) for kernel in kernels_of(model, settings.exclude)}
    tensors: dict[str, container_file.Weights] = {}
    for place, variable in enumerate(model.weights):
        path = variable.path
        name = path if path not in tensors else f"{path}#{place}"  # nested models may repeat one
        tensors[name] = container_file.Weights(name, np.asarray(variable), axes.get(id(variable)))
    return container_file.write(list(tensors.values()))


def ensures(before: KerasModel, after: KerasModel, settings: Settings) -> Claims:
    """No table has more than 2^bits levels, and zeros are zero. (The base looks into the container.)"""
    kernels = kernels_of(after, settings.exclude)
    for old, new in zip(kernels_of(before, settings.exclude), kernels, strict=True):
        values, most = np.asarray(new.variable), 2 ** settings.bits_for(new.layer)
        levels = max(len(np.unique(row)) for row in rows_of(values, settings.axes(new.outputs)))
        if levels > most:
            raise PromiseError(f"a table of layer '{new.layer}' has {levels} levels, and not {most}", hint=FAULT)
        if values[np.asarray(old.variable) == 0].any():
            raise PromiseError(f"weights of layer '{new.layer}' that were zero are no longer zero", hint=FAULT)
    return {"kernels": float(len(kernels))}


def _on_levels(kernel: Kernel, settings: Settings) -> Array:
    """Put the kernel on its levels. Returns which level each weight is on, counted over all tables."""
    values, axes = np.asarray(kernel.variable), settings.axes(kernel.outputs)
    rows, bits = rows_of(values.astype(np.float32), axes), settings.bits_for(kernel.layer)
    on_levels, places = np.empty_like(rows), np.empty(rows.shape, np.int32)
    for table, row in enumerate(rows):
        found = quantized(row, settings.method, bits)
        on_levels[table] = found.levels[found.indices]
        places[table] = found.indices.astype(np.int32) + table * 2**bits
    kernel.variable.assign(from_rows(on_levels, values.shape, axes))
    return from_rows(places, values.shape, axes)


def _recover(
    model: KerasModel, kernels: list[Kernel], indices: list[Array], how: Recover, context: Context
) -> tuple[str, ...]:
    before = [kernel.variable.constraint for kernel in kernels]
    for kernel, places in zip(kernels, indices, strict=True):
        kernel.variable.constraint = sharing(np.asarray(kernel.variable), places, kernel.variable.constraint)
    try:
        notes = train.recover(model, how, context)
    finally:
        for kernel, also in zip(kernels, before, strict=True):
            kernel.variable.constraint = also
    train.without_training_state(model)
    return notes


def sharing(values: Array, places: Array, also: Constraint | None = None) -> Constraint:
    """Return a Keras constraint: weights on one level (`places`) share their mean, after the constraint `also`; zeros stay zero.

    That is the nearest kernel, in least squares, in which they are equal: each step is one of projected gradient descent. For plain
    gradient descent it is the centroid's own step of Deep Compression (arXiv 1510.00149, section 3.3), with the mean of its members'
    gradients in place of their sum, so that levels of many weights do not run ahead; and it works with any optimizer.
    """
    import keras
    from keras import ops

    _, flat = np.unique(places.ravel(), return_inverse=True)  # levels without weights are left out
    members = np.bincount(flat)
    zero = np.zeros(len(members), bool)
    zero[flat[values.ravel() == 0]] = True
    ordered = np.argsort(flat, kind="stable")  # sums over sorted levels are several times as fast, and always the same
    level_of, order, level_of_ordered = (
        keras.Variable(array.astype(np.int32), trainable=False, dtype="int32", name="levels")
        for array in (flat, ordered, flat[ordered])
    )
    shares = keras.Variable(np.where(zero, 0, 1 / members), trainable=False, dtype="float32", name="shares")

    def share(kernel: TfTensor) -> TfTensor:
        moved = ops.reshape(kernel if also is None else also(kernel), (-1,))
        sums = ops.segment_sum(ops.take(moved, order), level_of_ordered, sorted=True)
        return ops.reshape(ops.take(sums * ops.cast(shares, moved.dtype), level_of), kernel.shape)

    return share
