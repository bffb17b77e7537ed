"""A run that an older edgepress wrote is read, shows the numbers that it showed, and is judged again as it was judged."""

import json

import msgspec
import pytest

from pipeline import flow, report
from pipeline import plan as plans
from pipeline.errors import PlanError
from pipeline.records import SCHEMA, Outcome, Step, Subject
from pipeline.records.migrations import MIGRATIONS, migrated
from pipeline.report.compose import view_of
from tests.pipeline.records.stored_runs import NAMES, unpacked, written

INT8 = "compressed tflite-int8 @ ai_edge_litert"
FP32 = "original tflite-fp32 @ ai_edge_litert"


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def plan(name, tmp_path):
    return unpacked(name, tmp_path)


def label_of(subject):
    """Up to schema 3 a subject was its label."""
    return msgspec.convert(subject, Subject).label if isinstance(subject, dict) else subject


def test_there_is_a_run_of_each_older_schema(tmp_path):
    schemas = {written(unpacked(name, tmp_path / name))["schema"] for name in NAMES}
    assert schemas == set(MIGRATIONS) == set(range(1, SCHEMA))


def test_it_is_read_with_the_labels_and_numbers_that_it_had(plan):
    before, (run, _) = written(plan), flow.latest(plan)
    assert run.schema == SCHEMA
    assert run.run_id == before["run_id"]
    for kind in ("verdicts", "comparisons", "steps"):
        old, new = before["compared"].get(kind, []), getattr(run.compared, kind)
        assert [(label_of(one["subject"]), label_of(one["baseline_subject"])) for one in old] == [
            (one.subject.label, one.baseline_subject and one.baseline_subject.label) for one in new
        ]
    for old, new in zip(before["measured"].get("paired", []), run.measured.paired, strict=True):
        assert (label_of(old["subject"]), label_of(old["baseline_subject"])) == (
            new.subject.label,
            new.baseline_subject.label,
        )
        assert tuple(old["log_ratios"]) == new.log_ratios
    for old, new in zip(before["measured"]["measurements"], run.measured.measurements, strict=True):
        assert old["latency"]["median_s"] == new.latency.median_s
        assert old["artifact"]["size_bytes"] == new.artifact.size_bytes
    assert {one.subject for one in run.compared.comparisons} <= {one.subject for one in run.measured.measurements}


def test_what_it_measured_by_value(tmp_path):
    run, _ = flow.latest(unpacked("schema-2", tmp_path))
    medians = {one.label: one.latency.median_s for one in run.measured.measurements}
    assert medians[INT8] == 3.569e-06
    assert medians[f"{INT8} x2"] == pytest.approx(4.75275e-06)
    (paired,) = run.measured.paired
    assert (paired.subject.label, paired.baseline_subject.label, len(paired.log_ratios)) == (INT8, FP32, 10)
    found = {one.metric: (one.candidate, one.change, one.outcome) for one in run.compared.verdicts}
    assert found == {
        "size_bytes": (7544.0, 7544.0, Outcome.PASS),
        "accuracy_drop_points": (1.0, 0.0, Outcome.PASS),
        "latency_regression": (3.507e-06, -0.034985637961886695, Outcome.PASS),
    }
    step = Step(number=1, name="prune_channels")
    of_step = Subject(variant="1-prune_channels", step=step, format="tflite-int8", runtime="ai_edge_litert")
    assert of_step in {one.subject for one in run.measured.measurements}
    assert of_step in {one.subject for one in run.compared.steps}


def test_a_given_file_keeps_its_name_and_role(tmp_path):
    run, _ = flow.latest(unpacked("schema-3-named", tmp_path))
    given = Subject(variant="original", format="tflite", runtime="tflite_runtime", name="new.tflite", role="candidate")
    assert given in {one.subject for one in run.compared.verdicts}
    assert given.label == "new.tflite (candidate) @ tflite_runtime"


@pytest.mark.parametrize("name", [each for each in NAMES if each < "schema-5"])
def test_one_input_and_one_output_become_tuples(plan):
    """What no older version kept stays empty."""
    before, (run, _) = written(plan), flow.latest(plan)
    old, model = before["loaded"]["model"], run.loaded.model
    for was, specs in ((old["input"], model.inputs), (old["output"], model.outputs)):
        assert [(one.name, one.dtype, one.shape, one.tensor, one.fixed) for one in specs] == (
            [(was["name"], was["dtype"], (None, *was["shape"]), "", None)] if was else []
        )
    assert [one.sha256 for one in model.answers] == ([old["outputs"]["sha256"]] if old.get("outputs") else [])
    assert (model.state, model.sequences, model.scored) == ((), False, 0)
    was, rows = before["loaded"]["data"]["evaluation"], run.loaded.data.evaluation
    (column,) = rows.inputs
    assert (column.artifact.sha256, column.shape) == (was["x"]["sha256"], tuple(was["row_shape"]))
    assert (column.name, column.dtype, column.constant) == (old["input"]["name"], old["input"]["dtype"], False)
    assert (rows.rows, rows.y.sha256) == (was["rows"], was["y"]["sha256"])
    for was, one in zip(before["compressed"]["passes"], run.compressed.passes, strict=True):
        assert len(one.model.inputs) == (was["model"]["input"] is not None)
    for was, one in zip(before["converted"], run.converted, strict=True):
        for kind in ("", "other_", "source_"):
            kept = was.get(f"{kind}outputs")
            assert [each.sha256 for each in getattr(one, f"{kind}answers")] == ([kept["sha256"]] if kept else [])
        assert (one.inputs, one.outputs) == ((), ())
    kept = before["deployment"].get("evaluation")
    assert [each.artifact.sha256 for each in run.deployment.evaluation] == (
        [kept["artifact"]["sha256"]] if kept else []
    )


