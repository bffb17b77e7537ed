"""Classes and functions of the user's own, which a Keras model needs to be opened: "module:function", run only where it is named."""

from pathlib import Path
from types import NoneType
from typing import Any

from pipeline import functions
from pipeline.errors import PlanError
from pipeline.safe_text import shortened

KEY = "model.custom_objects"
RETURNS = ", which returns a dict of names and classes"


def check(reference: str | None, folder: Path, key: str = KEY) -> None:
    """Raise PlanError unless `reference` is "module:function" for a module in the plan's folder. Nothing of it runs."""
    functions.check(reference, folder, key, RETURNS)


def digest(reference: str | None, folder: Path) -> str:
    """Return what changes with the source of these classes: pipeline/functions.py. "": none."""
    return functions.digest(reference, folder, KEY, RETURNS)


def register(reference: str | None, folder: Path) -> None:
    """Let Keras know the classes and functions that the plan names, in this process: whatever opens a model then finds them.

    It runs code of the user's, so call it at the beginning of a child process. PlanError as for `custom_objects`.
    """
    if reference is not None:
        import keras

        keras.saving.get_custom_objects().update(custom_objects(reference, folder))


def custom_objects(reference: str, folder: Path, key: str = KEY) -> dict[str, Any]:
    """Return what `function` of `module`.py in `folder` returns: names, as the model's file has them, with classes or functions.

    PlanError if there is no such function, it fails, or it returns something else.
    """
    function = functions.loaded(reference, folder, key, RETURNS)
    try:
        found = function()
    except BaseException as error:  # what a user's function raises can be anything
        raise functions.failed(reference, key, error) from error
    hint = "Return {'MyLayer': MyLayer, ...}, with the names that the model's file has."
    if not isinstance(found, dict):
        told = f"returned {type(found).__name__}, and a dict of names and classes or functions is expected"
        raise PlanError(f"{key}: {reference} {told}", hint=hint)
    for each, what in found.items():
        if not isinstance(each, str) or not callable(what):
            told = f"returned {_shown(each)}: {_shown(what)}, and a name with a class or a function is expected"
            raise PlanError(f"{key}: {reference} {told}", hint=hint)
    return found


def _shown(value: object) -> str:
    """A text or a number as it is written; of anything else its kind, since an object of the user's may not be able to say more."""
    if isinstance(value, type):
        return "a class"
    return (
        shortened(repr(value), 60)
        if type(value) in (str, int, float, bool, NoneType)
        else f"an object of type {type(value).__name__}"
    )
