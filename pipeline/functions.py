"""Functions of the user's own, which a plan names: "module:function" in a Python file next to it. They run only in child processes."""

import ast
import hashlib
import importlib
import re
import sys
import traceback
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.errors import PlanError
from pipeline.safe_text import shortened

FORM = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
MOST_MODULES = 1000


def check(reference: str | None, folder: Path, key: str, returns: str = "") -> None:
    """Raise PlanError unless `reference` is "module:function" for a module in the plan's folder. Nothing of it runs.

    `key`: of the plan, for messages; `returns`: the rest of a sentence on what the function returns.
    """
    if reference is not None:
        _module(reference, folder, key, returns)


def digest(reference: str | None, folder: Path, key: str, returns: str = "") -> str:
    """Return what changes with the source of a function: of its module, and of what that imports from the same folder. "": none.

    Files that the module reads when it runs are not part of it.
    """
    if reference is None:
        return ""
    found = hashlib.sha256(reference.encode())
    todo, seen = [_module(reference, folder, key, returns)], set[Path]()
    while todo and len(seen) < MOST_MODULES:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            content = path.read_bytes()
            found.update(f"\0{path.relative_to(folder)}\0{len(content)}\0".encode(errors="surrogateescape") + content)
            todo += sorted(_imported(content, path, folder), reverse=True)
    return found.hexdigest()


class Import(NamedTuple):
    name: str
    line: int


def others_imported(reference: str, folder: Path, key: str, allowed: Container[str]) -> list[Import]:
    """Return what the text of a function's module imports whose first name is not in `allowed`, in the order of its lines."""
    try:
        nodes = list(ast.walk(ast.parse(_module(reference, folder, key, "").read_bytes())))
    except (SyntaxError, ValueError, RecursionError):  # said where it is run
        return []
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [Import(each.name, node.lineno) for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(Import("." * node.level + (node.module or ""), node.lineno))
    return sorted((each for each in found if each.name.partition(".")[0] not in allowed), key=lambda each: each.line)


def loaded(reference: str, folder: Path, key: str, returns: str = "") -> Callable[..., Any]:
    """Import the module and return the function. PlanError if there is none, or the module fails.

    It runs code of the user's: call it in a child process.
    """
    _module(reference, folder, key, returns)
    module_name, _, name = reference.partition(":")
    sys.path.insert(0, str(folder))  # only while it is imported
    try:
        module = importlib.import_module(module_name)
    except BaseException as error:  # what a user's module raises can be anything
        raise failed(reference, key, error) from error
    finally:
        sys.path.remove(str(folder))
    if folder.resolve() not in Path(getattr(module, "__file__", None) or "/").resolve().parents:
        raise PlanError(
            f"{key}: '{module_name}' is a module of Python or of an installed package, not one next to the plan",
            hint="Give your module another name.",
        )
    function = getattr(module, name, None)
    if not callable(function):
        known = ", ".join(item for item, value in vars(module).items() if callable(value) and item[0] != "_")
        raise PlanError(f"{key}: {module_name}.py has no function '{name}'", hint=f"It has: {known or 'none'}.")
    found: Callable[..., Any] = function
    return found


def failed(reference: str, key: str, error: BaseException) -> PlanError:
    """Return the error for a function that raised before it was called with anything of ours."""
    module_name, _, name = reference.partition(":")
    return PlanError(
        f"{key}: {reference} failed: {words_of(error)}",
        hint=f'Try it alone: python -c "import {module_name}; {module_name}.{name}()"',
    )


def words_of(error: BaseException) -> str:
    """Return the kind of an error and what it says."""
    words = shortened(str(traceback.TracebackException(type(error), error, None)))
    return ": ".join(filter(None, (type(error).__name__, words)))


def place_of(error: BaseException, folder: Path) -> str:
    """Return where in the files of this folder an error was raised, "metrics.py, line 12"; "": nowhere in them."""
    inside = [
        (Path(each.filename), each.lineno)
        for each in traceback.extract_tb(error.__traceback__)
        if folder.resolve() in Path(each.filename).resolve().parents
    ]
    return f"{inside[-1][0].name}, line {inside[-1][1]}" if inside else ""


def _module(reference: str, folder: Path, key: str, returns: str) -> Path:
    if not FORM.fullmatch(reference):
        raise PlanError(
            f"{key}: '{shortened(reference, 100)}' is not a function",
            hint=f'Give "module:function" for a function in module.py next to the plan{returns}.',
        )
    module, _, function = reference.partition(":")
    place = folder / module.replace(".", "/")
    for path in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
        if path.is_file():
            return path
    stem = module.removesuffix(".py")
    slip = f"Write the module without its ending: {stem}:{function}. " if stem != module else ""
    raise PlanError(
        f"{key}: there is no {module.replace('.', '/')}.py in {folder}",
        hint=f"{slip}The module is looked for next to the plan.",
    )


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
