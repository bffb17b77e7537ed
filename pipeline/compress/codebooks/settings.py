"""The keys of the plan that `codebook` has in common for Keras models and ONNX graphs."""

from typing import Annotated, Literal

from msgspec import Meta, field

from pipeline.compress.codebooks.levels import Method
from pipeline.compress.settings import PassSettings

Bits = Annotated[int, Meta(ge=1, le=8)]


class CodebookSettings(PassSettings, frozen=True):
    bits: Bits = 4  # of an index: a table has 2^bits levels
    method: Method = "kmeans"
    granularity: Literal["tensor", "channel"] = "tensor"  # one table for a kernel, or one for each output channel
    exclude: tuple[str, ...] = ()  # names of layers, or nodes, that stay as they are
    bits_of: dict[str, Bits] = field(default_factory=dict)  # other bits for the layers, or nodes, of these names

    def bits_for(self, layer: str) -> int:
        return self.bits_of.get(layer, self.bits)

    def axes(self, outputs: tuple[int, ...]) -> tuple[int, ...]:
        """Return which axes of a kernel number its tables; `outputs` are those that number the output channels."""
        return outputs if self.granularity == "channel" else ()
