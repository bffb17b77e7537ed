"""Recurrent layers of a SavedModel that was traced with an open batch, made fit for the converter of TFLite.

TensorFlow keeps the steps of a loop in lists, whose elements have the shape that was written into the graph when it was traced: with -1
for the batch. The converter wants a number there, and fixing the shape of the input does not change it. So the weights become
constants, the -1 becomes the batch, and the graph is saved again (seen with Keras 3.15's export and TensorFlow 2.21: LSTM, GRU,
Bidirectional).
"""

from pathlib import Path
from typing import Any

from pipeline.errors import StageError
from pipeline.frameworks.causes import cause_of

SHAPE_AT = {"TensorListReserve": 0, "TensorListFromTensor": 1, "TensorListStack": 1, "TensorListGetItem": 2}
"""Operation on a list -> which of its inputs is the shape of an element."""
SUFFIX = "_of_fixed_batch"
RESERVE = "TensorListReserve"
"""What the converter refuses where an axis of its elements is open."""


def has_lists(concrete: Any) -> bool:
    """Return whether a function has a loop that keeps its steps in a list."""
    graph = concrete.graph.as_graph_def()
    return any(node.op == RESERVE for nodes in _parts(graph) for node in nodes)


def save_fixed(concrete: Any, key: str, batch: int, folder: Path, name: str) -> bool:
    """Save the function (concrete, its inputs fixed) with loops of this batch, under the same names of inputs and outputs.

    Return False, and write nothing, where no list has elements with an open batch. An element whose first axis is open is taken to
    begin with the batch: what the file answers must be compared with the source, as that of any conversion. StageError where
    TensorFlow cannot.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    try:
        frozen = convert_variables_to_constants_v2(concrete, lower_control_flow=False)
        graph = frozen.graph.as_graph_def()
        fixed = [_fix(nodes, batch) for nodes in _parts(graph)]
        if not any(fixed):
            return False
        _rename_functions(graph)
        whole = tf.compat.v1.wrap_function(lambda: tf.compat.v1.import_graph_def(graph, name=""), [])
        names = [each.name.partition(":")[0] for each in frozen.inputs]
        outputs = sorted(concrete.structured_outputs)  # as TensorFlow flattens a dict
        pruned = whole.prune(
            feeds=[each.name for each in frozen.inputs], fetches=[each.name for each in frozen.outputs]
        )
        specs = concrete.structured_input_signature[1]
        again = tf.function(
            lambda **given: dict(zip(outputs, tf.nest.flatten(pruned(*[given[each] for each in names])), strict=True))
        )
        tf.saved_model.save(tf.Module(), str(folder), signatures={key: again.get_concrete_function(**specs)})
    except OSError:  # the disk
        raise
    except Exception as error:
        raise StageError(
            f"TensorFlow cannot fix the batch of the loops of {name}: {cause_of(error)}",
            hint="Export it with a batch of 1 from the program that made it: keras.InputSpec(shape=(1, ...)) in input_signature.",
        ) from error
    return True


def _parts(graph: Any) -> list[Any]:
    """Return the nodes of a graph, and those of each function in it."""
    return [graph.node, *(each.node_def for each in graph.library.function)]


def _fix(nodes: Any, batch: int) -> int:
    """Give lists a shape of their own: the constant that they have now may be used elsewhere, where -1 means something else.

    Return how many lists the converter would have refused.
    """
    import tensorflow as tf

    by_name, found = {node.name: node for node in nodes}, 0
    for number, node in enumerate(list(nodes)):
        at = SHAPE_AT.get(node.op)
        source = node.input[at] if at is not None else ""
        constant = by_name.get(source.partition(":")[0])
        if constant is None or constant.op != "Const":
            continue
        shape = tf.make_ndarray(constant.attr["value"].tensor).copy()
        if shape.ndim == 1 and len(shape) and shape[0] == -1:
            shape[0] = batch
            found += node.op == RESERVE
            own = nodes.add()
            own.CopyFrom(constant)
            own.name = f"{constant.name}{SUFFIX}_{number}"
            own.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(shape))
            node.input[at] = own.name + source[len(constant.name) :]
    return found


def _rename_functions(graph: Any) -> None:
    """TensorFlow keeps functions by name through the process, and these are no longer the ones that it has."""
    known = {each.signature.name for each in graph.library.function}
    for nodes in _parts(graph):
        for node in nodes:
            if node.op in known:
                node.op += SUFFIX
            for attribute in node.attr.values():
                for each in (*([attribute.func] if attribute.HasField("func") else []), *attribute.list.func):
                    if each.name in known:
                        each.name += SUFFIX
    for function in graph.library.function:
        function.signature.name += SUFFIX
