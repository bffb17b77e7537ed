"""The contract of every limit, and that what is known of its metrics is complete."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.compare import limits
from pipeline.compare.case import Case
from pipeline.compare.limits import LIMITS, value_of
from pipeline.errors import PlanError
from pipeline.metrics import CEILING, FLOOR, METRICS, QUALITY
from pipeline.plan_tables import DataTable, LimitsTable, ModelTable, Tables, TaskTable
from pipeline.records import Measured, Outcome
from pipeline.units import UNKNOWN
from tests.support.compared import plan
from tests.support.sample_run import measurement

ROOMY = {
    "size_bytes": 10**9, "accuracy_drop_points": 50.0, "latency_regression": 0.5, "energy_regression": 0.5,
    "memory_regression_bytes": 10**9, "metric_drop": 0.5,
    "metric_at_least": 0.5, "metric_at_most": 0.5,
}  # fmt: skip
"""Each key that sets a limit, to what every file keeps."""


@pytest.mark.parametrize("name", LIMITS)
def test_the_contract_of_a_limit(name):
    limit = LIMITS[name]
    keys = LimitsTable.__struct_fields__
    assert set(limit.KEYS) <= set(keys)
    assert set(limit.METRICS) <= set(METRICS)
    assert (value_of(limit, LimitsTable()), value_of(limit, LimitsTable(**ROOMY))) == (None, ROOMY[limit.KEYS[0]])
    metric = "r2" if name == "floor" else "mae"
    limit.check(plan(evaluation="rows:make", metric=metric, **ROOMY))
    one = measurement("compressed")
    case = Case(candidate=one, baseline=None, measured=Measured(measurements=(one,)), limits=LimitsTable(**ROOMY))
    verdicts = limit.judge(case)
    assert [verdict.metric for verdict in verdicts] == (list(limit.METRICS) if limit.REQUIRED else [])
    assert {verdict.outcome for verdict in verdicts} <= {Outcome.PASS if name == "size" else Outcome.INVALID}
    assert all((verdict.subject, verdict.limit) == (one.subject, ROOMY[limit.KEYS[0]]) for verdict in verdicts)


def test_a_limit_is_a_file_and_a_line():
    assert {path.stem for path in Path(limits.__file__).parent.glob("[!_]*.py")} == set(LIMITS)


def test_each_key_of_a_plan_and_each_metric_has_its_limit():
    """In the order in which verdicts are given."""
    keys = {key for limit in LIMITS.values() for key in limit.KEYS}
    assert keys == set(LimitsTable.__struct_fields__) - {"applies_to"}
    assert [metric for limit in LIMITS.values() for metric in limit.METRICS] == list(METRICS)


@pytest.mark.parametrize("name", METRICS)
def test_the_numbers_of_a_metric_become_text(name):
    metric = METRICS[name]
    for text in (metric.level, metric.change, metric.amount, metric.limit):
        assert text(None) == UNKNOWN
        assert isinstance(text(0.5), str)
    assert name.startswith(metric.touches) or (name in (QUALITY, FLOOR, CEILING) and metric.touches == "accuracy")


def plan_of_task(**task):
    tables = Tables(model=ModelTable(path="m.onnx"), task=TaskTable(**task), data=DataTable(evaluation="rows:make"))
    return SimpleNamespace(path="edge.toml", tables=tables)


@pytest.mark.parametrize(("higher", "fits", "other"), [(True, "floor", "ceiling"), (False, "ceiling", "floor")])
def test_a_metric_of_ones_own_is_bounded_on_its_bad_side(higher, fits, other):
    found = plan_of_task(kind="custom", metric="own:dice", higher_is_better=higher)
    LIMITS[fits].check(found)
    with pytest.raises(PlanError, match=r"of the metric own:dice, (higher|lower) is better") as caught:
        LIMITS[other].check(found)
    assert LIMITS[fits].KEYS[0] in caught.value.hint


def test_a_custom_task_without_a_metric_is_left_to_the_check_of_the_task():
    LIMITS["floor"].check(plan_of_task(kind="custom"))
