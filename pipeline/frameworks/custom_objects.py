"""Classes and functions of the user's own, which a Keras model needs to be opened: "module:function", run only where it is named."""

import ast
import hashlib
import importlib
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any

from pipeline.errors import PlanError
from pipeline.safe_text import shortened

KEY = "model.custom_objects"
FORM = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
MOST_MODULES = 1000


def check(reference: str | None, folder: Path, key: str = KEY) -> None:
    """Raise PlanError unless `reference` is "module:function" for a module in the plan's folder. Nothing of it runs."""
    if reference is not None:
        _module(reference, folder, key)


def digest(reference: str | None, folder: Path) -> str:
    """Return what changes with the source of these classes: of the module, and of what it imports from the same folder. "": none.

    Files that the module reads when it runs are not part of it.
    """
    if reference is None:
        return ""
    found = hashlib.sha256(reference.encode())
    todo, seen = [_module(reference, folder, KEY)], set[Path]()
    while todo and len(seen) < MOST_MODULES:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            content = path.read_bytes()
            found.update(f"\0{path.relative_to(folder)}\0{len(content)}\0".encode(errors="surrogateescape") + content)
            todo += sorted(_imported(content, path, folder), reverse=True)
    return found.hexdigest()


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
    _module(reference, folder, key)
    module_name, _, name = reference.partition(":")
    sys.path.insert(0, str(folder))  # only while it is imported
    try:
        module = importlib.import_module(module_name)
        own = folder.resolve() in Path(getattr(module, "__file__", None) or "/").resolve().parents
        function = getattr(module, name, None) if own else None
        found = function() if callable(function) else None
    except BaseException as error:  # what a user's module raises can be anything
        words = shortened(str(traceback.TracebackException(type(error), error, None)))
        raise PlanError(
            f"{key}: {reference} failed: {': '.join(filter(None, (type(error).__name__, words)))}",
            hint=f'Try it alone: python -c "import {module_name}; {module_name}.{name}()"',
        ) from error
    finally:
        sys.path.remove(str(folder))
    if not own:
        raise PlanError(
            f"{key}: '{module_name}' is a module of Python or of an installed package, not one next to the plan",
            hint="Give your module another name.",
        )
    if not callable(function):
        known = ", ".join(item for item, value in vars(module).items() if callable(value) and item[0] != "_")
        raise PlanError(f"{key}: {module_name}.py has no function '{name}'", hint=f"It has: {known or 'none'}.")
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


def _module(reference: str, folder: Path, key: str) -> Path:
    if not FORM.fullmatch(reference):
        raise PlanError(
            f"{key}: '{shortened(reference, 100)}' is not a function",
            hint='Give "module:function" for a function in module.py next to the plan, which returns a dict of names and classes.',
        )
    name = reference.partition(":")[0].replace(".", "/") + ".py"
    if not (folder / name).is_file():
        raise PlanError(f"{key}: there is no {name} in {folder}", hint="The module is looked for next to the plan.")
    return folder / name


def _imported(source: bytes, path: Path, folder: Path) -> Iterator[Path]:
    """Yield the files of the folder that a module imports, as far as its text says it."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError):  # said where it is run
        return
    names: set[tuple[str, ...]] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {tuple(each.name.split(".")) for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = path.relative_to(folder).parts[: -node.level] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            names |= {(*module, each.name) for each in node.names} | {module}
    for parts in names:
        for length in range(1, len(parts) + 1):  # a package runs before what lies in it
            place = folder.joinpath(*parts[:length])
            for each in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
                if each.is_file():
                    yield each
