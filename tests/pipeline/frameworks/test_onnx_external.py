"""ONNX models with weights in other files: packed into one that answers the same, or refused in one sentence."""

import os
import random

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.frameworks import onnx_external, protobuf
from pipeline.frameworks.onnx_external import packed
from pipeline.load import onnx_model

pytestmark = pytest.mark.frameworks
ROW = np.random.default_rng(5).normal(size=(3, 4)).astype(np.float32)


def model(seed=0, *, dtype=np.float32):
    """Weights in the graph, in a branch of an If, in a Constant node and in a function."""
    from onnx import TensorProto, helper, numpy_helper

    generator = np.random.default_rng(seed)

    def weights(name, *shape):
        return numpy_helper.from_array(generator.normal(size=shape).astype(dtype), name)

    info = helper.make_tensor_value_info
    branches = {
        f"{kind}_branch": helper.make_graph(
            [helper.make_node("MatMul", ["h", kind], [f"{kind}_out"])], kind, [],
            [info(f"{kind}_out", TensorProto.FLOAT, ["N", 4])], [weights(kind, 4, 4)],
        ) for kind in ("then", "else")
    }  # fmt: skip
    inner = [
        helper.make_node("Constant", [], ["w"], value=weights("in_function", 4, 2)),
        helper.make_node("MatMul", ["a", "w"], ["b"]),
    ]
    function = helper.make_function("mine", "Last", ["a"], ["b"], inner, [helper.make_opsetid("", 17)])
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["xw"]),
        helper.make_node("Constant", [], ["bias"], value=weights("in_node", 4)),
        helper.make_node("Add", ["xw", "bias"], ["h"]),
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        helper.make_node("Greater", ["total", "zero"], ["on"]),
        helper.make_node("If", ["on"], ["z"], **branches),
        helper.make_node("Last", ["z"], ["y"], domain="mine"),
    ]
    graph = helper.make_graph(
        nodes, "g", [info("x", TensorProto.FLOAT, ["N", 4])], [info("y", TensorProto.FLOAT, ["N", 2])],
        [weights("first", 4, 4), numpy_helper.from_array(np.float32(0), "zero")],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    return helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=8)


def saved(folder, *, one_file=True, location="model.onnx.data", made=None):
    """As PyTorch's exporter writes it: model.onnx and model.onnx.data, or a file for each tensor."""
    import onnx

    path = folder / "model.onnx"
    onnx.save(
        made or model(), path, save_as_external_data=True, all_tensors_to_one_file=one_file,
        location=location if one_file else None, size_threshold=0, convert_attribute=True,
    )  # fmt: skip
    return path


def answers(source):
    """Row by row, as the pipeline asks: the branch is chosen by the whole input."""
    import onnxruntime

    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"x": row[None]})[0] for row in ROW])


@pytest.mark.parametrize("one_file", [True, False])
def test_one_file_answers_as_the_files_did(tmp_path, one_file):
    import onnx

    path = saved(tmp_path, one_file=one_file)
    assert len(list(tmp_path.iterdir())) == (2 if one_file else 7)
    data = packed(path.read_bytes(), path)
    assert np.array_equal(answers(data), answers(str(path)))
    assert np.array_equal(answers(data), answers(model().SerializeToString()))
    onnx.checker.check_model(data, full_check=True)
    onnx_model.check(data, "model.onnx")
    assert packed(data, path) == data


def test_a_file_without_others_stays_as_it_is(tmp_path):
    from onnx import helper

    made = model()
    helper.set_model_props(made, {"location": "here"})  # the word alone names no file
    data = made.SerializeToString()
    assert packed(data, tmp_path / "m.onnx") is data


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "int64", "bool", "complex64"])
def test_values_of_every_size_of_number(tmp_path, dtype):
    import onnx
    from onnx import helper, numpy_helper

    values = np.arange(15).reshape(3, 5).astype(dtype)
    output = helper.make_tensor_value_info("w", helper.np_dtype_to_tensor_dtype(values.dtype), (3, 5))
    graph = helper.make_graph([], "g", [], [output], [numpy_helper.from_array(values, "w")])
    path = saved(tmp_path, made=helper.make_model(graph))
    (tensor,) = onnx.load_from_string(packed(path.read_bytes(), path)).graph.initializer
    assert np.array_equal(numpy_helper.to_array(tensor), values)


