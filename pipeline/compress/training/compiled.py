"""What a Keras file keeps of compile(): the loss of each output, and its weight."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.frameworks import keras2
from pipeline.frameworks.keras_graph import graph_of
from pipeline.frameworks.types import KerasModel


class OfOutput(NamedTuple):
    spec: Any  # the name of a loss, or its configuration
    weight: float


def read(path: Path) -> dict[str, Any] | None:
    """Return the configuration of compile() of a .keras or .h5 file, in Keras 3's words; None: it was not compiled."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            found = json.loads(file.read("config.json")).get("compile_config")
    else:
        found = _of_h5(path)
    if not isinstance(found, dict) or not found.get("loss"):
        return None
    return found | {"loss": _of_keras2(found["loss"])} if keras2.is_keras2(path) else found


def _of_h5(path: Path) -> Any:
    import h5py

    with h5py.File(path, "r") as file:
        text = file.attrs.get("training_config", "null")
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):  # what no Keras wrote
        return None


def _of_keras2(spec: Any) -> Any:
    """Keras 2 writes a reduction by no name, and of its own classes the function in them, which Keras 3's do not take."""
    if isinstance(spec, list):
        return [_of_keras2(each) for each in spec]
    if not isinstance(spec, dict):
        return spec
    if not ("class_name" in spec and isinstance(spec.get("config"), dict)):
        return {name: _of_keras2(each) for name, each in spec.items()}
    config = {
        key: value for key, value in spec["config"].items() if key != "fn" and (key, value) != ("reduction", "auto")
    }
    return spec | {"config": config}


def of_model(model: KerasModel) -> dict[str, Any] | None:
    """As `read`, of a model that is open."""
    found = model.get_compile_config() if getattr(model, "compiled", False) else None
    return found if found and found.get("loss") else None


def losses_of(config: Mapping[str, Any] | None, names: Sequence[str], model: KerasModel) -> dict[str, OfOutput]:
    """Return the loss of each output that has one. `names`: of the outputs in their order, when the model came.

    A list of losses belongs to outputs in their order, which only outputs in a list have: Keras gives those of a dict to its sorted keys.
    """
    if config is None:
        return {}
    graph = graph_of(model)
    ordered = len(names) == 1 or not isinstance(getattr(graph, "_outputs_struct", None), dict)
    specs = _by_name(config.get("loss"), names, ordered=ordered)
    weights = _by_name(config.get("loss_weights"), names, ordered=ordered)
    return {name: OfOutput(spec, float(weights.get(name, 1.0))) for name, spec in specs.items()}


def _by_name(value: Any, names: Sequence[str], *, ordered: bool) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, list):
        found = dict(zip(names, value, strict=False)) if ordered else {}
    elif isinstance(value, dict) and not ("class_name" in value and "config" in value):
        found = {name: each[0] if isinstance(each, list) and each else each for name, each in value.items()}
    else:
        found = dict.fromkeys(names, value)
    return {name: each for name, each in found.items() if name in names and each is not None}
