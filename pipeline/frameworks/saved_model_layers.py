"""The layers of a SavedModel that tf_keras, or Keras 2, wrote: a Keras 3 model of the configuration in its keras_metadata.pb.

The file is not trusted: it is parsed here, and the model is built by the repair of Keras 2 files (keras2_graph), which runs no code of
it. Whether the model is what the SavedModel computes is for the caller to see, by its answers.

Format: tensorflow/python/keras/protobuf/saved_metadata.proto.
"""

import io
import json
from pathlib import Path
from typing import Any

from pipeline.errors import ModelError
from pipeline.frameworks import keras2_graph, keras2_weights, protobuf
from pipeline.frameworks.protobuf import BYTES, DamagedError
from pipeline.frameworks.saved_model import Opened
from pipeline.frameworks.types import KerasModel

METADATA = "keras_metadata.pb"
MOST_BYTES = 2**26  # a network of 1,000 layers has 2 MiB
MOST_NAMES = 200  # in one attribute, which holds 64 KiB
NODES, PATH, CONTENT = 1, 3, 5  # SavedMetadata.nodes; SavedObject.node_path, .metadata


def has_layers(folder: Path) -> bool:
    """Return whether a SavedModel says which layers it was made of."""
    return (folder / METADATA).is_file()


def with_layers(opened: Opened) -> KerasModel:
    """Return the Keras 3 model of a SavedModel that `has_layers`, with its weights. ModelError says why there is none."""
    import h5py

    name = opened.name
    try:
        nodes = _nodes(opened.folder / METADATA, name)
        root = _plain(nodes.get("root", {}))
        built = keras2_graph.Built(name)
        model = built.model({"class_name": root.get("class_name"), "config": root.get("config")})
        with h5py.File(io.BytesIO(), "w") as file:
            _store(file, nodes, opened.loaded)
            keras2_weights.of_h5(file, model, built)
    except (
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        ValueError,
        RecursionError,
    ) as error:  # what no Keras wrote
        why = f"{type(error).__name__}: {str(error)[:200]}"
        raise _no_layers(name, f"its {METADATA} cannot be followed ({why})") from error
    return model


def _nodes(path: Path, name: str) -> dict[str, Any]:
    """What the file says of each object, by its path from the root."""
    if path.stat().st_size > MOST_BYTES:
        raise _no_layers(
            name, f"its {METADATA} has {path.stat().st_size:,} bytes, and {MOST_BYTES:,} is the most that is read"
        )
    data, found = path.read_bytes(), {}
    try:
        for node in protobuf.fields(data, 0, len(data)):
            if node.number == NODES and node.wire == BYTES:
                parts = {
                    each.number: each for each in protobuf.fields(data, node.value, node.end) if each.wire == BYTES
                }
                if PATH in parts and CONTENT in parts:
                    at, content = parts[PATH], parts[CONTENT]
                    found[data[at.value : at.end].decode()] = json.loads(data[content.value : content.end])
    except DamagedError as error:
        raise _no_layers(name, f"its {METADATA} is damaged") from error
    return found


def _plain(value: Any) -> Any:
    """The configuration as .h5 files have it: a tuple is a list there."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") == "__tuple__":
        return [_plain(each) for each in value["items"]]
    return {key: _plain(each) for key, each in value.items()}


def _store(file: Any, nodes: dict[str, Any], loaded: Any) -> None:
    """Write the weights of the layers as an .h5 file has them: in the order of the layer, under its name."""
    taken = set[int]()
    for path, node in nodes.items():
        parts = path.split(".")
        if len(parts) != 2 or parts[0] != "root" or not isinstance(node, dict) or "class_name" not in node:
            continue
        variables = list(getattr(getattr(loaded, parts[1]), "variables", ()))
        if len(variables) != len({*map(id, variables)}) or not taken.isdisjoint(map(id, variables)):
            raise ValueError(f"a weight of {node['name']} is one of another layer, too")
        taken.update(map(id, variables))
        group = file.create_group(str(node["name"]))
        # numbered: two layers in a layer may have given their weights the same name
        names = [f"{number}/{each.name.rpartition('/')[2]}" for number, each in enumerate(variables)]
        for first in range(0, len(names), MOST_NAMES):
            group.attrs[f"weight_names{first // MOST_NAMES}"] = names[first : first + MOST_NAMES]
        for each, variable in zip(names, variables, strict=True):
            group.create_dataset(each, data=variable.numpy())


def _no_layers(name: str, why: str) -> ModelError:
    return ModelError(
        f"{name}: {why}",
        hint="Give the model as a .keras file (model.save('model.keras') in the program that made it), or leave out [[compress]].",
    )
