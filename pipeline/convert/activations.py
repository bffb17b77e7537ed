"""How onnx-int8 writes activations: ONNX Runtime has fast kernels for one form on x86 and for the other on Arm.

Measured on x86 with VNNI (benchmarks/compression/onnx_int8.py): with signed activations ONNX Runtime leaves half of the convolutions in floating point,
and the file is three times slower than with unsigned ones, at the same accuracy and size. On Arm nothing was measured; ONNX Runtime's own
guide asks for signed ones there.
"""

from typing import NamedTuple

from pipeline.records import Processor

AUTO, SIGNED, UNSIGNED, UNSIGNED_7BIT = "auto", "signed", "unsigned", "unsigned-7bit"
X86 = {"x86_64", "i686", "AMD64"}
GUIDE = "ONNX Runtime's guide"


class Form(NamedTuple):
    activations: str
    note: str  # what was chosen, and why


def form_of(asked: str, processor: Processor) -> Form:
    """Return what the plan asks for, or what is fast on the board's processor."""
    if asked != AUTO:
        return Form(asked, f"{_words(asked)}: the plan says so")
    if not processor.arch:
        return Form(
            SIGNED,
            f"{_words(SIGNED)}: the processor is not known ({processor.told_by}); on x86 set convert.onnx_int8_activations",
        )
    where = f"{processor.arch} ({processor.told_by})"
    if processor.arch not in X86:
        return Form(SIGNED, f"{_words(SIGNED)} for {where}, by {GUIDE}; edgepress has not measured it there")
    if processor.integer_dot_product is False:
        return Form(
            UNSIGNED_7BIT,
            f"{_words(UNSIGNED_7BIT)} for {where} without VNNI, where sums of 8-bit products saturate, by {GUIDE}",
        )
    known = (
        ""
        if processor.integer_dot_product
        else "; without VNNI its sums may saturate: then set convert.onnx_int8_activations"
    )
    return Form(UNSIGNED, f"{_words(UNSIGNED)} for {where}: signed ones are three times slower there{known}")


def _words(activations: str) -> str:
    if activations == UNSIGNED_7BIT:
        return "unsigned activations, weights of 7 bits"
    return f"{activations} activations"
