"""What a number is about: one file in one runtime."""

from typing import Protocol

from pipeline.records.base import Record

VARIANTS = ("original", "compressed", "baseline")
"""Of a file. Any other variant is the model after one pass of a longer chain: `Step.variant`."""


class Step(Record, frozen=True):
    """One pass of the chain: the `number`th, from 1."""

    number: int
    name: str

    @property
    def variant(self) -> str:
        """The variant of the model as this pass left it."""
        return f"{self.number}-{self.name}"


class Subject(Record, frozen=True):
    """Compare subjects, never their labels: a label is for people."""

    variant: str = (
        ""  # one of VARIANTS, or a step's; "": an entry of the plan's limits.applies_to that names no measured file
    )
    step: Step | None = None  # of a model between two passes
    format: str = ""  # "": every format
    runtime: str = ""  # "": every runtime
    threads: int | None = None  # where it is not the number that limits judge
    name: str = ""  # of a file that was given; "": it was made
    role: str = ""  # candidate or baseline, where the plan has a baseline

    @property
    def file(self) -> str:
        """The name of the file, with the threads where they are not those that limits judge."""
        return file_of(self.variant, self.format, self.name, self.role) + self._threads

    @property
    def label(self) -> str:
        """Its name wherever it is shown: "compressed tflite-int8 @ onnxruntime x2"."""
        if not self.variant:
            return "@".join(filter(None, (self.format, self.runtime))) or "every file"
        return f"{file_of(self.variant, self.format, self.name, self.role)} @ {self.runtime}{self._threads}"

    @property
    def _threads(self) -> str:
        return "" if self.threads is None else f" x{self.threads}"


class File(Protocol):
    """A record of a file, or of what was measured of one."""

    @property
    def variant(self) -> str: ...
    @property
    def step(self) -> Step | None: ...
    @property
    def format(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def role(self) -> str: ...


def subject_of(file: File, runtime: str, threads: int | None) -> Subject:
    """Return the subject of a number of this file. `threads`: where it is not the number that limits judge."""
    return Subject(
        variant=file.variant,
        step=file.step,
        format=file.format,
        runtime=runtime,
        threads=threads,
        name=file.name,
        role=file.role,
    )


def file_of(variant: str, format_name: str, name: str, role: str) -> str:
    """What a file is called: by its own name where it was given, and by its role where the plan has a baseline."""
    return (name or f"{variant} {format_name}") + (f" ({role})" if role else "")
