"""The host is killed while a function of the user's trains: run again, it resumes from its own checkpoint, to the same weights."""

import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from pipeline import compress
from pipeline.progress import Silent
from tests.support.commands import EDGEPRESS
from tests.support.processes import eventually, processes_with
from tests.support.tiny_model import Project
from tests.support.trained_models import numbers, regression

pytestmark = pytest.mark.frameworks

PLAN = """[model]
path = "size.keras"
[data]
training = "training.npz"
[convert]
formats = ["tflite-fp32"]
[training]
function = "own_training:fit"
[[compress]]
pass = "prune_weights"
sparsity = 0.6
schedule = { kind = "polynomial" }
recover = { epochs = 6, batch_size = 30, learning_rate = 5e-3 }
"""
FIT = """
import time
from pathlib import Path

HERE = Path(__file__).parent

def fit(model, rows, epochs, callbacks, batch_size, learning_rate, resume):
    import keras

    class Told(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            epoch = self.model.optimizer.iterations.numpy() // 9
            with (HERE / "epochs").open("a") as file:
                file.write(f"{epoch} " if batch == 0 else "")
            if epoch == 4 and batch == 3 and (HERE / "wait").exists():
                (HERE / "wait").rename(HERE / "here")
                time.sleep(60)

    kept = keras.callbacks.BackupAndRestore(resume, double_checkpoint=True, delete_checkpoint=False)
    model.compile(keras.optimizers.Adam(learning_rate), "mse")
    model.fit(rows.dataset(batch_size), epochs=epochs, callbacks=[*callbacks, kept, Told()], verbose=0)
"""


def started(folder):
    command = [EDGEPRESS, "compress", folder / "edge.toml"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def trained(folder):
    """Return what the pass made there, which is done."""
    project = Project(folder)
    plan = project.plan(PLAN)
    (loaded, _), settings = project.load(PLAN), compress.settings_of(plan)
    found, done = compress.compress(loaded, settings, plan, project.store, Silent())
    assert done
    return found.passes[0].model.artifact


def test_it_is_resumed_from_its_own_checkpoint(tmp_path):
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    stopped.mkdir()
    regression().save(stopped / "size.keras")
    x, _, size = numbers(300, 1)
    np.savez(stopped / "training.npz", x=x, y=size)
    (stopped / "own_training.py").write_text(FIT)
    (stopped / "edge.toml").write_text(PLAN)
    shutil.copytree(stopped, whole)
    (stopped / "wait").touch()

    other, process = started(whole), started(stopped)
    while not (stopped / "here").exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert eventually(lambda: not processes_with(str(stopped)))
    assert (stopped / "epochs").read_text() == "0 1 2 3 4 "

    for process in (started(stopped), other):
        _, said = process.communicate()
        assert process.returncode == 0, said
    assert (stopped / "epochs").read_text() == "0 1 2 3 4 4 5 "
    assert (whole / "epochs").read_text() == "0 1 2 3 4 5 "
    assert trained(stopped) == trained(whole)
