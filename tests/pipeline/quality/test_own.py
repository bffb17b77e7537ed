"""A metric without weights: its draws, their differences, and why there may be none."""

import numpy as np
import pytest

from pipeline.quality import bootstrap, kept, own
from pipeline.quality.statistic import Drawn, mean, plain
from pipeline.quality.task import Unfit

RNG = np.random.default_rng(3)
LABELS = RNG.normal(size=200)
ANSWERS = LABELS + RNG.normal(size=200) * 0.5
WORSE = LABELS + RNG.normal(size=200) * 0.7

CODE = """import numpy as np

def error(outputs, labels):
    return float(np.abs(outputs["y"] - labels).mean())

def rare(outputs, labels):
    if labels.max() < LARGEST:
        raise ValueError("not there")
    return 1.0

def never(outputs, labels):
    return 1.0 if len(np.unique(labels)) == len(labels) else float("nan")

def halves(outputs):
    assert len(outputs["y"]) <= 7
    return {"y": outputs["y"] / 2}

def other(outputs):
    return {"y": outputs["y"].reshape(len(outputs["y"]), -1)[:, : len(outputs["y"])]}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_metrics.py").write_text(CODE.replace("LARGEST", repr(float(LABELS.max()))))
    return folder


def judged(folder, name, answers=ANSWERS):
    return own.judged(f"own_metrics:{name}", {"y": answers}, LABELS.copy(), folder)


def test_the_difference_is_that_of_equal_draws(folder, tmp_path):
    one, other = (judged(folder, "error", each).statistic for each in (ANSWERS, WORSE))
    assert plain(one) == pytest.approx(np.abs(ANSWERS - LABELS).mean())
    (tmp_path / "x.npz").write_bytes(kept.written(other))
    found = bootstrap.of_difference(kept.read(tmp_path / "x.npz"), one, seed=5)
    exact = bootstrap.of_difference(*(mean(np.abs(each - LABELS)) for each in (WORSE, ANSWERS)), seed=5)
    assert found.value == pytest.approx(exact.value)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.02)
    alone, known = bootstrap.of_value(one, 5), bootstrap.of_value(mean(np.abs(ANSWERS - LABELS)), 5)
    assert alone == pytest.approx(known, abs=0.03)
    with pytest.raises(ValueError, match="not known under weights"):
        one.value(np.full((1, 200), 2.0))


def test_draws_that_do_not_define_it_are_left_out(folder):
    """Some third of the draws lacks a row."""
    found = judged(folder, "rare").statistic
    assert 30 < np.isnan(found.values).sum() < 100
    assert bootstrap.unknown(found) == ""
    none = judged(folder, "never").statistic
    assert bootstrap.unknown(found, none) == "there is no interval: the metric is defined on 0 of 200 draws of the rows"
    assert np.isnan(bootstrap.of_difference(none, found, 0).low)
    assert np.isnan(bootstrap.of_value(none, 0).low)


def test_draws_that_take_too_long(folder, monkeypatch):
    monkeypatch.setattr(own, "SECONDS", 0.0)
    found = judged(folder, "error").statistic
    assert len(found.values) == 1
    assert "takes too long" in bootstrap.unknown(found, Drawn(np.zeros(201), np.array(200)))


def test_some_rows_at_a_time(folder, monkeypatch):
    monkeypatch.setattr(own, "AT_ONCE_BYTES", 7 * 8)
    found = own.processed("own_metrics:halves", {"y": ANSWERS}, folder)
    assert np.array_equal(found["y"], ANSWERS / 2)
    monkeypatch.setattr(own, "AT_ONCE_BYTES", 5 * 80)
    words = r"own_metrics:other gave 'y' float64 \(4,\) for some rows, and 'y' float64 \(5,\) for those before"
    with pytest.raises(Unfit, match=words):
        own.processed("own_metrics:other", {"y": np.zeros((9, 10))}, folder)
