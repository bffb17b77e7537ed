"""Which runtimes can run a file: by its operators, their versions and their types, against tables of what runtimes said when asked."""

import functools
import json
import re
from collections.abc import Iterator, Sequence
from importlib.resources import files

from pipeline.audit.graph import Graph, Operator
from pipeline.audit.kinds import HYBRID, Computed
from pipeline.frameworks.onnx_versions import OPENS, opens
from pipeline.records.audit import Runs
from pipeline.safe_text import shortened

TABLE = "tflite_versions.json"  # made by scripts/probe_tflite_operators.py
LITERT, ONNXRUNTIME = "ai-edge-litert", "onnxruntime"
MICROSOFT = "com.microsoft"
PER_CHANNEL_HYBRID = "FULLY_CONNECTED with float32 activations and a scale for each channel of int8 weights"
PER_CHANNEL_VERSION = 12  # of FULLY_CONNECTED: what tf.lite writes for it, and what tflite-runtime then refuses
SHOWN = 3


def runs(graph: Graph, computed: Sequence[Computed]) -> tuple[Runs, ...]:
    """Return what each probed runtime does with the file, the oldest release of each first."""
    return tuple(_of_tflite(graph, computed) if graph.family == "tflite" else _of_onnx(graph))


def needs(graph: Graph) -> str:
    """Return what the file itself says that it needs."""
    if graph.family == "tflite":
        return f"TensorFlow Lite {graph.claims}" if graph.claims else ""
    more = "".join(f", {shortened(each, 60)}" for each in graph.domains)
    return f"opset {graph.opset}, IR {graph.ir}{more}"


@functools.cache
def tflite_versions() -> dict[str, dict[str, int]]:
    """Return the highest version of each built-in operator by runtime, `NAME VERSION`."""
    found: dict[str, dict[str, int]] = json.loads(files("pipeline.audit").joinpath(TABLE).read_text("utf-8"))
    return dict(sorted(found.items(), key=lambda each: (not each[0].startswith("tflite"), _numbers(each[0]))))


def silently_wrong(computed: Sequence[Computed]) -> tuple[Operator, ...]:
    """Return the operators that tflite-runtime 2.14 and older run without an error, and answer wrongly: it takes one scale for all channels.

    Seen with litert-quantizer 0.11, which leaves the version of the operator as it was.
    """
    return tuple(
        each.operator
        for each in computed
        if _is_per_channel_hybrid(each) and each.operator.version < PER_CHANNEL_VERSION
    )


def _is_per_channel_hybrid(each: Computed) -> bool:
    operator = each.operator
    if each.kind != HYBRID or operator.kind != "FULLY_CONNECTED" or operator.weights is None:
        return False
    weights = operator.inputs[operator.weights]
    return weights is not None and weights.scales > 1


def _of_tflite(graph: Graph, computed: Sequence[Computed]) -> Iterator[Runs]:
    for runtime, versions in tflite_versions().items():
        name, _, version = runtime.partition(" ")
        missing = _missing(graph, versions)
        if not missing and name != LITERT:
            missing = list(_by_types(computed))
        if graph.domains:
            custom = ", ".join(shortened(each, 40) for each in graph.domains[:SHOWN])
            yield Runs(
                runtime=name,
                version=version,
                can=False if missing else None,
                why="; ".join(missing) or f"custom operators: {custom}",
            )
        else:
            yield Runs(runtime=name, version=version, can=not missing, why="; ".join(missing[:SHOWN]))


def _missing(graph: Graph, versions: dict[str, int]) -> list[str]:
    found = {}
    for each in graph.operators:
        known = 0 if each.domain else versions.get(each.kind, 0)
        if not each.domain and each.version > known:
            found[each.kind, each.version] = f"{each.kind} version {each.version}" + (
                f" (it has {known})" if known else ""
            )
    return list(found.values())


def _by_types(computed: Sequence[Computed]) -> Iterator[str]:
    """What tflite-runtime 2.11 to 2.14 cannot do whatever the versions in the file say; each was seen there."""
    values = [value for each in computed for value in each.operator.inputs if value is not None]
    if any(map(_is_per_channel_hybrid, computed)):
        yield f"{PER_CHANNEL_HYBRID}: it answers wrongly, without an error"
    if any(value.dtype in {"int4", "uint4", "int2"} and value.constant for value in values):
        yield "weights of 4 bits"
    if any(value.blockwise for value in values):
        yield "weights with a scale for each block"
    for each in computed:
        if each.operator.kind == "RSQRT" and any(value.dtype == "int16" for value in each.operator.moving):
            yield "RSQRT in int16"
            return


def _of_onnx(graph: Graph) -> Iterator[Runs]:
    others = [each for each in graph.domains if each != MICROSOFT]
    for release, _, _ in OPENS:
        version = ".".join(map(str, release))
        can, why = opens(release, graph.opset, graph.ir), ""
        if can is False:
            why = f"it does not open opset {graph.opset} with IR version {graph.ir}"
        elif others:
            can, why = (
                None,
                f"operators of {', '.join(shortened(each, 60) for each in others[:SHOWN])}, which must be added to it",
            )
        elif MICROSOFT in graph.domains:
            can, why = None, f"operators of {MICROSOFT}: which releases have them was not probed"
        yield Runs(runtime=ONNXRUNTIME, version=version, can=can, why=why)


def understated(graph: Graph, found: Sequence[Runs]) -> str:
    """Return a sentence where the file claims that an older runtime runs it than does; "" otherwise."""
    claimed = _numbers(graph.claims)
    refused = [
        each
        for each in found
        if each.can is False and each.runtime != LITERT and claimed and _numbers(each.version) >= claimed
    ]
    if not refused:
        return ""
    return f"the file says that TensorFlow Lite {graph.claims} runs it, and {refused[-1].runtime} {refused[-1].version} does not: {refused[-1].why}"


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)))
