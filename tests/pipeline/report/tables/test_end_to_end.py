"""What was timed end to end: an invalid number is not printed, a doubted one is marked."""

import msgspec
import pytest

from pipeline import report
from pipeline.records import Artifact, Doubt, EndToEnd, EndToEndFunctions, OwnFunction, RowsBefore
from pipeline.report.compose import view_of
from tests.support.sample_run import CONTENDED, THROTTLED, artifact, latency, measurement, run_of

CODE = Artifact(sha256="a" * 64, format="py", size_bytes=9)
ASKED = EndToEndFunctions(
    preprocess=OwnFunction(module="judging", name="scaled", file=CODE), postprocess=None,
    before=RowsBefore(columns=(), indices=artifact("indices"), rows=32), fed={"x": "x"}, outputs=("y",), gives={},
)  # fmt: skip
TIMED = EndToEnd(latency=latency(2e-3), preprocess_s=0.0005, inference_s=0.001, postprocess_s=0.0005, rows=32)
FAILED = EndToEnd(
    latency=None,
    doubts=(Doubt(what="no end-to-end latency", evidence="on the board, SAMPLE", remedy="SAMPLE", invalid=True),),
)


def run(timed):
    made = run_of((measurement(end_to_end=timed), measurement("compressed")))
    data = msgspec.structs.replace(made.loaded.data, end_to_end=ASKED)
    return msgspec.structs.replace(made, loaded=msgspec.structs.replace(made.loaded, data=data))


def line(timed):
    table = view_of(run(timed)).table("end_to_end")
    (found,) = table.lines
    return found, table.note


def test_the_latency_and_the_share_of_each_part():
    found, note = line(TIMED)
    assert found.cells[1] == "2.00 ms"
    assert [cell.partition("(")[2] for cell in found.cells[5:8]] == ["25.00 %)", "50.00 %)", "25.00 %)"]
    assert "the plan's preprocess judging:scaled and the model" in note
    assert "32 evaluation rows in rotation" in note
    assert not view_of(run_of((measurement(),))).table("end_to_end").lines


@pytest.mark.parametrize("name", [name for name in report.RENDERERS if name != "json"])
def test_what_is_doubted_is_marked_and_what_is_invalid_is_not_printed(name, store):
    doubted = msgspec.structs.replace(TIMED, doubts=(CONTENDED,))
    invalid = msgspec.structs.replace(TIMED, doubts=(THROTTLED,))
    assert line(doubted)[0].cells[1] == "2.00 ms ?"
    assert set(line(invalid)[0].cells[1:8]) == {"invalid"}
    text = report.renderer(name).render(run(invalid), store)
    assert "2.00 ms" not in text
    assert ", end to end" in text
    failed = report.renderer(name).render(run(FAILED), store)
    assert "not measured" in failed
    assert "on the board, SAMPLE" in failed


def test_a_run_of_before_has_none():
    plain = msgspec.to_builtins(measurement())
    del plain["end_to_end"]
    assert msgspec.convert(plain, type(measurement())).end_to_end is None
