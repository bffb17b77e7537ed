"""Is a file what its name says? Converters that fall back to floating point keep the name that was asked for."""

import re
from collections.abc import Sequence

from pipeline.audit.kinds import FLOAT16, HYBRID, INT8, INT16, Computed
from pipeline.safe_text import shortened

WORDS = {
    **dict.fromkeys(("float32", "fp32", "f32"), "float32"),
    **dict.fromkeys(("float16", "fp16", "f16"), "float16"),
    **dict.fromkeys(("dynamic", "dyn", "drq"), "dynamic"),
    **dict.fromkeys(("int8", "uint8", "qint8", "quint8", "i8"), "int8"),
    **dict.fromkeys(("int16", "16x8", "int16x8"), "int16"),
    **dict.fromkeys(("int4", "w4", "wi4", "q4", "4bit"), "int4"),
}
"""Words of file names -> what they claim. "quantized" alone may be any of them."""
SHOWN = 3


def claim_of(name: str) -> str:
    """Return what a file's name claims, a value of WORDS; "": nothing, or several things."""
    said = {WORDS[word] for word in re.split(r"[^a-z0-9]+", name.lower().rpartition(".")[0]) if word in WORDS}
    if "dynamic" in said:
        return "dynamic"
    return said.pop() if len(said) == 1 else ""


def broken(claim: str, computed: Sequence[Computed]) -> str:
    """Return why the file is not what it claims; "": it is."""
    heavy = [each for each in computed if each.operator.weights is not None]
    small = [each for each in computed if each.stored or each.kind in {INT8, INT16, HYBRID}]
    if claim == "float32":
        return f"its weights are not all float32: {_some(small)}" if small else ""
    if claim == "float16":
        wrong = [each for each in heavy if each.stored != "float16" and each.kind != FLOAT16]
        return "" if not heavy or len(wrong) < len(heavy) else f"none of its weights are float16: {_some(wrong)}"
    if claim == "dynamic":
        return (
            ""
            if any(each.kind == HYBRID for each in heavy) or not heavy
            else f"no operator quantizes its activations: {_some(heavy)}"
        )
    if claim == "int4":
        return "" if any(each.stored in {"int4", "uint4"} for each in heavy) else "no weights are stored in 4 bits"
    wanted = {INT8} if claim == "int8" else {INT16}
    wrong = [each for each in heavy if each.kind not in wanted]
    if wrong:
        return f"{len(wrong)} of its {len(heavy)} operators with weights do not compute in {claim}: {_some(wrong)}"
    return "" if any(each.kind in wanted for each in computed) else f"nothing in it computes in {claim}"


def _some(wrong: Sequence[Computed]) -> str:
    told = [f"{each.operator.kind} '{shortened(each.operator.name, 40)}' ({_how(each)})" for each in wrong[:SHOWN]]
    return ", ".join(told) + (" and others" if len(wrong) > SHOWN else "")


def _how(each: Computed) -> str:
    return f"{each.kind}, weights {each.stored}" if each.stored else each.kind
