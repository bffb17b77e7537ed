"""One signature of a SavedModel with fixed shapes: on the way to a .tflite file, and as an ONNX model."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline import units
from pipeline.errors import DataError, StageError
from pipeline.frameworks import saved_model_loops
from pipeline.frameworks.causes import cause_of
from pipeline.frameworks.rows import fits
from pipeline.frameworks.saved_model import Opened
from pipeline.frameworks.signature import Signature
from pipeline.frameworks.types import OnnxModel, OnnxNode, TfliteConverter, TfSpec

Shapes = Mapping[str, tuple[int | None, ...]]
"""Whole shapes of inputs, with their batch, by name; others stay as the signature has them."""
OPSET = 17  # ONNX Runtime 1.13 and later, so also the last one for Python 3.8
REPLACED = ("Erfc",)  # by pipeline.convert.onnx_fp32, which every converter to ONNX goes through


def converter_from_saved_model(
    folder: Path, signature: str | None, shapes: Shapes, scratch: Path, name: str = ""
) -> TfliteConverter:
    """Return a converter of this one signature to TFLite, whose inputs have these shapes.

    The function is saved again in `scratch` with its shapes fixed, and so are the loops of recurrent layers that were traced with an
    open batch (saved_model_loops). DataError if a shape does not fit, StageError if TensorFlow cannot fix it.
    """
    import tensorflow as tf

    opened = Opened(folder, name)
    chosen = opened.chosen(signature or "")
    specs = _specs(opened, chosen, shapes)
    concrete = _fixed(opened, chosen, specs)
    target = Path(tempfile.mkdtemp(dir=scratch)) / "fixed"
    batches = {each.shape[0] for each in specs.values() if each.shape.rank}
    loops = len(batches) == 1 and None not in batches and saved_model_loops.has_lists(concrete)
    if (
        not loops
        or opened.keeps_state(chosen)  # its variables cannot become constants
        or not saved_model_loops.save_fixed(concrete, chosen.key, int(batches.pop()), target, opened.name)
    ):
        _save(opened, chosen, concrete, target)
    # without its key all signatures come into one file, and only the first by name is found in it
    return tf.lite.TFLiteConverter.from_saved_model(str(target), signature_keys=[chosen.key])


def onnx_from_saved_model(
    folder: Path, signature: str | None, shapes: Shapes, name: str = "", opset: int = OPSET
) -> OnnxModel:
    """Return the ONNX model of this one signature: its inputs have their names, and its outputs are in the signature's order.

    DataError if a shape does not fit; StageError says what tf2onnx refuses, or that the model keeps a state.
    """
    import tensorflow as tf
    import tf2onnx

    opened = Opened(folder, name)
    chosen = opened.chosen(signature or "")
    if opened.keeps_state(chosen):
        raise StageError(
            f"{opened.name} keeps a state from one call to the next, which would stand still in an ONNX file",
            hint="Choose a TFLite format; or export a function that takes its state as an input and gives it as an output.",
        )
    function, outputs = opened.functions[chosen.key], [each.name for each in chosen.outputs]
    specs = _specs(opened, chosen, shapes)
    answer = tf.function(
        lambda *given: [tf.identity(function(**dict(zip(specs, given, strict=True)))[each]) for each in outputs]
    )
    try:
        proto: OnnxModel = tf2onnx.convert.from_function(answer, input_signature=list(specs.values()), opset=opset)[0]
    except Exception as error:
        raise StageError(
            f"tf2onnx cannot convert {opened.name}: {type(error).__name__}: {cause_of(error)}",
            hint="It uses an operation of TensorFlow that ONNX does not have. Try the TFLite formats.",
        ) from error
    missing = sorted({node.op_type for node in proto.graph.node if not _known(node)})
    if missing:  # tf2onnx writes them as they are, and only logs it
        raise StageError(
            f"tf2onnx cannot convert {opened.name}: ONNX has no form of {', '.join(missing[:5])}",
            hint="Try the TFLite formats, or export the model without these operations.",
        )
    return proto


def _known(node: OnnxNode) -> bool:
    """Whether ONNX has this operator. Those of other domains are known to who wrote them."""
    from onnx import defs

    return bool(node.domain) or node.op_type in REPLACED or bool(defs.has(node.op_type))


def _specs(opened: Opened, signature: Signature, shapes: Shapes) -> dict[str, TfSpec]:
    import tensorflow as tf

    found = {}
    for each in signature.inputs:
        shape = shapes.get(each.name, each.shape)
        if each.name in shapes and each.shape is not None and not _narrows(shapes[each.name], each.shape):
            raise DataError(
                f"the input '{each.name}' of {opened.name} takes {units.shape(each.shape)}, which {units.shape(shapes[each.name])} does not fit",
                hint="Give each axis that has a length that length.",
            )
        found[each.name] = tf.TensorSpec(shape, each.dtype, name=each.name)
    unknown = sorted(shapes.keys() - found.keys())
    if unknown:
        raise DataError(
            f"{opened.name} has no input '{unknown[0]}' in its signature '{signature.key}'",
            hint=f"Its inputs are {', '.join(found)}.",
        )
    return found


def _narrows(shape: tuple[int | None, ...], of: tuple[int | None, ...]) -> bool:
    """Whether the shape is one of those that `of` allows; an axis may stay open."""
    return fits(tuple(one or -1 if two is not None else 1 for one, two in zip(shape, of, strict=False)), of) and len(
        shape
    ) == len(of)


def _fixed(opened: Opened, signature: Signature, specs: Mapping[str, TfSpec]) -> Any:
    """The function with fixed shapes: around the loaded one, which needs nothing of the program that made it."""
    import tensorflow as tf

    function = opened.functions[signature.key]
    again = tf.function(lambda **given: function(**given))  # noqa: PLW0108 - a function of its own, which can be traced again
    try:
        return again.get_concrete_function(**specs)
    except Exception as error:
        raise StageError(
            f"TensorFlow cannot fix the shapes of {opened.name}: {cause_of(error)}",
            hint="Export it with fixed shapes from the program that made it.",
        ) from error


def _save(opened: Opened, signature: Signature, concrete: Any, folder: Path) -> None:
    """Save the function with the variables that it uses."""
    import tensorflow as tf

    holder = tf.Module()
    holder.kept = opened.loaded
    try:
        tf.saved_model.save(holder, str(folder), signatures={signature.key: concrete})
    except OSError:  # the disk
        raise
    except Exception as error:
        raise StageError(
            f"TensorFlow cannot save {opened.name} with fixed shapes: {cause_of(error)}",
            hint="Export it with fixed shapes from the program that made it.",
        ) from error
