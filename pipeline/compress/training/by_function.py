"""A training that a function of the user's does: what it gets, and what is checked after it, whatever it did."""

import inspect
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline import units
from pipeline.compress.context import Context
from pipeline.compress.rows import outputs_of
from pipeline.compress.settings import Recover
from pipeline.compress.sparsity.kernels import pruned_kernels
from pipeline.compress.training import labels
from pipeline.compress.training.callback_states import CallbackStates
from pipeline.compress.training.checkpoint import digest_of
from pipeline.compress.training.not_finite import NotFinite
from pipeline.compress.training.objective import Objective
from pipeline.compress.training.teachers import open_teacher
from pipeline.compress.training.training_rows import TrainingRows
from pipeline.errors import PromiseError, StageError
from pipeline.frameworks.plan_functions import PlanFunction
from pipeline.frameworks.types import KerasCallback, KerasModel, Logs

KEY = "training.function"
FOLDER = "function"
OURS = "edgepress>"  # what Keras knows our layers by
GIVEN = ("epochs", "callbacks", "batch_size", "learning_rate", "seed", "teacher", "resume")
"""What it is called with, after the model and the rows, as far as it has arguments of these names."""
NEEDED = ("epochs", "callbacks")
TELL_SECONDS = 0.1


def train(
    goal: Objective, how: Recover, context: Context, callbacks: Sequence[KerasCallback], *, hold_zeros: bool
) -> tuple[str, ...]:
    """Call [training] function, and check that the model is still what it was, but for its weights. Return notes.

    StageError where the function fails, gives another model or leaves out the callbacks; PromiseError where zeros were not held.
    """
    assert context.learn.function is not None
    model, function = goal.student.model, PlanFunction(context.learn.function, context.folder, KEY)
    rows, given = rows_of(goal, context), _arguments(function, how, context, model)
    states = CallbackStates(context.resume if given.get("resume") is not None else None, callbacks)
    progress = _progress(context, function.reference, rows, states)
    given["callbacks"] = [progress, *callbacks]
    zeros = [(kernel, np.asarray(kernel) == 0) for kernel in pruned_kernels(model)] if hold_zeros else []
    before, weights = _architecture(model), [id(each) for each in model.weights]
    began_with = digest_of([np.asarray(each) for each in model.weights])
    answer = function(model, rows, **given)
    told = f"{KEY}: {function.reference}"
    _check_other(told, answer, model, progress.model)
    _check_same(told, model, before, weights)
    NotFinite(model, function.reference).check_weights()
    if callbacks and not progress.ended:
        raise StageError(
            f"{told} {'did not end the training of' if progress.began else 'trained without'} the callbacks that it got, and this pass needs them",
            hint="Give all of them to model.fit(callbacks=callbacks); a loop of your own calls keras.callbacks.CallbackList(callbacks, "
            "model=model, epochs=..., steps=...) at its begin, its batches, its epochs and its end.",
        )
    for kernel, was in zeros:
        gone = int(np.count_nonzero(np.asarray(kernel)[was]))
        if gone:
            raise PromiseError(
                f"{told} gave {gone:,} weights of '{kernel.path}' another value, which were pruned to zero",
                hint="Keras's optimizers hold them (kernel.constraint). A loop that assigns weights applies it: "
                "kernel.assign(kernel.constraint(kernel)).",
            )
    moved = digest_of([np.asarray(each) for each in model.weights]) != began_with
    return (f"trained by {function.reference}{'' if moved else ', which changed no weight'}",)


def rows_of(goal: Objective, context: Context) -> TrainingRows:
    """Return the rows to train on: all but those that compare the end with the beginning."""
    assert context.training is not None
    names = list(context.outputs) or [each.name for each in outputs_of(goal.student.model)]
    found = labels.given_to(context, names, goal.scored)
    return TrainingRows(goal.student.model, goal.x, found, goal.chosen, goal.seed, goal.weights)


