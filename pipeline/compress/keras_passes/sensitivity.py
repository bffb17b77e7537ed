"""Measure how much accuracy each part of the model loses, one part at a time, without training; the model stays as it is.

For every group of channels that can only be pruned together: the accuracy after pruning a share of them. For the kernels of every layer:
after setting a share of the weights to zero, and after rounding them to fewer bits (symmetric, one scale for each output channel). What is
lost does not predict a model that is trained afterwards, but it ranks the parts: those that lose most are to be pruned least
(Li et al., "Pruning filters for efficient ConvNets", arXiv 1608.08710, section 3.2).
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from pipeline import frameworks, units
from pipeline.compress import surgery
from pipeline.compress.base import Changed, Claims
from pipeline.compress.context import Context
from pipeline.compress.formats.base import VERSIONS
from pipeline.compress.formats.keras_model import layers_of
from pipeline.compress.rows import Batches, called, outputs_of, refuse_steps, scored_of
from pipeline.compress.settings import PassSettings, check_names
from pipeline.compress.sparsity import masks
from pipeline.compress.sparsity.kernels import Kernel, kernels_of
from pipeline.compress.training import batch_norm
from pipeline.compress.training.checkpoint import digest_of
from pipeline.errors import DataError, PromiseError
from pipeline.frameworks import Array
from pipeline.frameworks.types import KerasModel
from pipeline.records import SensitivityPoint
from pipeline.store import key_of, sealed, unsealed, versions, write_atomically

Ratio = Annotated[float, Meta(gt=0, lt=1)]
Bits = Annotated[int, Meta(ge=2, le=8)]


class Settings(PassSettings, frozen=True):
    channels: tuple[Ratio, ...] = (0.25, 0.5, 0.75)
    weights: tuple[Ratio, ...] = (0.5, 0.8, 0.9)
    bits: tuple[Bits, ...] = (8, 4, 2)
    rows: Annotated[int, Meta(ge=10)] = 1000  # 1,000 rows give an accuracy to about one point
    exclude: tuple[str, ...] = ()


def requires(model: KerasModel, settings: Settings, context: Context) -> None:
    """Refuse names that no layer has, and a plan without rows to answer."""
    check_names(settings.exclude, [layer.name for layer in layers_of(model)], "sensitivity.exclude")
    rows = context.training or context.calibration
    if rows is None:
        raise DataError(
            "sensitivity needs rows to answer, but there are neither training nor calibration rows",
            hint='Add to [data]: training = "module:function" or an .npz of x and y. Evaluation rows are not used: nothing may be chosen by them.',
        )
    refuse_steps(model, context, "sensitivity cannot look at")
    Batches(model, rows, batch_norm.key_of(context))


def apply(model: KerasModel, settings: Settings, context: Context) -> Changed:
    """Change one part after the other, look at the answers, and put it back."""
    judge = _Judge(model, settings, context)
    kernels = _kernels(model, settings)
    groups = [
        group
        for group in surgery.groups_of(model)
        if not set(group.layers) & set(settings.exclude) and settings.channels
    ]
    steps = len(groups) * len(settings.channels) + len(kernels) * (len(settings.weights) + len(settings.bits))
    parts = [group.layers for group in groups], [(name, len(of_layer)) for name, of_layer in kernels]
    points = _Points(
        context, steps, key_of(settings.as_dict(), context.seed, judge.identity(), parts, versions(*VERSIONS))
    )
    for group in groups:
        for ratio in settings.channels:
            without = partial(_without_channels, model, group.layers[0], ratio, context.seed)
            measure = partial(judge.of_another, ", ".join(group.layers), "prune_channels", ratio, without)
            points.add(measure, f"sensitivity of {group.layers[0]} to pruned channels")
    for name, of_layer in kernels:
        for change, amount, changed in _changes(settings):
            measure = partial(judge.of_changed, name, change, amount, of_layer, changed)
            points.add(measure, f"sensitivity of {name} to {change}")
    return Changed(model, sensitivity=tuple(points.found))


def ensures(before: KerasModel, after: KerasModel, settings: Settings) -> Claims:
    """Nothing has changed."""
    del settings
    for old, new in zip(before.weights, after.weights, strict=True):
        if not np.array_equal(np.asarray(old), np.asarray(new)):
            raise PromiseError(
                f"the weights '{new.path}' have changed",
                hint="This is a fault of the pass. Take it out of the plan and report it.",
            )
    return {"weights_changed": 0.0}


class _Points:
    """What was found, one after the other. Where there is `context.resume`, a call that was stopped continues after the last point."""

    def __init__(self, context: Context, steps: int, key: str) -> None:
        self.tell, self.steps = context.tell, steps
        self.path = None if context.resume is None else context.resume / f"sensitivity-{key}.json"
        self.kept = self._read()
        self.found: list[SensitivityPoint] = []

    def add(self, measure: Callable[[], SensitivityPoint], note: str) -> None:
        """Measure the next point, unless it was before."""
        if len(self.found) < len(self.kept):
            point = self.kept[len(self.found)]
            self.found.append(point)
        else:
            point = measure()
            self.found.append(point)
            self._write()
        accuracy = "" if point.accuracy_ratio is None else f": accuracy {units.percent(point.accuracy_ratio)}"
        self.tell(len(self.found), self.steps, note + accuracy)

    def _read(self) -> list[SensitivityPoint]:
        if self.path is None:
            return []
        try:
            return msgspec.json.decode(unsealed(self.path.read_bytes()) or b"", type=list[SensitivityPoint])
        except (OSError, ValueError):  # none yet, or damaged: msgspec's errors are ValueErrors
            return []

    def _write(self) -> None:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, sealed(msgspec.json.encode(self.found)))


class _Judge:
    """Answers the same rows with each changed model, and compares with the answers of before."""

    def __init__(self, model: KerasModel, settings: Settings, context: Context) -> None:
        import tensorflow as tf

        dataset = context.training or context.calibration
        assert dataset is not None  # requires
        chosen = np.sort(np.random.default_rng(context.seed).permutation(dataset.rows)[: settings.rows])
        rows = Batches(model, dataset, batch_norm.key_of(context))
        self.x, self.count = rows.take(chosen), len(chosen)
        self.y = None if dataset.y is None else dataset.y[chosen]
        self.model, self.scored = model, scored_of(model, context)
        self.graph = tf.function(lambda *x: called(model, x, training=False), reduce_retracing=True)
        self.before = self._answers(model)
        self.classes = frameworks.are_classes(self.before[self.scored], self.y)
        floats = [place for place, each in enumerate(outputs_of(model)) if each.dtype.startswith(("float", "bfloat"))]
        self.compared = floats or list(range(len(self.before)))  # an argmax has no distance

    def identity(self) -> tuple[str, str]:
        """Return what the points depend on in addition to the settings: all weights, and the rows with their labels."""
        rows = self.x if self.y is None else [*self.x, np.asarray(self.y)]
        return digest_of([np.asarray(weight) for weight in self.model.weights]), digest_of(rows)

    def of_another(self, part: str, change: str, amount: float, make: Callable[[], KerasModel]) -> SensitivityPoint:
        """The point of a model that is made for it."""
        return self._point(part, change, amount, make())

    def of_changed(
        self, part: str, change: str, amount: float, kernels: list[Kernel], changed: Callable[[Kernel], Array]
    ) -> SensitivityPoint:
        """Return the point of the given model with other values in these kernels, which are put back."""
        before = [np.asarray(kernel.variable).copy() for kernel in kernels]
        for kernel in kernels:
            kernel.variable.assign(changed(kernel))
        point = self._point(part, change, amount, self.model)
        for kernel, values in zip(kernels, before, strict=True):
            kernel.variable.assign(values)
        return point

    def _point(self, part: str, change: str, amount: float, model: KerasModel) -> SensitivityPoint:
        after = self._answers(model)
        scores, before = after[self.scored], self.before[self.scored]
        return SensitivityPoint(
            part=part,
            change=change,
            amount=amount,
            accuracy_ratio=frameworks.accuracy(scores, self.y) if self.classes else None,
            agreement_ratio=float(np.mean(scores.argmax(-1) == before.argmax(-1))) if self.classes else None,
            error=self._error(after),
        )

    def _error(self, after: list[Array]) -> float:
        """Root mean square difference; of several outputs, each as a share of its own spread."""
        pairs = [(after[place], self.before[place]) for place in self.compared]
        if len(pairs) == 1:
            return float(np.sqrt(np.mean((pairs[0][0] - pairs[0][1]) ** 2)))
        found = [frameworks.error_of(one, other) for one, other in pairs]
        return float(np.sqrt(np.mean([(error / (spread or 1.0)) ** 2 for error, spread in found])))

    def _answers(self, model: KerasModel) -> list[Array]:
        """The given model is asked often, with other weights each time. A pruned one is asked once: tracing would take longer."""
        parts = []
        for start in range(0, self.count, frameworks.BATCH_ROWS):
            x = [each[start : start + frameworks.BATCH_ROWS] for each in self.x]
            found = self.graph(*x) if model is self.model else called(model, x, training=False)
            parts.append([np.asarray(each, np.float32) for each in found])
        return [np.concatenate(each) for each in zip(*parts, strict=True)]


def _kernels(model: KerasModel, settings: Settings) -> list[tuple[str, list[Kernel]]]:
    """Return each layer with its kernels."""
    found: dict[str, list[Kernel]] = {}
    for kernel in kernels_of(model, settings.exclude):
        found.setdefault(kernel.layer, []).append(kernel)
    return list(found.items())


def _without_channels(model: KerasModel, layer: str, ratio: float, seed: int) -> KerasModel:
    return surgery.prune_model(model, surgery.Selection(ratios={layer: ratio}, round_to=1, min_channels=1), seed).model


def _changes(settings: Settings) -> Iterator[tuple[str, float, Callable[[Kernel], Array]]]:
    for ratio in settings.weights:
        yield "prune_weights", ratio, partial(_sparse, ratio=ratio)
    for bits in settings.bits:
        yield "quantize", float(bits), partial(_rounded, bits=bits)


def _sparse(kernel: Kernel, ratio: float) -> Array:
    values = np.asarray(kernel.variable)
    (mask,) = masks.keep_largest(masks.magnitudes([values]), ratio, "layer")
    return values * mask


def _rounded(kernel: Kernel, bits: int) -> Array:
    """Return the nearest of 2^bits - 1 levels that lie symmetrically around zero, by the largest weight of each output channel."""
    values = np.asarray(kernel.variable)
    others = tuple(axis for axis in range(values.ndim) if axis not in kernel.outputs)
    largest = np.abs(values).max(axis=others, keepdims=True)
    scale = np.where(largest > 0, largest, 1) / (2 ** (bits - 1) - 1)
    return np.asarray(np.round(values / scale) * scale, values.dtype)
