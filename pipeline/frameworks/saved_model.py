"""SavedModel folders: which signatures they have, and what those take and give.

Keras 3's `model.export`, tf_keras's `save_format="tf"` and a `tf.Module` with signatures are all the same here: functions with named
inputs and outputs. Layers are not looked for here: saved_model_layers does that for folders which say what they were made of.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import ModelError, PlanError
from pipeline.frameworks import saved_model_check
from pipeline.frameworks.causes import cause_of
from pipeline.frameworks.signature import Signature
from pipeline.records import TensorSpec
from pipeline.safe_text import shortened
from pipeline.spelling import did_you_mean

TAG = "serve"
DEFAULT = "serving_default"
"""What TensorFlow calls the signature that answers; Keras's `model.export` writes it as "serve", too."""
NO_SIGNATURES = "__saved_model_init_op"
WRITES = re.compile(r"Assign|Resource(Scatter|Apply|Sparse|StridedSliceAssign)")
"""Operations of TensorFlow that change a variable, by how their names begin."""
NUMBERS = re.compile(r"b?float(16|32|64)|u?int(8|16|32|64)|bool")
"""Types of tensors, by their names, that rows and files for boards can hold."""


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
        """The signature called `key`; "": the default one, or the only one. PlanError lists those that there are."""
        found = self.signatures()
        if key in found:
            return found[key]
        if not key and (len(found) == 1 or DEFAULT in found):
            return found.get(DEFAULT) or next(iter(found.values()))
        known = ", ".join(shortened(each, 100) for each in sorted(found))
        if key:
            raise PlanError(
                f"model.signature: {self.name} has no signature '{shortened(key, 100)}'",
                hint=f"{did_you_mean(key, found)}It has: {known}.",
            )
        raise PlanError(
            f"{self.name} has {len(found)} signatures, and the plan does not say which one to run",
            hint=f'Add to [model]: signature = "{shortened(min(found), 100)}". It has: {known}.',
        )

    def variables(self, signature: Signature) -> list[Any]:
        """Return the tf.Variables that a signature uses."""
        return list(self.functions[signature.key].variables)

    def keeps_state(self, signature: Signature) -> bool:
        """Return whether a call changes what the next one answers: it writes into a variable."""
        graph = self.functions[signature.key].graph.as_graph_def()
        functions = (each.node_def for each in graph.library.function)
        return any(WRITES.match(node.op) for nodes in (graph.node, *functions) for node in nodes)


def check_numbers(tensors: Sequence[TensorSpec], name: str) -> None:
    """Raise ModelError if one of these inputs or outputs is not made of numbers."""
    for each in tensors:
        if each.dtype == "string":
            raise ModelError(
                f"'{shortened(each.name, 100)}' of {name} is text, which no file for a board can take or give",
                hint="Export the part after its TextVectorization or StringLookup, which takes the numbers.",
            )
        if not NUMBERS.fullmatch(each.dtype):
            raise ModelError(
                f"'{shortened(each.name, 100)}' of {name} is of type {each.dtype}, which no row of numbers can hold",
                hint="Export a function that takes and gives tensors of numbers.",
            )


def _signature(key: str, function: Any) -> Signature:
    def tensors(specs: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        return tuple(
            TensorSpec(
                name=name,
                shape=None if spec.shape.rank is None else tuple(spec.shape.as_list()),
                dtype=spec.dtype.name,
            )
            for name, spec in sorted(specs.items())
        )

    return Signature(key, tensors(function.structured_input_signature[1]), tensors(function.structured_outputs))
