"""A .tflite file with the operator of SSDs: it says which output has what, where their values do not."""

import numpy as np
import pytest

from pipeline import load, plan
from pipeline.errors import DataError
from pipeline.progress import Silent
from pipeline.store import Store

pytestmark = pytest.mark.frameworks
CELLS, CLASSES, MOST = 64, 5, 10
MIDDLES = (np.mgrid[:8, :8].reshape(2, -1).T + 0.5) / 8  # y, x
OPTIONS = {
    "max_detections": ("i", MOST), "max_classes_per_detection": ("i", 1), "detections_per_class": ("i", 100),
    "use_regular_nms": ("b", "false"), "nms_score_threshold": ("f", 0.0), "nms_iou_threshold": ("f", 0.5), "y_scale": ("f", 10.0),
    "x_scale": ("f", 10.0), "h_scale": ("f", 5.0), "w_scale": ("f", 5.0), "num_classes": ("i", CLASSES),
}  # fmt: skip


def write_ssd(path):
    """An SSD of one box of 0.2 x 0.2 for each of 8 x 8 cells; its outputs have no names."""
    import tensorflow as tf

    told = " ".join(f'attr {{ key: "{key}" value {{ {kind}: {value} }} }}' for key, (kind, value) in OPTIONS.items())

    @tf.function(experimental_implements=f'name: "TFLite_Detection_PostProcess" {told}')
    def post(boxes, scores, anchors):
        del boxes, scores, anchors
        return tf.zeros((1, MOST, 4)), tf.zeros((1, MOST)), tf.zeros((1, MOST)), tf.zeros((1,))

    module, anchors = tf.Module(), np.concatenate([MIDDLES, np.full((CELLS, 2), 0.2)], axis=1).astype(np.float32)
    given = [tf.TensorSpec((1, CELLS, 4), name="codes"), tf.TensorSpec((1, CELLS, CLASSES + 1), name="scores")]
    module.call = tf.function(lambda codes, scores: post(codes * 1.0, scores * 1.0, tf.constant(anchors)), given)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.call.get_concrete_function()], module)
    converter.allow_custom_ops = True
    path.write_bytes(converter.convert())


def test_the_operator_says_it(tmp_path):
    """Classes are 0 and scores 1 everywhere: both are whole numbers."""
    write_ssd(tmp_path / "model.tflite")
    rows, cells = 6, np.arange(9, 15)
    scores = np.zeros((rows, CELLS, CLASSES + 1), np.float32)
    scores[np.arange(rows), cells, 1] = 1
    corners = MIDDLES[cells][:, ::-1] - 0.1
    labels = np.concatenate([corners, np.full((rows, 2), 0.2), np.zeros((rows, 1))], axis=1)[:, None]
    np.savez(tmp_path / "rows.npz", codes=np.zeros((rows, CELLS, 4), np.float32), scores=scores, labels=labels)
    task = '[task]\nkind = "detection"\nhead = "ssd"\n'
    text = f'[model]\npath = "model.tflite"\n[data]\nevaluation = "rows.npz"\n{task}'
    (tmp_path / "edge.toml").write_text(text)
    found = load.load(plan.read(tmp_path / "edge.toml"), Store(tmp_path / "state"), Silent())[0]
    assert found.model.qualities[0].value == pytest.approx(1)
    assert set(found.data.tasks[0].detector.outputs) == {"boxes", "classes", "scores", "count"}
    roles = found.data.tasks[0].detector.outputs
    (tmp_path / "edge.toml").write_text(
        f'{text}outputs = {{ boxes = "{roles["scores"]}", classes = "{roles["classes"]}", scores = "{roles["boxes"]}", count = "{roles["count"]}" }}\n'
    )
    with pytest.raises(DataError, match="cannot be the"):
        load.load(plan.read(tmp_path / "edge.toml"), Store(tmp_path / "state"), Silent())
