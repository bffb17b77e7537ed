"""Work that gives nothing: constants computed in each inference, borders that undo each other, chains of layout operators."""

from collections import Counter
from collections.abc import Iterator, Sequence

from pipeline.audit.graph import Operator
from pipeline.audit.kinds import TO_REAL, TO_SMALL, UNPACKED, Links
from pipeline.records.audit import Waste

LAYOUT = {
    "TRANSPOSE": "TRANSPOSE", "Transpose": "Transpose", "CAST": "CAST", "Cast": "Cast", "PAD": "PAD", "PADV2": "PAD", "Pad": "Pad",
    "RESHAPE": "RESHAPE", "Reshape": "Reshape",
}  # fmt: skip
"""Operators of which two in a row could be one."""
MOVES = frozenset({"TRANSPOSE", "Transpose", "PAD", "PADV2", "Pad", "CAST", "Cast"})
"""Operators that copy all that they get and compute nothing."""
RANDOM = frozenset({
    "RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "MULTINOMIAL", "STABLEHLO_RNG_BIT_GENERATOR", "RandomNormal", "RandomUniform", "VAR_HANDLE",
    "CALL_ONCE", "HASHTABLE", "HASHTABLE_IMPORT",
})  # fmt: skip
"""Operators whose answer is another one each time, or something that the runtime keeps."""


def waste(operators: Sequence[Operator], family: str) -> tuple[Waste, ...]:
    """Return what is wasted, by what it is; the most frequent first. ONNX Runtime computes constants once, when it opens a model."""
    when = "in each inference" if family == "tflite" else "whenever it is opened"
    links = Links(operators)
    found: dict[str, list[Operator]] = {}
    for each in operators:
        for what in _of(each, links, when):
            found.setdefault(what, []).append(each)
    lines = [Waste(what=what, operators=len(those), at=those[0].name) for what, those in found.items()]
    return tuple(sorted(lines, key=lambda each: -each.operators))


def _of(operator: Operator, links: Links, when: str) -> Iterator[str]:
    given = [each for each in operator.inputs if each is not None]
    first = links.maker.get(given[0].key) if given else None
    if given and all(each.constant for each in given) and operator.kind not in RANDOM | UNPACKED:
        yield f"{operator.kind} of constants only, computed {when}"
    if first is None:
        return
    if len(links.readers[given[0].key]) > 1:
        return
    before = first.inputs[0] if first.inputs else None
    if operator.kind in TO_SMALL and first.kind in TO_REAL and before is not None and not before.constant:
        yield f"{first.kind} and {operator.kind} in a row"
    name = LAYOUT.get(operator.kind)
    if name and LAYOUT.get(first.kind) == name:
        yield f"two {name} in a row"


def moves(operators: Sequence[Operator]) -> dict[str, int]:
    """Return how often each operator that only moves values runs in an inference."""
    return dict(Counter(each.kind for each in operators if each.kind in MOVES))
