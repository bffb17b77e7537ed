"""The tiny model in every format that passes work on."""

import pytest

from pipeline import frameworks
from pipeline.compress.formats import FORMATS
from pipeline.convert import onnx_fp32
from pipeline.convert.request import Job
from pipeline.records import Artifact, Model


@pytest.fixture(scope="session")
def onnx_file(tiny_folder, tmp_path_factory):
    """tiny.onnx, as the onnx-fp32 converter makes it of tiny.keras."""
    import onnx

    artifact = Artifact(sha256="0" * 64, format="keras", size_bytes=1)
    inputs, outputs = FORMATS["keras"].interface(frameworks.open_keras(tiny_folder / "tiny.keras"))
    record = Model(name="tiny", artifact=artifact, inputs=inputs, outputs=outputs, parameters=None)
    folder = tmp_path_factory.mktemp("onnx")
    job = Job(tiny_folder / "tiny.keras", record, None, folder, {"image": (1, 8, 8, 1)})
    onnx.save(onnx_fp32.proto_of(job), folder / "tiny.onnx")
    return folder / "tiny.onnx"


@pytest.fixture
def sources(tiny_folder, request):
    """Opens the tiny model in a format."""

    def open_it(kind):
        if kind == "onnx":
            return FORMATS["onnx"].open(request.getfixturevalue("onnx_file"), "tiny.onnx")
        return frameworks.open_keras(tiny_folder / "tiny.keras")

    return open_it
