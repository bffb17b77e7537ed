"""Measure what each part of the model bears, one part at a time, without training; the model stays as it is.

For every group of channels that can only be pruned together: the accuracy after pruning a share of them. For the kernels of every layer:
after setting a share of the weights to zero, and after rounding them to fewer bits (symmetric, one scale for each output channel). What is
lost is no forecast for a model that is trained afterwards, but it ranks the parts: those that lose most are to be pruned least
(Li et al., "Pruning filters for efficient ConvNets", arXiv 1608.08710, section 3.2).
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from pipeline import frameworks
from pipeline.compress import surgery
from pipeline.compress.base import Changed, Claims, Context, Dataset
from pipeline.compress.formats import layers_of
from pipeline.compress.settings import PassSettings, check_names
from pipeline.compress.sparsity import masks
from pipeline.compress.sparsity.kernels import kernels_of
from pipeline.errors import DataError, PromiseError
from pipeline.frameworks import Array
from pipeline.records import SensitivityPoint

Ratio = Annotated[float, Meta(gt=0, lt=1)]
Bits = Annotated[int, Meta(ge=2, le=8)]


class Settings(PassSettings, frozen=True):
    channels: tuple[Ratio, ...] = (0.25, 0.5, 0.75)
    weights: tuple[Ratio, ...] = (0.5, 0.8, 0.9)
    bits: tuple[Bits, ...] = (8, 4, 2)
    rows: Annotated[int, Meta(ge=10)] = 1000  # 1,000 rows tell a share of them to about one point
    exclude: tuple[str, ...] = ()


def requires(model: Any, settings: Settings, context: Context) -> None:
    """Refuse names that no layer has, and a plan without rows to answer."""
    frameworks.keras_specs(model, model.name)  # one input and one output
    check_names(settings.exclude, [layer.name for layer in layers_of(model)], "sensitivity.exclude")
    if context.training is None and context.calibration is None:
        raise DataError(
            "sensitivity needs rows to answer, but there are neither training nor calibration rows",
            hint='Add to [data]: training = "module:function" or an .npz of x and y. Evaluation rows are not used: nothing may be chosen by them.',
        )


def apply(model: Any, settings: Settings, context: Context) -> Changed:
    """Change one part after the other, look at the answers, and put it back."""
    judge = _Judge(model, settings, context)
    kernels = _kernels(model, settings)
    groups = [
        group
        for group in surgery.groups_of(model)
        if not set(group.layers) & set(settings.exclude) and settings.channels
    ]
    steps = len(groups) * len(settings.channels) + len(kernels) * (len(settings.weights) + len(settings.bits))
    points: list[SensitivityPoint] = []
    for group in groups:
        for ratio in settings.channels:
            selection = surgery.Selection(ratios={group.layers[0]: ratio}, round_to=1, min_channels=1)
            pruned = surgery.prune_model(model, selection, context.seed).model
            points.append(judge.point(", ".join(group.layers), "prune_channels", ratio, pruned))
            context.tell(len(points), steps, f"sensitivity of {group.layers[0]} to pruned channels")
    for name, variables in kernels:
        for change, amount, changed in _changes(settings):
            with_values = [changed(np.asarray(variable)) for variable in variables]
            kept = [np.asarray(variable).copy() for variable in variables]
            _assign(variables, with_values)
            points.append(judge.point(name, change, amount, model))
            _assign(variables, kept)
            context.tell(len(points), steps, f"sensitivity of {name} to {change}")
    return Changed(model, sensitivity=tuple(points))


def ensures(before: Any, after: Any, settings: Settings) -> Claims:
    """Nothing has changed."""
    del settings
    for old, new in zip(before.weights, after.weights, strict=True):
        if not np.array_equal(np.asarray(old), np.asarray(new)):
            raise PromiseError(
                f"the weights '{new.path}' have changed",
                hint="This is a fault of the pass. Take it out of the plan and report it.",
            )
    return {"weights_changed": 0.0}


class _Judge:
    """Answers the same rows with each changed model, and compares with the answers of before."""

    def __init__(self, model: Any, settings: Settings, context: Context) -> None:
        import tensorflow as tf

        dataset = context.training or context.calibration
        assert dataset is not None  # requires
        self.rows = _drawn(dataset, settings.rows, context.seed)
        self.model = model
        self.graph = tf.function(lambda rows: model(rows, training=False), reduce_retracing=True)
        self.before = self._answers(model)
        self.classes = self.before.ndim == 2 and self.before.shape[1] > 1

    def point(self, part: str, change: str, amount: float, model: Any) -> SensitivityPoint:
        after, labels = self._answers(model), self.rows.y
        same = float(np.mean(after.argmax(-1) == self.before.argmax(-1))) if self.classes else None
        return SensitivityPoint(
            part=part,
            change=change,
            amount=amount,
            accuracy_ratio=frameworks.accuracy(after, labels) if self.classes else None,
            agreement_ratio=same,
            error=float(np.sqrt(np.mean((after - self.before) ** 2))),
        )

    def _answers(self, model: Any) -> Array:
        """The given model is asked often, with other weights each time. A pruned one is asked once: tracing would take longer."""
        ask = self.graph if model is self.model else model
        parts = range(0, len(self.rows.x), frameworks.BATCH_ROWS)
        answers = [ask(self.rows.x[i : i + frameworks.BATCH_ROWS]) for i in parts]
        return np.concatenate([np.asarray(answer, np.float32) for answer in answers])


def _drawn(dataset: Dataset, rows: int, seed: int) -> Dataset:
    chosen = np.sort(np.random.default_rng(seed).permutation(len(dataset.x))[:rows])
    return Dataset(np.asarray(dataset.x[chosen]), None if dataset.y is None else dataset.y[chosen])


def _kernels(model: Any, settings: Settings) -> list[tuple[str, list[Any]]]:
    """Each layer with its kernels."""
    found: dict[str, list[Any]] = {}
    for kernel in kernels_of(model, settings.exclude):
        found.setdefault(kernel.layer, []).append(kernel.variable)
    return list(found.items())


def _changes(settings: Settings) -> Iterator[tuple[str, float, Callable[[Array], Array]]]:
    for ratio in settings.weights:
        yield "prune_weights", ratio, partial(_sparse, ratio=ratio)
    for bits in settings.bits:
        yield "quantize", float(bits), partial(_rounded, bits=bits)


def _sparse(kernel: Array, ratio: float) -> Array:
    (mask,) = masks.keep_largest(masks.magnitudes([kernel]), ratio, "layer")
    return kernel * mask


def _rounded(kernel: Array, bits: int) -> Array:
    """The nearest of 2^bits - 1 levels that lie symmetrically around zero, by the largest weight of each output channel."""
    largest = np.abs(kernel).max(axis=tuple(range(kernel.ndim - 1)), keepdims=True)
    scale = np.where(largest > 0, largest, 1) / (2 ** (bits - 1) - 1)
    return np.asarray(np.round(kernel / scale) * scale, kernel.dtype)


def _assign(variables: list[Any], values: list[Array]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
