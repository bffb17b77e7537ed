"""Losses by Keras's names and as a compiled model keeps them, and how one is computed on the answers of an output."""

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline.compress.training.distillation import cross_entropy_of_rows
from pipeline.errors import PlanError, StageError
from pipeline.frameworks.types import KerasLoss, TfTensor
from pipeline.safe_text import shortened
from pipeline.spelling import did_you_mean

SPARSE = ("sparse_categorical_crossentropy",)
ONE_HOT = ("categorical_crossentropy", "categorical_focal_crossentropy", "categorical_generalized_cross_entropy")
BINARY = ("binary_crossentropy", "binary_focal_crossentropy")
AS_GIVEN = ("ctc", "circle")  # their labels have forms of their own
LOGITS = "from_logits"


class Cannot(ValueError):
    """A loss that cannot be had. `hint` says what to do."""

    def __init__(self, why: str, hint: str) -> None:
        super().__init__(why)
        self.hint = hint


class Loss(NamedTuple):
    """A loss of one output. `of` None: cross entropy of rows of classes, computed on logits."""

    name: str  # as Keras writes it: mean_squared_error; of a user's own: its class or function
    of: KerasLoss | None
    builtin: bool
    softmax: bool = False  # answers come as logits, and the loss takes probabilities
    ignored: int | None = None  # the label that counts nowhere

    @property
    def is_of_classes(self) -> bool:
        """Whether it compares scores of classes along the last axis, of a row or of each place of a map."""
        return self.builtin and self.name in (*SPARSE, *ONE_HOT)

    def mean(self, y: TfTensor, answers: TfTensor, weights: TfTensor | None) -> TfTensor:
        """Return the loss of a batch as Keras reduces it, a scalar. `weights`: (rows,), how much each row counts."""
        import tensorflow as tf

        if self.of is None:
            each = cross_entropy_of_rows(y, answers)
            return tf.reduce_mean(each if weights is None else each * weights)
        answers = self._taken(answers)
        if weights is not None:
            rank = len(self.of.call(self._typed(y), self._typed(answers)).shape)
            if not rank:
                raise StageError(
                    f"the loss '{self.name}' answers one number for a batch, and rows have weights",
                    hint="Let it answer a number for each row; or leave sample_weight and [training] class_weight out.",
                )
            weights = tf.reshape(weights, (-1, *[1] * (rank - 1)))
        return tf.reduce_mean(tf.cast(self.of(y, answers, sample_weight=weights), "float32"))

    def of_rows(self, y: TfTensor, answers: TfTensor) -> TfTensor:
        """Return the loss of each row, (rows,); a scalar where the loss answers one number for a batch."""
        import tensorflow as tf

        if self.of is None:
            return cross_entropy_of_rows(y, answers)
        each = tf.cast(self.of.call(self._typed(y), self._typed(self._taken(answers))), "float32")
        return tf.reduce_mean(each, axis=list(range(1, len(each.shape)))) if len(each.shape) > 1 else each

    def _taken(self, answers: TfTensor) -> TfTensor:
        import tensorflow as tf

        return tf.nn.softmax(answers) if self.softmax else answers

    def _typed(self, values: TfTensor) -> TfTensor:
        import tensorflow as tf

        assert self.of is not None
        return tf.cast(values, self.of.dtype)


def named(name: str, key: str, *, logits: bool, ignored: int | None = None) -> Loss:
    """Return a loss by its name: Keras's, or one of [model] custom_objects. PlanError with the nearest name for one that is not known.

    `logits`: the answers are not probabilities, where a loss wants to know. `ignored`: a label that counts nowhere.
    """
    import keras

    mine = keras.saving.get_custom_objects()
    try:
        found = mine[name] if name in mine else keras.losses.get(name)
        found = found() if inspect.isclass(found) else found
    except Exception as error:  # Keras says it in several ways
        known = [each for each in dir(keras.losses) if _is_loss(getattr(keras.losses, each))]
        own = [each for each in mine if not each.startswith("edgepress>")]
        raise PlanError(
            f"{key}: Keras has no loss '{shortened(name, 100)}'",
            hint=f"{did_you_mean(name, [*known, *own])}Its losses are those of keras.losses, such as mean_squared_error; one of your own "
            "is named as [model] custom_objects returns it.",
        ) from error
    more: dict[str, object] = {LOGITS: logits} | ({} if ignored is None else {"ignore_class": ignored})
    return loss_of(_with(found, more))


