"""Classes and functions of the user's own, which a Keras model needs to be opened: "module:function", run only where it is named."""

import importlib
import re
import sys
from pathlib import Path
from typing import Any

from pipeline.errors import PlanError
from pipeline.safe_text import shortened

FORM = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def custom_objects(reference: str, folder: Path, key: str = "model.custom_objects") -> dict[str, Any]:
    """What `function` of `module`.py in `folder` returns: names, as the model's file has them, to classes or functions.

    It runs code of the user's, so call it in a child process. PlanError if there is no such function, it fails, or it returns
    something else.
    """
    if not FORM.fullmatch(reference):
        raise PlanError(
            f"{key}: '{shortened(reference, 100)}' is not a function",
            hint='Give "module:function" for a function in module.py next to the plan, which returns a dict of names and classes.',
        )
    module_name, _, name = reference.partition(":")
    if not (folder / f"{module_name.replace('.', '/')}.py").is_file():
        raise PlanError(
            f"{key}: there is no {module_name.replace('.', '/')}.py in {folder}",
            hint="The module is looked for next to the plan.",
        )
    sys.path.insert(0, str(folder))  # only while it is imported
    try:
        function = getattr(importlib.import_module(module_name), name, None)
        found = function() if callable(function) else None
    except Exception as error:
        raise PlanError(
            f"{key}: {reference} failed: {type(error).__name__}: {shortened(str(error))}",
            hint=f'Try it alone: python -c "import {module_name}; {module_name}.{name}()"',
        ) from error
    finally:
        sys.path.remove(str(folder))
    if not callable(function):
        raise PlanError(f"{key}: {module_name}.py has no function '{name}'", hint="Correct the name.")
    if not isinstance(found, dict) or not all(isinstance(each, str) and callable(what) for each, what in found.items()):
        raise PlanError(
            f"{key}: {reference} returned {type(found).__name__}, and a dict of names and classes or functions is expected",
            hint="Return {'MyLayer': MyLayer, ...}, with the names that the model's file has.",
        )
    return found