def test_numbers_of_four_bits_share_bytes(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    weights = helper.make_tensor("w", TensorProto.INT4, (3, 3), range(-4, 5))
    graph = helper.make_graph([], "g", [], [helper.make_tensor_value_info("w", TensorProto.INT4, (3, 3))], [weights])
    path = saved(tmp_path, made=helper.make_model(graph))
    (tensor,) = onnx.load_from_string(packed(path.read_bytes(), path)).graph.initializer
    assert [int(each) for each in onnx.numpy_helper.to_array(tensor).ravel()] == list(range(-4, 5))


def test_loading_packs(empty):
    saved(empty.folder)
    np.savez(empty.folder / "e.npz", x=ROW)
    loaded, _ = empty.load('[model]\npath = "model.onnx"\n[data]\nevaluation = "e.npz"\n')
    outputs = np.load(empty.store.path(loaded.model.answers[0]))
    assert np.allclose(outputs, answers(str(empty.folder / "model.onnx")), atol=1e-6)
    assert loaded.model.artifact.size_bytes > (empty.folder / "model.onnx.data").stat().st_size


def renamed(path, **entries):
    """The model, with other entries for where its first tensor lies."""
    import onnx

    proto = onnx.load(path, load_external_data=False)
    for each in proto.graph.initializer[0].external_data:
        each.value = entries.pop(each.key, each.value)
    for key, value in entries.items():
        proto.graph.initializer[0].external_data.add(key=key, value=value)
    return proto.SerializeToString()


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("/etc/hostname", "'/etc/hostname', which is not in its folder"),
        ("../elsewhere.data", "which is not in its folder"),
        ("inner/../../elsewhere.data", "which is not in its folder"),
        ("", "which is not in its folder"),
        (".", "which is not in its folder"),
        ("gone.data", "'gone.data', and there is no such file next to it"),
        ("out.data", "a link that leads out of its folder"),
        ("folder_out/elsewhere.data", "a link that leads out of its folder"),
        ("loop.data", "which cannot be read"),
        ("a\0b", "which cannot be read"),
        ("x" * 5000, "which cannot be read: File name too long"),
        ("pipe", "which is not an ordinary file"),
        ("folder", "which is not an ordinary file|which cannot be read"),
        ("zero.data", "a link that leads out of its folder"),
    ],
)
def test_other_files_than_those_next_to_it_are_refused(tmp_path, location, says):
    home = tmp_path / "home"
    (home / "folder").mkdir(parents=True)
    (tmp_path / "elsewhere.data").write_bytes(bytes(1000))
    (home / "out.data").symlink_to(tmp_path / "elsewhere.data")
    (home / "folder_out").symlink_to(tmp_path)
    (home / "loop.data").symlink_to(home / "loop.data")
    (home / "zero.data").symlink_to("/dev/zero")
    os.mkfifo(home / "pipe")
    path = saved(home)
    with pytest.raises(ModelError, match=rf"model\.onnx keeps its weights \('first'\) in .*({says})") as caught:
        packed(renamed(path, location=location), path)
    assert "Copy the model's files together" in caught.value.hint
    assert len(caught.value.message) < 500


def test_a_link_inside_the_folder_is_followed(tmp_path):
    path = saved(tmp_path)
    (tmp_path / "model.onnx.data").rename(tmp_path / "blob")
    (tmp_path / "model.onnx.data").symlink_to("blob")
    assert np.array_equal(answers(packed(path.read_bytes(), path)), answers(model().SerializeToString()))


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"offset": "999999"}, "'model.onnx.data' next to model.onnx ends too early: 'first' needs bytes 999,999 to 1,000,063"),
        ({"offset": "-4"}, "the offset of 'first' in model.onnx is not a number of bytes: '-4'"),
        ({"length": "6.0"}, "the length of 'first' in model.onnx is not a number of bytes"),
        ({"length": "\u0663"}, "is not a number of bytes"),
        ({"offset": "9" * 500}, "is not a number of bytes"),
        ({"length": "60"}, "'first' of model.onnx needs 64 bytes by its shape, and 60 are named"),
    ],
)  # fmt: skip
def test_parts_that_are_not_there(tmp_path, entries, says):
    path = saved(tmp_path)
    with pytest.raises(ModelError, match=says):
        packed(renamed(path, **entries), path)


