"""Each kind of task: labels as the field writes them, and a sentence on those that do not fit."""

import contextlib
import typing

import msgspec
import numpy as np
import pytest

from pipeline.plan_tables import TaskTable
from pipeline.quality.statistic import plain
from pipeline.quality.table import KINDS, ONE_OUTPUT
from pipeline.quality.task import Unfit
from pipeline.records import Task

R = np.random.default_rng(0)
CLASSES = R.integers(0, 4, 40)
SCORES = R.random((40, 4))
TRUE = np.arange(40) % 2
MAPS = R.integers(0, 3, (5, 4, 6))
MAP_SCORES = np.eye(3)[MAPS]
POINTS = R.random((6, 5, 2)) * 100
SPOKEN = np.array([[1, 2, -1], [3, 3, 1]])
HEARD = np.eye(4)[[[1, 1, 0, 2, 2], [3, 0, 3, 0, 1]]]


def value(kind, metric, answers, labels, **settings):
    told = Task(kind=kind, metric=metric, title="", higher_is_better=True, ratio=True, **settings)
    return plain(ONE_OUTPUT[kind].statistic(told, answers, labels))


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_keeps_to_the_protocol(name):
    kind = KINDS[name]
    assert kind.LABELS.startswith("Labels are ")
    assert kind.LABELS.endswith(".")
    assert kind.METRICS or name == "custom"  # whose are the user's own
    assert set(TaskTable.__struct_fields__) >= kind.SETTINGS


