"""Detectors in ONNX that answer what their rows say, a little off, and labels of what is in the pictures."""

import json

import numpy as np

PICTURE = (200, 100)
SIZE = np.array([*PICTURE, *PICTURE], np.float32)
FREE = 4  # slots of a row that hold no box


def write_copies(path, shapes, factor=1.0):
    """An output for each input, called out_NAME; those called boxes... are scaled by `factor`."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, ins, outs = [], [], []
    for name, shape in shapes.items():
        nodes.append(helper.make_node("Mul", [name, "factor" if name.startswith("boxes") else "one"], [f"out_{name}"]))
        ins.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape]))
        outs.append(helper.make_tensor_value_info(f"out_{name}", TensorProto.FLOAT, ["n", *shape]))
    held = [
        numpy_helper.from_array(np.array(each, np.float32), name) for each, name in ((factor, "factor"), (1, "one"))
    ]
    graph = helper.make_graph(nodes, "g", ins, outs, held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def drawn(rows=40, classes=3, seed=0):
    """Return labels (rows, n, 5), x y width height in pixels and class, filled up with -1; and what a detector finds: corners as shares
    (rows, n + 1, 4), classes and scores (rows, n + 1), the last slot of a row unused.
    """
    random, most = np.random.default_rng(seed), 3
    labels = np.full((rows, most, 5), -1.0)
    boxes, kinds, scores = (np.zeros((rows, most + 1, *more)) for more in ((4,), (), ()))
    for row in range(rows):
        for slot in range(random.integers(1, most + 1)):
            corner = random.uniform(0, 0.5, 2) * PICTURE
            size = random.uniform(0.2, 0.45, 2) * PICTURE
            labels[row, slot] = [*corner, *size, random.integers(0, classes)]
            boxes[row, slot] = np.concatenate([corner, corner + size]) / SIZE + random.normal(0, 0.01, 4)
            kinds[row, slot] = labels[row, slot, 4] if random.random() < 0.9 else random.integers(0, classes)
            scores[row, slot] = random.uniform(0.3, 1)
    return labels, boxes.astype("float32"), kinds.astype("float32"), scores.astype("float32")


def coco(labels, path, first=1, **more):
    """Write labels in pixels of PICTURE as a COCO file, whose ids are 0 for the first annotation and in no order for images."""
    images = [{"id": 7 * (len(labels) - row), "width": PICTURE[0], "height": PICTURE[1]} for row in range(len(labels))]
    annotations = [
        {"id": number, "image_id": images[row]["id"], "category_id": int(labels[row, box, 4]) + first, "bbox": labels[row, box, :4].tolist()}
        for number, (row, box) in enumerate(np.argwhere(labels[..., 4] >= 0).tolist())
    ]  # fmt: skip
    content = {"images": images, "annotations": annotations, "categories": [{"id": first + each} for each in range(3)]}
    path.write_text(json.dumps(content | more))