def test_a_place_that_is_said_twice(tmp_path):
    import onnx

    path = saved(tmp_path)
    proto = onnx.load(path, load_external_data=False)
    proto.graph.initializer[0].external_data.add(key="location", value="another.data")
    with pytest.raises(ModelError, match="says twice where the values of 'first' lie"):
        packed(proto.SerializeToString(), path)


def test_without_a_length_the_shape_tells(tmp_path):
    import onnx

    path = saved(tmp_path, one_file=False)
    proto = onnx.load(path, load_external_data=False)
    for each in proto.graph.initializer:
        kept = [entry for entry in each.external_data if entry.key == "location"]
        del each.external_data[:]
        each.external_data.extend(kept)
    assert np.array_equal(answers(packed(proto.SerializeToString(), path)), answers(str(path)))


@pytest.mark.parametrize(("dtype", "dims"), [(8, (4, 4)), (99, (4, 4)), (1, (1,) * 65)])
def test_what_cannot_lie_in_another_file(tmp_path, dtype, dims):
    import onnx

    path = saved(tmp_path)
    proto = onnx.load(path, load_external_data=False)
    proto.graph.initializer[0].data_type = dtype
    proto.graph.initializer[0].dims[:] = dims
    with pytest.raises(ModelError, match=rf"(its type \({dtype}\)|a shape of 65 axes) cannot lie there"):
        packed(proto.SerializeToString(), path)


def test_too_large_for_one_file(tmp_path):
    """3 GiB of which nothing is stored: it is refused before anything is read."""
    import onnx

    path = saved(tmp_path)
    proto = onnx.load(path, load_external_data=False)
    proto.graph.initializer[0].dims[:] = [3 * 2**28]
    next(each for each in proto.graph.initializer[0].external_data if each.key == "length").value = str(3 * 2**30)
    os.truncate(tmp_path / "model.onnx.data", 4 * 2**30)
    with pytest.raises(
        ModelError, match=r"model\.onnx has 3.00 GiB with the files next to it, .* can have 2.00 GiB"
    ) as caught:
        packed(proto.SerializeToString(), path)
    assert "float16" in caught.value.hint


def test_too_large_for_the_memory(tmp_path):
    path = saved(tmp_path)
    with pytest.raises(ModelError, match=r"model\.onnx with the files next to it has .* is the most that is read"):
        packed(path.read_bytes(), path, of_bytes=1000)


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    (tmp_path / "short").write_bytes(b"abc")
    with (tmp_path / "short").open("rb") as file, pytest.raises(ModelError, match="became shorter while it was read"):
        onnx_external._read(file.fileno(), onnx_external.Region("w", "short", 0, 8), "m.onnx")


def test_messages_without_an_end(tmp_path):
    """A graph in an attribute in a node in a graph, deeper than protobuf goes: left to the reader of the model."""
    data = b"location"
    for _ in range(200):
        for number in (1, 5, 6):
            data = protobuf.encoded(number << 3 | protobuf.BYTES) + protobuf.encoded(len(data)) + data
    data = protobuf.encoded(7 << 3 | protobuf.BYTES) + protobuf.encoded(len(data)) + data
    assert packed(data, tmp_path / "m.onnx") is data


def test_more_parts_than_any_model(tmp_path, monkeypatch):
    path = saved(tmp_path)
    monkeypatch.setattr(onnx_external, "MOST_FIELDS", 20)
    assert packed(path.read_bytes(), path) == path.read_bytes()


def test_damaged_models_are_packed_refused_or_left(tmp_path, share):
    """Bytes are changed and cut off at random: never another error, and nothing from another folder."""
    path = saved(tmp_path)
    source, generator = path.read_bytes(), random.Random(3)
    longest = 0
    for _ in range(share(2_000, 50_000)):
        data = bytearray(source)
        for _ in range(generator.choice([1, 1, 3, 30])):
            data[generator.randrange(len(data))] = generator.randrange(256)
        if generator.random() < 0.2:
            del data[generator.randrange(len(data)) :]
        try:
            packed(bytes(data), path)
        except ModelError as error:
            longest = max(longest, len(error.message))
    assert 50 < longest < 600
