import operator
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from pipeline import units
from pipeline.audit import audit
from pipeline.audit.kinds import INTEGERS, KINDS
from pipeline.commands.common import UserPath, json_option, say, say_aside, show_json
from pipeline.errors import EdgepressError
from pipeline.records.audit import Audit, Border, Runs
from pipeline.safe_text import shortened

LONGEST_NAME = 60
UNMET = 1
INTEGER = "integer"
NAMES = (*KINDS, INTEGER)
COMPARED = {">=": operator.ge, "<=": operator.le}
HOW = {
    "int8": "computed in 8-bit integers",
    "int16": "computed in integers, activations of 16 bits",
    "hybrid": "float activations, quantized in each inference; integer weights",
    "float": "computed in floating point",
    "float16": "computed in float16",
    "border": "between integers and floating point",
    "other": "shapes, indices, conditions",
}


class Requirement(NamedTuple):
    """What a share of the multiply-accumulates must be."""

    text: str
    kinds: frozenset[str]
    comparison: str
    ratio: float


def _requirements(_context: click.Context, _option: click.Parameter, texts: tuple[str, ...]) -> tuple[Requirement, ...]:
    return tuple(map(_requirement, texts))


def _requirement(text: str) -> Requirement:
    match = re.fullmatch(r"\s*(\w+)\s*(>=|<=)\s*(\d+(?:\.\d+)?)\s*%\s*", text)
    if match is None or match[1] not in NAMES or float(match[3]) > 100:
        raise click.BadParameter(
            f"'{shortened(text, 60)}' is not of the form int8>=95%; the shares are {', '.join(NAMES)}, compared by >= or <="
        )
    kinds = INTEGERS if match[1] == INTEGER else frozenset({match[1]})
    return Requirement(text.strip(), kinds, match[2], float(match[3]) / 100)


@click.command("audit")
@click.argument("files", type=UserPath(), nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--require", "required", multiple=True, metavar="SHARE>=PERCENT%", callback=_requirements,
    help="Exit 1 unless this share of the multiply-accumulates is computed like that: 'int8>=95%', 'float<=5%'.",
)  # fmt: skip
@click.option("--operators", "each", is_flag=True, help="List every operator.")
@json_option
def command(files: tuple[Path, ...], required: tuple[Requirement, ...], *, each: bool, as_json: bool) -> int:
    """What each .tflite or .onnx FILE is: how much of it computes in integers, what does not, what can run it.

    Exit code 1 if a file is not as --require says, 5 if one cannot be read.
    """
    found, failed, unmet = [], 0, False
    for path in files:
        try:
            found.append(audit(path))
        except EdgepressError as error:
            failed = failed or error.exit_code
            say_aside(f"Error: {error.message}\n    {error.hint}")
            continue
        if not as_json:
            say("\n".join(_lines(found[-1], each=each)) + "\n")
        for what in _unmet(found[-1], required):
            unmet = True
            say_aside(f"{found[-1].file}: {what}")
    if as_json:
        show_json(found)
    return failed or (UNMET if unmet else 0)


def _unmet(found: Audit, required: tuple[Requirement, ...]) -> Iterator[str]:
    for each in required:
        if not found.macs:
            why = "nothing in it multiplies" if found.macs == 0 else "not all of its operators can be counted"
            yield f"{each.text} cannot be said: {why}"
            continue
        ratio = sum(found.shares[kind].macs for kind in each.kinds if kind in found.shares) / found.macs
        if not COMPARED[each.comparison](ratio, each.ratio):
            yield f"{each.text} is not met: it is {units.percent(ratio)} of {units.count(found.macs)} multiply-accumulates"


def _lines(found: Audit, *, each: bool) -> Iterator[str]:
    work = "unknown" if found.macs is None else units.count(found.macs)
    operators = sum(one.graph == 0 for one in found.operators)
    yield (
        f"{found.file}: {units.size(found.size_bytes)}, {units.counted(operators, 'operator')}, {units.count(found.parameters)} parameters, "
        f"{work} multiply-accumulates"
    )
    for kind, share in found.shares.items():
        of = "" if share.macs_ratio is None else f"{units.percent(share.macs_ratio)} of the multiply-accumulates"
        yield f"  {kind:<10} {units.counted(share.operators, 'operator'):<14} {of:<38} {HOW[kind]}"
    for what, borders in (("input", found.inputs), ("output", found.outputs)):
        for border in borders:
            yield f"  {what:<10} {_border(border)}"
    yield f"  memory     {_memory(found)}"
    yield f"  needs      {found.needs or 'nothing that it says'}"
    yield from _runs(found.runs)
    if found.moves:
        yield f"  moves      {', '.join(f'{many} {kind}' for kind, many in found.moves.items())}: they copy, and compute nothing"
    for one in found.waste:
        yield f"  waste      {one.what}: {one.operators}, first '{shortened(one.at, LONGEST_NAME)}'"
    for text in found.findings:
        yield f"  finding    {text}"
    if each:
        yield from _operators(found)


def _border(border: Border) -> str:
    scaled = "" if border.scale is None else f", scale {border.scale:.6g}, zero point {border.zero_point or 0}"
    return f"{shortened(border.name, LONGEST_NAME)}: {border.dtype or 'a type that is not known'} {units.shape(border.shape)}{scaled}"


def _memory(found: Audit) -> str:
    return (
        f"{units.size(found.constant_bytes)} of weights, {units.size(found.activation_bytes)} of values at once at the least"
        if found.activation_bytes is not None
        else f"{units.size(found.constant_bytes)} of weights; how large the values between operators are is not known"
    )


def _runs(runs: tuple[Runs, ...]) -> Iterator[str]:
    for one in runs:
        can = {True: "can run it", False: "cannot", None: "not known"}[one.can]
        yield f"  {'runs':<10} {one.runtime} {one.version}: {can}{f', {one.why}' if one.why else ''}"


def _operators(found: Audit) -> Iterator[str]:
    for number, one in enumerate(found.operators):
        stored = f", weights {one.stored}" if one.stored else ""
        yield (
            f"  {number:>4} {one.kind} v{one.version}, {one.arithmetic}{stored}, {one.dtype} {units.shape(one.shape)}, "
            f"{units.count(one.parameters)} parameters, {units.count(one.macs)} MACs, {shortened(one.name, LONGEST_NAME)}"
        )
