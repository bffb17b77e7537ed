"""Answers that come from the board are judged, whatever it sends."""

import hashlib
import io
from types import SimpleNamespace

import numpy as np
import pytest

from device_agent import wire
from device_agent.record import replace
from pipeline.measure.accuracy import accuracy_of, read_answers
from pipeline.records import Artifact, Column, Converted, Data, Rows, TensorSpec
from pipeline.store import Store
from targets.errors import NotTheAgent
from tests.support.experiments import experiment_of
from tests.support.launched import CLEAN


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def with_header(header):
    text = header.encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(12)


@pytest.mark.parametrize(
    "shape",
    ["(3, " + "-" * 5000 + "1)", "(3, " + "1+" * 3000 + "1j)", "(" * 5000, "(3,", "(3, " + "9" * 400 + ")", "[3]", "(3,)}}"],
    ids=["signs", "sums", "brackets", "open", "digits", "a list", "closed twice"],
)  # fmt: skip
def test_a_header_that_is_no_header_is_not_of_the_agent(shape):
    with pytest.raises(NotTheAgent, match="the board's answers of this file cannot be read"):
        read_answers(with_header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"), 3, "this file")


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("/home/pi/.edgepress has 136577024 bytes free, 200000000 + 4194304 are needed", "Free space on the board"),
        ("[Errno 28] No space left on device", 'answer_bytes, or answers = "float16"'),
        ("an output has the shape (8,) for row 0 and (6,) for row 1", "Answer fewer rows"),
    ],
)
def test_what_to_do_where_there_are_no_answers(message, remedy):
    """Outputs that are larger than the board's disk are not a fault of the runtime."""
    (doubt,) = accuracy_of(None, None, wire.LaunchFailed(0, 0, "evaluate", "Refused", message)).doubts
    assert message in doubt.evidence
    assert remedy in doubt.remedy
    assert doubt.remedy.startswith("The times are valid. ")


class Board:
    """A file of one output on this host, and what a board answers for it."""

    def __init__(self, folder, here, *, y=None, **more):
        self.store, self.sent = Store(folder / "store"), {}
        (spec,) = [TensorSpec(name="out", shape=(1, *here.shape[1:]), dtype=here.dtype.name)]
        self.converted = Converted(
            variant="original", format="onnx-fp32", artifact=self.put(np.zeros(1)), agreement=None,
            outputs=(spec,), answers=(self.put(here),), **more,
        )  # fmt: skip
        column = Column(name="x", artifact=self.put(here), shape=(4,), dtype="float32")
        rows = Rows(inputs=(column,), y=None if y is None else self.put(y), rows=len(here))
        self.experiment = experiment_of(
            store=self.store, data=Data(evaluation=rows), session=SimpleNamespace(get=lambda sha256, _: self.sent[sha256]),
            deployment=SimpleNamespace(evaluation_indices=self.put(np.arange(len(here)))),
        )  # fmt: skip

    def put(self, array) -> Artifact:
        return self.store.put_bytes(npy(array), "npy")

    def found(self, answers):
        data = npy(answers)
        sha256 = hashlib.sha256(data).hexdigest()
        self.sent[sha256] = data
        candidate = SimpleNamespace(converted=self.converted, runtime="onnxruntime", label="this file")
        return accuracy_of(self.experiment, candidate, replace(CLEAN, outputs_sha256=(sha256,)))


SCORES = np.eye(10, dtype="float32")


def test_scores_of_another_width_are_no_accuracy_and_no_fault_of_the_labels(tmp_path):
    board = Board(tmp_path, SCORES, y=np.arange(10), classes=True)
    assert board.found(SCORES).accuracy.accuracy_ratio == 1
    for other in (SCORES[:, :7], np.tile(SCORES, 2), SCORES[..., None]):
        found = board.found(other)
        assert found.accuracy is None
        (doubt,) = found.doubts
        assert "for a row, and (10,) on this host" in doubt.evidence


@pytest.mark.parametrize("answers", [np.zeros(10), np.zeros((10, 0)), np.zeros((10, 0, 2))])
def test_sequences_without_a_step_are_not_of_the_agent(tmp_path, answers):
    board = Board(tmp_path, np.ones((10, 3, 2), "float32"), sequences=True)
    assert board.found(np.ones((10, 3, 2), "float32")).doubts == ()
    with pytest.raises(NotTheAgent, match="sequences of no step"):
        board.found(answers.astype("float32"))
