"""Augmentation by a function of the plan: seeded, only in what is trained on, and checked."""

import itertools

import numpy as np
import pytest

from pipeline.compress import training
from pipeline.compress.context import Context
from pipeline.compress.settings import Recover
from pipeline.compress.training import compiled, objective
from pipeline.errors import StageError
from pipeline.plan_tables import TrainingTable
from tests.support.trained_models import regression, sizes

pytestmark = pytest.mark.frameworks
HOW = Recover(epochs=2, batch_size=30, recalibrate=False)
NAMES = itertools.count()
MOVED = """
    inputs["x"] += random.normal(size=inputs["x"].shape)
    targets["size"] = targets["size"] + 100
    return inputs, targets
"""


def context_of(folder, model, body=MOVED, **more):
    name = f"augmenting{next(NAMES)}"
    (folder / f"{name}.py").write_text(f"import numpy as np\n\n\ndef change(inputs, targets, random):{body}")
    learn = TrainingTable(augment=f"{name}:change")
    return Context(
        training=sizes(200),
        compiled=compiled.of_model(model),
        original=lambda: model,
        learn=learn,
        folder=folder,
        **more,
    )


def batches(context, model, epoch=0, how=HOW):
    return list(objective.prepare(model, how, context).batches(epoch))


def test_each_batch_is_changed_by_the_seed_and_the_epoch(tmp_path):
    model = regression(fitted=False)
    context = context_of(tmp_path, model)
    once, again, next_epoch = batches(context, model), batches(context, model), batches(context, model, 1)
    plain = batches(context._replace(learn=TrainingTable()), model)
    assert all(np.array_equal(a["x"][0], b["x"][0]) for a, b in zip(once, again, strict=True))
    assert not np.array_equal(once[0]["x"][0], next_epoch[0]["x"][0])
    noise = once[0]["x"][0] - plain[0]["x"][0]
    assert 0.5 < noise.std() < 1.5
    assert np.allclose(once[0]["y"][0], plain[0]["y"][0] + 100)
    other = batches(context._replace(seed=1), model)
    assert not np.array_equal(once[0]["x"][0], other[0]["x"][0])
    assert np.array_equal(context.training.x, sizes(200).x)  # what is kept is as it was


def test_the_rows_that_compare_are_as_they_are(tmp_path):
    model = regression()
    body = '\n    targets["size"] = targets["size"] * 0 + 100\n    return inputs, targets\n'
    notes = training.recover(model, HOW, context_of(tmp_path, model, body))
    assert "the training made it worse" in notes[1]


def test_a_teacher_answers_what_was_changed(tmp_path):
    model = regression(fitted=False)
    prepared = objective.prepare(model, Recover(distill=True), context_of(tmp_path, model))
    assert prepared.teacher.answers is None
    plain = context_of(tmp_path, model)._replace(learn=TrainingTable())
    assert objective.prepare(model, Recover(distill=True), plain).teacher.answers is not None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("\n    return inputs\n", "returned dict, and two dicts are expected"),
        ("\n    return {}, targets\n", "returned no 'x', only nothing"),
        ("\n    inputs['x'] = inputs['x'][:3]\n    return inputs, targets\n", r"of shape \(3, 8\), and it was"),
        ("\n    inputs['x'] = inputs['x'] * np.nan\n    return inputs, targets\n", "returned NaN or infinity in 'x'"),
        ("\n    raise OSError('no file')\n", r"failed in augmenting\d+.py, line 5: OSError: no file"),
    ],
)
def test_what_it_may_not_do(tmp_path, body, message):
    model = regression(fitted=False)
    with pytest.raises(StageError, match=message) as caught:
        batches(context_of(tmp_path, model, body), model)
    assert caught.value.hint
