"""What a launch has read against what it was asked to, where no rule of validity looks: answers and operators."""

from types import SimpleNamespace

import pytest

from device_agent import wire
from device_agent.record import replace
from tests.support.experiments import experiment_of
from tests.support.launched import CLEAN

MODEL, ROWS = "a" * 64, "b" * 64
CANDIDATE = SimpleNamespace(converted=SimpleNamespace(artifact=SimpleNamespace(sha256=MODEL)))
WITH_ROWS = SimpleNamespace(evaluation=SimpleNamespace(artifact=SimpleNamespace(sha256=ROWS)))
WITHOUT = SimpleNamespace(evaluation=None)


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
    found = experiment_of(deployment=deployment).as_expected(answer, CANDIDATE)
    if same:
        assert found is answer
    else:
        assert isinstance(found, wire.LaunchFailed)
        assert (found.error, found.index) == ("another file", answer.index)


def test_a_launch_that_failed_and_one_that_nobody_asked_for_stay_as_they_are():
    failed = wire.LaunchFailed(1, 0, "load", "exit", "")
    experiment = experiment_of(deployment=WITH_ROWS)
    assert experiment.as_expected(failed, CANDIDATE) is failed
    assert experiment.as_expected(None, CANDIDATE) is None
