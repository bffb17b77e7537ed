"""A file that is made for the ledger alone and fails: the message says how to leave it out."""

import pytest

from pipeline import convert
from pipeline.errors import StageError
from pipeline.progress import Silent
from pipeline.store import Store
from tests.support.tiny_model import PLAN

pytestmark = pytest.mark.frameworks


@pytest.mark.parametrize(
    ("variant", "format_name", "ledger"),
    [("original", "tflite-int8", True), ("original", "tflite-fp32", False), ("compressed", "tflite-int8", False)],
)
def test_it_says_how_to_leave_it_out(whole, tmp_path, monkeypatch, variant, format_name, ledger):
    def fails(file, *_):
        if (file.variant, file.format) == (variant, format_name):
            raise StageError("it still computes in floating point", hint="Use onnx-int8.")
        return whole.converted[0]

    monkeypatch.setattr(convert, "_make", fails)
    the_plan = whole.project.plan(PLAN)
    with pytest.raises(StageError, match="floating point") as caught:
        convert.convert(whole.loaded, whole.compressed, the_plan, Store(tmp_path), Silent())
    assert caught.value.hint.startswith("Use onnx-int8.")
    assert ("[measure] steps = false leaves it out" in caught.value.hint) == ledger
