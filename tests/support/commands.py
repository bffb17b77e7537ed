"""The edgepress command as a user starts it."""

import os
import subprocess
import sys
from pathlib import Path

EDGEPRESS = Path(sys.executable).with_name("edgepress")


def edgepress(*arguments, **options):
    return subprocess.run([EDGEPRESS, *map(str, arguments)], capture_output=True, text=True, check=False, **options)


def without_extras(folder):
    """An environment in which no extra can be imported: what a base installation finds."""
    hidden = folder / "hidden"
    hidden.mkdir(exist_ok=True)
    (hidden / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in {'tensorflow', 'keras', 'onnx', 'onnxruntime', 'tf2onnx', 'ai_edge_litert', 'sympy'}:\n"
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