def _arguments(function: PlanFunction, how: Recover, context: Context, model: KerasModel) -> dict[str, Any]:
    parameters = inspect.signature(function.function).parameters.values()
    anything = any(each.kind is each.VAR_KEYWORD for each in parameters)
    names = [each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    lacking = [each for each in NEEDED if each not in names and not anything]
    if lacking:
        raise StageError(
            f"{KEY}: {function.reference} takes no '{lacking[0]}'",
            hint="It is called as function(model, rows, epochs=..., callbacks=...), and with what else it names of "
            f"{', '.join(each for each in GIVEN if each not in NEEDED)}.",
        )
    taken = [each for each in GIVEN if each in names or anything]
    if how.distillation is not None and "teacher" not in taken:
        raise StageError(
            f"{KEY}: the pass asks for a teacher, and {function.reference} takes none",
            hint="Give the function an argument `teacher`; or take `distill` out of the pass.",
        )
    found: dict[str, Any] = {}
    for each in taken:
        if each == "teacher":
            found[each] = None if how.distillation is None else open_teacher(how.distillation, context, model)[0]
        elif each == "resume":
            found[each] = None if context.resume is None else context.resume / FOLDER
        elif each == "seed":
            found[each] = context.seed
        elif each != "callbacks":
            found[each] = getattr(how, each)
    if found.get("resume") is not None:
        found["resume"].mkdir(parents=True, exist_ok=True)
    return found


def _architecture(model: KerasModel) -> dict[str, str]:
    """Return what each layer is, and the calls, as text; without what a training may switch, which layers learn, and the factors that
    our own callback puts into rounded kernels at its end.
    """
    config = _plain(model.get_config())
    layers = {str(each.get("name")): each for each in config.get("layers", ()) if isinstance(each, dict)}
    rest = {key: value for key, value in config.items() if key != "layers"}
    return {name: json.dumps(each, sort_keys=True, default=str) for name, each in {**layers, "": rest}.items()}


def _plain(config: Any) -> Any:
    if isinstance(config, Mapping):
        rounded = str(config.get("registered_name", "")).startswith(OURS)
        found = {key: _plain(each) for key, each in config.items() if key != "trainable"}
        if rounded and isinstance(found.get("config"), dict):
            found["config"].pop("factor", None)
        return found
    return [_plain(each) for each in config] if isinstance(config, list | tuple) else config


def _check_other(told: str, answer: object, model: KerasModel, called: KerasModel | None) -> None:
    """Raise StageError where another model was trained. `called`: the one that the callbacks got, None where they were not called."""
    import keras

    hint = "Train the model that it gets, in place, and return nothing: passes have masks, ranges and levels in its layers."
    if inspect.isgenerator(answer) or inspect.iscoroutine(answer):
        raise StageError(
            f"{told} returned without training: it has a `yield`, or is `async`",
            hint="Let it be a plain function that returns when the training is done.",
        )
    given = keras.tree.flatten(answer)
    found = [each if isinstance(each, keras.Model) else getattr(each, "model", None) for each in given]  # of a history
    if any(isinstance(each, keras.Model) and each is not model for each in found):
        raise StageError(f"{told} returned another model than it got", hint=hint)
    if called is not None and called is not model:
        raise StageError(f"{told} trained another model than it got", hint=hint)


def _check_same(told: str, model: KerasModel, before: dict[str, str], weights: Sequence[int]) -> None:
    after = _architecture(model)
    changed = [name for name in (*before, *after) if before.get(name) != after.get(name)]
    if changed or weights != [id(each) for each in model.weights]:
        what = f"the layer '{changed[0]}' of" if changed and changed[0] else ""
        raise StageError(
            f"{told} changed {what or 'the architecture of'} the model, and a training changes weights alone",
            hint="Put back what was changed for the training, such as an activation or a dtype policy, before the function returns.",
        )


def _progress(context: Context, reference: str, rows: TrainingRows, states: CallbackStates) -> Any:
    """Return the callback that shows how far the training is, sees whether the callbacks are called at all, and keeps their states."""
    import keras

    class Progress(keras.callbacks.Callback):  # type: ignore[misc]
        began = ended = False
        done, epoch, told = 0, 0, 0.0

        def on_train_begin(self, logs: Logs = None) -> None:
            del logs
            self.began = True

        def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
            del logs
            if epoch and not self.done:  # a training that was stopped is resumed
                self.done = epoch * ((self.params or {}).get("steps") or 0)
                states.restore(epoch)
            self.epoch = rows.epoch = epoch

        def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
            del batch
            self.done += 1
            if time.monotonic() - self.told >= TELL_SECONDS:
                self.told = time.monotonic()
                self._tell(logs)

        def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
            states.keep(epoch + 1)
            self._tell(logs)

        def on_train_end(self, logs: Logs = None) -> None:
            del logs
            self.ended = True

        def _tell(self, logs: Logs) -> None:
            known = self.params or {}
            steps, epochs = known.get("steps") or 0, known.get("epochs") or 0
            loss = (logs or {}).get("loss")
            shown = "" if loss is None else f": loss {units.number(float(loss))}"
            context.tell(min(self.done, steps * epochs), steps * epochs, f"{reference}, epoch {self.epoch + 1}{shown}")

    return Progress()