RIGHT = {
    "class numbers": ("classification", np.eye(4)[CLASSES], CLASSES),
    "one-hot": ("classification", np.eye(4)[CLASSES], np.eye(4)[CLASSES]),
    "numbers in a column": ("classification", np.eye(4)[CLASSES], CLASSES[:, None].astype(np.float32)),
    "one logit": ("binary", (TRUE * 8.0 - 4)[:, None], TRUE),
    "two scores": ("binary", np.eye(2)[TRUE], TRUE[:, None]),
    "truth values": ("binary", TRUE.astype(np.float32), TRUE > 0),
    "several true": ("multilabel", np.where(SCORES > 0.5, 3.0, -3.0), SCORES > 0.5),
    "targets": ("regression", SCORES, SCORES),
    "targets in a column": ("regression", SCORES[:, 0], SCORES[:, :1]),
    "maps": ("segmentation", MAP_SCORES, MAPS),
    "maps, channels first": ("segmentation", MAP_SCORES.transpose(0, 3, 1, 2), MAPS[..., None]),
    "maps of classes": ("segmentation", MAPS, MAPS),
    "one mask": ("segmentation", (MAPS > 0)[..., None] * 9.0 - 4, (MAPS > 0).astype(np.uint8)),
    "points": ("keypoints", POINTS.reshape(6, 10), POINTS),
    "points that can be seen": ("keypoints", POINTS, np.concatenate([POINTS, np.ones((6, 5, 1))], axis=2)),
    "anomalies": ("reconstruction", TRUE + 0.5, TRUE),
    "embeddings": ("embedding", np.eye(4)[CLASSES], CLASSES),
    "symbols": ("sequence", HEARD, SPOKEN),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_model_that_is_right_has_the_best_value(name):
    kind, answers, labels = RIGHT[name]
    for metric, about in KINDS[kind].METRICS.items():
        best = 1.0 if about.higher_is_better else 0.0
        assert value(kind, metric, answers, labels) == pytest.approx(best), metric


WRONG = {
    "no scores": ("classification", SCORES[:, 0], CLASSES, "not scores of two classes or more"),
    "too large": ("classification", SCORES, CLASSES + 1, r"run from 1 to 4, but there are 4 classes \(0 to 3\)"),
    "two true": ("classification", SCORES, np.ones((40, 4)), "not each has a single 1"),
    "parts of classes": ("classification", SCORES, CLASSES + 0.5, "not one number for each row"),
    "too few": ("classification", SCORES, CLASSES[:7], "40 rows of answers and 7 labels"),
    "three scores": ("binary", SCORES[:, :3], TRUE, "not one score or two"),
    "one kind": ("binary", SCORES[:, 0], np.ones(40, int), "needs both kinds of rows"),
    "other classes": ("multilabel", SCORES, SCORES[:, :3] > 0.5, "the labels are bool of shape"),
    "not truth": ("multilabel", SCORES, SCORES, "the labels are float64"),
    "never true": ("multilabel", SCORES, np.zeros((40, 4)), "no class has both"),
    "other size": ("regression", SCORES, SCORES[:, :2], "the labels are float64 of shape"),
    "not known": ("regression", SCORES, SCORES * np.nan, "some labels are NaN"),
    "other pixels": ("segmentation", MAP_SCORES, MAPS[:, :3], "and the labels have .3, 6. pixels"),
    "another class": ("segmentation", MAP_SCORES, MAPS + 1, "run from 1 to 3, but there are 3 classes"),
    "no map": ("segmentation", MAP_SCORES, CLASSES[:5], "the labels are int64"),
    "other points": ("keypoints", POINTS, POINTS[:, :, :1], "the labels are float64 of shape .5, 1."),
    "fewer points": ("keypoints", POINTS[:, :4], POINTS, "the labels have 5 points"),
    "alone": ("keypoints", POINTS, np.concatenate([POINTS, np.eye(6, 5)[..., None]], axis=2), "a single visible point"),
    "no anomaly": ("reconstruction", SCORES[:, 0], TRUE * 0, "the labels are all the same"),
    "all alone": ("embedding", SCORES, np.arange(40), "no label is given twice"),
    "text": ("sequence", HEARD, SPOKEN.astype(float), "the labels are float64"),
    "rows that belong to nothing": ("embedding", SCORES, np.where(TRUE, np.nan, 1.0), "not one number for each row"),
    "an infinite class": ("classification", SCORES, np.where(TRUE, np.inf, 1.0), "not one number for each row"),
    "a class that wraps": ("classification", SCORES, np.full(40, 2**63, np.uint64), "run from 9223372036854775808 to"),
    "silence": ("sequence", HEARD, SPOKEN * 0 - 1, "no label has a symbol"),
}


@pytest.mark.parametrize("name", WRONG)
def test_labels_that_do_not_fit_are_said_to(name):
    kind, answers, labels, words = WRONG[name]
    with pytest.raises(Unfit, match=words) as raised:
        value(kind, next(iter(KINDS[kind].METRICS)), answers, labels)
    assert raised.value.hint.endswith((".", '"multilabel".'))


@pytest.mark.parametrize("kind", ["binary", "reconstruction", "embedding"])
@pytest.mark.parametrize("labels", [np.where(TRUE, np.nan, 1.0), TRUE - 1])
def test_the_advice_is_that_of_the_kind(kind, labels):
    with pytest.raises(Unfit) as raised:
        value(kind, next(iter(KINDS[kind].METRICS)), SCORES[:, 0], labels)
    assert raised.value.hint == KINDS[kind].LABELS


def test_pixels_that_are_ignored():
    labels = MAPS.copy()
    labels[:, 0] = 255
    assert value("segmentation", "mean_iou", MAP_SCORES, labels) == 1
    with pytest.raises(Unfit, match="run from 0 to 255"):
        value("segmentation", "mean_iou", MAP_SCORES, labels, ignored=None)


def test_the_blank_of_ctc_is_the_plans():
    assert value("sequence", "error_rate", HEARD, SPOKEN, blank=3) > 0
    with pytest.raises(Unfit, match="the blank is the symbol 4, and there are 4"):
        value("sequence", "error_rate", HEARD, SPOKEN, blank=4)


def test_a_plan_knows_every_kind():
    (field,) = [each for each in msgspec.structs.fields(TaskTable) if each.name == "kind"]
    named = [value for part in typing.get_args(field.type) for value in typing.get_args(part)]
    assert named == list(KINDS)


def test_a_probability_that_is_rounded_above_one_is_no_logit():
    sure = np.where(TRUE > 0, 1.004, 0.2)[:, None]
    assert value("binary", "accuracy", sure, TRUE) == 1


@pytest.mark.parametrize("odd", [-1, 10**6])
def test_maps_of_numbers_that_are_no_classes(odd):
    answers = MAPS.copy()
    answers[0, 0, 0] = odd
    with pytest.raises(Unfit, match="and are not classes"):
        value("segmentation", "mean_iou", answers, MAPS)


FORMS = [(12,), (12, 1), (12, 3), (12, 4), (11,), (12, 0), (12, 5, 6), (12, 5, 6, 1), (12, 4, 2), (12, 4, 3), (12, 7)]
ANSWERS = {
    "classification": (12, 4), "binary": (12, 1), "multilabel": (12, 3), "regression": (12, 3), "segmentation": (12, 5, 6, 3),
    "keypoints": (12, 4, 2), "reconstruction": (12,), "embedding": (12, 5), "sequence": (12, 7, 4),
}  # fmt: skip


def drawn_labels(random, shape):
    values = random.normal(size=shape)
    holes = np.where(random.random(shape) < 0.3, random.choice([np.nan, np.inf, -np.inf]), values)
    whole = random.integers(random.choice([-1, 0]), random.choice([2, 3, 300]), shape)
    return [values, holes, whole, whole > 0, whole.astype("f4"), np.full(shape, 2**63, "u8")][random.integers(6)]


@pytest.mark.parametrize("kind", ONE_OUTPUT)
@pytest.mark.filterwarnings("error")
def test_labels_of_any_form_are_judged_or_refused(kind):
    """Nothing but Unfit gets out, and no warning of numpy's."""
    random, judged = np.random.default_rng(0), 0
    for _ in range(250):
        labels, answers = drawn_labels(random, FORMS[random.integers(len(FORMS))]), random.random(ANSWERS[kind])
        for metric in KINDS[kind].METRICS:
            with contextlib.suppress(Unfit):
                value(kind, metric, answers, labels)
                judged += 1
    assert judged
