"""Files that are nearly a model: what is said of them is what they are."""

import zipfile

import numpy as np
import pytest

from pipeline import frameworks
from pipeline.errors import ModelError
from pipeline.frameworks import keras_archive
from pipeline.load import keras_model, onnx_model, tflite_model
from tests.support.hostile_files import hdf5, keras_file


@pytest.mark.parametrize("packed", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_python_unpacks_without_a_bound(tmp_path, packed):
    path = keras_file(tmp_path / "m.keras", hdf5(w={"shape": (3,), "dtype": "f4"}), packed)
    with pytest.raises(ModelError, match="packed in another way than Keras's"):
        keras_archive.check(path, "m.keras")


def test_weights_without_a_model(tmp_path):
    path = tmp_path / "m.h5"
    path.write_bytes(hdf5(w={"shape": (3,), "dtype": "f4"}))
    with pytest.raises(ModelError, match=r"m\.h5 holds weights alone") as caught:
        frameworks.open_keras(path)
    assert "model.load_weights" in caught.value.hint


def test_another_archive(tmp_path):
    """As PyTorch and many others write: it is whole, and no Keras model."""
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", b"")
    with pytest.raises(ModelError, match=r"a zip archive without a config\.json"):
        frameworks.open_keras(path)


def test_weights_of_a_function_in_a_second_file(tmp_path):
    """ONNX has functions beside its graph, whose constants may lie elsewhere, too."""
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(np.ones((4, 2), np.float32), "w")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../../etc/passwd")
    nodes = [helper.make_node("Constant", [], ["w"], value=weights), helper.make_node("MatMul", ["a", "w"], ["b"])]
    function = helper.make_function("mine", "Twice", ["a"], ["b"], nodes, [helper.make_opsetid("", 17)])
    graph = helper.make_graph(
        [helper.make_node("Twice", ["x"], ["y"], domain="mine")], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    model = helper.make_model(graph, functions=[function], opset_imports=opsets)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"keeps its weights in a second file, \.\./\.\./etc/passwd"):
        frameworks.onnx_proto(tmp_path / "m.onnx", "m.onnx")


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize("loader", [keras_model, onnx_model, tflite_model])
@pytest.mark.parametrize(
    ("content", "says", "hint"),
    [
        (b"", "it is empty", "Copy it again"),
        (LFS, "it is a pointer of Git LFS", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>404</html>", "it is a web page", "Download the file itself"),
        (b"\x1c\0\0\0TFL3\xff", "it is a .tflite file|first bytes", ".tflite"),
        (b"PK\x03\x04 and more", "it is a zip archive", "the ending .keras"),
        (b"\x89HDF\r\n\x1a\n", "it is an HDF5 file", "the ending .h5"),
    ],
)
def test_files_that_are_no_model(loader, content, says, hint):
    if loader is keras_model and content[:1] in (b"P", b"\x89"):
        return
    with pytest.raises(ModelError, match=f"m.x is not an? .* model: .*({says})") as caught:
        loader.check(content, "m.x")
    assert hint in caught.value.hint
