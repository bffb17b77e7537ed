"""What is kept of each output, and of each part of it: a dead score next to pixel coordinates is found, and a rare class is not called dead."""

import msgspec
import numpy as np
import pytest

from pipeline.quality import signal
from pipeline.records import Artifact, Model, Task

MODEL = Model(
    name="m", artifact=Artifact(sha256="0" * 64, format="onnx", size_bytes=1), inputs=(), outputs=(), parameters=None
)
ROWS = 40
RANDOM = np.random.default_rng(0)
BOXES = RANDOM.uniform(0, 640, (ROWS, 4, 30)).astype("f4")
SCORES = RANDOM.uniform(0.02, 0.95, (ROWS, 3, 30)).astype("f4")
STEP = 640 / 255


def int8(values, step=STEP):
    return np.rint(values / step).astype("f4") * np.float32(step)


def of(answers, source, model=MODEL, task=None, name=""):
    alike = signal.alike_outputs(model, () if task is None else (task,))
    (found,) = signal.signals([answers], [source], [name], alike)
    return found


def task(kind):
    return Task(kind=kind, metric="", title="", higher_is_better=True, ratio=True)


def test_it_is_the_variance_against_the_error_by_hand():
    source = np.array([[1.0, 20.0], [3.0, 40.0]])  # variances 1 and 100
    found = of(source + np.array([0.5, 1.0]), source)
    assert found.channels_db == pytest.approx((10 * np.log10(1 / 0.25), 10 * np.log10(100 / 1)))
    assert found.snr_db == pytest.approx(10 * np.log10(101 / 1.25))
    assert found.axis == 1
    assert of(source, source) == signal.Signal(output="", snr_db=None, axis=1, channels_db=(None, None))


def test_an_answer_that_is_always_the_mean_reaches_0_db():
    source = RANDOM.normal(size=(ROWS, 3)).astype("f4")
    assert of(np.broadcast_to(source.mean(0), source.shape), source).snr_db == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("axis", [1, 2])
def test_dead_scores_next_to_boxes_are_found(axis):
    source = np.concatenate([BOXES, SCORES], axis=1)
    source = source if axis == 1 else np.swapaxes(source, 1, 2)
    found = of(int8(source), source, name="y")
    assert found.snr_db > 40, "the whole output does not show it"
    assert (found.axis, found.dead_channels, found.dead) == (axis, (4, 5, 6), False)
    assert min(found.channels_db[:4]) > 40
    assert signal.sentence(found) == (
        f"3 of the 7 along axis {axis} of its answers in the output 'y' (4, 5, 6) are dead: as far from the model's as those vary over the rows"
    )


def test_scores_with_a_scale_of_their_own_are_alive():
    found = of(int8(SCORES, 1 / 255), SCORES)
    assert (found.dead_channels, found.dead, signal.sentence(found)) == ((), False, "")


def test_an_output_that_is_dead_as_a_whole_is():
    found = of(SCORES * 0, SCORES)
    assert found.dead
    assert signal.sentence(found).startswith("its answers are dead: ")


def test_a_class_that_is_never_likely_is_not_dead():
    rare = np.swapaxes(SCORES, 1, 2) * np.float32([1, 0.003, 1])
    found = of(int8(rare, 1 / 255), rare)
    assert (found.dead_channels, found.dead) == ((), False)
    assert found.channels_db[1] < 1


@pytest.mark.parametrize("kind", ["classification", "embedding", "reconstruction", "segmentation"])
def test_channels_that_mean_something_together_only_are_not_judged_alone(kind):
    source = np.concatenate([BOXES, SCORES], axis=1)
    assert of(int8(source), source, task=task(kind)).dead_channels == ()
    assert of(int8(source), source, task=task("regression")).dead_channels == (4, 5, 6)
    classes = msgspec.structs.replace(MODEL, classes=True)
    assert of(int8(source), source, classes).dead_channels == ()
    assert of(source * 0, source, classes).dead


def test_few_rows_large_outputs_and_integers():
    assert not of(SCORES[:15] * 0, SCORES[:15]).dead
    wide = RANDOM.normal(size=(20, 3000)).astype("f4")
    assert of(wide, wide + 1).channels_db == ()
    whole = np.arange(40)
    assert signal.signals([whole], [whole], [""]) == ()


def test_rows_in_pieces_are_the_same(monkeypatch):
    source = np.concatenate([BOXES, SCORES], axis=1)
    at_once = of(int8(source), source)
    monkeypatch.setattr(signal, "CHUNK_VALUES", 1000)
    pieces = of(int8(source), source)
    assert pieces.channels_db == pytest.approx(at_once.channels_db)
    assert pieces.dead_channels == at_once.dead_channels
    monkeypatch.setattr(signal, "MOST_VALUES", 100)
    assert of(int8(source), source).axis is None


def test_where_the_model_has_no_number_nothing_is_lost():
    source = RANDOM.normal(size=(ROWS, 3))
    source[0, 1], source[5, 2] = np.nan, np.inf
    answers = source + 0.1
    found = of(answers, source)
    assert all(10 < each < 30 for each in found.channels_db)
    answers[7] = np.nan
    assert of(answers, source).channels_db == (None, None, None)
