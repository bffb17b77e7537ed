"""ONNX graphs as a kind of model that passes work on. The object is an onnx.ModelProto; there is no training."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline import frameworks
from pipeline.compress.formats.base import Interface
from pipeline.compress.onnx_graph.cost import of_onnx
from pipeline.compress.onnx_graph.graph import Graph, inputs_of, outputs_of, refuse_external_data
from pipeline.errors import ModelError
from pipeline.frameworks import Array, Count, Feeds
from pipeline.frameworks.runner import State
from pipeline.frameworks.types import OnnxModel


class Onnx:
    """ONNX models on ONNX Runtime."""

    def open(self, path: Path, name: str) -> OnnxModel:
        return read(path.read_bytes(), name)

    def save(self, model: OnnxModel) -> bytes:
        """Return the file. ModelError if it is not valid ONNX."""
        import onnx

        try:
            onnx.checker.check_model(model)
        except Exception as error:
            raise ModelError(
                f"the graph is not valid ONNX: {str(error).strip().splitlines()[0][:300]}",
                hint="If the file as it was given passes onnx.checker, this is a fault of the pass: report it.",
            ) from error
        data: bytes = model.SerializeToString(deterministic=True)
        return data

    def read_back(self, file: bytes) -> OnnxModel:
        return read(file, "the saved graph")

    def reopened(self, model: OnnxModel) -> tuple[bytes, OnnxModel]:
        file = self.save(model)
        return file, self.read_back(file)

    def is_rounded(self, model: OnnxModel) -> bool:
        """No pass on ONNX graphs rounds."""
        del model
        return False

    def set_seed(self, seed: int) -> None:
        """Nothing here draws from a common generator: passes make their own from the context's seed."""

    def interface(self, model: OnnxModel) -> Interface:
        """Names, shapes of whole tensors and dtypes of all inputs and outputs."""
        return inputs_of(model), outputs_of(model)

    def weights(self, model: OnnxModel) -> Iterator[tuple[str, Array]]:
        """Name and values of every floating point constant."""
        yield from frameworks.onnx_weights(model)

    def multiply_accumulates(self, model: OnnxModel) -> int | None:
        return of_onnx(model)

    def answers(
        self, model: OnnxModel, feeds: Feeds, folder: Path, count: Count, state: State = ()
    ) -> tuple[Array, ...]:
        with tempfile.TemporaryDirectory() as made:
            path = Path(made) / "model.onnx"
            path.write_bytes(model.SerializeToString())
            return frameworks.open_file(path, "onnx", "the graph").answers(feeds, folder, count, state)


def read(file: bytes, name: str) -> OnnxModel:
    """Read an .onnx file; Constant nodes become initializers. ModelError if it cannot be read or is in several files."""
    import onnx

    try:
        model = onnx.load_from_string(file)
    except Exception as error:
        raise ModelError(
            f"{name} cannot be read as ONNX: {str(error).strip()[:300] or type(error).__name__}",
            hint="It was probably cut off while being copied: copy it again, or export it again.",
        ) from error
    refuse_external_data(model, name)
    Graph(model)
    return model
