"""What a launch is given, and what it has read against what it was asked to, where no rule of validity looks: answers and operators."""

from types import SimpleNamespace

import pytest

from device_agent import wire
from device_agent.record import replace
from pipeline.errors import PlanError, StageError
from pipeline.measure.inputs import DeployedColumn, inputs_of, state_of
from pipeline.records import Artifact, Column, Converted, Data, Rows, TensorSpec
from tests.support.experiments import experiment_of
from tests.support.launched import CLEAN

MODEL, ROWS = "a" * 64, "b" * 64


def artifact(sha256, name="npy"):
    return Artifact(sha256=sha256, format=name, size_bytes=1)


def column(name, shape=(4,), *, constant=False):
    return Column(name=name, artifact=artifact(ROWS), shape=shape, dtype="float32", constant=constant)


def converted(inputs=(), outputs=(), **more):
    return Converted(
        variant="original", format="onnx-fp32", artifact=artifact(MODEL, "onnx"), agreement=None,
        inputs=tuple(TensorSpec(name=name, shape=shape, dtype="float32", tensor=f"t/{name}", fixed=fixed) for name, shape, fixed in inputs),
        outputs=tuple(TensorSpec(name=name, shape=(1, 2), dtype="float32", tensor=f"t/{name}") for name in outputs), **more,
    )  # fmt: skip


def fed(one, *columns):
    """(tensor, shape, whether it has rows, constant) of each input."""
    found = inputs_of(one, {each.name: DeployedColumn(each, ROWS) for each in columns})
    return [(each.tensor, each.shape, bool(each.sha256), each.constant) for each in found]


CANDIDATE = SimpleNamespace(converted=converted([("x", (1, 4), None)]))
WITH_ROWS = SimpleNamespace(evaluation=(SimpleNamespace(artifact=artifact(ROWS)),))
WITHOUT = SimpleNamespace(evaluation=())
DATA = Data(evaluation=Rows(inputs=(column("x"),), y=None, rows=3))


@pytest.mark.parametrize(
    ("model", "inputs", "deployment", "same"),
    [
        (MODEL, (ROWS,), WITH_ROWS, True),
        (MODEL, (), WITHOUT, True),
        (ROWS, (ROWS,), WITH_ROWS, False),
        ("", (ROWS,), WITH_ROWS, False),
        (MODEL, (MODEL,), WITH_ROWS, False),
        (MODEL, ("",), WITH_ROWS, False),
        (MODEL, (ROWS,), WITHOUT, False),
    ],
)
def test_answers_of_another_file_are_those_of_a_launch_that_failed(model, inputs, deployment, same):
    answer = replace(CLEAN, model_sha256=model, inputs_sha256=inputs)
    data = DATA if deployment.evaluation else Data()
    found = experiment_of(deployment=deployment, data=data).as_expected(answer, CANDIDATE)
    if same:
        assert found is answer
    else:
        assert isinstance(found, wire.LaunchFailed)
        assert (found.error, found.index) == ("another file", answer.index)


def test_a_launch_that_failed_and_one_that_nobody_asked_for_stay_as_they_are():
    failed = wire.LaunchFailed(1, 0, "load", "exit", "")
    experiment = experiment_of(deployment=WITH_ROWS, data=DATA)
    assert experiment.as_expected(failed, CANDIDATE) is failed
    assert experiment.as_expected(None, CANDIDATE) is None


# --- what each input is fed with


def test_columns_come_to_the_tensors_of_their_names():
    one = converted([("b", (1, 2), None), ("a", (1, 4), None)])
    assert fed(one, column("a"), column("b")) == [("t/b", (), True, False), ("t/a", (), True, False)]
    assert fed(one, column("a")) == [("t/a", (), True, False)]  # b: zeros
    assert fed(one, column("a"), column("b", constant=True))[0] == ("t/b", (), True, True)
    assert fed(one) == []


@pytest.mark.parametrize(
    ("shape", "fixed", "given", "sent"),
    [
        ((None, 4), (1, 4), None, (1, 4)),
        ((None, 4), None, None, (1, 4)),
        ((None, None), (1, 7), None, (1, 7)),
        ((1, None), None, (7,), (1, 7)),
        ((None, None), None, (2, 7), (2, 7)),
        (None, None, (2, 7), (2, 7)),
        ((None,), None, (7,), (7,)),
    ],
)
def test_open_axes_are_fixed_by_the_host(shape, fixed, given, sent):
    columns = [column("x", given)] if given else []
    ((_, found, has_rows, _),) = fed(converted([("x", shape, fixed)]), *columns)
    assert (found, has_rows) == (sent, bool(given))


def test_a_step_of_a_sequence_says_how_long_an_axis_is():
    one = converted([("x", (None, None), None), ("c", (None, None), None)], sequences=True)
    found = fed(one, column("x", (9, 512)), column("c", (3,), constant=True))
    assert [shape for _, shape, *_ in found] == [(1, 512), (1, 3)]


def test_an_axis_whose_length_nothing_says_is_refused():
    with pytest.raises(
        PlanError, match=r"nothing says how long the open axes of the input 'x' \(1, any\) of"
    ) as caught:
        fed(converted([("x", (1, None), None)]))
    assert '[model] shape = { "x" = [...] }' in caught.value.hint


def test_state_has_no_rows_but_a_shape_where_axes_are_open():
    one = converted([("x", (1, 4), None), ("h", (2, None, 8), (2, 1, 8))], ["y", "hn"], state=(("h", "hn"),))
    assert fed(one, column("x")) == [("t/x", (), True, False), ("t/h", (2, 1, 8), False, False)]
    assert state_of(one) == (("t/h", "t/hn"),)


def test_of_a_file_that_nothing_here_reads_the_one_input_is_fed():
    assert fed(converted(), column("x")) == [("", (), True, False)]
    with pytest.raises(StageError, match="which of its inputs is which") as caught:
        fed(converted(), column("x"), column("y"))
    assert "edgepress[onnx]" in caught.value.hint
