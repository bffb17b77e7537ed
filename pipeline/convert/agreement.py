"""What a file answers against what its source answers, output by output."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline import frameworks
from pipeline.errors import StageError
from pipeline.frameworks import Array
from pipeline.quality import signal
from pipeline.records import Agreement, Alike, Model, Quality, Task
from pipeline.safe_text import shortened

MOST_OTHER = 0.01
"""Of the numbers of an output of integers or truth values, as argmax gives: where two scores tie, rounding decides."""


class Difference(NamedTuple):
    """The difference of one output, in its units."""

    output: str  # its name; "" where there is one
    largest: float
    error_rms: float
    spread: float
    other: int  # how many of its numbers differ
    numbers: int
    whole: bool  # they are integers or truth values, in both
    largest_answer: float  # of the source

    @property
    def badness(self) -> float:
        """How large the error is against what the output tells."""
        if self.error_rms == 0:
            return 0.0
        return self.error_rms / self.spread if self.spread else math.inf

    @property
    def where(self) -> str:
        return f" in the output '{shortened(self.output, 100)}'" if self.output else ""


def differences(
    outputs: Sequence[Array], sources: Sequence[Array], names: Sequence[str], model: str, label: str
) -> list[Difference]:
    """Return the difference of each output. StageError if an answer has another shape than the source's. `label`: of the file."""
    found = []
    for output, source, name in zip(outputs, sources, names, strict=True):
        name = name if len(outputs) > 1 else ""  # noqa: PLW2901 - there is nothing to tell apart
        if output.shape != source.shape:
            where = f" in the output '{shortened(name, 100)}'" if name else ""
            raise StageError(
                f"{label} answers {output.shape[1:]} for a row where {model} answers {source.shape[1:]}{where}",
                hint="A baseline must answer the same question as the plan's model; a converted file that differs is a fault.",
            )
        found.append(_difference(output, source, name))
    return found


def _difference(output: Array, source: Array, name: str) -> Difference:
    error, spread = frameworks.error_of(output, source)
    largest, answer, other = 0.0, 0.0, 0
    for theirs, exact in frameworks.together(output, source):
        apart = np.abs(frameworks.difference(theirs, exact))
        largest = max(largest, float(apart.max(initial=0)))
        answer = max(answer, float(np.abs(frameworks.finite(exact)).max(initial=0)))
        other += int(np.count_nonzero(apart))
    whole = all(each.dtype.kind != "f" for each in (output, source))
    return Difference(name, largest, error, spread, other, output.size, whole, answer)


def agreement(
    found: Sequence[Difference],
    outputs: Sequence[Array],
    sources: Sequence[Array],
    labels: Array | None,
    model: Model,
    tasks: Sequence[Task] = (),
    qualities: tuple[Quality, ...] = (),
    alike: tuple[Alike, ...] = (),
) -> Agreement:
    """Return what is kept: the errors of the worst output, and of the one that has classes how often the largest is the same."""
    worst = max(found, key=lambda each: each.badness)
    scores, exact = outputs[model.scored], sources[model.scored]
    return Agreement(
        rows=len(scores),
        largest_error=worst.largest,
        error_rms=worst.error_rms,
        spread=worst.spread,
        top1_agreement_ratio=float(np.mean(scores.argmax(-1) == exact.argmax(-1))) if model.classes else None,
        accuracy_ratio=frameworks.accuracy(scores, labels) if model.classes else None,
        source_accuracy_ratio=model.accuracy_ratio,
        qualities=qualities,
        output=worst.output,
        signals=signal.signals(outputs, sources, [each.output for each in found], signal.alike_outputs(model, tasks)),
        alike=alike,
    )


def check_same(found: Sequence[Difference], largest_error: float, label: str) -> None:
    """Raise StageError unless each output differs by rounding alone: by `largest_error` of its largest answer, or of 1."""
    for each in found:
        allowed = largest_error * max(1.0, each.largest_answer)
        if each.whole:
            if each.other > MOST_OTHER * each.numbers:
                raise StageError(
                    f"{label} answers differently from its source{each.where}: {each.other:,} of its {each.numbers:,} numbers "
                    f"differ, and ties that rounding decides explain {MOST_OTHER:.0%}",
                    hint="The converter has changed the model. Try the other format, or another version of the converter.",
                )
        elif each.largest > allowed:
            raise StageError(
                f"{label} answers differently from its source{each.where}: the largest difference is {each.largest:.3g}, "
                f"and rounding in floating point explains {allowed:.3g}",
                hint="The converter has changed the model. Try the other format, or another version of the converter.",
            )
