"""No type here has what msgspec 0.22 crashes on: a union of a text with a pattern and a list or a table, whose pattern it frees twice."""

import importlib
import pkgutil
import subprocess
import sys

import msgspec
import pytest
from msgspec import inspect

import device_agent
import pipeline
import targets
from pipeline.plan_tables import Tables
from pipeline.records import RunRecord

FREED = """
from typing import Annotated
import msgspec
for _ in range(60):
    msgspec.json.Decoder(Annotated[str, msgspec.Meta(pattern="^a$")] | dict[str, int])
"""


def structs():
    """Every struct of ours."""
    for package in (pipeline, targets, device_agent):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.startswith(("pipeline.records", "pipeline.plan", "targets.inventory", "pipeline.store")):
                importlib.import_module(module.name)
    waiting = [msgspec.Struct]
    while waiting:
        waiting += (found := waiting.pop().__subclasses__())
        yield from found


def unions(type_):
    """Each union in a type, at any depth."""
    if isinstance(type_, inspect.UnionType):
        yield type_
        for each in type_.types:
            yield from unions(each)
    for name in ("key_type", "value_type", "item_type"):
        if getattr(type_, name, None) is not None:
            yield from unions(getattr(type_, name))
    for each in getattr(type_, "item_types", ()):
        yield from unions(each)


def crashing(union):
    kinds = [getattr(each, "pattern", None) is not None for each in union.types]
    containers = (inspect.DictType, inspect.CollectionType, inspect.TupleType)
    return any(kinds) and any(isinstance(each, containers) for each in union.types)


def test_no_type_of_ours_has_it():
    found = set(structs())
    assert {Tables, RunRecord} <= found
    for struct in found:
        try:
            fields = inspect.type_info(struct).fields
        except TypeError:  # it holds what msgspec cannot read, and is never read
            continue
        for field in fields:
            assert not any(map(crashing, unions(field.type))), f"{struct.__name__}.{field.name}"


@pytest.mark.skipif(not msgspec.__version__.startswith("0.22."), reason="mended, or broken in another way")
def test_what_is_avoided_crashes():
    """When it does not, TextOrMore of pipeline/plan_tables.py can go."""
    assert subprocess.run([sys.executable, "-c", FREED], capture_output=True, check=False).returncode < 0
