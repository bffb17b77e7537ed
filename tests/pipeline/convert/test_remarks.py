"""What converters say: hints follow from the model's own layers, and of an int8 file what it cannot do."""

import numpy as np
import pytest

from pipeline import child, convert
from pipeline.convert import advice, conversion, remarks
from pipeline.errors import ModelError, StageError
from pipeline.progress import Silent
from tests.support.tiny_model import through

pytestmark = pytest.mark.frameworks


def model_of(*layers, shape=(8, 8, 3)):
    import keras

    return keras.Sequential([keras.Input(shape), *layers])


@pytest.mark.parametrize("tried", [name for name in convert.CONVERTERS if name != "onnx-int8"])
def test_what_has_just_failed_is_not_what_to_try_next(tried):
    import keras

    hint = advice.for_model(model_of(keras.layers.Dense(2)), tried)
    assert tried not in hint
    assert ("ONNX formats" in hint) == tried.startswith("tflite")


def test_layers_that_are_to_blame():
    import keras
    from keras import layers

    assert "RandomFlip 'flip'" in advice.for_model(
        model_of(layers.RandomFlip(name="flip"), layers.Dense(2)), "tflite-fp32"
    )
    half = model_of(layers.Dense(2, dtype="mixed_float16", name="half"))
    assert advice.for_model(half, "tflite-fp32").startswith("Dense 'half' computes in float16")
    image = keras.Input((4, 4, 2))
    ends = keras.Model(image, keras.ops.argmax(layers.Conv2D(3, 1)(image), axis=-1))
    assert "It ends in Argmax" in advice.for_model(ends, "onnx-fp32")
    inside = model_of(layers.Dense(3), model_of(layers.RandomZoom(0.1, name="zoom")))
    assert "RandomZoom 'zoom'" in advice.for_model(inside, "tflite-int8")


def test_layers_that_run_as_a_loop():
    from keras import layers

    def gru(**settings):
        return model_of(layers.GRU(3, name="gru", **settings), shape=(6, 4))

    assert advice.loops(gru()) == "GRU 'gru'"
    assert advice.loops(gru(unroll=True)) == ""
    assert advice.loops(model_of(layers.Bidirectional(layers.LSTM(3)), shape=(6, 4))).startswith("LSTM 'forward_")
    assert advice.loops(model_of(layers.Dense(3))) == ""


def test_a_crash_names_the_loop_and_the_way_out():
    crashed = convert._crashed("tflite-int8")
    assert "unroll=True" in crashed
    assert convert._crashed("onnx-fp32") == convert._crashed("tflite") == child.CRASHED


def test_a_file_that_the_converter_made_is_not_called_damaged(tmp_path):
    (tmp_path / "made").write_bytes(b"\x08\x08\x3a\x03abc")
    with pytest.raises(
        StageError, match="the converter made a file that cannot be opened: ONNX Runtime cannot open it"
    ) as caught:
        conversion._open(None, tmp_path / "made", "onnx", "it", made=True)
    assert "damaged" not in caught.value.hint
    with pytest.raises(ModelError):
        conversion._open(None, tmp_path / "made", "onnx", "it", made=False)


# --- ONNX


