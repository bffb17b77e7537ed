"""The launches for the meters: only the answer of a file that was asked for counts, whatever the board sends."""

from types import SimpleNamespace

import pytest

from device_agent import wire
from device_agent.record import replace
from pipeline.measure.energy.launches import watch_all
from tests.support.compared import plan as plan_of
from tests.support.energy_board import METER, deployed
from tests.support.experiments import experiment_of
from tests.support.launched import CLEAN
from tests.support.sample_run import measurement
from tests.support.sessions import launch

MODEL = CLEAN.model_sha256
ONE = measurement("compressed")
CANDIDATE = SimpleNamespace(subject=ONE.subject, converted=SimpleNamespace(variant="compressed"))


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (CLEAN, ""),
        (replace(CLEAN, index=7), "did not end on the board"),
        (replace(CLEAN, index=-1), "did not end on the board"),
        (wire.LaunchFailed(1, 0, "load", "exit", ""), "failed on the board"),
        (replace(CLEAN, model_sha256=""), "was written to during the launch"),
        (replace(CLEAN, inputs_sha256=("b" * 64,)), "was written to during the launch"),
    ],
)
def test_what_was_not_asked_for_has_no_energy(sent, says):
    session = SimpleNamespace(submit=lambda *_: "job", follow=lambda _: iter((sent,)))
    progress = SimpleNamespace(step=lambda *_: None)
    store = SimpleNamespace(put_bytes=lambda *_: None)
    asked = [(CANDIDATE, launch(MODEL))]
    experiment = experiment_of(
        session=session,
        plan=plan_of(energy_regression=0.05),
        deployment=deployed(METER),
        store=store,
        progress=progress,
    )
    added = watch_all(experiment, asked)
    one = added(ONE)
    assert says in one.energy.note
    assert [doubt.evidence for doubt in one.doubts if doubt.touches == "energy"] == [one.energy.note] * bool(says)
