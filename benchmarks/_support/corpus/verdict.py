"""Which class a model belongs to: the answers of edgepress against those of the plain library."""

import re
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks._support.corpus import product
from benchmarks._support.corpus.cases import Case
from benchmarks._support.corpus.plain import Plain
from benchmarks._support.corpus.product import Answer, Ran

RIGHT, REFUSES_TOO, REFUSED, WRONG, CRASH, NOT_COMPARED = (
    "right", "plain refuses too", "refused though it runs", "wrong", "crash", "not compared",
)  # fmt: skip
KINDS = (RIGHT, REFUSES_TOO, REFUSED, WRONG, CRASH, NOT_COMPARED)

# An answer may be off by a share of the range of the output's numbers (a near constant output proves nothing by its size), and by
# what its numbers round to: of the same file in the same library, of one converted, and where 16 bits are computed with.
AS_IT_IS, CONVERTED, HALF = 1e-4, 1e-3, 2e-2
ROUNDED, HALF_ROUNDED = 1e-5, 4e-3
LEAST = 1e-6
ILL_CONDITIONED = (
    4  # times what the answers change by for a row that is off by its last bit: a layer rounds more often than once
)
WHOLE = 0.5  # integers and truth values are right or wrong
NOT_FINITE = sys.float_info.max  # what a board says for NaN and infinity


@dataclass(frozen=True)
class Verdict:
    group: str
    name: str
    sha256: str
    verdict: str
    reason: str = ""
    error: float | None = None  # the largest, and what is allowed, of the output that is worst against it
    allowed: float | None = None
    plain: str = ""  # what the plain library says where it refuses, and what is odd where it does not
    exit_code: int | None = None
    plain_s: float = 0.0
    edgepress_s: float = 0.0

    def line(self) -> dict:
        return asdict(self)


def of(case: Case, plain: Plain, ran: Ran) -> Verdict:
    kind, reason, error, allowed = _kind(case, plain, ran)
    odd = [plain.said.get("changes", ""), *plain.said.get("notes", [])]
    return Verdict(
        case.group, case.name, plain.sha256, kind, shortened(reason, case), error, allowed,
        shortened(plain.refused, case) or "; ".join(filter(None, odd)), ran.code,
        round(plain.said.get("seconds", 0.0), 2), round(ran.seconds, 2),
    )  # fmt: skip


def _kind(case: Case, plain: Plain, ran: Ran) -> tuple[str, str, float | None, float | None]:
    if ran.crashed:
        return CRASH, ran.crashed, None, None
    refused = product.sentence(ran.words) if ran.record is None else product.not_measured(ran)
    if refused:
        return REFUSES_TOO if plain.refused else REFUSED, refused, None, None
    if plain.refused or not plain.said["written"]:
        return NOT_COMPARED, plain.said.get("why_not") or "there are no answers to compare with", None, None
    found = list(product.answers(ran))
    lacking = [each for each in (case.formats or (case.kind,)) if each not in {one.format for one in found}]
    if lacking:
        return WRONG, f"no answers of {', '.join(lacking)}", None, None
    doubted = product.doubted(ran)
    if doubted and plain.said["changes"] != "random":
        return WRONG, doubted, None, None
    return _compared(plain, found)


