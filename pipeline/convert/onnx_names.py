"""Names of inputs and outputs of an ONNX graph."""

from collections.abc import Iterator, Mapping, Sequence

from pipeline.frameworks.types import OnnxGraph, OnnxModel


def give(proto: OnnxModel, inputs: Mapping[str, str], outputs: Sequence[str]) -> None:
    """Give inputs and outputs other names, wherever they stand. What has such a name already gets another one.

    `outputs`: the names of all, in the order of the file. One that is an input, or another output, gets an Identity: a tensor has one name.
    """
    from onnx import helper

    graph = proto.graph
    change = {old: new for old, new in inputs.items() if old != new}
    taken = {*inputs, *inputs.values(), *outputs}
    change |= {name: f"{name}__inside" for name in taken & _names(graph) - {each.name for each in graph.input}}
    for output, new in zip(graph.output, outputs, strict=True):
        old = output.name
        if change.get(old, "").endswith("__inside") or (
            old not in change and old not in {each.name for each in graph.input}
        ):
            change[old] = new
        else:
            graph.node.append(helper.make_node("Identity", [old], [f"{new}__copy"]))
            change[f"{new}__copy"] = output.name = new
    for part in _parts(graph):
        for node in part.node:
            node.input[:] = [change.get(each, each) for each in node.input]
            node.output[:] = [change.get(each, each) for each in node.output]
        for things in (part.initializer, part.value_info, part.input, *([] if part is graph else [part.output])):
            for thing in things:
                thing.name = change.get(thing.name, thing.name)
    for output, new in zip(graph.output, outputs, strict=True):
        output.name = new


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
