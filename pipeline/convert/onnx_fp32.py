"""Keras or SavedModel -> .onnx in floating point; an .onnx file stays as it is, but for its IR version."""

import re

from pipeline import child
from pipeline.child import Tell
from pipeline.convert import advice, keras_source, onnx_names, saved_model_source
from pipeline.convert.keras_source import Source
from pipeline.convert.request import Job
from pipeline.errors import StageError
from pipeline.frameworks import onnx_versions
from pipeline.frameworks.causes import cause_of
from pipeline.frameworks.types import KerasModel, OnnxModel
from pipeline.safe_text import shortened

FILE = "onnx"
SOURCES = ("keras", "onnx", "saved_model")
EXTRAS = ("onnx",)
REFERENCE = "onnx-fp32"
CALIBRATES = False
LARGEST_ERROR = 1e-3
CRASHED = child.CRASHED
NUMBERED = re.compile(r"(.*)__\d+(:\d+)?$")
OPSET = 17  # ONNX Runtime 1.13 and later, so also the last one for Python 3.8


def convert(job: Job, tell: Tell) -> bytes:
    if job.model.artifact.format == "onnx":
        return _openable(job.source.read_bytes())
    tell(0, 0, f"{job.model.name} to ONNX")
    data: bytes = proto_of(job).SerializeToString()
    return data


def proto_of(job: Job) -> OnnxModel:
    """Return the ONNX model of a Keras model or SavedModel, with the shapes of the job, its inputs and outputs under the model's names."""
    import onnx

    proto, model = _of_saved_model(job) if saved_model_source.is_source(job) else _of_keras(job)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except Exception as error:
        raise StageError(
            f"tf2onnx made an invalid file of {job.model.name}: {cause_of(error)}",
            hint=advice.for_model(model, "onnx-fp32"),
        ) from error
    return proto


def _of_saved_model(job: Job) -> tuple[OnnxModel, None]:
    proto = saved_model_source.proto_of(job)
    replace_erfc(proto)
    renumber(proto)
    saved_model_source.name(proto, job)
    return proto, None


def _openable(data: bytes) -> bytes:
    """Return the file with an IR version that ONNX Runtime 1.12 opens, where nothing in it is newer: exporters write the newest."""
    import onnx

    proto = onnx.load_from_string(data)
    if proto.ir_version <= onnx_versions.IR or not onnx_versions.lower_ir(proto):
        return data
    lowered: bytes = proto.SerializeToString()
    return lowered


def _of_keras(job: Job) -> tuple[OnnxModel, KerasModel]:
    import tensorflow as tf
    import tf2onnx

    source = keras_source.opened(job)
    _check_state(job, source)
    specs = source.specs(job.shapes)
    answer = tf.function(lambda *given: [tf.identity(each) for each in source.answer(given)], autograph=False)
    try:
        proto: OnnxModel = tf2onnx.convert.from_function(answer, input_signature=specs, opset=OPSET)[0]
    except Exception as error:
        raise StageError(
            f"tf2onnx cannot convert {job.model.name}: {type(error).__name__}: {cause_of(error)}",
            hint=advice.for_model(source.model, "onnx-fp32"),
        ) from error
    replace_erfc(proto)
    renumber(proto)
    onnx_names.give(
        proto,
        {new: name for name, new in keras_source.safe(source.inputs).items()},
        onnx_names.apart(source.outputs, source.inputs),
    )
    return proto, source.model


def _check_state(job: Job, source: Source) -> None:
    """Raise StageError if rows are sequences and the model keeps its state inside: a file of ONNX cannot."""
    kept = source.keeps_state()
    if kept and job.model.sequences:
        raise StageError(
            f"{job.model.name} keeps a state inside ('{shortened(kept[0], 100)}' is stateful=True), and an ONNX file has no variables",
            hint="Build it with the state as an input and an output, and name both in [model] state; or take the TFLite formats.",
        )


def renumber(proto: OnnxModel) -> None:
    """Number tf2onnx's own names by their place in the graph: it does so in the order of memory addresses, and the same
    model must give the same file, or every conversion would have to be pushed again.
    """
    graph = proto.graph
    if any(attribute.HasField("g") for node in graph.node for attribute in node.attribute):
        return  # the body of a loop speaks of names out here; such a file is right, but not the same each time
    names: dict[str, str] = {}
    fixed = {value.name for value in (*graph.input, *graph.output)}

    def stable(name: str) -> str:
        found = None if name in fixed else NUMBERED.match(name)
        return names.setdefault(name, f"{found[1]}__n{len(names)}{found[2] or ''}") if found else name

    for node in graph.node:
        node.name = stable(node.name)
        node.input[:] = [stable(name) for name in node.input]
        node.output[:] = [stable(name) for name in node.output]
    for things in (graph.initializer, graph.value_info):
        for thing in things:
            thing.name = stable(thing.name)
        things.sort(key=lambda thing: thing.name)


def replace_erfc(proto: OnnxModel) -> None:
    """Erfc(x) -> 1 - Erf(x): ONNX has no Erfc, and tf2onnx writes one for the exact GELU (seen with TensorFlow 2.21, tf2onnx 1.17, ONNX Runtime 1.32)."""
    from onnx import helper

    nodes, dtypes = [], {value.name: value.type.tensor_type.elem_type for value in proto.graph.value_info}
    for node in proto.graph.node:
        if node.op_type != "Erfc":
            nodes.append(node)
            continue
        (source,), (target,) = node.input, node.output
        one = helper.make_tensor(f"{target}_one", dtypes.get(target) or 1, [], [1.0])  # 1: FLOAT
        proto.graph.initializer.append(one)
        nodes.append(helper.make_node("Erf", [source], [f"{target}_erf"]))
        nodes.append(helper.make_node("Sub", [one.name, f"{target}_erf"], [target]))
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