def _compared(plain: Plain, found: Iterable[Answer]) -> tuple[str, str, float | None, float | None]:
    reference = np.load(plain.folder / "reference.npz")
    rows, arrays = plain.said["rows"], plain.said["arrays"]
    worst: tuple[float, float, float, str, int] | None = None
    answered = set()
    for answer in found:
        number = _number(answer, plain)
        if number is None:
            return WRONG, f"{answer.format} has an output {answer.name} that the model has not", None, None
        answered.add(number)
        if not arrays[number]:
            continue
        wanted = [reference[f"{row}/{number}"] for row in range(rows)]
        if answer.cut:
            steps = plain.said["steps"]  # of a sequence a board tells its first step
            wanted = [(each[0] if steps else each).ravel()[: answer.cut] for each in wanted[: product.GOLDEN_ROWS]]
        where = f"{answer.format} on the {answer.where}, output {plain.said['outputs'][number]}"
        shape = _other_shape(answer, wanted)
        if shape:
            return WRONG, f"{where}: {shape}", None, None
        if plain.said["changes"] == "random":
            continue
        error, allowed = _error(answer, wanted)
        if worst is None or error / allowed > worst[0]:
            worst = (error / allowed, error, allowed, where, number)
    missing = [name for number, name in enumerate(plain.said["outputs"]) if number not in answered]
    if missing:
        return WRONG, f"no answers of the output {', '.join(missing)}", None, None
    if worst is None:
        return (RIGHT if plain.said["changes"] == "random" else NOT_COMPARED), "", None, None
    ratio, error, allowed, where, number = worst
    if ratio <= 1:
        return RIGHT, "", error, allowed
    own = (plain.said.get("nudged") or [0.0] * len(arrays))[number]
    if error <= ILL_CONDITIONED * own:
        why = f"the plain library's own answers change by {own:.2g} where the rows change in their last bit, and these differ by {error:.2g}"
        return NOT_COMPARED, why, error, allowed
    return WRONG, where, error, allowed


def _number(answer: Answer, plain: Plain) -> int | None:
    """Which output of the plain library it is: by name where the name is one of them, else by its place."""
    names = plain.said["outputs"]
    if answer.name in names and len(set(names)) == len(names):
        return names.index(answer.name)
    return answer.output if answer.output < len(names) else None


def _other_shape(answer: Answer, wanted: list[np.ndarray]) -> str:
    """What is wrong with the shape. A leading 1 of the plain library's answer is the axis of rows."""
    if answer.cut:
        size = sum(each.size for each in wanted)
        return "" if answer.values.size == size else f"{answer.values.size} values, and the plain library's are {size}"
    if len(answer.values) != len(wanted):
        return f"answers of shape {answer.values.shape} for {len(wanted)} rows"
    for row, each in enumerate(wanted):
        if _without_ones(answer.values[row].shape) != _without_ones(each.shape):
            return f"row {row} has the shape {answer.values[row].shape}, and the plain library's {each.shape}"
    return ""


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _error(answer: Answer, wanted: list[np.ndarray]) -> tuple[float, float]:
    """Return the largest error, and what is allowed. A number against none (NaN, infinity) is an infinite error."""
    want = np.concatenate([each.ravel() for each in wanted]).astype(np.float64)
    have = answer.values.ravel().astype(np.float64)
    if answer.cut:  # there a board says one number for NaN and infinity
        want = np.where(np.isfinite(want), want, NOT_FINITE)
    half = wanted[0].dtype == np.float16
    share = HALF if half else CONVERTED if answer.format.endswith("-fp32") else AS_IT_IS
    finite = want[np.isfinite(want) & (want != NOT_FINITE)]
    peak, extent = (float(np.abs(finite).max()), float(np.ptp(finite))) if finite.size else (0.0, 0.0)
    allowed = share * extent + (HALF_ROUNDED if half else ROUNDED) * peak + LEAST
    if wanted[0].dtype.kind in "biu":
        allowed = WHOLE
    with np.errstate(invalid="ignore"):
        off = np.where((have == want) | (np.isnan(have) & np.isnan(want)), 0.0, np.abs(have - want))
    return float(np.nan_to_num(off, nan=np.inf, posinf=np.inf).max(initial=0.0)), allowed


def shortened(words: str, case: Case) -> str:
    """Return the words without paths and with the model's file as FILE: one reason reads alike for all models."""
    text = " ".join(words.split()).replace(str(case.path), "FILE").replace(case.path.name, "FILE")
    return re.sub(r"(?<![\w.])/[\w./+@-]+", "PATH", text)[:400]


def reason_of(words: str) -> str:
    """Return what the same reasons of different models have in common: numbers, names and shapes are left out."""
    text = re.sub(r"(?<=, only ).*", "..", words)
    text = re.sub(r"'[^']*'|\([^()]*\)|\[[^\[\]]*\]", "..", text)
    return re.sub(r"\d+", "N", text)[:160]
