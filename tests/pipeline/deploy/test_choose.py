"""Which runtimes a plan gets on a board."""

from pathlib import Path

import pytest

from pipeline.deploy import untried_runtimes
from pipeline.deploy.runtimes import choose
from pipeline.errors import PlanError
from pipeline.plan import Plan
from pipeline.plan_tables import BoardTable, LimitsTable, MeasureTable, ModelTable, Tables
from targets.errors import RuntimeUnavailable
from tests.support.machines import ALL, BOARDS, GPU, board


def plan(*names, runtimes=None, **more):
    tables = Tables(model=ModelTable(path="m.tflite"), measure=MeasureTable(runtimes=runtimes or names), **more)
    return Plan(path=Path("edge.toml"), sha256="0" * 64, tables=tables)


def test_a_family_without_a_runtime_is_an_error_that_names_one():
    with pytest.raises(PlanError, match=r"no runtime for \.onnx files") as caught:
        choose(plan("tflite_runtime"), {"tflite", "onnx"}, board())
    assert "onnxruntime" in caught.value.hint


def test_runtimes_are_chosen_for_the_files():
    """One for each kind of file, the best that the board can have."""
    assert choose(plan(), {"onnx"}, board()) == ("onnxruntime",)
    assert choose(plan(), {"tflite"}, board()) == ("ai_edge_litert",)
    assert choose(plan(), {"tflite", "onnx"}, board()) == ("ai_edge_litert", "onnxruntime")
    assert choose(plan(), {"tflite"}, BOARDS["JetPack 5"][0]) == ("tflite_runtime",)
    assert choose(plan(), {"tflite"}, BOARDS["bookworm 32 bit"][0]) == ("tflite_runtime",)


def test_all_that_the_board_can_have():
    every = plan(runtimes="all")
    assert choose(every, {"tflite"}, board()) == ("ai_edge_litert", "tflite_runtime")
    assert choose(every, {"tflite"}, BOARDS["trixie"][0]) == ("ai_edge_litert",)
    assert choose(every, {"tflite", "onnx"}, board()) == ("ai_edge_litert", "tflite_runtime", "onnxruntime")


def test_runtimes_that_the_plan_speaks_of_are_measured():
    """To say a version of one, or to judge by it, is to name it: it stands in the place of the best."""
    pinned = plan(board=BoardTable(runtimes={"tflite_runtime": "2.13.0"}))
    assert choose(pinned, {"tflite", "onnx"}, board()) == ("tflite_runtime", "onnxruntime")
    judged = plan(limits=LimitsTable(applies_to=("tflite-int8@tflite_runtime", "onnx-int8")))
    assert choose(judged, {"tflite", "onnx"}, board()) == ("tflite_runtime", "onnxruntime")
    with pytest.raises(RuntimeUnavailable, match="tflite_runtime"):
        choose(judged, {"tflite"}, BOARDS["trixie"][0])


def test_gpu_runtimes_are_chosen_only_where_the_plan_asks_and_the_system_has_them_and_are_called_untried():
    jetson = BOARDS["JetPack 6 with NVIDIA's packages"][0]
    assert choose(plan(), {"onnx"}, jetson) == ("onnxruntime",)
    assert choose(plan(runtimes="all"), {"onnx"}, jetson) == ("onnxruntime", *sorted(GPU))
    assert choose(plan("onnxruntime_cuda"), {"onnx"}, jetson) == ("onnxruntime_cuda",)
    with pytest.raises(RuntimeUnavailable):
        choose(plan("onnxruntime_cuda"), {"onnx"}, board())
    said = "edgepress was not tried with onnxruntime_cuda and onnxruntime_tensorrt on hardware yet."
    assert untried_runtimes(("onnxruntime", *sorted(GPU))) == said
    assert untried_runtimes(tuple(sorted(ALL))) is None
