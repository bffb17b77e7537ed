"""What the rule of one layer or operation says of its channels, in lines that a test can compare: no model is run.

out 0: - - 4..7                     the axes of an output; - where nothing can be removed
kernel: - - 0..3 4..7               what runs along a weight; 2 x 4..7: twice one after the other
filters = 4..7                      what in the config counts channels
makes channels 4..7 by kernel 3     channels of its own, and the axes of weights that tell how important each is
0..3 with 4..7                      channels that only go together
0..3 stay: why                      channels that have to stay
"""

import re
from pathlib import Path

import keras
import numpy as np

from pipeline.compress.surgery.graph import _arguments
from pipeline.compress.surgery.rules import rule_of
from pipeline.compress.surgery.wiring import Call, Tensor, Wiring


def ruled(called, *shapes, rows=None):
    """`called` is called with tensors of these shapes, which are without the axis of rows. [4] is an axis of four channels,
    numbered from 0 in the order of the shapes; 4 is an axis of which nothing can be removed. The layer is called 'x' in what is
    told.
    """
    wiring = Wiring()
    given, found = [], {}
    for shape in shapes:
        axes = [wiring.channels.new(axis[0]) if isinstance(axis, list) else None for axis in shape]
        sizes = [axis[0] if isinstance(axis, list) else axis for axis in shape]
        given.append(keras.Input(batch_shape=(rows, *sizes)))
        found[id(given[-1])] = Tensor((None, *axes), (rows, *sizes))
    layer, at, _ = keras.tree.flatten(called(*given))[0]._keras_history
    node = layer._inbound_nodes[at]
    call = Call(
        layer, "x", wiring, _arguments(node, found), [found[id(tensor)] for tensor in node.input_tensors],
        [tuple(tensor.shape) for tensor in node.outputs],
    )  # fmt: skip
    return _told(rule_of(layer)(call), layer, wiring)


def expected(file):
    """Name -> lines, of a file of such texts, each below its name."""
    texts = re.split(r"^## ", Path(__file__).with_name(file).read_text(), flags=re.MULTILINE)[1:]
    return {name: lines for name, *lines in (text.strip().splitlines() for text in texts)}


def _told(outputs, layer, wiring):
    names = {id(weight): _name(weight.path) for weight in getattr(layer, "weights", ())}
    lines = [f"out {i}: {_axes(axes)}".rstrip() for i, axes in enumerate(outputs)]
    lines += [f"{names[weight]}: {_axes(axes)}".rstrip() for weight, axes in wiring.axes.items()]
    for sizes in wiring.sizes.values():
        lines += [f"{key} = {_axes(size) if isinstance(size, tuple) else _ids(size)}" for key, size in sizes.items()]
    for (_, kind), producer in wiring.producers.items():
        assert (kind, producer.layer, producer.name) == (producer.kind, getattr(layer, "layer", layer), "x")
        kernels = ", ".join(f"{names[id(kernel)]} {axis}" for kernel, axis in producer.kernels)
        lines.append(f"makes {kind} {_ids(producer.ids)} by {kernels}")
    lines += [f"{_ids(one)} with {_ids(other)}" for one, other in wiring.channels._tied]
    lines += [f"{_ids(ids)} stay: {why}" for ids, why in wiring.channels._kept]
    return lines


def _name(path):
    """Without the names and numbers that Keras gives out."""
    *layers, weight = re.sub(r"_\d+", "", path).split("/")
    which = [layer.partition("_")[0] + " " for layer in layers if layer.startswith(("forward_", "backward_"))]
    which += [layer + " " for layer in layers if layer in {"query", "key", "value", "attention_output"}]
    return "".join([*which, weight])


def _axes(axes):
    return ", ".join(map(_ids, axes))


def _ids(ids):
    if not isinstance(ids, np.ndarray):
        return "-" if ids is None else str(ids)
    for times in range(len(ids) // 2, 1, -1):
        part = ids[: len(ids) // times]
        if len(part) > 1 and np.array_equal(np.tile(part, times), ids):
            return f"{times} x {_ids(part)}"
    if len(ids) > 1 and (np.diff(ids) == 1).all():
        return f"{ids[0]}..{ids[-1]}"
    return " ".join(map(str, ids))
