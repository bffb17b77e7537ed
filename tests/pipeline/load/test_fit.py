"""Rows, constants, shapes and states of a plan come to the inputs of a model by name, and what does not fit is named."""

import io

import msgspec
import numpy as np
import pytest

from pipeline.errors import DataError, PlanError
from pipeline.load import fit
from pipeline.records import Column, Data, Rows, TensorSpec
from pipeline.store import Store
from tests.support.loaded import request

X = TensorSpec(name="x", shape=(None, 4), dtype="float32")
TWO = (X, TensorSpec(name="tokens", shape=(1, None), dtype="int32"))
STATE = (X, TensorSpec(name="h", shape=(2, 1, 8), dtype="float32"))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "state")


def column(store, name, array):
    file = io.BytesIO()
    np.save(file, array)
    return Column(
        name=name, artifact=store.put_bytes(file.getvalue(), "npy"), shape=array.shape[1:], dtype=array.dtype.name
    )


def rows(store, *, y=None, **arrays):
    columns = tuple(column(store, name, array) for name, array in arrays.items())
    labels = None if y is None else column(store, "y", y).artifact
    return Rows(inputs=columns, y=labels, rows=len(next(iter(arrays.values()))))


def fitted(store, inputs, evaluation=None, **told):
    return fit.fitted(request(Data(evaluation=evaluation), **told), inputs, store, lambda spec: spec.dtype)


def zeros(*shape, dtype="float32"):
    return np.zeros(shape, dtype)


def test_columns_go_by_name_in_the_order_of_the_inputs(store):
    data, inputs = fitted(store, TWO, rows(store, tokens=zeros(3, 7, dtype="int32"), x=zeros(3, 4)))
    assert [each.name for each in data.evaluation.inputs] == ["x", "tokens"]
    assert [each.fixed for each in inputs] == [(1, 4), (1, 7)]


def test_the_only_input_may_be_called_x(store):
    data, _ = fitted(store, (TensorSpec(name="images", shape=(None, 4), dtype="float32"),), rows(store, x=zeros(3, 4)))
    assert data.evaluation.inputs[0].name == "images"


