"""What a run has made for its user: which files, under which names, and what they were made from."""

import hashlib
import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from pipeline.handover import Item, Manifest, Source
from pipeline.plan import Plan
from pipeline.records import Compressed, Converted, Loaded, RunRecord
from pipeline.safe_text import clean
from pipeline.store import versions

MAKERS = ("numpy", "keras", "tensorflow", "tensorflow-cpu", "ai-edge-litert", "onnx", "onnxruntime", "tf2onnx")
LONGEST_NAME_BYTES = 160  # of a file system's 255: formats, passes and numbers follow it


def files_of(plan: Plan, compressed: Compressed, converted: Sequence[Converted]) -> Iterator[Item]:
    """Yield the files that the plan asked for, then the compressed model itself and what its passes packed."""
    stem = clean(Path(plan.tables.model.path).stem).replace("/", "_")
    stem = stem.encode()[:LONGEST_NAME_BYTES].decode(errors="ignore")
    wanted = plan.tables.convert.formats or (plan.source_format,)
    variant = "compressed" if compressed.passes else "original"
    shorter = f"{stem}-compressed" if compressed.passes else stem
    for each in converted:
        if each.variant == variant and each.format in wanted:
            name = f"{stem}-{each.format}" if each.format in plan.tables.convert.formats else shorter
            yield Item(f"{name}.{each.artifact.format}", each.artifact, "model", each.format, variant)
    if compressed.passes:
        model = compressed.model.artifact
        yield Item(f"{shorter}.{model.format}", model, "model", model.format, variant)
    for number, report in enumerate(compressed.passes, start=1):
        if report.container is not None:
            name = f"{stem}-{number}-{report.name}.{report.container.format}"
            yield Item(name, report.container, "container", report.container.format, variant)


def passes_of(compressed: Compressed) -> Iterator[Item]:
    """Yield the model after each pass, and what the pass packed."""
    for number, each in enumerate(compressed.passes, start=1):
        for kind, artifact in (("model", each.model.artifact), ("container", each.container)):
            if artifact is not None:
                yield Item(f"{number}-{each.name}.{artifact.format}", artifact, kind, artifact.format, "compressed")


def others_of(plan: Plan, compressed: Compressed, converted: Sequence[Converted]) -> Iterator[Item]:
    """Yield what was only converted to be compared with."""
    product = {item.content for item in files_of(plan, compressed, converted)}
    for each in converted:
        if each.artifact not in product:
            name = f"{each.variant}-{each.format}.{each.artifact.format}"
            yield Item(name, each.artifact, "model", each.format, each.variant)


def reports_of(pages: Mapping[str, Path]) -> Iterator[Item]:
    for name, path in pages.items():
        yield Item(path.name, path.read_bytes(), "report", name)


def made_from(plan: Plan, loaded: Loaded) -> Manifest:
    """The manifest of files that were made and not measured."""
    path = plan.file(plan.tables.model.path)
    model = loaded.model.artifact.sha256
    if path.suffix.lower() == ".h5" and path.is_file():  # it was stored in Keras's newer format
        model = hashlib.sha256(path.read_bytes()).hexdigest()
    found = {name: version for name, version in versions(*MAKERS).items() if version and name != "source"}
    return Manifest(
        edgepress_version=metadata.version("edgepress"),
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        plan=Source(path=str(plan.path), sha256=plan.sha256),
        model=Source(path=str(path), sha256=model),
        run_id=None,
        verdict=None,
        board=None,
        versions=found | {"python": platform.python_version()},
        runtimes={},
    )


def of_run(plan: Plan, record: RunRecord) -> Manifest:
    """The manifest of files that were measured, also of those that broke a limit: it says so."""
    made = made_from(plan, record.loaded)
    return Manifest(
        edgepress_version=record.edgepress_version,
        created_utc=record.created_utc,
        plan=Source(path=str(plan.path), sha256=record.plan_sha256),
        model=made.model,
        run_id=record.run_id,
        verdict=record.outcome.value if record.compared and record.compared.verdicts else None,
        board=record.deployment.where,
        versions=made.versions,
        runtimes={each.name: each.packages for each in record.deployment.runtimes},
    )
