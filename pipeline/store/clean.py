"""Remove what no kept run, no recent answer and no living process needs, so that the state folder has a bound."""

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipeline.records import Record
from pipeline.store import runs
from pipeline.store.leases import named_in
from pipeline.store.store import Store

DAY_S = 24 * 3600
RECENT_S = 7 * DAY_S  # answers of stages that were never part of a run: somebody may still be working on it
RESUME_S = 30 * DAY_S  # how far a training had come that was stopped


class Bound(Record, frozen=True, kw_only=True):
    """None: no bound of that kind. The newest run of each plan stays unless keep_runs is 0."""

    keep_runs: int | None = None
    older_than_s: float | None = None
    max_bytes: int | None = None


class Cleaned(Record, frozen=True, kw_only=True):
    """What was removed (with a dry run: what would be), and what is left."""

    folder: str
    dry_run: bool
    runs: tuple[str, ...]
    answers: int
    artifacts: int
    freed_bytes: int
    kept_runs: int
    kept_bytes: int


class _Removal(NamedTuple):
    """Paths, in the order in which they go: what names others before what is named."""

    runs: list[Path]
    answers: list[Path]
    folders: list[Path]  # of stopped trainings, and reports without a run
    artifacts: list[Path]


def clean(store: Store, bound: Bound, *, dry_run: bool = False) -> Cleaned:
    """Remove what the bound does not keep, oldest first. Nothing that a living process has said it needs."""
    with store.lease.alone() as others:
        cleaning = _Cleaning(store.root, bound, others | store.lease.named)
        removal = cleaning.choose()
        freed = cleaning.size_of(removal)
        if not dry_run:
            for path in cleaning.paths(removal):
                _remove(path)
        return Cleaned(
            folder=str(store.root),
            dry_run=dry_run,
            runs=tuple(path.stem for path in removal.runs),
            answers=len(removal.answers),
            artifacts=len(removal.artifacts),
            freed_bytes=freed,
            kept_runs=len(cleaning.runs) - len(removal.runs),
            kept_bytes=cleaning.size_bytes - freed,
        )


class _Cleaning:
    """The state folder as it is, and what can go."""

    def __init__(self, root: Path, bound: Bound, needed: set[str]) -> None:
        self.root, self.bound, self.needed, self.now_s = root, bound, needed, time.time()
        self.runs = runs.in_order(root)
        self.plans = {path: runs.plan_of(path) for path in self.runs}
        self.answers = list((root / "answers").glob("*.json"))
        self.names = {path: named_in(path) for path in (*self.runs, *self.answers)}
        self.size_bytes = size_of(root.resolve())  # it may be a link to another disk
        self._sizes: dict[Path, int] = {}

    def choose(self) -> _Removal:
        newest = {plan: path for path, plan in self.plans.items() if plan and self.bound.keep_runs != 0}.values()
        held = {*newest} | {path for path in self.runs if f"runs/{path.name}" in self.needed}
        dropped = [path for path in self.runs if path not in held and self._is_too_old(path)]
        removal = self._without(dropped)
        left = [path for path in self.runs if path not in held and path not in dropped]
        while left and self._is_too_large(removal):
            dropped.append(left.pop(0))
            removal = self._without(dropped)
        if self._is_too_large(removal):  # then also recent work that is in no run
            removal = self._without(dropped, recent_s=0)
        return removal

    def _is_too_old(self, path: Path) -> bool:
        if not self.plans[path]:  # damaged: nobody can use it
            return True
        keep, oldest_s = self.bound.keep_runs, self.bound.older_than_s
        if oldest_s is not None and self._age_s(path) > oldest_s:
            return True
        newer = self.runs[self.runs.index(path) + 1 :]
        return keep is not None and sum(self.plans[each] == self.plans[path] for each in newer) >= keep

    def _is_too_large(self, removal: _Removal) -> bool:
        return self.bound.max_bytes is not None and self.size_bytes - self.size_of(removal) > self.bound.max_bytes

    def _age_s(self, path: Path) -> float:
        try:
            return self.now_s - path.stat().st_mtime
        except FileNotFoundError:
            return 0

    def _without(self, dropped: list[Path], recent_s: float = RECENT_S) -> _Removal:
        """These runs and what only they needed, and what nothing needs at all."""
        kept = set().union(*(self.names[path] for path in self.runs if path not in dropped))
        only_dropped = set().union(*(self.names[path] for path in dropped)) - kept
        oldest_s = self.bound.older_than_s
        recent_s = recent_s if oldest_s is None else min(recent_s, oldest_s)
        answers, in_use = [], self.needed | kept
        for answer in self.answers:
            named = self.names[answer]
            is_recent = self._age_s(answer) <= recent_s and not named & only_dropped
            of_a_run = bool(named) and named <= kept  # one that names nothing belongs to no run
            if f"answers/{answer.name}" in self.needed or of_a_run or is_recent:
                in_use = in_use | named
            else:
                answers.append(answer)
        return _Removal(
            runs=list(dropped),
            answers=answers,
            folders=list(self._useless_folders()),
            artifacts=[path for path in (self.root / "store").iterdir() if f"store/{path.name}" not in in_use],
        )

    def _useless_folders(self) -> Iterator[Path]:
        there = {path.stem for path in self.runs}
        for path in (self.root / "reports").iterdir():
            if path.name not in there and f"runs/{path.name}.json" not in self.needed:
                yield path
        resume_s = RESUME_S if self.bound.older_than_s is None else self.bound.older_than_s
        for path in (self.root / "resume").glob("*"):
            if f"resume/{path.name}" not in self.needed and self._age_s(path) > resume_s:
                yield path

    def paths(self, removal: _Removal) -> Iterator[Path]:
        for run in removal.runs:
            yield from (run, self.root / "reports" / run.stem)
        yield from removal.answers
        yield from removal.folders
        for artifact in removal.artifacts:
            yield from (artifact, self.root / "verified" / artifact.name)

    def size_of(self, removal: _Removal) -> int:
        paths = list(self.paths(removal))
        for path in paths:
            if path not in self._sizes:
                self._sizes[path] = size_of(path)
        return sum(self._sizes[path] for path in paths)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    with contextlib.suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            return sum(size_of(each) for each in path.iterdir())
        return path.lstat().st_size
    return 0
