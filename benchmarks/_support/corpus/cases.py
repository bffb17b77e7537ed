"""One model of the corpus, and which of them a short run takes."""

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

# How many models of a group the short form takes; a group that is not here is taken whole.
SAMPLE = {"onnx-node": 150, "onnx-other": 40, "keras-nets": 16, "keras-applications": 1}
SEED = 12


@dataclass(frozen=True)
class Case:
    group: str
    name: str
    kind: str  # tflite, onnx, keras (.keras and .h5) or saved_model
    path: Path  # of the file, or of a SavedModel's folder
    make: Callable[[], None] | None = None  # writes it, where it is not there yet
    given: Path | None = None  # a folder with the rows and answers that come with the model; else rows are drawn
    formats: tuple[str, ...] = ()  # to convert to; (): the file runs as it is

    @property
    def full_name(self) -> str:
        return f"{self.group}/{self.name}"


def sha256(path: Path) -> str:
    """Return the digest of a file, or of a folder: of its files with their names, in order."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    whole = hashlib.sha256()
    for each in sorted(path.rglob("*")):
        if each.is_file():
            whole.update(f"{each.relative_to(path)} {sha256(each)}\n".encode())
    return whole.hexdigest()


def chosen(cases: Sequence[Case], only: Sequence[str], *, whole: bool) -> list[Case]:
    """Return those that are named by group or by a pattern of the full name; else the sample, or all of them."""
    if only:
        return [each for each in cases if any(each.group == one or fnmatch(each.full_name, one) for one in only)]
    if whole:
        return list(cases)
    taken: list[Case] = []
    for group in dict.fromkeys(each.group for each in cases):
        of_group = sorted((each for each in cases if each.group == group), key=lambda each: each.name)
        count = min(SAMPLE.get(group, len(of_group)), len(of_group))
        taken += sorted(random.Random(SEED).sample(of_group, count), key=lambda each: each.name)
    return taken
