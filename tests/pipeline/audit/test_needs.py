"""Which runtimes can run a file: the tables are what the runtimes say, and types count where versions lie."""

import importlib.util
from importlib import metadata
from pathlib import Path

import pytest

from pipeline.audit import audit, needs

SCRIPT = Path(__file__).parents[3] / "scripts" / "probe_tflite_operators.py"


@pytest.mark.frameworks
def test_the_table_is_what_the_runtime_says():
    from ai_edge_litert import interpreter

    spec = importlib.util.spec_from_file_location("probe", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    version = metadata.version("ai-edge-litert")
    assert script.probe(interpreter) == needs.tflite_versions()[f"ai-edge-litert {version}"]


def rewritten(path, change, to):
    """The file with its first graph changed by LiteRT's own writer of files."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    change(model)
    flatbuffer_utils.write_model(model, str(to))
    return audit(to)


@pytest.mark.frameworks
def test_an_operator_version_that_a_runtime_lacks(converted, tmp_path):
    def raised(model):
        for each in model.operatorCodes:
            each.version = 11 if each.builtinCode == 9 else each.version  # FULLY_CONNECTED

    found = rewritten(converted["float32"], raised, tmp_path / "raised.tflite")
    can = {(each.runtime, each.version): each for each in found.runs}
    assert can["tflite-runtime", "2.14.0"].can is False
    assert can["tflite-runtime", "2.14.0"].why == "FULLY_CONNECTED version 11 (it has 10)"
    assert can["ai-edge-litert", "2.3.0"].can is True
    assert any("the file says that TensorFlow Lite".lower() in each.lower() for each in found.findings)


@pytest.mark.frameworks
def test_a_dynamic_dense_with_a_low_version_is_silently_wrong_on_old_runtimes(converted, tmp_path):
    """litert-quantizer 0.11 writes it so; tf.lite says version 12, which old runtimes refuse."""

    def lowered(model):
        for each in model.operatorCodes:
            each.version = 3 if each.builtinCode == 9 else each.version

    honest = audit(converted["dynamic"])
    dense = [each for each in honest.operators if each.kind == "FULLY_CONNECTED"]
    assert [each.arithmetic for each in dense] == ["hybrid"]
    found = rewritten(converted["dynamic"], lowered, tmp_path / "lowered.tflite")
    for each in (honest, found):
        assert [one.can for one in each.runs] == [False, False, False, True]
    assert "answers wrongly, without an error" in found.runs[2].why
    assert any(each.startswith("tflite-runtime 2.14 and older answer wrongly") for each in found.findings)
    assert not any(each.startswith("tflite-runtime 2.14 and older answer wrongly") for each in honest.findings)


@pytest.mark.frameworks
def test_custom_operators(converted, tmp_path):
    def custom(model):
        code = next(each for each in model.operatorCodes if each.builtinCode == 9)
        code.builtinCode = code.deprecatedBuiltinCode = 32
        code.customCode = b"MyDense"

    found = rewritten(converted["float32"], custom, tmp_path / "custom.tflite")
    assert {each.can for each in found.runs} == {None}
    assert {each.why for each in found.runs} == {"custom operators: MyDense"}
    assert found.macs is None
    assert any("How much MyDense multiplies is not known" in each for each in found.findings)


@pytest.mark.frameworks
def test_weights_of_four_bits(converted, tmp_path):
    def four_bits(model):
        graph = model.subgraphs[0]
        dense = next(each for each in graph.operators if model.operatorCodes[each.opcodeIndex].builtinCode == 9)
        graph.tensors[dense.inputs[1]].type = 17
        model.operatorCodes[dense.opcodeIndex].version = 3

    found = rewritten(converted["dynamic"], four_bits, tmp_path / "net-int4.tflite")
    assert found.runs[2].can is False
    assert "weights of 4 bits" in found.runs[2].why
    assert found.is_what_it_claims is True
