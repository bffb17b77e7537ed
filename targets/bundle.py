"""The agent as one file: a zip whose sha256 is the agent's name on every board."""

import hashlib
import io
import zipfile
from functools import cache
from pathlib import Path

from device_agent import wire

BOOTSTRAP = "bootstrap.py"  # sent as the program text; not needed in the bundle


@cache
def bundle() -> tuple[bytes, str]:
    """Return the zip and its sha256. The same source gives the same bytes: names sorted, dates fixed."""
    package = Path(wire.__file__).parent
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(package.rglob("*.py")):
            if path.name != BOOTSTRAP:
                _add(archive, f"device_agent/{path.relative_to(package).as_posix()}", path.read_text())
    data = buffer.getvalue()
    return data, hashlib.sha256(data).hexdigest()


@cache
def bootstrap() -> str:
    """Return the program that receives the bundle, if the board lacks it, and becomes the agent."""
    return (Path(wire.__file__).parent / BOOTSTRAP).read_text()


def _add(archive: zipfile.ZipFile, name: str, text: str) -> None:
    archive.writestr(zipfile.ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED, 9)
