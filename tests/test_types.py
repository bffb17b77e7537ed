"""The names for the frameworks' objects: one meaning for the type checker and one at run time, and no bare Any beside them."""

import ast
from pathlib import Path

import pytest

from pipeline.frameworks import types

ROOT = Path(__file__).parents[1]
FILE = ROOT / "pipeline" / "frameworks" / "types.py"
NAMED = {"model", "layer", "node", "proto", "before", "after", "student", "teacher"}
"""Parameters and fields that have a type of their own."""
FILES = [
    path
    for folder in ("compress", "convert", "frameworks")
    for path in sorted((ROOT / "pipeline" / folder).rglob("*.py"))
]


def test_each_name_is_there_for_the_type_checker_and_at_run_time():
    (choice,) = (each for each in ast.parse(FILE.read_text()).body if isinstance(each, ast.If))
    checked = {each.target.id for each in choice.body if isinstance(each, ast.AnnAssign)}
    at_run_time = {target.id for each in choice.orelse for target in each.targets}
    assert checked == at_run_time
    assert checked <= set(vars(types))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT / "pipeline")))
def test_models_layers_and_nodes_have_a_type(path):
    bare = {
        (each.lineno, name)
        for each in ast.walk(ast.parse(path.read_text()))
        for name, annotation in (
            [(each.arg, each.annotation)]
            if isinstance(each, ast.arg)
            else [(getattr(each.target, "id", ""), each.annotation)]
            if isinstance(each, ast.AnnAssign)
            else []
        )
        if name in NAMED and isinstance(annotation, ast.Name) and annotation.id == "Any"
    }
    assert not bare