def test_an_input_may_have_the_name_of_labels(store):
    inputs = (X, TensorSpec(name="y", shape=(None,), dtype="int32"))
    data, _ = fitted(store, inputs, rows(store, x=zeros(3, 4), y=np.arange(3)))
    assert data.evaluation.y is None
    assert [(each.name, each.dtype) for each in data.evaluation.inputs] == [("x", "float32"), ("y", "int32")]


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": zeros(3, 4)}, "the rows of data.evaluation lack the input 'tokens' of m.onnx"),
        (
            {"x": zeros(3, 4), "tokens": zeros(3, 7, dtype="int32"), "more": zeros(3, 1)},
            "the rows of data.evaluation have 'more', which m.onnx has no input for",
        ),
        ({"x": zeros(3, 5), "tokens": zeros(3, 7, dtype="int32")}, r"a row of data.evaluation has shape \(5,\).*takes \(4,\)"),
        ({"x": zeros(3, 4), "tokens": zeros(3, 7, dtype="int64")}, "are int64, but m.onnx's input 'tokens' takes int32"),
        ({"x": zeros(3, 2, 4), "tokens": zeros(3, 7, dtype="int32")}, r"a row of data.evaluation has shape \(2, 4\)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(store, arrays, said):
    with pytest.raises(DataError, match=said):
        fitted(store, TWO, rows(store, **arrays))


@pytest.mark.parametrize(("name", "hint"), [("x", "Give them as x."), ("image", "Give them as x, or as 'image'.")])
def test_the_name_of_an_only_input(store, name, hint):
    with pytest.raises(DataError, match=f"lack the input '{name}' of m.onnx, and have z") as caught:
        fitted(store, (TensorSpec(name=name, shape=(None, 4), dtype="float32"),), rows(store, z=zeros(3, 4)))
    assert caught.value.hint == hint


def test_a_row_of_several_is_taken_only_where_the_plan_says_so(store):
    data, (spec,) = fitted(store, (X,), rows(store, x=zeros(3, 2, 4)), shape={"x": (2, 4)})
    assert spec.fixed == (2, 4)
    assert data.evaluation.inputs[0].shape == (2, 4)


def test_a_constant_belongs_to_every_row(store):
    inputs = (X, TensorSpec(name="sr", shape=(), dtype="int64"))
    data, fixed = fitted(store, inputs, rows(store, x=zeros(3, 4)), constants={"sr": 16000})
    constant = data.evaluation.inputs[1]
    assert (constant.name, constant.constant, constant.shape, constant.dtype) == ("sr", True, (), "int64")
    assert np.load(store.path(constant.artifact)).tolist() == [16000]
    assert fixed[1].fixed == ()


@pytest.mark.parametrize("said", ["state", "constants"])
def test_rows_of_an_input_that_the_plan_fills_are_refused(store, said):
    given = {"state": {"h": "hn"}, "constants": {"h": 0}}[said]
    inputs = (X, TensorSpec(name="h", shape=(1,), dtype="float32"))
    with pytest.raises(DataError, match=rf"have 'h', and model\.{said} of the plan says what that input takes"):
        fitted(store, inputs, rows(store, x=zeros(3, 2, 4), h=zeros(3, 2, 1)), **{said: given})


def test_rows_that_are_no_sequences_are_told_what_a_sequence_is(store):
    with pytest.raises(
        DataError, match=r"a step of a row of data.evaluation has shape \(\), .* takes \(4,\)"
    ) as caught:
        fitted(store, (X,), rows(store, x=zeros(3, 4)), sequences=True)
    assert "(sequences, steps, ...)" in caught.value.hint


def test_rows_without_their_first_axis_are_told_of_batches(store):
    with pytest.raises(DataError, match=r"has shape \(\)") as caught:
        fitted(store, (X,), rows(store, x=zeros(3)))
    assert ".batch(32)" in caught.value.hint


def test_a_fixed_batch_is_not_made_of_one_row(store):
    """x[:, None] would have the shape (1, 4), which is wrong again."""
    inputs = (TensorSpec(name="x", shape=(8, 4), dtype="float32"),)
    with pytest.raises(DataError, match=r"has shape \(4,\), but m.onnx's input 'x' takes \(8, 4\)") as caught:
        fitted(store, inputs, rows(store, x=zeros(16, 4)))
    assert "x = x.reshape(-1, 8, *x.shape[1:])" in caught.value.hint
    x = zeros(16, 4)
    assert fitted(store, inputs, rows(store, x=x.reshape(-1, 8, *x.shape[1:])))
    with pytest.raises(DataError, match=r"has shape \(4, 5\)") as caught:
        fitted(store, (TensorSpec(name="x", shape=(None, 1, 4, 5), dtype="float32"),), rows(store, x=zeros(3, 4, 5)))
    assert "for other data x = x[:, None]" in caught.value.hint


@pytest.mark.parametrize(
    ("value", "spec", "said"),
    [
        (0.5, ("k", (), "int64"), r"'k' is 0.5, and the input of m.onnx takes int64"),
        (300, ("k", (), "uint8"), r"'k' is 300"),
        (1e300, ("k", (), "float32"), r"'k' is 1e\+300"),
        ([1, 2, 3], ("k", (2,), "int32"), r"has the shape \(3,\), and the input of m.onnx takes \(2,\)"),
        ([[1], [2, 3]], ("k", (2,), "int32"), "is not a number, nor an array of numbers"),
        (["a"], ("k", (1,), "int32"), "is not a number, nor an array of numbers"),
    ],
)
def test_constants_that_do_not_fit(store, value, spec, said):
    name, shape, dtype = spec
    with pytest.raises(PlanError, match=said):
        fitted(store, (X, TensorSpec(name=name, shape=shape, dtype=dtype)), constants={"k": value})


def test_a_state_has_no_rows_and_rows_are_sequences(store):
    data, inputs = fitted(store, STATE, rows(store, x=zeros(3, 9, 4)), state={"h": "hn"}, sequences=True)
    assert [each.name for each in data.evaluation.inputs] == ["x"]
    assert [each.fixed for each in inputs] == [(1, 4), (2, 1, 8)]


def test_sequences_of_different_lengths(store):
    with pytest.raises(DataError, match=r"different numbers of steps \(x: 9, tokens: 8\)"):
        fitted(store, TWO, rows(store, x=zeros(3, 9, 4), tokens=zeros(3, 8, 7, dtype="int32")), sequences=True)


@pytest.mark.parametrize(
    ("told", "kind", "said"),
    [
        ({"shape": {"x": (1, 5)}}, PlanError, r"model.shape: 'x' is \(1, 5\), and the file has \(any, 4\)"),
        ({"shape": {"tokens": (1, 6)}}, DataError, r"the input 'tokens' has the shape \(1, 6\) by model.shape, and \(1, 7\) by data.evaluation"),
    ],
)  # fmt: skip
def test_shapes_that_contradict_each_other(store, told, kind, said):
    with pytest.raises(kind, match=said):
        fitted(store, TWO, rows(store, x=zeros(3, 4), tokens=zeros(3, 7, dtype="int32")), **told)


def test_rows_without_a_value_are_taken_only_where_the_file_says_so(store):
    with pytest.raises(DataError, match=r"data.evaluation is empty: its tokens has shape \(3, 0\)"):
        fitted(store, TWO, rows(store, x=zeros(3, 4), tokens=zeros(3, 0, dtype="int32")))
    none = TensorSpec(name="x", shape=(1, 0), dtype="float32")
    data, _ = fitted(store, (none,), rows(store, x=zeros(3, 0)))
    assert data.evaluation.inputs[0].shape == (0,)


def test_an_open_axis_without_rows_has_no_length(store):
    _, inputs = fitted(store, TWO)
    assert [each.fixed for each in inputs] == [(1, 4), None]


def test_raw_rows_are_of_the_type_that_the_file_holds(store):
    spec = TensorSpec(name="x", shape=(1, 4), dtype="int8")
    with pytest.raises(
        DataError, match=r"data.raw is true, and the rows of data.evaluation for the input 'x' are float32, not int8"
    ):
        fitted(store, (spec,), rows(store, x=zeros(3, 4)), raw=True)
    fitted(store, (spec,), rows(store, x=zeros(3, 4, dtype="int8")), raw=True)


def test_double_rows_become_float32_but_for_models_that_take_double(store):
    data, _ = fitted(store, (X,), rows(store, x=zeros(3, 4, dtype="float64")))
    assert data.evaluation.inputs[0].dtype == "float32"
    double = (TensorSpec(name="x", shape=(None, 4), dtype="float64"),)
    data, _ = fitted(store, double, rows(store, x=zeros(3, 4, dtype="float64")))
    assert data.evaluation.inputs[0].dtype == "float64"


def test_an_input_called_y_may_have_an_axis_of_one(store):
    inputs = (X, TensorSpec(name="y", shape=(None, 1), dtype="int32"))
    data, fixed = fitted(store, inputs, rows(store, x=zeros(3, 4), y=np.arange(3)))
    kept = data.evaluation.inputs[1]
    assert (kept.shape, kept.dtype, fixed[1].fixed) == ((1,), "int32", (1, 1))
    assert np.load(store.path(kept.artifact)).tolist() == [[0], [1], [2]]


@pytest.mark.parametrize(("raw", "kept"), [(False, ("float32", 0.5)), (True, ("int8", 3))])
def test_a_constant_of_a_quantized_input_is_a_real_value_as_rows_are(store, raw, kept):
    inputs = (TensorSpec(name="x", shape=(1, 4), dtype="int8"), TensorSpec(name="k", shape=(1,), dtype="int8"))
    given = rows(store, x=zeros(3, 4, dtype="int8" if raw else "float32"))
    told = request(Data(evaluation=given), constants={"k": kept[1]}, raw=raw)
    told = msgspec.structs.replace(told, format="tflite")
    data, _ = fit.fitted(told, inputs, store, lambda _: "float32")
    constant = data.evaluation.inputs[1]
    assert (constant.dtype, np.load(store.path(constant.artifact)).item()) == kept


def test_what_float16_cannot_hold_is_said(store):
    spec = TensorSpec(name="x", shape=(None, 1), dtype="float16")
    data, _ = fitted(store, (spec,), rows(store, x=np.full((2, 1), 6e4, np.float32)))
    assert data.evaluation.inputs[0].dtype == "float16"
    with pytest.raises(DataError, match=r"1 of 2 rows hold numbers beyond float16, which this input takes; .* row 1"):
        fitted(store, (spec,), rows(store, x=np.array([[1], [1e6]], np.float32)))
