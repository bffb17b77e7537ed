"""Made-up .tflite files: signatures that name what is not there, and weights in another place."""

from pathlib import Path

import pytest

from pipeline import frameworks
from pipeline.errors import ModelError
from pipeline.frameworks import tflite_signature

pytestmark = pytest.mark.frameworks
SUMS = Path(__file__).parents[2] / "models" / "sums.tflite"


def changed(change):
    """The content of a sound file, with a change."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(SUMS.read_bytes(), 0))
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("what", ["input", "output"])
def test_a_signature_that_names_another_tensor(what, tmp_path):
    def change(model):
        graph, signature = model.subgraphs[0], model.signatureDefs[0]
        ends = signature.inputs if what == "input" else signature.outputs
        ends[0].tensorIndex = (graph.outputs if what == "input" else graph.inputs)[0]

    (tmp_path / "m.tflite").write_bytes(changed(change))
    with pytest.raises(ModelError, match=f"a signature names the {what} '.*', and its function has no such {what}"):
        frameworks.open_file(tmp_path / "m.tflite", "tflite", "m.tflite")


def test_weights_at_a_place_of_the_file_are_not_moved():
    def change(model):
        model.subgraphs.append(model.subgraphs[0])
        model.buffers[-1].offset, model.buffers[-1].size, model.buffers[-1].data = 256, 8, None

    with pytest.raises(ModelError, match=r"m.tflite cannot be put in another order: .*its weights lie after its end"):
        tflite_signature.brought_first(changed(change), 1, "m.tflite")
