"""Rules about what ran: is it what was asked for?"""

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

from pipeline import units
from pipeline.measure.first_rows import NOT_FINITE
from pipeline.measure.remedies import OTHER_ANSWERS
from pipeline.measure.validity.evidence import Expected, Observed, Side
from pipeline.records import Doubt
from pipeline.safe_text import shortened

FAR_RATIO = 10.0  # more is not another way of rounding: nobody reads how much more
PROVIDERS = {
    "onnxruntime": "CPUExecutionProvider",
    "onnxruntime_cuda": "CUDAExecutionProvider",
    "onnxruntime_tensorrt": "TensorrtExecutionProvider",
}
DELEGATES = {"tflite_runtime": "XNNPACK", "ai_edge_litert": "XNNPACK"}
"""What their wheels apply by themselves; they say nothing where it does not take the model."""


def other_file(observed: Observed) -> Doubt | None:
    """Doubt launches by the hash of what each has read, as the board took it when the launch had ended."""
    for side in observed.sides:
        for what, wanted, found in _files(side):
            others = [each for each in found if each != wanted]
            if wanted is not None and others:
                how = (
                    f"held {others[0][:12]}... and not"
                    if others[0]
                    else "was written to during the launch; it should hold"
                )
                return Doubt(
                    what="another file",
                    evidence=f"the file of the {what} of {side.name} {how} {wanted[:12]}... in {len(others)} of {units.counted(len(side.launches), 'launch')}",
                    remedy="Find out what writes into the agent's folder on the board, then measure again.",
                    invalid=True,
                )
    return None


def _files(side: Side) -> Iterator[tuple[str, str | None, list[str]]]:
    """Yield what each file is, the hash that it should have, and the hashes that the launches have read. None: not known."""
    yield "model", side.expected.model_sha256, [each.model_sha256 for each in side.launches]
    expected = side.expected.inputs_sha256
    if expected is not None:
        read = [each.inputs_sha256 for each in side.launches]
        for wanted, *found in itertools.zip_longest(expected, *read, fillvalue=""):
            yield "inputs", wanted, found


def other_runtime(observed: Observed) -> Doubt | None:
    for side in observed.sides:
        versions = sorted({launch.runtime_version for launch in side.launches})
        wanted = side.expected.runtime_version
        if len(versions) > 1 or (wanted is not None and [_public(each) for each in versions] != [_public(wanted)]):
            return Doubt(
                what="another runtime",
                evidence=f"{side.name} ran in {side.expected.runtime} {', '.join(versions)}, not in {wanted or 'one version'}",
                remedy="Find out which other copy of the runtime the board's Python finds first (PYTHONPATH, .pth files).",
                invalid=True,
            )
    return None


def _public(version: str) -> str:
    """Return the public part of a version: a wheel that somebody built is named 1.20.1+pi, and its library says 1.20.1."""
    return version.partition("+")[0]


def golden_differs(observed: Observed) -> Doubt | None:
    """Doubt launches whose answers are far from what is known to be right: see pipeline/measure/golden.py."""
    for side in observed.sides:
        found = [each for launch in side.launches for each in _apart(side.expected, launch.golden)]
        wrong = [each for each in found if not each.distance <= each.within]  # also where a distance is NaN
        if wrong:
            worst = max(wrong, key=lambda each: each.distance)
            where = f"in the output '{shortened(worst.output, 100)}', " if worst.output else ""
            return Doubt(
                what="golden differs",
                evidence=f"a launch of {side.name} answered the first rows differently than {side.expected.golden_by}: {where}{_far(worst.distance)}",
                remedy=OTHER_ANSWERS,
                invalid=True,
            )
    return None


class _Apart(NamedTuple):
    """`distance`: relative L2."""

    output: str
    distance: float
    within: float


def _apart(expected: Expected, golden: tuple[float, ...]) -> Iterator[_Apart]:
    """Yield how far the answers are from the right ones, of each output; nothing where these are not known."""
    wanted = expected.golden
    if wanted is None:
        return
    width = sum(each.values for each in expected.golden_outputs)
    if len(wanted) != len(golden) or not all(map(math.isfinite, golden)):
        yield _Apart("", math.inf, expected.golden_within)
    elif not width or len(golden) % width:
        size = math.hypot(*(value for value in wanted if value != NOT_FINITE))
        yield _Apart("", math.dist(golden, wanted) / max(size, 1e-12), expected.golden_within)
    else:
        start = 0
        for each in expected.golden_outputs:
            here = [i for i in range(len(golden)) if start <= i % width < start + each.values]
            start += each.values
            distance = math.dist([golden[i] for i in here], [wanted[i] for i in here])
            yield _Apart(each.name, distance / each.size, each.within)


def _far(distance: float) -> str:
    if not math.isfinite(distance):
        return "the two cannot be compared"
    return (
        f"{units.percent(distance)} apart" if distance <= FAR_RATIO else f"more than {FAR_RATIO:.0f} times their size"
    )


def fell_back(observed: Observed) -> Doubt | None:
    for side in observed.sides:
        used = sorted({launch.delegates for launch in side.launches})
        wanted = PROVIDERS.get(side.expected.runtime)
        if len(used) > 1 or (wanted is not None and any(each[:1] != (wanted,) for each in used)):
            names = " and ".join(", ".join(each) or "no delegate" for each in used)
            return Doubt(
                what="fell back",
                evidence=f"{side.name} was run by {names}, not by {wanted or 'the same in all launches'}",
                remedy="See the runtime's own messages for why it did not start, repair that, then measure again.",
                invalid=True,
            )
    return None


def not_accelerated(observed: Observed) -> Doubt | None:
    """Doubt, but not as invalid: it is this file's speed in this runtime, and no other is possible; but few expect it."""
    slow = [
        side
        for side in observed.sides
        if side.expected.runtime in DELEGATES and not any(launch.delegates for launch in side.launches)
    ]
    if not slow:
        return None
    return Doubt(
        what="not accelerated",
        evidence=f"{DELEGATES[slow[0].expected.runtime]} took no part of {slow[0].name}: the slower built-in kernels run it",
        remedy="Use operations and types that the delegate knows, or a newer runtime.",
    )
