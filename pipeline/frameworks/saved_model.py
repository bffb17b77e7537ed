"""SavedModel folders: which signatures they have, and what one of them answers.

Keras 3's `model.export`, tf_keras's `save_format="tf"` and a `tf.Module` with signatures are all the same here: functions with named
inputs and outputs. Layers are not looked for; such a model can be converted and measured, not compressed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import ModelError, PlanError
from pipeline.frameworks import saved_model_check
from pipeline.frameworks.causes import cause_of
from pipeline.frameworks.rows import Array
from pipeline.frameworks.signature import Signature, Tensor, check_rows, joined
from pipeline.safe_text import shortened

TAG = "serve"
DEFAULT_KEYS = ("serving_default", "serve")
"""What Keras calls the signature that answers; with `model.export` both are the same."""
NO_SIGNATURES = "__saved_model_init_op"


class Opened:
    """A SavedModel in memory. TensorFlow frees the variables of a signature with the object that it was loaded as, so that is kept."""

    def __init__(self, folder: Path, name: str = "") -> None:
        import tensorflow as tf

        self.folder, self.name = folder, name or folder.name
        saved_model_check.check(folder, self.name)
        try:
            self.loaded: Any = tf.saved_model.load(str(folder), tags=[TAG])
        except Exception as error:
            raise ModelError(
                f"TensorFlow cannot load {self.name}: {cause_of(error, folder / saved_model_check.GRAPH)}",
                hint="Copy the whole folder again, or export it again from the program that made it.",
            ) from error
        self.functions: dict[str, Any] = {
            key: function for key, function in self.loaded.signatures.items() if key != NO_SIGNATURES
        }

    def signatures(self) -> dict[str, Signature]:
        """All signatures by their keys. ModelError if there is none."""
        if not self.functions:
            raise ModelError(
                f"{self.name} has no signature: it does not say what can be called, and with what",
                hint="Save it with signatures: tf.saved_model.save(module, folder, signatures={'serving_default': module.answer}), or "
                "with model.export(folder).",
            )
        return {key: _signature(key, function) for key, function in self.functions.items()}

    def chosen(self, key: str = "") -> Signature:
        """The signature called `key`; "": the only one, or Keras's. PlanError lists those that there are."""
        found = self.signatures()
        if key in found:
            return found[key]
        different = {(each.inputs, each.outputs) for each in found.values()}
        if not key and (len(found) == 1 or (set(found) <= set(DEFAULT_KEYS) and len(different) == 1)):
            return found[next(each for each in (*DEFAULT_KEYS, *found) if each in found)]
        listed = ", ".join(shortened(each, 100) for each in sorted(found))
        raise PlanError(
            f"{self.name} has no signature '{shortened(key, 100)}'"
            if key
            else f"{self.name} has {len(found)} signatures",
            hint=f"Name one of them: {listed}.",
        )

    def answers(self, key: str, rows: Mapping[str, Array], *, whole: bool = False) -> dict[str, Array]:
        """What a signature answers, by the names of its outputs.

        Each row (axis 0 of every array in `rows`) is given alone, as a batch of one, and the answers are put together along axis 0;
        `whole`: the arrays go in as they are, once, which is for inputs without a batch axis. DataError if inputs are missing or too
        many, or have another shape or type; ModelError if TensorFlow cannot compute the answer.
        """
        signature = self.chosen(key)
        check_rows(signature, rows, self.name, whole=whole)
        if whole:
            return self._called(signature, rows)
        count = len(next(iter(rows.values())))
        found = [self._called(signature, {name: x[i : i + 1] for name, x in rows.items()}) for i in range(count)]
        return {
            output.name: joined(output.name, [each[output.name] for each in found], self.name)
            for output in signature.outputs
        }

    def _called(self, signature: Signature, rows: Mapping[str, Array]) -> dict[str, Array]:
        import tensorflow as tf

        try:
            given = {each.name: tf.constant(rows[each.name], dtype=each.dtype) for each in signature.inputs}
            return {name: value.numpy() for name, value in self.functions[signature.key](**given).items()}
        except Exception as error:
            raise ModelError(
                f"TensorFlow cannot run {self.name}: {cause_of(error)}",
                hint="Does it answer such a row in the program that made it? Export it again from there.",
            ) from error


def signatures(folder: Path, name: str = "") -> dict[str, Signature]:
    """The signatures of a SavedModel by their keys. ModelError if the folder does not hold one, or it is damaged."""
    return Opened(folder, name).signatures()


def answers(
    folder: Path, key: str, rows: Mapping[str, Array], *, whole: bool = False, name: str = ""
) -> dict[str, Array]:
    """What one signature answers for rows by name: see Opened.answers."""
    return Opened(folder, name).answers(key, rows, whole=whole)


def _signature(key: str, function: Any) -> Signature:
    def tensors(specs: Mapping[str, Any]) -> tuple[Tensor, ...]:
        return tuple(
            Tensor(name, None if spec.shape.rank is None else tuple(spec.shape.as_list()), spec.dtype.name)
            for name, spec in sorted(specs.items())
        )

    return Signature(key, tensors(function.structured_input_signature[1]), tensors(function.structured_outputs))
