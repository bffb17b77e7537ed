"""One signature of a SavedModel, as a .tflite or .onnx file whose inputs and outputs keep the signature's names."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.errors import DataError, StageError
from pipeline.frameworks import saved_model_loops
from pipeline.frameworks.causes import cause_of
from pipeline.frameworks.rows import Array, fits
from pipeline.frameworks.saved_model import Opened
from pipeline.frameworks.signature import Signature
from pipeline.frameworks.types import OnnxModel, OnnxNode, TfliteConverter

Shapes = Mapping[str, tuple[int | None, ...]]
OPSET = 17  # ONNX Runtime 1.13 and later, so also the last one for Python 3.8
LOOPS = ("TensorListReserve", "Lowering tensor list ops is failed")
"""What the converter of TFLite says of the loop of a recurrent layer while the batch is open."""


class Int8(NamedTuple):
    """How a file of 8-bit integers is made."""

    rows: Callable[[], Iterator[dict[str, Array]]]
    """Calibration rows: by the names of the inputs, each with its batch axis; by name, because TFLite keeps inputs in another order."""
    input_type: str = "int8"  # of the inputs in floating point: int8, uint8 or float32
    output_type: str = "int8"
    whole: bool = True  # StageError where an operator has no form in integers; False: it stays in floating point


def to_tflite(
    folder: Path,
    key: str,
    scratch: Path,
    *,
    shapes: Shapes | None = None,
    int8: Int8 | None = None,
    half: bool = False,
    name: str = "",
) -> bytes:
    """The bytes of a .tflite file with this one signature.

    `shapes` fixes the whole shape (with batch) of inputs by name. Without them the shapes stay as the signature has them, but where a
    recurrent layer cannot be converted so, the batch is made 1 (and its loops are fixed: saved_model_loops). `half`: weights in float16. `scratch` is a folder for files on the way.
    StageError says what the converter refuses.
    """
    opened = Opened(folder, name)
    signature = opened.chosen(key)
    if not shapes:
        try:
            return _convert(opened, signature, folder, int8, half=half)
        except StageError as error:
            shapes = {
                each.name: (1, *each.shape[1:]) for each in signature.inputs if each.shape and each.shape[0] is None
            }
            if not _is_loop(error) or not shapes:
                raise
    concrete = _fixed(opened, signature, shapes)
    try:
        return _convert(opened, signature, _saved(opened, signature, concrete, scratch / "fixed"), int8, half=half)
    except StageError as error:
        batches = {each.shape[0] for each in _specs(opened, signature, shapes).values() if each.shape.rank}
        if not _is_loop(error) or len(batches) != 1 or None in batches:
            raise
    saved_model_loops.save_fixed(concrete, signature.key, int(batches.pop()), scratch / "loops", opened.name)
    return _convert(opened, signature, scratch / "loops", int8, half=half)


def to_onnx(folder: Path, key: str, *, shapes: Shapes | None = None, opset: int = OPSET, name: str = "") -> bytes:
    """The bytes of an .onnx file of this signature. `shapes` as for to_tflite. StageError says what tf2onnx refuses."""
    import tensorflow as tf
    import tf2onnx

    opened = Opened(folder, name)
    signature = opened.chosen(key)
    function, outputs = opened.functions[signature.key], [each.name for each in signature.outputs]
    specs = _specs(opened, signature, shapes or {})
    answer = tf.function(
        lambda *given: [tf.identity(function(**dict(zip(specs, given, strict=True)))[each]) for each in outputs]
    )
    try:
        proto = tf2onnx.convert.from_function(answer, input_signature=list(specs.values()), opset=opset)[0]
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
    renamed(proto, dict(zip([each.name for each in proto.graph.output], outputs, strict=True)))
    data: bytes = proto.SerializeToString()
    return data


def renamed(proto: OnnxModel, names: Mapping[str, str]) -> None:
    """Give tensors of an ONNX graph other names, wherever they stand; what has such a name already makes way."""
    graph = proto.graph
    taken = {each for node in graph.node for each in (*node.input, *node.output)} | {each.name for each in graph.input}
    moved = {name: f"{name}__inside" for name in names.values() if name in taken and name not in names}
    moved = {name: new for name, new in moved.items() if name not in {each.name for each in graph.input}}
    change = {**moved, **names}

    def walk(inner: Any) -> None:
        for node in inner.node:
            node.input[:] = [change.get(each, each) for each in node.input]
            node.output[:] = [change.get(each, each) for each in node.output]
            for attribute in node.attribute:
                for body in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                    walk(body)
        for things in (inner.initializer, inner.value_info, inner.output):
            for thing in things:
                thing.name = change.get(thing.name, thing.name)

    walk(graph)


def _known(node: OnnxNode) -> bool:
    """Whether ONNX has this operator. Those of other domains are known to who wrote them."""
    from onnx import defs

    return bool(node.domain) or bool(defs.has(node.op_type))


def _specs(opened: Opened, signature: Signature, shapes: Shapes) -> dict[str, Any]:
    import tensorflow as tf

    found = {}
    for each in signature.inputs:
        shape = shapes.get(each.name, each.shape)
        if each.name in shapes and each.shape is not None and not _narrows(shapes[each.name], each.shape):
            raise DataError(
                f"the input '{each.name}' of {opened.name} takes {each.shape}, which {shapes[each.name]} does not fit",
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


def _fixed(opened: Opened, signature: Signature, shapes: Shapes) -> Any:
    """The function with fixed shapes: around the loaded one, which needs nothing of the program that made it."""
    import tensorflow as tf

    specs = _specs(opened, signature, shapes)
    function = opened.functions[signature.key]
    again = tf.function(lambda **given: function(**given))  # noqa: PLW0108 - a function of its own, which can be traced again
    try:
        return again.get_concrete_function(**specs)
    except Exception as error:
        raise StageError(
            f"TensorFlow cannot fix the shapes of {opened.name}: {cause_of(error)}",
            hint="Export it with fixed shapes from the program that made it.",
        ) from error


def _saved(opened: Opened, signature: Signature, concrete: Any, folder: Path) -> Path:
    """The function, saved with the variables that it uses."""
    import tensorflow as tf

    holder = tf.Module()
    holder.kept = opened.loaded
    tf.saved_model.save(holder, str(folder), signatures={signature.key: concrete})
    return folder


def _is_loop(error: StageError) -> bool:
    return any(each in str(error.__cause__) for each in LOOPS)


def _convert(opened: Opened, signature: Signature, folder: Path, int8: Int8 | None, *, half: bool) -> bytes:
    import tensorflow as tf

    # without its key all signatures come into one file, and only the first by name is found in it
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=[signature.key])
    if int8 is not None:
        _quantized(converter, signature, int8)
    elif half:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    try:
        data: bytes = converter.convert()
    except Exception as error:
        raise StageError(
            f"TensorFlow's converter refuses {opened.name}: {cause_of(error)}",
            hint="It uses an operation that TFLite does not have. Try the ONNX formats.",
        ) from error
    return data


def _quantized(converter: TfliteConverter, signature: Signature, int8: Int8) -> None:
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = int8.rows
    if int8.whole:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if all(each.dtype == "float32" for each in signature.inputs):  # tokens stay the integers that they are
        converter.inference_input_type = tf.as_dtype(int8.input_type)
    if all(each.dtype == "float32" for each in signature.outputs):
        converter.inference_output_type = tf.as_dtype(int8.output_type)
