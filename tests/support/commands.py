"""The edgepress command as a user starts it."""

import os
import subprocess
import sys
from pathlib import Path

EDGEPRESS = Path(sys.executable).with_name("edgepress")
EXTRAS = ("tensorflow", "keras", "onnx", "onnxruntime", "tf2onnx", "ai_edge_litert", "sympy", "tf_keras")


def edgepress(*arguments, **options):
    return subprocess.run([EDGEPRESS, *map(str, arguments)], capture_output=True, text=True, check=False, **options)


def without_extras(folder, modules=EXTRAS):
    """An environment in which no extra can be imported, or not these modules: what a base installation finds."""
    hidden = folder / "hidden"
    hidden.mkdir(exist_ok=True)
    (hidden / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name in {set(modules)}:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Hide())\n"
        "import importlib.util\n"
        "real = importlib.util.find_spec\n"
        "def find_spec(name, package=None):\n"
        "    try:\n"
        "        return real(name, package)\n"
        "    except ModuleNotFoundError:\n"
        "        return None\n"
        "importlib.util.find_spec = find_spec\n"
    )
    return os.environ | {"PYTHONPATH": str(hidden)}


TFLITE = b"\x1c\x00\x00\x00TFL3" + bytes(200)


def write(folder, plan, **files):
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_bytes(content)
    path = folder / "edge.toml"
    path.write_text(plan)
    return path


def refused(said, code, *parts):
    """One sentence that begins with our name, one hint, the exit code, and no traceback."""
    assert said.returncode == code, said.stderr
    assert "Traceback" not in said.stderr
    error = [line for line in said.stderr.splitlines() if line.startswith("edgepress: ")]
    assert len(error) == 1, said.stderr
    assert "  what to do: " in said.stderr
    for part in parts:
        assert part in said.stderr
    assert said.stdout == ""


def no_trace(folder):
    for name in ("tmp", "store", "runs", "answers", "reports"):
        place = folder / ".edgepress" / name
        assert not place.exists() or not list(place.iterdir()), name
