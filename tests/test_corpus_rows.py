"""The corpus's rows as a plan takes them, and what the plain library answers."""

import numpy as np
import pytest

from benchmarks._support.corpus import backend, plain, plain_process, product, rows
from benchmarks._support.corpus.cases import Case
from benchmarks._support.corpus.libraries import NotTensors, Spec

X = Spec("x", (1, 3), "float32")


# --- rows


def test_a_row_lacks_a_first_axis_of_one_and_is_else_the_whole_tensor():
    drawn = [{"x": np.ones((1, 3), np.float32), "h": np.zeros((2, 4)), "n": np.array(7)}] * 2
    given = rows.as_data(drawn, [X, Spec("h", (2, 4), "float64"), Spec("n", (), "int64")])
    assert {name: each.shape for name, each in given.members.items()} == {"x": (2, 3), "h": (2, 2, 4), "n": (2,)}
    assert given.model == {}


def test_a_plan_says_how_many_rows_one_inference_takes_of_an_open_axis():
    drawn = [{"a": np.ones((2, 3), np.float32), "b": np.ones((1, 3), np.float32)}] * 2
    given = rows.as_data(drawn, [Spec("a", (None, 3), "float32"), Spec("b", (None, 3), "float32")])
    assert {name: each.shape for name, each in given.members.items()} == {"a": (2, 2, 3), "b": (2, 3)}
    assert given.model == {"shape": {"a": [2, 3]}}


def test_states_and_constants_have_no_rows_and_rows_are_sequences():
    step = {"input": np.ones((1, 512), np.float32), "state": np.zeros((2, 1, 128), np.float32), "sr": np.array(16000)}
    specs = [Spec("input", (None, None), "float32"), Spec("state", (2, None, 128), "float32"), Spec("sr", (), "int64")]
    given = rows.as_data([step] * 6, specs, steps=3, state={"state": "stateN"}, constants={"sr": 16000})
    assert {name: each.shape for name, each in given.members.items()} == {"x": (2, 3, 512)}
    assert given.model == {"constants": {"sr": 16000}, "shape": {"state": [2, 1, 128]}, "state": {"state": "stateN"}}
    assert rows.as_data([step] * 6, specs[:1], steps=3).model == {"sequences": True}


def test_a_plan_names_what_no_row_has():
    assert (
        product._toml({"a/b:0": [1, 2], "q": {"n": 16000}, "on": True})
        == '{ "a/b:0" = [1, 2], "q" = { "n" = 16000 }, "on" = true }'
    )


def test_one_input_is_x_whatever_its_name_and_a_quantized_one_is_real_numbers():
    given = rows.as_data([{"q": np.array([[130]], np.uint8)}], [Spec("q", (1, 1), "uint8", 0.5, 128)])
    assert given.members["x"].tolist() == [[1.0]]


def test_names_that_numpy_keeps_for_itself_are_written(tmp_path):
    rows.write(tmp_path / "rows.npz", {"file": np.arange(3), "a/b:0": np.eye(2)})
    read = np.load(tmp_path / "rows.npz")
    assert read["file"].tolist() == [0, 1, 2]
    assert read["a/b:0"].shape == (2, 2)


def test_drawn_rows_are_the_same_each_time_and_smaller_where_a_model_takes_no_larger():
    tokens = Spec("tokens", (None, None), "int32")
    tried = list(rows.candidates("a/b", [tokens], 1))
    assert [each[0]["tokens"].shape[1] for each in tried[:4]] == [16, 16, 16, 32]
    assert [each[0]["tokens"].max() < highest for each, highest in zip(tried, rows.HIGHEST, strict=False)] == [True] * 3
    assert all(np.array_equal(a["tokens"], b["tokens"]) for a, b in zip(tried[0], next(rows.candidates("a/b", [tokens], 1)), strict=True))  # fmt: skip
    with pytest.raises(NotTensors):
        next(rows.candidates("a/b", [Spec("s", (1,), "str")], 1))


# --- the plain libraries


class Counter:
    """A model that adds what it is given to what it was, and keeps nothing itself."""

    outputs = "sum", "next"

    def run(self, row):
        total = row["kept"] + row["x"]
        return [total, total]


def test_a_stream_passes_the_state_on_from_zeros():
    steps = [{"x": np.array([number]), "kept": np.array([9])} for number in (1, 2, 3)]
    total, _ = plain_process._stream(Counter(), steps, {"kept": "next"})
    assert total.tolist() == [[1], [3], [6]]


def test_data_sets_of_other_shapes_are_left_out():
    notes = []
    given = [{"x": np.zeros(2)}, {"x": np.zeros(3)}, {"x": np.ones(2)}]
    kept, found = plain_process._of_one_shape(given, [["a"], ["b"], ["c"]], notes)
    assert (found, len(kept), notes) == ([["a"], ["c"]], 2, ["1 of its 3 data sets have other shapes and are left out"])


@pytest.mark.frameworks
def test_the_plain_library_answers_what_a_test_of_onnx_expects_and_refuses_a_damaged_file(tmp_path):
    onnx = pytest.importorskip("onnx")
    folder = tmp_path / "test"
    (folder / "test_data_set_0").mkdir(parents=True)
    helper, value = onnx.helper, onnx.helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["y"])], "g", [value("x", 1, [2, 3])], [value("y", 1, [2, 3])]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    given = np.arange(6, dtype=np.float32).reshape(2, 3)
    for name, values, described in (("input_0", given, graph.input[0]), ("output_0", -given, graph.output[0])):
        (folder / "test_data_set_0" / f"{name}.pb").write_bytes(backend._bytes(values, described))
    (tmp_path / "damaged.onnx").write_bytes(b"no model")
    process = plain.Process(tmp_path)
    found = plain.of(Case("g", "a", "onnx", folder / "model.onnx", given=folder), process, tmp_path)
    damaged = plain.of(Case("g", "b", "onnx", tmp_path / "damaged.onnx"), process, tmp_path)
    process.end()
    assert (found.said["rows"], found.said["outputs"], found.said["notes"]) == (1, ["y"], [])
    assert np.load(found.folder / "rows.npz")["x"].shape == (1, 2, 3)
    assert np.array_equal(np.load(found.folder / "reference.npz")["0/0"], -given)
    assert damaged.refused
