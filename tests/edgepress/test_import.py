"""`import edgepress`: what it gives, that it is instant, and that files of the user's do not stand in its way."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import edgepress
from pipeline import errors
from targets import errors as target_errors

ROOT = Path(__file__).parents[2]
HEAVY = [
    "tensorflow",
    "keras",
    "onnx",
    "onnxruntime",
    "paramiko",
    "numpy",
    "msgspec",
    "click",
    "rich",
    "pipeline",
    "targets",
]


def python(text, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-c", text, *arguments], capture_output=True, text=True, check=False, **options
    )


def test_the_import_brings_nothing_else_with_it():
    text = "import edgepress, sys; print(sorted({name.partition('.')[0] for name in sys.modules} & set(sys.argv[1:])))"
    said = python(text, *HEAVY)
    assert said.stdout.strip() == "[]", said.stderr


def test_no_name_needs_a_framework_but_the_layers():
    text = (
        "import edgepress, sys; [getattr(edgepress, name) for name in edgepress.__all__];"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & set(sys.argv[1:])))"
    )
    said = python(text, *HEAVY[:5])
    assert said.stdout.strip() == "[]", said.stderr


def test_the_types_name_what_there_is():
    tree = ast.parse((ROOT / "edgepress" / "__init__.pyi").read_text())
    imported = {
        alias.asname: (node.module, alias.name) for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }  # fmt: skip
    told = next(ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign))
    assert told == edgepress.__all__
    assert set(imported) == set(dir(edgepress)) == {*told, "layers"}
    for name in told:
        module, attribute = imported[name]
        if module != "edgepress":
            assert getattr(edgepress, name) is getattr(sys.modules[module], attribute)


def test_another_name_is_no_attribute():
    with pytest.raises(AttributeError, match="'edgepress' has no attribute 'compres'"):
        edgepress.compres  # noqa: B018


@pytest.mark.parametrize(
    "kind", [errors.PlanError, errors.ChildError, target_errors.Busy, target_errors.FolderUnusable]
)
def test_one_name_catches_every_error(kind):
    with pytest.raises(edgepress.EdgepressError) as caught:
        raise kind("what was wrong", hint="what to do")
    assert (caught.value.message, caught.value.hint) == ("what was wrong", "what to do")
    assert caught.value.exit_code == kind.exit_code


@pytest.mark.parametrize("call", ["run", "convert", "measure"])
def test_a_plan_that_is_not_there_is_such_an_error(call, tmp_path):
    with pytest.raises(edgepress.PlanError) as caught:
        getattr(edgepress, call)(str(tmp_path / "edge.toml"))
    assert (caught.value.exit_code, "edge.toml" in caught.value.message) == (2, True)


@pytest.mark.parametrize("content", [None, b"{}", b"\xff"])
def test_a_file_that_is_no_run_is_such_an_error(content, tmp_path):
    path = tmp_path / "report.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(edgepress.EdgepressError) as caught:
        edgepress.read_run(path)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["pipeline", "targets", "device_agent"])
def test_a_file_that_stands_before_our_own_package_is_named_and_not_run(name, tmp_path):
    (tmp_path / f"{name}.py").write_text("print('it was run')\n")
    (tmp_path / "job.py").write_text("import edgepress\n")
    said = subprocess.run([sys.executable, tmp_path / "job.py"], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr.splitlines()[-1] == (
        f"ImportError: edgepress needs its own package '{name}' in {ROOT}, and Python finds {tmp_path.resolve() / name}.py: "
        f"rename that {name}, or take its folder out of sys.path"
    )
