"""What there is to say of a .tflite file before anything runs it: sentences for a reader, found without a runtime."""

import io
import zipfile
from collections.abc import Iterator, Sequence

from pipeline import units
from pipeline.errors import ModelError, PlanError
from pipeline.frameworks import random_numbers, tflite_names, tflite_schema
from pipeline.frameworks.tflite_names import Interface, Port
from pipeline.frameworks.tflite_schema import RESOURCE, TfliteFile
from pipeline.records import TensorSpec
from pipeline.safe_text import shortened

MOST = 8  # names in one sentence
FLEX = "Flex"  # operators of TensorFlow itself; https://ai.google.dev/edge/litert/models/ops_select
KNOWN_CUSTOM = {"TFLite_Detection_PostProcess"}  # in LiteRT and tflite-runtime as they are installed


def sentences(file: TfliteFile, interface: Interface, data: bytes | None = None) -> list[str]:
    """Return what a user should know: other signatures, state, operators that runtimes lack, quantized ends, metadata.

    `data`: the file's content, to look for files that are attached to it.
    """
    found = [*_signatures(file, interface), *_state(file), *_operators(file), *_quantized(interface)]
    if file.metadata:
        entries = [f"{each.name} ({units.size(each.size_bytes)})" for each in file.metadata]
        found.append(f"It carries metadata: {_listed(entries)}.")
    attached = attached_files(data) if data is not None else ()
    if attached:
        found.append(f"It carries files: {_listed(attached)}.")
    return found


def of_file(data: bytes, name: str, signature: str | None = None) -> list[str]:
    """As `sentences`, for a file from anywhere: what is damaged, or which signature is to be chosen, is a sentence, too."""
    try:
        file = tflite_schema.read(data, name)
        return sentences(file, tflite_names.interface(file, name, signature), data)
    except ModelError as error:  # runtimes open some damaged files, in parts that they do not use
        return [f"{error.message}."]
    except PlanError as error:
        return [f"{error.message}. {error.hint}"]


def ends(data: bytes, name: str, signature: str | None = None) -> list[tuple[str, str]]:
    """Return ("input" or "output", its name, type and shape) for each; nothing where the file cannot be read."""
    try:
        found = tflite_names.interface(tflite_schema.read(data, name), name, signature)
    except (ModelError, PlanError):  # `of_file` says so
        return []
    pairs = [("input", port) for port in found.inputs] + [("output", port) for port in found.outputs]
    return [(what, f"{port.name}: {port.tensor.dtype} {units.shape(port.tensor.open_shape)}") for what, port in pairs]


def inputs_of(data: bytes, name: str, signature: str | None = None) -> list[tuple[TensorSpec, bool]]:
    """Return each input, and whether the file scales its values; nothing where the file cannot be read."""
    try:
        found = tflite_names.interface(tflite_schema.read(data, name), name, signature)
    except (ModelError, PlanError):  # `of_file` says so
        return []
    specs = [TensorSpec(name=port.name, shape=port.tensor.open_shape, dtype=port.tensor.dtype) for port in found.inputs]
    return [(spec, _scales(port)) for spec, port in zip(specs, found.inputs, strict=True)]


def state_of(data: bytes, name: str) -> str:
    """Return the names of what the file keeps between calls; "": nothing, or it cannot be read."""
    try:
        file = tflite_schema.read(data, name)
    except ModelError:
        return ""
    return _listed(list(dict.fromkeys(each.name for each in file.state)))


def _signatures(file: TfliteFile, interface: Interface) -> Iterator[str]:
    others = [each.key for each in file.signatures if each.key != interface.signature]
    if others:
        yield f"Its signature '{interface.signature}' is run; it has others: {_listed(others)}."
    if interface.signature is None:
        yield "It has no signature: inputs and outputs are called as their tensors are."


def _state(file: TfliteFile) -> Iterator[str]:
    if not file.state:
        return
    yield f"It keeps a state between calls ({_listed(list(dict.fromkeys(each.name for each in file.state)))})."
    if any(each.kind == RESOURCE for each in file.state):
        yield "Runtimes reset this state only when they open the file again."


def _operators(file: TfliteFile) -> Iterator[str]:
    flex = [each for each in file.custom_operators if each.startswith(FLEX)]
    custom = [each for each in file.custom_operators if each not in flex and each not in KNOWN_CUSTOM]
    if flex:
        yield f"It needs operators of TensorFlow itself, which small runtimes lack: {_listed(flex)}."
    if custom:
        yield f"It needs custom operators, which runtimes have only if they are added: {_listed(custom)}."
    drawn = random_numbers.sentence((name for name, _ in file.operators), random_numbers.TFLITE)
    if drawn:
        yield drawn


def _quantized(interface: Interface) -> Iterator[str]:
    for ports, what in ((interface.inputs, "input"), (interface.outputs, "output")):
        for port in ports:
            if port.tensor.quantization is not None and port.tensor.dtype != "float32":
                yield f"The {what} '{port.name}' holds {port.tensor.dtype}: {_scaled(port)}."


def _scales(port: Port) -> bool:
    quantization = port.tensor.quantization
    if quantization is None or port.tensor.dtype.startswith("float"):
        return False
    zeros = quantization.zero_points or (0,)
    return any(tflite_schema.scales(scale, zeros[0]) for scale in quantization.scales)


def _scaled(port: Port) -> str:
    quantization = port.tensor.quantization
    assert quantization is not None
    if len(quantization.scales) > 1:
        return f"{len(quantization.scales)} scales along axis {quantization.axis}"
    zero = quantization.zero_points[0] if quantization.zero_points else 0
    return f"real = {quantization.scales[0]:.6g} * (stored - {zero})"


def attached_files(data: bytes) -> tuple[str, ...]:
    """Return the names of the files in the zip archive that TFLite Metadata appends to a model, such as its labels."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return tuple(shortened(each) for each in archive.namelist())
    except Exception:  # noqa: BLE001 - most files end without an archive, and a damaged one can drive zipfile to any error
        return ()


def _listed(names: Sequence[str]) -> str:
    rest = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(shortened(each, 80) for each in names[:MOST]) + rest
