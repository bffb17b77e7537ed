"""The sdist and the wheel: what is in them, and the wheel in an environment that has nothing else. pip asks the index that it is
configured for, and nobody else.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILT_WITH = ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md")
PACKAGES = ("device_agent", "edgepress", "pipeline", "targets")
BASE = """
import sys
import edgepress
print(edgepress.__file__)
[getattr(edgepress, name) for name in edgepress.__all__]
print(sorted({"keras", "tensorflow", "onnx", "onnxruntime"} & set(sys.modules)))
"""

TYPED = """
import edgepress

run = edgepress.run("edge.toml", out="out")
reveal_type(run.measured.measurements[0].latency.median_s)
reveal_type(edgepress.EdgepressError("what was wrong", hint="what to do").exit_code)
edgepress.convert(3)
edgepress.compres
"""


def run(*command, **options):
    said = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """Built from a copy, so that nothing is left in the tree: the sdist, and from that the wheel."""
    source = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "tests").mkdir()
    for file in (*BUILT_WITH, "tests/test_contracts.py"):
        shutil.copy(ROOT / file, source / file)
    run(sys.executable, "-P", "-m", "build", "--no-isolation", source)
    return source / "dist"


@pytest.fixture(scope="module")
def wheel(dist):
    (found,) = dist.glob("edgepress-*-py3-none-any.whl")
    return found


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """The bin folder of an environment with the wheel and what it depends on: no extra."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    run(
        sys.executable, "-P", "-m", "pip", "--python", folder / "bin" / "python", "install", "--quiet", "--no-compile",
        "--disable-pip-version-check", "--constraint", ROOT / "constraints.txt", wheel,
    )  # fmt: skip
    return folder / "bin"


def files_of(package):
    return {
        str(path.relative_to(ROOT))
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_the_wheel_has_every_file_of_the_packages(wheel, package):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith(f"{package}/")}
    assert names == files_of(package)
    assert f"{package}/py.typed" in names


def test_the_wheel_has_nothing_else(wheel):
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


def test_what_the_wheel_says_of_itself(wheel):
    with zipfile.ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        told = Parser().parsestr(file.read(name).decode())
        assert any(each.endswith("/licenses/LICENSE") for each in file.namelist())
    assert told["Name"] == "edgepress"
    assert told["Author"] == "edgepress contributors"
    assert told["License-Expression"] == "Apache-2.0"
    assert told["Description-Content-Type"] == "text/markdown"
    assert "Typing :: Typed" in told.get_all("Classifier")
    assert told.get_all("Project-URL") is None  # there is no address yet that would be true
    assert told.get_payload().startswith("# ")


def test_the_sdist_has_what_a_wheel_is_built_of(dist):
    (path,) = dist.glob("edgepress-*.tar.gz")
    with tarfile.open(path) as file:
        tops = {name.split("/")[1] for name in file.getnames() if "/" in name}
    assert tops == {*PACKAGES, *BUILT_WITH, "PKG-INFO", "edgepress.egg-info", "setup.cfg"}


def test_the_command_in_an_empty_environment(environment, tmp_path):
    assert "Usage: edgepress" in run(environment / "edgepress", "--help", cwd=tmp_path)
    said = run(environment / "edgepress", "doctor", cwd=tmp_path, env=os.environ | {"EDGEPRESS_STATE": str(tmp_path)})
    assert "pip install 'edgepress[tensorflow]'" in said


def test_the_import_in_an_empty_environment(environment, tmp_path):
    file, frameworks = run(environment / "python", "-c", BASE, cwd=tmp_path).splitlines()
    assert Path(file).is_relative_to(environment.parent)
    assert frameworks == "[]"


def test_mypy_sees_the_types_of_an_installed_package(environment, tmp_path):
    (tmp_path / "user.py").write_text(TYPED)
    said = subprocess.run(
        [sys.executable, "-P", "-m", "mypy", "--strict", "--python-executable", environment / "python", "user.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = said.stdout.splitlines()
    assert 'Revealed type is "float"' in lines[0]
    assert 'Revealed type is "int"' in lines[1]
    assert 'Argument 1 to "convert" has incompatible type "int"' in lines[2]
    assert 'Module has no attribute "compres"' in lines[3]
    assert len(lines) == 5
