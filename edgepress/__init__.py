"""Compress a model, convert it, measure it on the board that will run it, from Python. docs/python.md shows how.

    run, convert, measure      a plan (its path, or a Plan) as far as that stage
    compress                   one pass over a model in memory, without a plan
    read_plan, read_run        the records in files
    callbacks, codebook        modules: for a training of your own; to open what the pass `codebook` packed
    layers                     a module: lets Keras load models with fake quantization

Importing this package is instant: what a name needs is imported when the name is first used. What type each name has stands in
__init__.pyi.
"""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

_HOMES = {
    "edgepress.stages": ("convert", "measure", "read_plan", "run"),
    "pipeline.compress.base": ("Applied",),
    "pipeline.compress.context": ("Dataset",),
    "pipeline.errors": (
        "ChildError", "DataError", "EdgepressError", "ModelError", "PlanError", "PromiseError", "StageError",
    ),
    "pipeline.plan": ("Plan",),
    "pipeline.progress": ("Progress",),
    "pipeline.records": (
        "Agreement", "Artifact", "BoardAccuracy", "Compared", "Comparison", "Compressed", "Converted", "Deployment", "Doubt",
        "Energy", "Latency", "Loaded", "Measured", "Measurement", "Memory", "Model", "NotMeasured", "Outcome", "PassReport",
        "RunRecord", "Verdict",
    ),
    "pipeline.report": ("read_run",),
    "targets.errors": ("TargetError",),
}  # fmt: skip
"""Module -> the names that it has for users."""

_MODULES = ("callbacks", "codebook", "layers")
_HOME = {name: (module, name) for module, names in _HOMES.items() for name in names}
_HOME["compress"] = ("pipeline.compress", "apply")

__all__ = sorted((*_HOME, "callbacks", "codebook"))  # noqa: PLE0605 - one by one in __init__.pyi; layers needs Keras


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"edgepress.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'edgepress' has no attribute {name!r}")
    module, attribute = _HOME[name]
    found = getattr(import_module(module), attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted((*_HOME, *_MODULES))


def _check_own() -> None:
    """ImportError if a file of the user's, such as a pipeline.py in the script's folder, stands before a package of ours: Python would
    run it in our place.
    """
    ours = Path(__file__).resolve().parents[1]
    for name in ("pipeline", "targets", "device_agent"):
        spec = find_spec(name)
        found = None if spec is None or spec.origin is None else Path(spec.origin).resolve()
        if found != ours / name / "__init__.py":
            raise ImportError(
                f"edgepress needs its own package '{name}' in {ours}, and Python finds {found or 'none'}: "
                f"rename that {name}, or take its folder out of sys.path"
            )


_check_own()