def restored(config: Any) -> Loss:
    """Return a loss as a file keeps it, with all that it says. Cannot says why it is not restored."""
    import keras

    text = str(config)
    if "__lambda__" in text or "<lambda>" in text:
        raise Cannot("it is a lambda, which is code inside the model file", "Name it in [training] loss.")
    if isinstance(config, str):  # of a function of the user's, too, in an .h5 file
        mine = keras.saving.get_custom_objects()
        try:
            return loss_of(mine[config] if config in mine else keras.losses.get(config))
        except Exception as error:
            raise Cannot(f"Keras has no loss '{shortened(config, 100)}'", "Name it in [training] loss.") from error
    try:
        found = keras.losses.deserialize(config)
    except Exception:  # noqa: BLE001 - what a class of the user's raises can be anything
        found = None
    if not callable(found):  # of some that it does not know Keras returns the name
        name = shortened(_title(config), 100)
        raise Cannot(
            f"Keras does not know '{name}', or cannot make it again",
            f"If it is your own, let the function of [model] custom_objects return {{'{name}': ...}}; or name another in [training] loss.",
        )
    lost = _not_in_file(found, config)
    if lost:
        raise Cannot(
            f"the file does not say which {lost} '{shortened(_title(config), 100)}' had: its get_config leaves it out",
            "Let get_config return it, and save the model again; or name the loss in [training] loss.",
        )
    return loss_of(found)


def _title(config: Mapping[str, Any]) -> str:
    name = config.get("registered_name") or config.get("class_name")
    return str(config.get("config") if config.get("class_name") == "function" else name)


def _not_in_file(loss: Any, config: Mapping[str, Any]) -> str:
    """Return an argument of a user's class that its config lacks: it would be restored with its default."""
    if inspect.isfunction(loss) or type(loss).__module__.startswith("keras."):
        return ""
    kept = config.get("config")
    given = inspect.signature(type(loss).__init__).parameters.values()
    names = [each.name for each in given if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    known = {"self", "name", "reduction", "dtype", *(kept if isinstance(kept, Mapping) else ())}
    return next((each for each in names if each not in known), "")


def loss_of(found: Any) -> Loss:
    """Return a Keras loss, or a function of (labels, answers), as a Loss."""
    import keras

    function = getattr(found, "fn", found)
    function = getattr(function, "func", function)  # of functools.partial
    builtin = str(getattr(function, "__module__", "")).startswith("keras.")
    name = getattr(function, "__name__", None) or type(found).__name__
    if isinstance(found, keras.losses.Loss):
        return Loss(name, found, builtin, ignored=getattr(found, "ignore_class", None))

    class Function(keras.losses.Loss):  # type: ignore[misc]
        def call(self, y_true: TfTensor, y_pred: TfTensor) -> TfTensor:
            return found(y_true, y_pred)

    return Loss(name, Function(name=name), builtin, ignored=getattr(found, "keywords", {}).get("ignore_class"))


def _with(found: Any, arguments: dict[str, object]) -> Any:
    """Return the loss with those of the arguments that it takes."""
    from functools import partial

    import keras

    if isinstance(found, keras.losses.Loss):
        config = found.get_config()
        taken = {key: value for key, value in arguments.items() if key in config}
        return type(found).from_config(config | taken) if taken else found
    taken = {key: value for key, value in arguments.items() if key in inspect.signature(found).parameters}
    return partial(found, **taken) if taken else found


def _is_loss(found: object) -> bool:
    import keras

    if inspect.isfunction(found):
        return found.__name__ not in {"get", "serialize", "deserialize"}
    return inspect.isclass(found) and issubclass(found, keras.losses.Loss) and found is not keras.losses.Loss
