"""Bring a signature of a .tflite file to the front: a runtime that is fed by the numbers of tensors runs the first subgraph."""

from collections.abc import Iterator

from pipeline.errors import ModelError
from pipeline.frameworks.causes import cause_of
from pipeline.frameworks.tflite_schema import IDENTIFIER


def brought_first(data: bytes, subgraph: int, name: str) -> bytes:
    """Return the file with its subgraphs 0 and `subgraph` swapped, and all that speaks of them. Weights stay as they are.

    ModelError if the file cannot be written again. Files that are attached to it after its own end are lost.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    if not subgraph:
        return data
    swapped = {0: subgraph, subgraph: 0}
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
        if any(each.offset > 1 for each in model.buffers):
            raise ValueError("its weights lie after its end, at places that would change")
        graphs = model.subgraphs
        graphs[0], graphs[subgraph] = graphs[subgraph], graphs[0]
        for each in model.signatureDefs:
            each.subgraphIndex = swapped.get(each.subgraphIndex, each.subgraphIndex)
        for options in (each for graph in graphs for operator in graph.operators or () for each in _options(operator)):
            for field, value in vars(options).items():
                if "subgraph" not in field.lower():  # of loops, branches and calls
                    continue
                if isinstance(value, int):
                    setattr(options, field, swapped.get(value, value))
                elif value is not None:
                    setattr(options, field, [swapped.get(int(each), int(each)) for each in value])
        builder = flatbuffers.Builder(len(data) + 1024)
        builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
        return bytes(builder.Output())
    except Exception as error:
        raise ModelError(
            f"the signatures of {name} cannot be put in another order: {cause_of(error)}",
            hint="Convert that function alone: TFLiteConverter.from_saved_model(folder, signature_keys=[...]).",
        ) from error


def _options(operator: object) -> Iterator[object]:
    for field in ("builtinOptions", "builtinOptions2"):
        found = getattr(operator, field, None)
        if found is not None:
            yield found
