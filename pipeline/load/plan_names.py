"""The names of inputs and outputs in [model]: that they are there, each for one thing, and what is to be written where they are not."""

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

from pipeline import units
from pipeline.errors import PlanError
from pipeline.frameworks.feeds import closed
from pipeline.frameworks.runner import open_state
from pipeline.load.request import Request
from pipeline.records import TensorSpec
from pipeline.safe_text import shortened
from pipeline.spelling import did_you_mean

MOST = 12  # names in one sentence
Specs = Mapping[str, TensorSpec]


def check_names(argument: Request, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
    """PlanError unless [model] names inputs and outputs that are there, each for one thing."""
    ins, outs = {each.name: each for each in inputs}, {each.name: each for each in outputs}
    for key in ("constants", "shape"):
        for name in getattr(argument, key):
            _known(name, ins, f"model.{key}", "input", argument.name)
    pair = _pair(argument, ins, outs) if argument.state else ""
    for source, target in argument.state.items():
        _known(source, ins, "model.state", "input", argument.name, pair)
        _known(target, outs, "model.state", "output", argument.name, pair)
        one, other = ins[source], outs[target]
        if one.dtype != other.dtype or not _may_be_equal(one.shape, other.shape):
            raise PlanError(
                f"model.state: the input '{source}' of {argument.name} takes {one.dtype} {units.shape(one.shape)}, and the output "
                f"'{target}' is {other.dtype} {units.shape(other.shape)}",
                hint=f"A state is passed on as it is: name the output that has its next value.{pair}",
            )
        if source not in argument.shape and closed(one.shape) is None:
            raise open_state(one, argument.name)
    both = argument.constants.keys() & argument.state.keys()
    if both:
        raise PlanError(f"model.constants and model.state both name '{min(both)}'", hint="It can be one of the two.")
    twice = [each for each in argument.state.values() if list(argument.state.values()).count(each) > 1]
    if twice:
        raise PlanError(f"model.state: two inputs take the output '{twice[0]}'", hint="Name for each its own output.")


def listed(names: Sequence[str]) -> str:
    """Some names in a sentence."""
    rest = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(shortened(each, 80) for each in names[:MOST]) + rest


def _known(name: str, known: Specs, key: str, what: str, file: str, more: str = "") -> None:
    if name not in known:
        raise PlanError(
            f"{key}: {file} has no {what} '{shortened(name, 100)}'",
            hint=f"{did_you_mean(name, known)}Its {what}s are {listed(list(known))}.{more}",
        )


def _pair(argument: Request, ins: Specs, outs: Specs) -> str:
    """A sentence with the form of a pair, in names of this model: those of the plan the other way round, else the likeliest."""
    turned = [(target, source) for source, target in argument.state.items() if target in ins and source in outs]
    fitting = [
        (SequenceMatcher(None, source, target).ratio(), (source, target))
        for source, one in ins.items()
        for target, other in outs.items()
        if source not in argument.constants and one.dtype == other.dtype and _may_be_equal(one.shape, other.shape)
    ]
    source, target = turned[0] if turned else max(fitting, default=(0.0, ("input", "output")))[1]
    return f' A pair is an input and the output with its next value: state = {{ "{shortened(source, 100)}" = "{shortened(target, 100)}" }}.'


def _may_be_equal(one: tuple[int | None, ...] | None, other: tuple[int | None, ...] | None) -> bool:
    if one is None or other is None:
        return True
    return len(one) == len(other) and all(a == b or None in (a, b) for a, b in zip(one, other, strict=True))
