"""The training rows as a function of the user's gets them: from files, in parts, as often as it likes."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from pipeline.compress.rows import Batches, outputs_of
from pipeline.compress.training.weights import RowWeights
from pipeline.frameworks import Array
from pipeline.frameworks.keras_graph import graph_of
from pipeline.frameworks.types import KerasModel, TfDataset

Part = tuple[Any, ...]
"""(x, y) or (x, y, weights) as model.fit takes them: x in the structure of the model's inputs, y an array, or a dict by outputs."""


class TrainingRows:
    """Rows to train on. Nothing is in memory but the part that is taken: `rows[:100]`, `rows.batches(32)`, `rows.dataset(32)`."""

    def __init__(
        self,
        model: KerasModel,
        x: Batches,
        labels: dict[int, Array],
        chosen: Array,
        seed: int,
        weights: RowWeights | None,
    ) -> None:
        """`labels`: (rows, ...) of outputs by their place; `chosen`: the rows of x to train on."""
        self._model, self._x, self._labels, self._chosen, self._weights = model, x, labels, chosen, weights
        self.seed = seed
        self.epoch: int | None = None  # of the training, where its callbacks are called
        self.inputs = tuple(x.names)
        self.outputs = tuple(each.name for each in outputs_of(model))

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, places: slice | Array) -> Part:
        """Return (x, y) or (x, y, weights) of some rows, by their places from 0 to len(rows) - 1."""
        rows = self._chosen[places]
        found: list[Any] = [self._structured(self._x.take(rows))]
        if self._labels:
            labels = {place: _plain(y[rows]) for place, y in self._labels.items()}
            one = len(self.outputs) == 1
            found.append(labels[0] if one else {self.outputs[place]: y for place, y in labels.items()})
        if self._weights is not None:
            found.append(self._weights.take(rows))
        return tuple(found)

    def _structured(self, arrays: list[Array]) -> Any:
        import keras

        graph = graph_of(self._model)
        packed = keras.tree.pack_sequence_as(graph._inputs_struct, arrays)  # type: ignore[union-attr] # noqa: SLF001 - no public way
        return (
            tuple(packed)
            if isinstance(packed, list) and len(packed) > 1
            else packed[0]
            if isinstance(packed, list)
            else packed
        )

    def batches(self, batch_size: int = 128, epoch: int | None = None) -> Iterator[Part]:
        """Yield every row once, in batches: in an order of the seed and this epoch; without an epoch in their own order."""
        order = np.arange(len(self))
        if epoch is not None:
            order = np.random.default_rng((self.seed, epoch)).permutation(len(self))
        for start in range(0, len(self), batch_size):
            yield self[np.sort(order[start : start + batch_size])]

    def dataset(self, batch_size: int = 128, *, shuffle: bool = True) -> TfDataset:
        """Return a tf.data.Dataset of the batches, which knows its length.

        Each time that it is iterated, the order is that of the epoch that the callbacks are in, so that a training that is resumed has the
        orders that it would have had; where they are not called, that of the next epoch.
        """
        import tensorflow as tf

        epochs = iter(range(2**31))

        def one_epoch() -> Iterator[Part]:
            following = next(epochs)
            epoch = following if self.epoch is None else self.epoch
            return self.batches(batch_size, epoch if shuffle else None)

        signature = tf.nest.map_structure(
            lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), self[: min(len(self), 1)]
        )
        found = tf.data.Dataset.from_generator(one_epoch, output_signature=signature)
        return found.apply(tf.data.experimental.assert_cardinality(-(-len(self) // batch_size))).prefetch(2)


def _plain(y: Array) -> Array:
    return np.ascontiguousarray(y, np.float32 if y.dtype == np.float64 else None)
