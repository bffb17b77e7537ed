"""What stays of a chain in which a training failed, or was stopped."""

import os
import time

import pytest

from pipeline import compress
from pipeline.compress import chain
from pipeline.compress.context import Dataset
from pipeline.errors import StageError
from pipeline.progress import Silent
from tests.support.tiny_model import PLAN, rows, tiny_model

pytestmark = pytest.mark.frameworks

FIRST = '[[compress]]\npass = "half_precision"\n'


class Stopped(Exception):
    pass


def request(project, text):
    plan = project.plan(text)
    loaded, _ = project.load(text)
    return compress.Request(
        root=str(project.store.root), scratch=str(project.folder), folder=str(project.folder), format="keras",
        model=loaded.model, data=loaded.data, steps=compress.settings_of(plan), seed=3,
    )  # fmt: skip


def run(project, monkeypatch, failing):
    """The chain with a pass that keeps something to resume and then ends with `failing`; its resume folders afterwards."""

    def apply(model, settings, context):
        (context.resume / "training.npz").write_bytes(b"an epoch")
        raise failing

    monkeypatch.setattr("pipeline.compress.keras_passes.prune_weights.apply", apply)
    monkeypatch.setattr("tempfile.tempdir", None)
    running = chain.Chain(request(project, PLAN), lambda *_: None)
    with pytest.raises(type(failing)):
        running.step(running.argument.model, 0, running.argument.steps[0])
    return list((project.store.root / chain.RESUME).iterdir())


def test_a_failed_training_leaves_nothing_to_resume_and_a_stopped_one_does(tiny, monkeypatch):
    assert run(tiny, monkeypatch, StageError("it became NaN", hint="Less.")) == []
    (kept,) = run(tiny, monkeypatch, Stopped())
    assert (kept / "training.npz").is_file()


@pytest.mark.parametrize("first", ["", FIRST])
def test_the_hint_says_what_is_there(tiny, first):
    text = PLAN.replace("[[compress]]", f"{first}[[compress]]", 1)
    text = text.replace("epochs = 1", "epochs = 1, distill = true, rows = 5000")
    plan = tiny.plan(text)
    loaded, _ = tiny.load(text)
    with pytest.raises(Exception, match=r"recover\.rows is 5,000") as caught:
        compress.compress(loaded, compress.settings_of(plan), plan, tiny.store, Silent())
    said = "The model as half_precision left it is kept" if first else "The model that was given is unchanged."
    assert said in caught.value.hint


def test_what_was_stopped_long_ago_is_removed(tmp_path):
    for name, days in (("old", 31), ("new", 29)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "training.npz").touch()
        os.utime(tmp_path / name, (time.time() - days * 24 * 3600,) * 2)
    chain._forget_old(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["new"]
    chain._forget_old(tmp_path / "never")


def test_from_python_a_training_is_resumed_where_a_folder_is_given(tmp_path):
    def stop(done, of, note):
        if done == 4:  # the end of the first epoch, which is kept by then
            raise Stopped

    told = []
    given = {"training": Dataset(*rows(200, 1)), "resume": tmp_path, "epochs": 2, "batch_size": 50}
    with pytest.raises(Stopped):
        compress.apply(tiny_model(), "recover", tell=stop, **given)
    assert list(tmp_path.glob("training-*.npz"))
    compress.apply(tiny_model(), "recover", tell=lambda done, of, note: told.append(note), **given)
    assert not [note for note in told if "epoch 1" in note]
    assert [note for note in told if "epoch 2" in note]
