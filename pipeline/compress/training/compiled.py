"""What a .keras file keeps of compile(): the loss of each output, and its weight."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.frameworks.keras_graph import graph_of
from pipeline.frameworks.types import KerasModel


class OfOutput(NamedTuple):
    spec: Any  # the name of a loss, or its configuration
    weight: float


def read(path: Path) -> dict[str, Any] | None:
    """Return the configuration of compile() of a .keras file; None: it was not compiled, or is another kind of file."""
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as file:
        found = json.loads(file.read("config.json")).get("compile_config")
    return found if isinstance(found, dict) and found.get("loss") else None


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
