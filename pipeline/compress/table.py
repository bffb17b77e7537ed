"""Which passes there are. A pass is one file, and one line here."""

import importlib

from pipeline.compress.base import Pass
from pipeline.errors import PlanError
from pipeline.spelling import did_you_mean

PASSES: dict[str, dict[str, str]] = {
    "keras": {
        "prune_channels": "pipeline.compress.keras_passes.prune_channels",
        "prune_weights": "pipeline.compress.keras_passes.prune_weights",
        "codebook": "pipeline.compress.keras_passes.codebook",
        "recover": "pipeline.compress.keras_passes.recover",
        "distill": "pipeline.compress.keras_passes.distill",
        "half_precision": "pipeline.compress.keras_passes.half_precision",
        "quantize_aware": "pipeline.compress.keras_passes.quantize_aware",
        "sensitivity": "pipeline.compress.keras_passes.sensitivity",
    },
    "onnx": {
        "prune_channels": "pipeline.compress.onnx_passes.prune_channels",
        "prune_weights": "pipeline.compress.onnx_passes.prune_weights",
        "codebook": "pipeline.compress.onnx_passes.codebook",
        "equalize": "pipeline.compress.onnx_passes.equalize",
        "correct_bias": "pipeline.compress.onnx_passes.correct_bias",
    },
}
"""Format of the model -> name of a pass -> its module. What a module offers: `pipeline.compress.base.Pass`."""


def load_pass(model_format: str, name: str) -> Pass:
    """Return the module of a pass; importing it imports no framework. PlanError if there is none of this name."""
    known = PASSES.get(model_format, {})
    if name not in known:
        others = [each for each, passes in PASSES.items() if name in passes]
        raise PlanError(
            f"there is no pass {name!r} for {model_format or 'such'} models",
            hint=(f"It works on {' and '.join(others)} models. " if others else did_you_mean(name, known))
            + f"Known: {', '.join(known) or 'none'}.",
        )
    module: Pass = importlib.import_module(known[name])
    return module
