import contextlib
import errno
import hashlib
import os
import pwd
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from pipeline.errors import EdgepressError, StageError
from pipeline.records import Artifact
from pipeline.store import runs, verified
from pipeline.store.files import move_atomically, sealed, unsealed, write_atomically, write_parts
from pipeline.store.keys import artifacts_in
from pipeline.store.leases import Lease, forget, named_in, own_folder

R = TypeVar("R")

FOLDERS = ("store", "verified", "answers", "runs", "reports", "leases", "tmp")
IGNORE = b"# Written by edgepress: what it keeps here can be made again, and copies of the data belong in no repository.\n*\n"
AGAIN = "Run `edgepress run` again: what is missing is made again."


class Store:
    """The state folder of plans. `say` gets a sentence when something stored was damaged."""

    def __init__(self, root: Path, tmp: Path | None = None, say: Callable[[str], None] | None = None) -> None:
        """Open the store, made where it is missing. `tmp`: a child process gets the scratch folder of its parent, which removes
        it even if the child is killed; without it this process gets a folder of its own in tmp/, until it ends.
        """
        self.root = root
        try:
            self._make_folders()
            if tmp is None:
                self.tmp, held = own_folder(root)
                self.close = weakref.finalize(self, _remove, root, self.tmp, held)
            else:
                self.tmp = tmp
        except OSError as error:
            raise _unusable(root, error) from error
        self.say = say or (self._leave_word if tmp else lambda _sentence: None)
        owner = self.tmp.parent if tmp else self.tmp  # a parent and its children together
        self.lease = Lease(root, owner)
        self._journal = owner / "written"

    def _make_folders(self) -> None:
        for folder in FOLDERS:
            if (self.root / folder).is_symlink():
                raise StageError(
                    f"{self.root / folder} is a symbolic link: what nobody needs is removed there, so it is not followed",
                    hint=f"Let {self.root} as a whole be the link, or name a folder on the other disk with --state DIR.",
                )
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(self.root / ".gitignore"):
            write_atomically(self.root / ".gitignore", IGNORE)

    def _leave_word(self, sentence: str) -> None:
        """Keep it, in a child, for the parent, which says it at the end of `scratch`."""
        with (self.tmp / "said").open("a") as file:
            file.write(f"{sentence}\n")

    # --- artifacts

    def path(self, artifact: Artifact) -> Path:
        """Return where the artifact lies. StageError if it is missing (the folder is the user's, who may have tidied it) or damaged."""
        state = self._checked(artifact)
        if state != verified.INTACT:
            told = "is missing from" if state == verified.GONE else "was damaged, and is not used, in"
            raise StageError(
                f"the stored {artifact.format} file {artifact.sha256[:12]} {told} {self.root / 'store'}", hint=AGAIN
            )
        return self._place(artifact)

    def intact(self, artifact: Artifact) -> bytes:
        """Return its content, every byte of which was checked just now. StageError as for `path`."""
        data = self.path(artifact).read_bytes()
        if hashlib.sha256(data).hexdigest() != artifact.sha256:
            raise StageError(
                f"the stored {artifact.format} file {artifact.sha256[:12]} in {self.root / 'store'} is damaged",
                hint=AGAIN,
            )
        return data

    def has(self, artifact: Artifact) -> bool:
        """Return whether it is there and whole. What is damaged is removed, so that it is made again."""
        return self._checked(artifact) == verified.INTACT

    def _place(self, artifact: Artifact) -> Path:
        return self.root / "store" / artifact.sha256

    def _checked(self, artifact: Artifact) -> str:
        path = self._place(artifact)
        self.lease.take(f"store/{artifact.sha256}")
        state, seen = verified.look(path, artifact.size_bytes, self.root / "verified")
        if state == verified.DAMAGED:
            with self.lease.alone():
                if verified.is_still(path, seen):  # nobody has put the right one there since
                    path.unlink()
            self.say(
                f"the stored {artifact.format} file {artifact.sha256[:12]} was damaged: it is not used, but made again"
            )
        return state

    def put_bytes(self, data: bytes, format: str) -> Artifact:  # noqa: A002 - the field's name
        artifact = Artifact(sha256=hashlib.sha256(data).hexdigest(), format=format, size_bytes=len(data))
        if not self.has(artifact):
            self._write("store", artifact.sha256, data)
        return artifact

    def put_parts(self, parts: Callable[[], Iterable[bytes | memoryview]], format: str) -> Artifact:  # noqa: A002
        """Store large content, as put_bytes: it is hashed and written part by part, and asked for again only if it is new."""
        digest, size_bytes = hashlib.sha256(), 0
        for part in parts():
            digest.update(part)
            size_bytes += len(part)
        artifact = Artifact(sha256=digest.hexdigest(), format=format, size_bytes=size_bytes)
        if not self.has(artifact):
            write_parts(self._place(artifact), parts(), self.tmp)
            self._written("store", artifact.sha256)
        return artifact

    def put_file(self, path: Path, format: str, sha256: str = "") -> Artifact:  # noqa: A002
        """Move a finished file of a scratch folder in. `sha256`: that of its content, where it was hashed while it was written."""
        if not sha256:
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        artifact = Artifact(sha256=sha256, format=format, size_bytes=path.stat().st_size)
        if self.has(artifact):
            path.unlink()
        else:
            move_atomically(path, self._place(artifact))
            self._written("store", artifact.sha256)
        return artifact

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder that is removed afterwards, whatever happens; what a child has to say is printed."""
        folder = Path(tempfile.mkdtemp(dir=self.tmp))
        try:
            yield folder
        finally:
            with contextlib.suppress(OSError):
                for sentence in dict.fromkeys((folder / "said").read_text().splitlines()):
                    self.say(sentence)
            shutil.rmtree(folder, ignore_errors=True)

    # --- answers of stages

    def remember(self, stage: str, key: str, kind: type[R], make: Callable[[], R]) -> tuple[R, bool]:
        """Return (answer, cached): the stored answer for `key`, or what `make` returns, stored.

        An answer that is damaged, or that names an artifact that is missing or damaged, is made again.
        """
        path = self.root / "answers" / f"{stage}-{key}.json"
        self.lease.take(f"answers/{path.name}")
        with contextlib.suppress(FileNotFoundError):
            content = unsealed(path.read_bytes())
            if content is None:
                self.say(f"the stored answer of {stage} was damaged: it is not used, but made again")
            else:
                answer = msgspec.json.decode(content, type=kind)
                if all(self.has(artifact) for artifact in artifacts_in(answer)):
                    path.touch()  # it is in use: what is not in use is removed first
                    return answer, True
        answer = make()
        self._write("answers", path.name, sealed(msgspec.json.encode(answer)))
        return answer, False

    def _write(self, folder: str, name: str, data: bytes) -> None:
        write_atomically(self.root / folder / name, data, self.tmp)
        self._written(folder, name)

    def _written(self, folder: str, name: str) -> None:
        if self._journal.exists():
            with self._journal.open("a") as journal:
                journal.write(f"{folder}/{name}\n")

    @contextlib.contextmanager
    def undone_on_error(self) -> Iterator[None]:
        """Bad input leaves no trace: what this process and its children have put here is taken out again, unless another process
        needs it by now, or its answer or run names it.
        """
        before = frozenset(self.lease.named)
        self._journal.write_text("")
        try:
            yield
        except EdgepressError:
            own = set(self._journal.read_text().splitlines()) - before
            with self.lease.alone() as needed:
                others = {path for folder in ("answers", "runs") for path in (self.root / folder).glob("*.json")}
                others -= {self.root / name for name in own}
                for name in own - needed - set().union(*map(named_in, others)):
                    (self.root / name).unlink(missing_ok=True)
                    (self.root / "verified" / Path(name).name).unlink(missing_ok=True)
            raise
        finally:
            self._journal.unlink(missing_ok=True)

    # --- runs

    def next_run_id(self, began: datetime) -> str:
        return runs.next_id(self.root, began, self.tmp)

    def keep_run(self, run_id: str, data: bytes) -> Path:
        path = self.root / "runs" / f"{run_id}.json"
        self.lease.take(f"runs/{path.name}")
        write_atomically(path, sealed(data), self.tmp)
        return path

    def latest_run(self, plan: Path | None = None) -> bytes | None:
        """Return the newest run (of this plan). A folder that was moved with its store takes its runs along."""
        moved = plan is not None and self.root.parent == plan.parent
        for data in runs.newest_first(self.root):
            if plan is None or runs.is_of(data, plan, anywhere=moved):
                return data
        return None

    def report_folder(self, run_id: str) -> Path:
        folder = self.root / "reports" / run_id
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _remove(root: Path, folder: Path, held: int) -> None:
    forget(root, folder)
    os.close(held)


def _unusable(root: Path, error: OSError) -> StageError:
    """Return what is in the way of the state folder, and what to do."""
    another = "name another folder with --state DIR"
    if os.path.lexists(root) and not root.is_dir():
        what = "a link that leads nowhere" if root.is_symlink() else "a file"
        return StageError(f"the state folder {root} is {what}", hint=f"Move it away, or {another}.")
    hint = f"Correct that, or {another}."
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        hint = f"Make it writable for this user{_owner(root)}, or {another}."
    elif error.errno in {errno.ENOSPC, errno.EDQUOT}:
        hint = f"Make room on the disk there (`edgepress clean`), or {another}."
    return StageError(f"the state folder {root} cannot be used: {error.strerror}: {error.filename}", hint=hint)


def _owner(root: Path) -> str:
    with contextlib.suppress(OSError):
        owner = root.stat().st_uid
        if owner != os.geteuid():
            with contextlib.suppress(KeyError):
                return f" (it belongs to {pwd.getpwuid(owner).pw_name})"
            return f" (it belongs to the user {owner})"
    return ""
