"""Plans that are read, and plans that are refused."""

import pytest

from pipeline import plan
from pipeline.errors import PlanError

MODEL = '[model]\npath = "m.keras"\n'


def read(folder, text):
    path = folder / "edge.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return plan.read(path)


def refused(folder, text, *parts):
    with pytest.raises(PlanError) as caught:
        read(folder, text)
    error = caught.value
    assert "edge.toml" in error.message
    assert len(error.message) < 600
    for part in parts:
        assert part in f"{error.message}\n{error.hint}", error
    return error


def plan_for(name, more=""):
    return f'[model]\npath = "{name}"\n{more}'
