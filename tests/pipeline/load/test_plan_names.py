"""Names of inputs and outputs in [model]: what is not there, and what a plan should say instead."""

import pytest

from pipeline.errors import PlanError
from pipeline.load import fit
from pipeline.load.plan_names import check_names
from pipeline.records import TensorSpec
from tests.support.loaded import request

X = TensorSpec(name="x", shape=(None, 4), dtype="float32")
STATE = (X, TensorSpec(name="h", shape=(2, 1, 8), dtype="float32"))
OUTPUTS = (
    TensorSpec(name="y", shape=(1, 3), dtype="float32"),
    TensorSpec(name="hn", shape=(2, 1, 8), dtype="float32"),
)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"constants": {"k": 1}}, "model.constants: m.onnx has no input 'k'"),
        ({"shape": {"k": (1,)}}, "model.shape: m.onnx has no input 'k'"),
        ({"state": {"g": "hn"}}, "model.state: m.onnx has no input 'g'"),
        ({"state": {"h": "hm"}}, "model.state: m.onnx has no output 'hm'"),
        ({"state": {"h": "y"}}, r"takes float32 \(2, 1, 8\), and the output 'y' is float32 \(1, 3\)"),
        ({"state": {"h": "hn"}, "constants": {"h": 1}}, "both name 'h'"),
        ({"state": {"h": "hn", "x": "hn"}}, "takes float32"),
    ],
)
def test_names_that_are_not_there(told, said):
    with pytest.raises(PlanError, match=said):
        check_names(request(**told), STATE, OUTPUTS)


@pytest.mark.parametrize("state", [{"g": "hn"}, {"h": "hm"}, {"hn": "h"}, {"h": "y"}, {"x": "hn"}], ids=str)
def test_a_wrong_pair_is_told_the_form_of_one_in_the_names_of_the_model(state):
    with pytest.raises(PlanError, match=r"model\.state: ") as caught:
        check_names(request(state=state), STATE, OUTPUTS)
    assert 'state = { "h" = "hn" }' in caught.value.hint


def test_a_pair_of_a_model_without_a_state_has_words_for_names():
    with pytest.raises(PlanError) as caught:
        check_names(request(state={"h": "y"}), (X,), OUTPUTS[:1])
    assert 'state = { "input" = "output" }' in caught.value.hint


def test_a_state_may_have_no_length(store):
    """An axis of 0 is one that the file says, and not one that it leaves open."""
    inputs = (X, TensorSpec(name="h", shape=(1, 0), dtype="float32"))
    told = request(state={"h": "hn"}, sequences=True)
    check_names(told, inputs, (TensorSpec(name="hn", shape=(1, 0), dtype="float32"),))
    _, fixed = fit.fitted(told, inputs, store, lambda spec: spec.dtype)
    assert [each.fixed for each in fixed] == [(1, 4), (1, 0)]


def test_an_open_state_is_told_the_key_to_write():
    """It is the plan that lacks it: not the file is wrong, which exit code 5 would say."""
    inputs = (X, TensorSpec(name="h", shape=(2, None, 8), dtype="float32"))
    with pytest.raises(PlanError, match=r"model\.state: the input 'h' of m\.onnx is \(2, any, 8\)") as caught:
        check_names(request(state={"h": "hn"}), inputs, OUTPUTS)
    assert caught.value.exit_code == 2
    assert 'shape = { "h" = [2, ..., 8] }' in caught.value.hint
    check_names(request(state={"h": "hn"}, shape={"h": (2, 1, 8)}), inputs, OUTPUTS)
