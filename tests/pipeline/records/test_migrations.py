"""A run that an older edgepress wrote is read, shows the numbers that it showed, and is judged again as it was judged."""

import functools
import json
import operator
import re
import tarfile
from pathlib import Path

import msgspec
import pytest

from pipeline import flow, report
from pipeline import plan as plans
from pipeline.errors import PlanError, StageError
from pipeline.records import SCHEMA, Outcome, Step, Subject
from pipeline.records.migrations import MIGRATIONS, migrated
from pipeline.report.compose import view_of
from pipeline.store.files import unsealed

RUNS = Path(__file__).parent / "older_runs"
NAMES = ("schema-1-first", "schema-1-last", "schema-2", "schema-3", "schema-3-named")
INT8 = "compressed tflite-int8 @ ai_edge_litert"
FP32 = "original tflite-fp32 @ ai_edge_litert"


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def plan(name, tmp_path):
    return unpacked(name, tmp_path)


def unpacked(name, folder):
    """The plan of an older run, with the state folder that it was left in."""
    with tarfile.open(RUNS / f"{name}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return plans.read(folder / "edge.toml")


def written(plan):
    """The run as the older version wrote it."""
    (path,) = (plan.folder / ".edgepress" / "runs").iterdir()
    return json.loads(unsealed(path.read_bytes()) or path.read_bytes())


def test_there_is_a_run_of_each_older_schema(tmp_path):
    schemas = {written(unpacked(name, tmp_path / name))["schema"] for name in NAMES}
    assert schemas == set(MIGRATIONS) == set(range(1, SCHEMA))


def test_it_is_read_with_the_labels_and_numbers_that_it_had(plan):
    before, (run, _) = written(plan), flow.latest(plan)
    assert run.schema == SCHEMA
    assert run.run_id == before["run_id"]
    for kind in ("verdicts", "comparisons", "steps"):
        old, new = before["compared"].get(kind, []), getattr(run.compared, kind)
        assert [(one["subject"], one["baseline_subject"]) for one in old] == [
            (one.subject.label, one.baseline_subject and one.baseline_subject.label) for one in new
        ]
    for old, new in zip(before["measured"].get("paired", []), run.measured.paired, strict=True):
        assert (old["subject"], old["baseline_subject"]) == (new.subject.label, new.baseline_subject.label)
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
    plan = unpacked("schema-3", tmp_path)
    text = plan.path.read_text()
    plan.path.write_text(text.replace("size_bytes = 1_000_000", "size_bytes = 7_000"))
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


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"schema": 99}', "is of schema 99"),
        (b'{"schema": 0}', "is of schema 0"),
        (b'{"schema": -3}', "is of schema -3"),
        (b'{"schema": "3"}', "cannot be read"),
        (b'{"schema": 3}', "cannot be read: it is not what schema 3 says"),
        (b'{"schema": 1, "deployment": [], "measured": 3}', "cannot be read: it is not what schema 1 says"),
        (b'{"schema": 3, "x": ' + b"[" * 5000 + b"]" * 5000 + b"}", "cannot be read"),
        (b"[]", "cannot be read"),
        (b"", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_what_no_edgepress_wrote_is_an_error_with_a_remedy(data, words):
    with pytest.raises(StageError, match=re.escape(words)) as failed:
        report.read(data)
    assert "edgepress run" in failed.value.hint


@pytest.mark.parametrize("name", ["schema-1-first", "schema-3-named"], indirect=True)
def test_a_damaged_older_run_is_read_or_is_an_error(plan):
    """Each value of the run in turn: of another kind, or empty. Nothing but StageError gets out."""
    whole = written(plan)
    for paired in whole["measured"].get("paired", []):
        paired["glances"] = []
    refused = 0
    for path in paths_of(whole):
        for value in (None, 7, []):
            try:
                report.read(json.dumps(damaged(whole, path, value)).encode())
            except StageError:
                refused += 1
    assert refused > 100


def damaged(whole, path, value):
    """A copy of the run with `value` in place of what is at `path`."""
    copied = msgspec.json.decode(msgspec.json.encode(whole))
    *way, last = path
    functools.reduce(operator.getitem, way, copied)[last] = value
    return copied


def paths_of(value, above=(), depth=4):
    """Where something may be damaged: of each list the first, and nothing deeper than `depth`."""
    if not depth:
        return
    keys = value if isinstance(value, dict) else range(min(1, len(value))) if isinstance(value, list) else ()
    for key in keys:
        yield (*above, key)
        yield from paths_of(value[key], (*above, key), depth - 1)


def test_a_run_of_today_is_not_changed(plan):
    run, _ = flow.latest(plan)
    data = msgspec.json.encode(run)
    assert migrated(data, SCHEMA) is data
    assert report.read(data) == run
