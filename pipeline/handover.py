"""The product under readable names, in a folder of the user's: the files for boards, the reports, and a manifest of them all.

    out/manifest.json           what each file is and what it was made from; written last
    out/<model>-<format>.tflite, out/<model>-compressed.keras, out/report.html ...

Files that are not edgepress's own (the manifest of the last time names those) are neither overwritten nor removed.
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from pipeline import state
from pipeline.errors import PlanError, StageError
from pipeline.plan import Plan
from pipeline.plan_file import check_name
from pipeline.records import Artifact, Record
from pipeline.store import Store, write_atomically
from pipeline.store.files import locked
from targets import folders, host

FOLDER = "out"
MANIFEST = "manifest.json"
NEXT = ".edgepress-manifest.json"  # the manifest to be, while its files are written: after a kill they are known as our own
PREFIX = ".edgepress-"
MOST_MANIFEST_BYTES = 16 * 2**20  # one of ten files has some 3 KB


class Item(NamedTuple):
    """One file to hand over. `kind`: model, container (what a pass packed) or report."""

    name: str
    content: Artifact | bytes
    kind: str
    format: str
    variant: str | None = None


class HandoverFile(Record, frozen=True, kw_only=True):
    name: str
    sha256: str
    size_bytes: int
    kind: str
    format: str
    variant: str | None


class Source(Record, frozen=True, kw_only=True):
    path: str
    sha256: str


class Manifest(Record, frozen=True, kw_only=True):
    made_by: str = "edgepress"
    edgepress_version: str
    created_utc: str
    plan: Source
    model: Source  # what the files were made from
    run_id: str | None  # None: made, and not measured
    verdict: str | None  # PASS, REGRESSED, INCONCLUSIVE or INVALID; None: not judged
    board: str | None
    versions: dict[str, str]  # of what made the files here
    runtimes: dict[str, tuple[str, ...]]  # in which they were measured -> its packages
    files: tuple[HandoverFile, ...] = ()


class Handover(NamedTuple):
    folder: Path
    files: tuple[HandoverFile, ...]
    notes: tuple[str, ...]  # of files that are in the way


def folder_of(plan: Plan, given: Path | None) -> Path:
    """Return where the product goes. PlanError for a folder that cannot take it, before minutes are spent.

    `given`: from -o. Without it, out/ next to the plan, or in the state folder where nothing can be written there; out-<plan>/
    where another plan has taken that.
    """
    if given is None:
        writable = folders.writable(plan.folder)
        base = plan.folder if writable else state.folder_of(plan.folder, plan.state)
        places = (base / FOLDER, base / f"{FOLDER}-{plan.path.stem}")
        return next((place for place in places if _taken(place, plan) is None), places[-1])
    check_name(given.resolve())
    if given.is_dir() or not os.path.lexists(given):
        reason = (
            _in_state(given, plan)
            or _taken(given, plan)
            or (None if folders.writable(given) else "this user may not write there")
        )
    else:
        reason = "it is not a folder"
    if reason:
        raise PlanError(f"the files cannot be handed over in {given}: {reason}", hint="Name another folder with -o.")
    return given


def _in_state(folder: Path, plan: Plan) -> str | None:
    """Return why the folder is refused: `edgepress clean` would remove the product, or it would be taken for what is kept of a run."""
    state_folder, place = state.folder_of(plan.folder, plan.state).resolve(), folder.resolve()
    inside = place == state_folder or (state_folder in place.parents and not place.name.startswith(FOLDER))
    return f"it is in the state folder {state_folder}" if inside else None


def _taken(folder: Path, plan: Plan) -> str | None:
    """Return why this folder is not for this plan's product."""
    if os.path.lexists(folder) and not folder.is_dir():
        return "it is not a folder"
    if not os.path.lexists(folder / MANIFEST):
        return None
    manifest = _read(folder / MANIFEST)
    if manifest is None:
        return f"its {MANIFEST} was not written by edgepress"
    told = Path(manifest.plan.path).name
    return None if told == plan.path.name else f"it holds what the plan {told} has made"


def _read(path: Path) -> Manifest | None:
    try:
        if not path.is_file() or path.stat().st_size > MOST_MANIFEST_BYTES:  # a pipe would be waited for
            return None
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, ValueError):
        return None


def hand_over(folder: Path, items: Iterable[Item], about: Manifest, store: Store) -> Handover:
    """Write the files, then the manifest. What an earlier hand-over left here and is not made any more is removed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder.resolve()):
            return _written(folder, _once(items), about, store)
    except OSError as error:
        raise StageError(
            f"the files could not be handed over in {folder}: {error.strerror}: {error.filename}",
            hint="Correct that; `edgepress report -o DIR` hands over what was measured, without measuring it again.",
        ) from error


def _once(items: Iterable[Item]) -> list[Item]:
    """One file may be two things, such as the compressed model that runs as it is."""
    return list({item.name: item for item in items}.values())


def _written(folder: Path, items: list[Item], about: Manifest, store: Store) -> Handover:
    own = _own(folder)
    for left in folder.glob(f"{PREFIX}*"):
        if left.name != NEXT:
            left.unlink()  # half a file, of a hand-over that was killed
    files, data, notes = [], {}, []
    for item in items:
        content = item.content if isinstance(item.content, bytes) else store.intact(item.content)
        name = _free_name(folder, item.name, own)
        if name != item.name:
            notes.append(
                f"{folder / item.name} was not written by edgepress and stays as it is; the new file is {name}"
            )
        sha256 = hashlib.sha256(content).hexdigest()
        files.append(
            HandoverFile(
                name=name, sha256=sha256, size_bytes=len(content), kind=item.kind, format=item.format,
                variant=item.variant,
            )
        )  # fmt: skip
        data[name] = content
    manifest = msgspec.structs.replace(about, files=tuple(files))
    write_atomically(folder / NEXT, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n", prefix=PREFIX)
    for name, content in data.items():
        write_atomically(folder / name, content, prefix=PREFIX)
    for name in set(own) - set(data):
        (folder / name).unlink(missing_ok=True)
    (folder / NEXT).replace(folder / MANIFEST)
    return Handover(folder=folder, files=manifest.files, notes=tuple(notes))


def _own(folder: Path) -> set[str]:
    """The names of what edgepress has put here and nobody has changed since."""
    found = set()
    for manifest in filter(None, (_read(folder / MANIFEST), _read(folder / NEXT))):
        for file in manifest.files:
            path = folder / Path(file.name).name
            if path.is_file() and not path.is_symlink() and host.sha256_of(path) == file.sha256:
                found.add(path.name)
    return found


def _free_name(folder: Path, name: str, own: set[str]) -> str:
    """`name`, or `name` with a number where somebody else's file has it."""
    stem, dot, ending = name.rpartition(".")
    tried, number = name, 1
    while tried not in own and os.path.lexists(folder / tried):
        number += 1
        tried = f"{stem}-{number}{dot}{ending}"
    return tried
