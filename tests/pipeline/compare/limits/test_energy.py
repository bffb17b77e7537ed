"""A limit on energy: the plan that sets it, the verdict, and what the report says of it."""

import contextlib
from types import SimpleNamespace

import msgspec
import pytest

from pipeline import deploy
from pipeline.compare import check, compare
from pipeline.errors import PlanError
from pipeline.plan import read
from pipeline.records import Doubt, EnergyPaired, Measured, Outcome
from pipeline.report.compose import view_of
from pipeline.store import Store
from targets.errors import MeterUnavailable
from tests.support.compared import World
from tests.support.compared import plan as plan_of
from tests.support.energy_board import (
    BASE,
    ONE,
    energy_verdict,
)
from tests.support.machines import BOOKWORM
from tests.support.sample_run import run_of

# --- the plan


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[measure]\nmeters = []\n[limits]\nenergy_regression = 0.05", "energy_regression needs a power meter"),
        ("[limits]\nenergy_regression = 0.05\nenergy_margin = 0.06", "energy_margin is 0.06, above energy_regression"),
        ("[limits]\nenergy_margin = 0.01", "above energy_regression"),
    ],
)
def test_a_plan_that_can_not_be_judged(tmp_path, text, why):
    path = tmp_path / "edge.toml"
    path.write_text(f'[model]\npath = "m.onnx"\n[compare]\nbaseline = "old.onnx"\n{text}\n')
    with pytest.raises(PlanError, match=why):
        check(read(path), ("onnx",), ("onnxruntime",))


def test_a_board_without_a_meter_is_said_at_the_knock(tmp_path, monkeypatch):
    path = tmp_path / "edge.toml"
    path.write_text('[model]\npath = "m.onnx"\n[board]\nname = "local"\n[limits]\nenergy_regression = 0.05\n')
    session = SimpleNamespace(meters=lambda *_: (), note="", machine=BOOKWORM)
    monkeypatch.setattr(deploy, "open_session", lambda *_: contextlib.nullcontext(session))
    with pytest.raises(MeterUnavailable, match="local has no power meter"):
        deploy.preflight(read(path))


# --- the verdict and the report


def test_a_limit_that_was_set_later_is_never_green():
    verdict = energy_verdict(ONE, BASE, None)
    assert verdict.outcome is Outcome.INVALID
    assert "edgepress measure" in verdict.why
    assert energy_verdict(ONE, None, None).outcome is Outcome.INVALID


def test_the_limit_is_judged_with_the_others(tmp_path):
    world = World(Store(tmp_path))
    base, one = world.measured(), world.measured("compressed")
    found = EnergyPaired(
        subject=one.subject, baseline_subject=base.subject, margin=0.01, limit=0.05, meter="rapl", quality="measured",
        log_ratios=(0.1, 0.11) * 5, baseline_j=1.0, candidate_j=1.1,
    )  # fmt: skip
    measured = Measured(measurements=(base, one), energy_paired=(found,))
    judged = compare(measured, plan_of(energy_regression=0.05), world.data, world.deployment, world.store)
    assert [(each.metric, each.outcome) for each in judged.verdicts] == [("energy_regression", Outcome.REGRESSED)]
    assert judged.outcome is Outcome.REGRESSED
    judged = compare(
        msgspec.structs.replace(measured, energy_paired=()), plan_of(energy_regression=0.05), world.data, world.deployment,
        world.store,
    )  # fmt: skip
    assert judged.outcome is Outcome.INVALID


def test_the_report_prints_a_verdict_and_no_number_of_an_invalid_one():
    ratios = tuple(0.08 + 0.002 * n for n in range(10))
    found = EnergyPaired(
        subject=ONE.subject, baseline_subject=BASE.subject, margin=0.01, limit=0.05, meter="ina226", quality="measured",
        log_ratios=ratios, baseline_j=0.00375, candidate_j=0.0041,
    )  # fmt: skip
    bad = Doubt(
        what="no verdict on energy",
        evidence="the meter ended 3 s too early",
        remedy="?",
        invalid=True,
        touches="energy",
    )
    for doubts, outcome, text in (((), Outcome.REGRESSED, "3.75 mJ"), ((bad,), Outcome.INVALID, "-")):
        paired = msgspec.structs.replace(found, doubts=doubts)
        run = run_of((BASE, ONE), verdicts=(energy_verdict(ONE, BASE, paired),), outcome=outcome)
        run = msgspec.structs.replace(run, measured=msgspec.structs.replace(run.measured, energy_paired=(paired,)))
        view = view_of(run)
        (limit,) = view.limits
        assert (limit.outcome, limit.metric, limit.baseline) == (outcome, "energy_regression", text)
        assert ("too early" in limit.why) is bool(doubts)
        assert any(each.what == "no verdict on energy" for each in view.doubts) is bool(doubts)