def onnx_project(empty, nodes, constants, *, opset=17, width=12, rows=80):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    info = helper.make_tensor_value_info
    tensors = [numpy_helper.from_array(np.asarray(values, np.float32), name) for name, values in constants.items()]
    graph = helper.make_graph(
        [helper.make_node(*each[:3], **(each[3] if len(each) > 3 else {})) for each in nodes], "g",
        [info("x", TensorProto.FLOAT, ["N", *np.atleast_1d(width).tolist()])], [info("y", TensorProto.FLOAT, None)], tensors,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 6
    onnx.save(model, empty.folder / "m.onnx")
    x = np.random.default_rng(0).normal(size=(rows, *np.atleast_1d(width))).astype(np.float32)
    np.savez(empty.folder / "c.npz", x=x[: rows // 2])
    np.savez(empty.folder / "e.npz", x=x[rows // 2 :])
    return '[model]\npath = "m.onnx"\n[data]\ncalibration = "c.npz"\nevaluation = "e.npz"\n[convert]\nformats = ["onnx-int8"]\n'


def two_layers(generator):
    nodes = [("Gemm", ["x", "w1"], ["h"]), ("Relu", ["h"], ["r"]), ("Gemm", ["r", "w2"], ["y"])]
    return nodes, {"w1": generator.normal(size=(12, 16)), "w2": generator.normal(size=(16, 4))}


def test_an_old_opset_is_raised(empty):
    """Below 13 QuantizeLinear has no axis, and the quantizer made a file that nothing could open."""
    text = onnx_project(empty, *two_layers(np.random.default_rng(1)), opset=11)
    int8, _ = through(empty, text).converted
    assert int8.agreement.error_rms < 0.1 * int8.agreement.spread


class Heard(Silent):
    def __init__(self):
        self.said = []

    def say(self, sentence):
        self.said.append(sentence)


def converted(empty, text):
    heard = Heard()
    the_plan = empty.plan(text)
    made = through(empty, text)
    again, cached = convert.convert(made.loaded, made.compressed, the_plan, empty.store, heard)
    assert cached  # what is said is kept with the answer
    assert again == made.converted
    return heard.said


def test_answers_beyond_what_the_calibration_rows_showed_are_counted(empty):
    text = onnx_project(empty, *two_layers(np.random.default_rng(1)))
    x = np.load(empty.folder / "e.npz")["x"]
    x[:3] *= 50
    np.savez(empty.folder / "e.npz", x=x)
    said = next(each for each in converted(empty, text) if "evaluation rows" in each)
    assert said.startswith(
        "original onnx-int8: for 3 of 40 evaluation rows the answer lies beyond the range that the calibration rows showed, "
    )


def test_a_range_that_is_reached_is_not_spoken_of():
    source = np.linspace(-1, 1, 50, dtype=np.float32).reshape(25, 2)
    assert remarks._clipped((-1.0, 0.97), source, source) == ()  # 0.03 beyond of 1.97: within five steps of 255
    assert "for 1 of 25 evaluation rows" in remarks._clipped((-1.0, 0.9), source, source)[0]
    assert "of the output 'y'" in remarks._clipped((-1.0, 0.9), source, source, "y")[0]
    assert remarks._clipped(None, source, source) == ()


def test_weights_that_stay_in_floating_point_are_said(empty):
    generator, hidden = np.random.default_rng(1), 16
    nodes = [
        ("Transpose", ["x"], ["xt"], {"perm": [1, 0, 2]}),
        ("LSTM", ["xt", "w", "r"], ["all", "last", ""], {"hidden_size": hidden}),
        ("Squeeze", ["last"], ["h"]),
        ("MatMul", ["h", "out"], ["y"]),
    ]
    constants = {
        "w": generator.normal(size=(1, 4 * hidden, 3)), "r": generator.normal(size=(1, 4 * hidden, hidden)),
        "out": generator.normal(size=(hidden, 2)),
    }  # fmt: skip
    said = " ".join(converted(empty, onnx_project(empty, nodes, constants, width=(5, 3))))
    assert "original onnx-int8: 4.75 KiB of its 4.7" in said
    assert "stayed in floating point, those of LSTM" in said


def test_children_work_in_their_scratch_folders(empty, monkeypatch):
    """ONNX Runtime leaves sym_shape_infer_temp.onnx and a .data file in the working folder where its shapes are incomplete."""
    run, folders = child.run, {}

    def recorded(function, argument, *rest, **options):
        folders[f"{function.__module__}:{function.__name__}"] = (options.get("folder"), argument.scratch)
        return run(function, argument, *rest, **options)

    monkeypatch.setattr(child, "run", recorded)
    through(empty, onnx_project(empty, *two_layers(np.random.default_rng(1))))
    assert folders.pop("pipeline.load.data:read_all")[0] is None  # a function of the user's has files of its own
    assert set(folders) == {"pipeline.load.onnx_model:read", "pipeline.convert.conversion:work"}
    assert all(folder == scratch for folder, scratch in folders.values())
