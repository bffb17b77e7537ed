"""What a stored answer depends on."""

import hashlib
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import msgspec

from pipeline.records import Artifact, Record


def key_of(*parts: object) -> str:
    """Sha256 of the JSON of everything that can change a stage's answer."""
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()


def versions(*distributions: str) -> dict[str, str | None]:
    """Installed versions, read without importing (None: not installed), and our own source. Part of a stage's key."""
    found: dict[str, str | None] = {"source": _source_sha256()}
    for name in ("edgepress", *distributions):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


@cache
def _source_sha256() -> str:
    """Changes when the code of the cached stages does: a developer's edit must not be answered from the cache."""
    package, digest = Path(__file__).parents[1], hashlib.sha256()
    for folder in ("load", "compress", "convert", "frameworks"):
        for path in sorted((package / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def artifacts_in(answer: object) -> Iterator[Artifact]:
    """Yield every artifact that a record (or tuple of records) names."""
    if isinstance(answer, Artifact):
        yield answer
    elif isinstance(answer, tuple):
        for item in answer:
            yield from artifacts_in(item)
    elif isinstance(answer, Record):
        for field in answer.__struct_fields__:
            yield from artifacts_in(getattr(answer, field))
