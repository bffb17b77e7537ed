"""A sweep of threads: each number is measured, and limits judge the first."""

import json

import msgspec
import pytest
from click.testing import CliRunner

from pipeline.baseline import baseline_of, is_judged
from pipeline.commands import cli
from pipeline.compare import compare
from pipeline.errors import PlanError
from pipeline.measure.schedule import schedule_of
from pipeline.plan import read, with_threads
from pipeline.plan_tables import LimitsTable
from pipeline.records import Converted, Data, DeployedRuntime, Measured, NotMeasured
from pipeline.report.compose import view_of
from pipeline.store import Store
from tests.support.experiments import experiment_of
from tests.support.sample_run import artifact, measurement, run_of

PLAN = '[model]\npath = "m.tflite"\n[measure]\nthreads = %s\n'


@pytest.fixture
def plan_of(tmp_path):
    def write(threads):
        path = tmp_path / "edge.toml"
        path.write_text(PLAN % threads)
        return read(path)

    return write


def swept(**changes):
    return measurement(threads=2, swept=True, **changes)


def test_a_plan_has_one_number_or_several(plan_of):
    assert plan_of("3").tables.measure.thread_counts == (3,)
    assert plan_of("[2, 1, 2]").tables.measure.thread_counts == (2, 1)
    for wrong in ("0", "[]", "[1, 0]", "257", '"1,2"'):
        with pytest.raises(PlanError, match="threads"):
            plan_of(wrong)


def test_what_is_judged_is_the_same_plan_with_and_without_a_sweep(plan_of):
    plan = plan_of("1")
    assert with_threads(plan, (1, 2)).without_limits_sha256 == plan.without_limits_sha256
    assert with_threads(plan, (2, 1)).without_limits_sha256 != plan.without_limits_sha256
    assert with_threads(plan, ()) == plan


def test_every_number_runs_in_every_round_and_answers_are_asked_for_once(plan_of):
    plan = plan_of("[1, 2, 4]")
    sample = run_of((measurement(),)).deployment
    runtime = DeployedRuntime(name="sleep", sites=(), packages=(), sent_bytes=0)
    deployment = msgspec.structs.replace(sample, runtimes=(runtime,))
    files = [
        Converted(
            variant=name,
            format="sleep",
            artifact=msgspec.structs.replace(artifact(name), format="sleep"),
            agreement=None,
        )
        for name in ("original", "1-prune_channels")
    ]
    experiment = experiment_of(plan=plan, deployment=deployment, converted=files)
    candidates = experiment.candidates
    assert [(one.converted.variant, one.threads, one.label) for one in candidates] == [
        ("original", 1, "original sleep @ sleep"),
        ("original", 2, "original sleep @ sleep x2"),
        ("original", 4, "original sleep @ sleep x4"),
        ("1-prune_channels", 1, "1-prune_channels sleep @ sleep"),
    ]
    schedule = schedule_of(experiment)
    timed = [launch for _, launch in schedule if launch.mode == "time"]
    for start in range(0, len(timed), len(candidates)):
        assert sorted(launch.threads for launch in timed[start : start + 4]) == [1, 1, 2, 4]
    assert [launch.threads for _, launch in schedule if launch.mode == "profile"] == [1]
    assert all(launch.threads == candidate.threads for candidate, launch in schedule)


def test_limits_judge_the_first_and_each_has_the_baseline_of_its_own_number(plan_of, tmp_path):
    base, base2 = measurement(), swept()
    one, two = measurement("compressed", "tflite-int8"), swept(variant="compressed", format="tflite-int8")
    every = (two, base2, base, one)
    assert baseline_of(one, every) is base
    assert baseline_of(two, every) is base2
    plan = plan_of("[1, 2]")
    tables = msgspec.structs.replace(plan.tables, compress=({"pass": "x"},), limits=LimitsTable(size_bytes=1))
    judging = msgspec.structs.replace(plan, tables=tables)
    failed = NotMeasured(variant="compressed", format="tflite-int8", runtime="x", evidence="", remedy="", threads=2)
    assert failed.label == "compressed tflite-int8 @ x x2"
    assert not is_judged(judging, failed)
    compared = compare(Measured(measurements=every), judging, Data(), run_of((base,)).deployment, Store(tmp_path))
    assert [verdict.subject.label for verdict in compared.verdicts] == [one.label]
    assert {(each.subject.label, each.baseline_subject.label) for each in compared.comparisons} == {
        (one.label, base.label), (two.label, base2.label),
    }  # fmt: skip


def test_a_report_tells_them_apart():
    view = view_of(run_of((measurement(), swept())))
    assert [line.cells[1] for line in view.table("results").lines] == [
        "original tflite-fp32",
        "original tflite-fp32 x2",
    ]
    assert {line.cells[0] for line in view.table("latency").lines} == {
        "original tflite-fp32 @ ai_edge_litert", "original tflite-fp32 @ ai_edge_litert x2",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["0", "1,", "1;2", "257", "-1", "a", ""])
@pytest.mark.parametrize("command", ["measure", "run"])
def test_numbers_that_are_none(command, text):
    answer = CliRunner().invoke(cli, [command, "edge.toml", "--threads", text])
    assert answer.exit_code == 2


def test_a_sweep_on_this_machine(tmp_path, monkeypatch):
    """The real agent: the file of the `sleep` runtime is no format of a plan, so a dense TFLite file runs."""
    pytest.importorskip("ai_edge_litert")
    from tests.support.models import MODELS

    (tmp_path / "m.tflite").write_bytes((MODELS / "dense_float.tflite").read_bytes())
    (tmp_path / "edge.toml").write_text(
        '[model]\npath = "m.tflite"\n[measure]\nlaunches = 1\ntimed_seconds = 0.01\nruntimes = ["ai_edge_litert"]\n'
    )
    answer = CliRunner().invoke(cli, ["measure", str(tmp_path / "edge.toml"), "--threads", "1,2", "--json", "-q"])
    measured = json.loads(answer.stdout)["measurements"]
    assert [(one["threads"], one.get("swept", False)) for one in measured] == [(1, False), (2, True)]
    plain, beside = measured
    assert plain["operators"]
    assert "operators" not in beside or not beside["operators"]
    assert plain["cold_start_s"] > plain["import_s"] + plain["load_s"] + plain["first_inference_s"]
    assert [step["step"] for step in plain["memory"]["steps"]][2:4] == ["model_loaded", "allocated"]
