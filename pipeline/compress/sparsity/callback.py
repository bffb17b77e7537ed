"""The Keras callback that prunes little by little while a model is trained.

Masks hold in the graph, as constraints of the kernels that the optimizer applies; Python runs only where the schedule changes them.
"""

import numpy.typing as npt

from pipeline.compress.formats.keras_model import layers_of
from pipeline.compress.settings import check_names
from pipeline.compress.sparsity.kernels import prunable_kernels
from pipeline.compress.sparsity.masks import Selection, holding, mask_variable
from pipeline.compress.sparsity.schedules import Rise, Schedule
from pipeline.compress.sparsity.settings import refuse_empty
from pipeline.errors import PlanError, StageError
from pipeline.frameworks import Array
from pipeline.frameworks.types import Constraint, KerasCallback, KerasVariable, Logs


def pruning(selection: Selection, exclude: tuple[str, ...], schedule: Schedule | None) -> KerasCallback:
    """Return the callback of `PruneWeights`; `release()` takes the constraints away where a training broke off."""
    import keras

    class Pruning(keras.callbacks.Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            # kernel, mask, the constraint of before
            self.held: list[tuple[KerasVariable, KerasVariable, Constraint | None]] = []
            self.inputs: list[tuple[int, ...]] = []
            self.layers: list[str] = []
            self.rise = Rise(0, 0, 0, 0, 1, 1)
            self.done = self.epoch_began = -1  # optimizer steps; -1: not begun

        def on_train_begin(self, logs: Logs = None) -> None:
            del logs
            self.release()
            kernels = prunable_kernels(self.model, exclude)
            check_names(exclude, [layer.name for layer in layers_of(self.model)], "exclude")
            if not kernels:
                raise StageError(
                    f"PruneWeights finds nothing to prune in {self.model.name}",
                    hint="It prunes convolutions, dense and recurrent layers and attention, but not the last layer.",
                )
            self.rise = self._rise()
            self.inputs = [kernel.inputs for kernel in kernels]
            self.layers = [kernel.layer for kernel in kernels]
            # What the end of the schedule would take now: found before the training, not after it.
            self._masks([keras.ops.convert_to_numpy(kernel.variable) for kernel in kernels], None)
            for kernel in kernels:
                mask = mask_variable(keras.ops.ones(kernel.variable.shape, "bool"))
                self.held.append((kernel.variable, mask, kernel.variable.constraint))
                kernel.variable.constraint = holding(mask, kernel.variable.constraint)
            self.done = self.epoch_began = -1
            self._retrace()

        def _rise(self) -> Rise:
            if schedule is None:
                return Rise(selection.final_sparsity, selection.final_sparsity, 0, 0, 1, 1)
            steps, epochs = self.params.get("steps"), self.params.get("epochs")
            if steps is None and schedule.end_step is None:
                raise PlanError(
                    "the pruning schedule has no end_step, and the length of the training is not known beforehand",
                    hint="Give schedule.end_step, or steps_per_epoch to fit().",
                )
            return schedule.over(steps * epochs if steps else (schedule.end_step or 0) + 1, selection.final_sparsity)

        def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
            del logs
            steps = self.params.get("steps")
            self.epoch_began = epoch * steps if steps else max(self.done, 0)
            self._advance(self.epoch_began)

        def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
            del logs
            self._advance(self.epoch_began + batch + 1)

        def _advance(self, step: int) -> None:
            before, self.done = self.done, step
            if self.rise.changes(before, step):
                self._prune(None if step >= self.rise.end else self.rise.sparsity(step))

        def _prune(self, sparsity: float | None) -> None:
            values = [keras.ops.convert_to_numpy(kernel) for kernel, _, _ in self.held]
            masks = self._masks(values, sparsity)
            for (kernel, mask, _), value, stays in zip(self.held, values, masks, strict=True):
                mask.assign(stays)
                kernel.assign(value * stays)

        def _masks(self, values: list[Array], sparsity: float | None) -> list[Array]:
            masks = selection.masks(values, self.inputs, sparsity)
            refuse_empty(self.layers, values, masks)
            return masks

        def on_train_end(self, logs: Logs = None) -> None:
            """Once more, for what changed the weights without the optimizer (an average of weights, a restored epoch)."""
            del logs
            for kernel, mask, _ in self.held:
                kernel.assign(keras.ops.where(mask, kernel, keras.ops.zeros_like(kernel)))
            self.release()
            self._retrace()

        def release(self) -> None:
            for kernel, _, also in self.held:
                kernel.constraint = also
            self.held = []

        def _retrace(self) -> None:
            """The optimizer looks at the constraints only where a step is traced: an older trace would not have them."""
            if self.model.compiled:
                self.model.make_train_function(force=True)

        def state(self) -> list[npt.ArrayLike]:
            """Return what a training needs that is stopped and resumed: the step, and the masks."""
            return [self.done, *(keras.ops.convert_to_numpy(mask) for _, mask, _ in self.held)]

        def restore(self, state: list[Array]) -> None:
            self.done = int(state[0])
            for (_, mask, _), stays in zip(self.held, state[1:], strict=True):
                mask.assign(stays)

    return Pruning()