def test_one_task_becomes_a_list_of_one(tmp_path):
    """What was known of it is of the task without a name; a run without a task has an empty list."""
    plan = unpacked("schema-5", tmp_path)
    before, (run, _) = written(plan), flow.latest(plan)
    (task,), (quality,) = run.loaded.data.tasks, run.loaded.model.qualities
    assert (task.kind, task.metric, task.name) == ("multilabel", "f1", "")
    assert (quality.value, quality.task) == (before["loaded"]["model"]["quality"]["value"], "")
    for was, one in zip(before["converted"], run.converted, strict=True):
        assert [(each.title, each.value, each.task) for each in one.agreement.alike] == [
            (was["agreement"]["alike_title"], was["agreement"]["alike"], "")
        ]
    pairs = zip(before["measured"]["measurements"], run.measured.measurements, strict=True)
    found = [(was["accuracy"], one.accuracy) for was, one in pairs if one.accuracy is not None]
    assert len(found) == 2  # what lies between two passes answers no rows
    for was, accuracy in found:
        assert [each.value for each in accuracy.qualities] == [was["quality"]["value"]]
    for was, one in zip(before["compared"]["comparisons"], run.compared.comparisons, strict=True):
        (drop,) = one.metric_drops
        assert (list(drop.drop), drop.method) == (was["metric_drop"], was["metric_method"])
        assert (drop.detectable, drop.task) == (was["metric_detectable"], "")
    assert not any(one.metric_drops for one in run.compared.steps)
    older, _ = flow.latest(unpacked("schema-4", tmp_path / "older"))
    assert (older.loaded.data.tasks, older.loaded.model.qualities) == ((), ())


def test_a_model_that_no_runtime_could_read(tmp_path):
    run = written(unpacked("schema-4", tmp_path))
    run["loaded"]["model"] |= {"input": None, "output": None}
    read = report.read(json.dumps(run).encode())
    assert (read.loaded.model.inputs, read.loaded.model.outputs) == ((), ())
    assert [(one.name, one.dtype) for one in read.loaded.data.training.inputs] == [("x", "float32")]
    run["deployment"]["evaluation"] = run["loaded"]["data"]["evaluation"] = None
    read = report.read(json.dumps(run).encode())
    assert (read.deployment.evaluation, read.loaded.data.evaluation) == ((), None)


@pytest.mark.parametrize("renderer", report.RENDERERS)
def test_every_renderer_shows_it(plan, renderer):
    run, store = flow.latest(plan)
    text = report.renderer(renderer).render(run, store)
    assert run.measured.measurements[0].artifact.sha256 in text or view_of(run).headline.split()[0] in text
    assert {path.name for path in report.report(run, store).values()} == {"report.html", "report.md", "report.json"}


def test_it_is_judged_again_as_it_was(plan, name):
    before, (run, store) = written(plan)["compared"], flow.latest(plan)
    again = flow.judge(run, plan, store).compared
    outcomes = [(one["metric"], one["outcome"], one["change"]) for one in before["verdicts"]]
    if name == "schema-1-first":  # it judged by the launches alone: a verdict on latency now needs pairs
        outcomes[-1] = ("latency_regression", "INCONCLUSIVE", outcomes[-1][2])
        assert "an older edgepress measured it" in again.verdicts[-1].why
    assert [(one.metric, one.outcome.value, one.change) for one in again.verdicts] == outcomes
    assert [one["latency_ratio"] for one in before["comparisons"]] == [one.latency_ratio for one in again.comparisons]
    kept, _ = flow.latest(plan)
    assert kept.compared == again  # and the run is kept as this version writes it
    assert written(plan)["schema"] == SCHEMA


def test_other_limits_judge_a_run_that_is_one_schema_old(tmp_path):
    plan = unpacked("schema-5", tmp_path)
    text = plan.path.read_text()
    plan.path.write_text(text.replace("size_bytes = 1_000_000", "size_bytes = 500"))
    changed = plans.read(plan.path)
    assert flow.judge(*latest_of(changed)).outcome is Outcome.REGRESSED


def test_another_plan_is_refused_in_a_sentence_that_is_true(tmp_path):
    plan = unpacked("schema-2", tmp_path)
    plan.path.write_text(plan.path.read_text() + "\n")
    with pytest.raises(PlanError, match="or an older edgepress measured it") as failed:
        flow.judge(*latest_of(plans.read(plan.path)))
    assert "again" in failed.value.hint


def latest_of(plan):
    run, store = flow.latest(plan)
    return run, plan, store


def test_an_entry_of_the_plan_that_nothing_was_measured_for(tmp_path):
    run = written(unpacked("schema-3", tmp_path))
    for text, subject in (
        ("every file", Subject()),
        ("tflite-int8", Subject(format="tflite-int8")),
        ("tflite-int8@armnn", Subject(format="tflite-int8", runtime="armnn")),
    ):
        run["compared"]["verdicts"][0]["subject"] = text
        read = report.read(json.dumps(run).encode())
        assert read.compared.verdicts[0].subject == subject
        assert subject.label == text


def test_a_run_that_was_not_judged(plan):
    run = written(plan) | {"compared": None}
    assert report.read(json.dumps(run).encode()).compared is None


def test_a_run_of_today_is_not_changed(plan):
    run, _ = flow.latest(plan)
    data = msgspec.json.encode(run)
    assert migrated(data, SCHEMA) is data
    assert report.read(data) == run
