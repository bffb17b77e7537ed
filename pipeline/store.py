"""What edgepress keeps on the host: artifacts under their sha256, written once; the answers of stages; runs.

    .edgepress/                 beside the plan
      store/<sha256>            an artifact; never changed
      answers/<stage>-<key>     what a stage (or one pass) answered for these inputs, settings and versions (JSON)
      resume/<key>/             how far the training of a pass has come that is not done
      runs/<run id>.json        one RunRecord
      reports/<run id>/         its report.html, report.md, report.json
      tmp/*/                    one folder a process, locked: written here first, then renamed

Every write: temporary file, fsync, rename, fsync of the folder. A reader sees the old file or the new one.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TypeVar

import msgspec

from pipeline.errors import EdgepressError, StageError
from pipeline.records import Artifact, Record

R = TypeVar("R")

UMASK = os.umask(0o077)  # it can only be read by setting it
os.umask(UMASK)


class Store:
    def __init__(self, root: Path, tmp: Path | None = None) -> None:
        """Open the store, made where it is missing. `tmp`: a child process gets the scratch folder of its parent, who removes
        it even if the child is killed; without it this process gets a folder of its own in tmp/, until it ends.
        """
        self.root = root
        for folder in ("store", "answers", "runs", "reports", "tmp"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        self.tmp = tmp or self._own_folder()
        self._journal = (self.tmp.parent if tmp else self.tmp) / "written"  # of a parent and its children together

    def _own_folder(self) -> Path:
        """A folder in tmp/ that this process holds a lock on; folders that nobody holds were left by a kill -9 and go."""
        with _locked(self.root / "tmp"):
            for path in (self.root / "tmp").iterdir():
                with contextlib.suppress(BlockingIOError), _locked(path, fcntl.LOCK_NB):
                    shutil.rmtree(path, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(dir=self.root / "tmp"))
            held = os.open(folder, os.O_RDONLY)
            fcntl.flock(held, fcntl.LOCK_EX)
        self.close = weakref.finalize(self, _remove, folder, held)
        return folder

    # --- artifacts

    def path(self, artifact: Artifact) -> Path:
        """Where the artifact lies; StageError if it is gone (the folder is the user's, who may have tidied it)."""
        path = self.root / "store" / artifact.sha256
        if not path.exists():
            raise StageError(
                f"the stored {artifact.format} file {artifact.sha256[:12]} is missing from {self.root / 'store'}",
                hint=f"Remove {self.root} and run again: everything in it can be made anew.",
            )
        return path

    def intact(self, artifact: Artifact) -> bytes:
        """Its content, if it still is what its name says; StageError if the disk or somebody changed it."""
        data = self.path(artifact).read_bytes()
        if hashlib.sha256(data).hexdigest() != artifact.sha256:
            raise StageError(
                f"the stored {artifact.format} file {artifact.sha256[:12]} in {self.root / 'store'} is damaged",
                hint=f"Remove {self.root} and run again: everything in it can be made anew.",
            )
        return data

    def has(self, artifact: Artifact) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return (self.root / "store" / artifact.sha256).stat().st_size == artifact.size_bytes
        return False

    def put_bytes(self, data: bytes, format: str) -> Artifact:  # noqa: A002 - the field's name
        artifact = Artifact(sha256=hashlib.sha256(data).hexdigest(), format=format, size_bytes=len(data))
        if not self.has(artifact):
            self._write("store", artifact.sha256, data)
        return artifact

    def put_parts(self, parts: Callable[[], Iterable[bytes | memoryview]], format: str) -> Artifact:  # noqa: A002
        """As put_bytes, for large content: it is hashed part by part, and put together only if it is new."""
        digest, size_bytes = hashlib.sha256(), 0
        for part in parts():
            digest.update(part)
            size_bytes += len(part)
        artifact = Artifact(sha256=digest.hexdigest(), format=format, size_bytes=size_bytes)
        if not self.has(artifact):
            self._write("store", artifact.sha256, b"".join(parts()))
        return artifact

    def export(self, artifact: Artifact, path: Path) -> None:
        """Copy an artifact to where the user wants it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, self.path(artifact).read_bytes())  # not by way of tmp: it may be another file system

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder that is gone afterwards, whatever happens."""
        folder = Path(tempfile.mkdtemp(dir=self.tmp))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    # --- answers of stages

    def remember(self, stage: str, key: str, kind: type[R], make: Callable[[], R]) -> tuple[R, bool]:
        """Return (answer, cached): the stored answer for `key`, or what `make` returns, stored.

        An answer that can not be read, or that names an artifact that is gone, is made anew.
        """
        path = self.root / "answers" / f"{stage}-{key}.json"
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
            answer = msgspec.json.decode(path.read_bytes(), type=kind)
            if all(self.has(artifact) for artifact in artifacts_in(answer)):
                return answer, True
        answer = make()
        self._write("answers", path.name, msgspec.json.encode(answer))
        return answer, False

    def _write(self, folder: str, name: str, data: bytes) -> None:
        write_atomically(self.root / folder / name, data, self.tmp)
        if self._journal.exists():
            with self._journal.open("a") as journal:
                journal.write(f"{folder}/{name}\n")

    @contextlib.contextmanager
    def undone_on_error(self) -> Iterator[None]:
        """What this process and its children put here in the meantime is taken out again: bad input leaves no trace."""
        self._journal.write_text("")
        try:
            yield
        except EdgepressError:
            for name in self._journal.read_text().splitlines():
                (self.root / name).unlink(missing_ok=True)
            raise
        finally:
            self._journal.unlink(missing_ok=True)

    # --- runs

    def keep_run(self, run_id: str, data: bytes) -> Path:
        path = self.root / "runs" / f"{run_id}.json"
        write_atomically(path, data, self.tmp)
        return path

    def latest_run(self) -> bytes | None:
        runs = sorted((self.root / "runs").glob("*.json"))
        return runs[-1].read_bytes() if runs else None

    def report_folder(self, run_id: str) -> Path:
        folder = self.root / "reports" / run_id
        folder.mkdir(parents=True, exist_ok=True)
        return folder


@contextlib.contextmanager
def _locked(path: Path, flags: int = 0) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | flags)
        yield
    finally:
        os.close(descriptor)


def _remove(folder: Path, held: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(held)


def write_atomically(path: Path, data: bytes, tmp: Path | None = None) -> None:
    """Write `data` so that `path` holds either its old content or all of the new, also after a power cut."""
    descriptor, name = tempfile.mkstemp(dir=tmp or path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o666 & ~UMASK)  # mkstemp's 0600 would keep a page from being shared
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


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
    package, digest = Path(__file__).parent, hashlib.sha256()
    for folder in ("load", "compress", "convert", "frameworks"):
        for path in sorted((package / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def artifacts_in(answer: object) -> Iterator[Artifact]:
    """Every artifact that a record (or tuple of records) names."""
    if isinstance(answer, Artifact):
        yield answer
    elif isinstance(answer, tuple):
        for item in answer:
            yield from artifacts_in(item)
    elif isinstance(answer, Record):
        for field in answer.__struct_fields__:
            yield from artifacts_in(getattr(answer, field))
