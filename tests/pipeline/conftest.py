"""Fixtures of the tiny model (tests/support/tiny_model.py): trained, in projects, and through three stages."""

import shutil

import numpy as np
import pytest

from pipeline.store import Store
from tests.support.tiny_model import PLAN, QUICK, Project, Sets, rows, through, tiny_model


@pytest.fixture(scope="session")
def sets():
    return Sets(rows(600, 1), rows(60, 2), rows(300, 3))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory, sets):
    """A folder with tiny.keras (trained) and the three .npz files; copy it, do not write into it."""
    import keras

    folder = tmp_path_factory.mktemp("tiny")
    model = tiny_model()
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(*sets.training, epochs=6, batch_size=50, verbose=0)
    model.save(folder / "tiny.keras")
    for name, (x, y) in sets._asdict().items():
        np.savez(folder / f"{name}.npz", x=x, y=y)
    return folder


@pytest.fixture
def empty(tmp_path):
    """A project with nothing in it."""
    return Project(tmp_path)


@pytest.fixture
def tiny(tmp_path, tiny_folder):
    """A project of the tiny model, of this test alone."""
    shutil.copytree(tiny_folder, tmp_path, dirs_exist_ok=True)
    return Project(tmp_path)


@pytest.fixture(scope="session")
def whole(tmp_path_factory, tiny_folder):
    """The three stages over the tiny model, once for all tests that look at their answers."""
    folder = tmp_path_factory.mktemp("whole")
    shutil.copytree(tiny_folder, folder, dirs_exist_ok=True)
    return through(Project(folder))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / ".edgepress")


@pytest.fixture
def plan(tiny_folder, tmp_path):
    """The tiny model's folder, and a plan that runs the whole way quickly on this machine."""
    folder = tmp_path / "plan"
    shutil.copytree(tiny_folder, folder)
    path = folder / "edge.toml"
    path.write_text(PLAN + QUICK)
    return path
