"""Names of inputs and outputs of an ONNX graph."""

from collections.abc import Iterator, Mapping, Sequence

from pipeline.frameworks.types import OnnxGraph, OnnxModel


def give(proto: OnnxModel, inputs: Mapping[str, str], outputs: Sequence[str]) -> None:
    """Give inputs and outputs other names, wherever they stand. What has such a name already gets another one.

    `outputs`: the names of all, in the order of the file. A tensor has one name: an output that is an input, or another output, becomes
    the copy of it.
    """
    from onnx import helper

    graph = proto.graph
    fixed = {each.name for each in graph.input}
    change = {old: new for old, new in inputs.items() if old in fixed}
    for place, (output, new) in enumerate(zip(graph.output, outputs, strict=True)):
        old = output.name
        if old in fixed or old in change:
            output.name = f"{old}__copy{place}"
            graph.node.append(helper.make_node("Identity", [old], [output.name]))
        change[output.name] = new
    inside = (_names(graph) & {*inputs.values(), *outputs}) - fixed - set(change)
    change |= {name: f"{name}__inside" for name in inside}
    for part in _parts(graph):
        for node in part.node:
            for names in (node.input, node.output):
                names[:] = [change.get(each, each) for each in names]
        for things in (part.initializer, part.value_info, part.input, part.output):
            for thing in things:
                thing.name = change.get(thing.name, thing.name)


def apart(outputs: Sequence[str], inputs: Sequence[str]) -> list[str]:
    """Return names of outputs that no input has: in a graph of ONNX they would be one tensor."""
    found: list[str] = []
    for name in outputs:
        unique = name
        while unique in inputs or unique in found or (unique != name and unique in outputs):
            unique += "_output"
        found.append(unique)
    return found


def _names(graph: OnnxGraph) -> set[str]:
    return {name for part in _parts(graph) for node in part.node for name in (*node.input, *node.output)} | {
        each.name for each in graph.initializer
    }


def _parts(graph: OnnxGraph) -> Iterator[OnnxGraph]:
    """Yield the graph, and the bodies of its loops and branches: they speak of names out here."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for body in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _parts(body)
