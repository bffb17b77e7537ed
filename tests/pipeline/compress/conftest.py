"""The tiny model in every format that passes work on."""

import pytest

from pipeline import frameworks


@pytest.fixture
def sources(tiny_folder):
    """Opens the tiny model in a format."""

    def open_it(kind):
        assert kind == "keras"
        return frameworks.open_keras(tiny_folder / "tiny.keras")

    return open_it
