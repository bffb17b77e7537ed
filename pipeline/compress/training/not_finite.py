"""Where the numbers of a training stopped being numbers."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.errors import StageError
from pipeline.frameworks import Array
from pipeline.frameworks.types import KerasModel, KerasVariable

HINT = "A smaller recover.learning_rate usually helps (a tenth)."


class NotFinite(NamedTuple):
    model: KerasModel
    where: str  # epoch 2 of 3, step 14 of 40

    def check_weights(self) -> None:
        """Raise StageError that names the first weights that are NaN or infinite."""
        self._check(self.model.weights)

    def _check(self, weights: Iterable[KerasVariable]) -> None:
        for weight in weights:
            if not np.isfinite(weight.numpy()).all():
                raise StageError(
                    f"the training failed in {self.where}: the weights '{weight.path}' became NaN or infinite",
                    hint=HINT,
                )

    def of_loss(self, loss: float, x: Sequence[Array]) -> StageError:
        """Return the error to raise: names the first layer whose weights or outputs for the rows `x` (of each input) are not finite."""
        if not all(np.isfinite(each).all() for each in x if each.dtype.kind == "f"):
            return StageError(
                f"the training failed in {self.where}: the training rows hold NaN or infinity",
                hint="Take these rows out of data.training, or fill the gaps as in the training of the model.",
            )
        try:
            self._check(self.model.trainable_weights)  # the statistics of batch normalisation only follow
        except StageError as error:
            return error
        name = self._first_layer(x)
        became = "its gradients became NaN or infinite" if np.isfinite(loss) else f"the loss became {loss}"
        where = (
            "though the outputs of all layers are finite" if name is None else f"first in the outputs of layer '{name}'"
        )
        return StageError(f"the training failed in {self.where}: {became}, {where}", hint=HINT)

    def _first_layer(self, x: Sequence[Array]) -> str | None:
        import keras

        layers = [layer for layer in self.model.layers if len(layer._inbound_nodes) == 1]  # noqa: SLF001 - one output
        seeing = keras.Model(self.model.inputs, [layer.output for layer in layers])
        for layer, outputs in zip(layers, seeing(list(x), training=True), strict=True):
            if not all(np.isfinite(np.asarray(each, np.float32)).all() for each in keras.tree.flatten(outputs)):
                return str(layer.name)
        return None
