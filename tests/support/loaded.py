"""Made-up records of models with several inputs and outputs, as `load` would return them."""

from pipeline.load.request import Request
from pipeline.records import Artifact, Column, Data, Loaded, Model, Rows, TensorSpec
from tests.support.sample_run import artifact


def spec(name, shape, dtype="float32", fixed=None):
    return TensorSpec(name=name, shape=shape, dtype=dtype, fixed=fixed)


def column(name, shape, dtype="float32", constant=False):
    return Column(name=name, artifact=artifact(name, format="npy"), shape=shape, dtype=dtype, constant=constant)


def loaded(inputs, outputs, columns=(), file_format="onnx", notes=(), **about):
    """`columns`: of the evaluation rows; ten of them, or no data where there are none."""
    model = Model(
        name="net", artifact=artifact("net", 1_200_000, file_format), inputs=tuple(inputs), outputs=tuple(outputs),
        parameters=about.pop("parameters", 309_633), **about,
    )  # fmt: skip
    rows = Rows(inputs=tuple(columns), y=None, rows=10) if columns else None
    return Loaded(model=model, data=Data(evaluation=rows), notes=tuple(notes))


def voice():
    """A detector of voices as Silero's: a state of two tensors, a constant rate, steps of 512 samples."""
    inputs = [
        spec("input", (None, None), fixed=(1, 512)), spec("sr", (), "int64", fixed=()),
        spec("h", (2, None, 64), fixed=(2, 1, 64)), spec("c", (2, None, 64), fixed=(2, 1, 64)),
    ]  # fmt: skip
    outputs = [spec("output", (None, 1)), spec("hn", (2, None, 64)), spec("cn", (2, None, 64))]
    columns = [column("input", (31, 512)), column("sr", (), "int64", constant=True)]
    return loaded(inputs, outputs, columns, state=(("h", "hn"), ("c", "cn")), sequences=True)


def request(data=None, **told):
    """What a loader gets of a plan that says this of [model] and of [data]."""
    wanted = {
        "signature": None,
        "constants": {},
        "shape": {},
        "state": {},
        "sequences": False,
        "raw": False,
        "nonfinite": False,
    } | told
    return Request(
        root="", scratch="", name="m.onnx", format="onnx", artifact=Artifact(sha256="0" * 64, format="onnx", size_bytes=1),
        data=data or Data(), custom_objects=None, folder="", **wanted,
    )  # fmt: skip
