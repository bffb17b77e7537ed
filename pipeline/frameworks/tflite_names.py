"""What the inputs and outputs of a .tflite file are called: by its signature, else by the names of its tensors."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipeline.errors import ModelError, PlanError
from pipeline.frameworks.tflite_schema import Signature, Subgraph, Tensor, TfliteFile
from pipeline.safe_text import shortened
from pipeline.spelling import did_you_mean

DEFAULT = "serving_default"  # tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
TENSOR_NAME = re.compile(r"(?:serving_default_|serve_)?(?P<name>.*?)(?::(?P<number>\d+))?", re.DOTALL)


class Port(NamedTuple):
    """One input or output."""

    name: str
    tensor: Tensor


class Interface(NamedTuple):
    """Inputs and outputs in the order of the file, which means nothing: TFLite sorts them by their keys.

    The indices of the tensors are those of `subgraph`: a runtime that sets tensors by index reaches subgraph 0 alone, and any other
    by its signature's runner.
    """

    signature: str | None  # None: the file has none
    subgraph: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def interface(file: TfliteFile, name: str, signature: str | None = None) -> Interface:
    """Return the named inputs and outputs. `name`: of the file; `signature`: of the plan.

    PlanError if that signature is not there, or if the file has several and the plan names none; ModelError if it names other tensors.
    """
    chosen = _chosen(file, name, signature)
    graph = file.subgraphs[0 if chosen is None else chosen.subgraph]
    inputs, outputs = (chosen.inputs, chosen.outputs) if chosen else ({}, {})
    return Interface(
        signature=chosen.key if chosen else None,
        subgraph=chosen.subgraph if chosen else 0,
        inputs=_ports(graph, graph.inputs, inputs, "input"),
        outputs=_ports(graph, graph.outputs, outputs, "output"),
    )


def run_by_boards(file: TfliteFile, name: str, signature: str | None = None) -> Interface:
    """As `interface`, of an opened file: by the signature where the file has it, else by that of its first function, which boards run.

    A baseline need not call its function as the plan's model does. The loader has asked `interface` what the plan's signature is.
    """
    if signature not in {each.key for each in file.signatures}:
        first = [each.key for each in file.signatures if not each.subgraph]
        signature = DEFAULT if DEFAULT in first else next(iter(first), None)
    return interface(file, name, signature)


def _chosen(file: TfliteFile, name: str, key: str | None) -> Signature | None:
    by_key = {each.key: each for each in file.signatures}
    known = shortened(", ".join(by_key))
    if key is not None:
        if key in by_key:
            return by_key[key]
        raise PlanError(
            f"model.signature: {name} has {f'no signature {key!r}' if by_key else 'no signatures'}",
            hint=f"{did_you_mean(key, by_key)}It has: {known}." if by_key else "Leave signature out of [model].",
        )
    if len({(each.subgraph, *each.inputs, *each.outputs) for each in file.signatures}) > 1 and DEFAULT not in by_key:
        raise PlanError(
            f"{name} has {len(by_key)} signatures, and the plan does not say which one to run",
            hint=f'Add to [model]: signature = "{next(iter(by_key))}". It has: {known}.',
        )
    return by_key.get(DEFAULT, next(iter(by_key.values()), None))


def _ports(graph: Subgraph, order: Sequence[int], keys: Mapping[str, int], what: str) -> tuple[Port, ...]:
    """Return one port for each key of the signature, then one for each tensor of the graph that the signature leaves out."""
    places = {index: place for place, index in reversed(list(enumerate(order)))}
    named = sorted(keys.items(), key=lambda item: places.get(item[1], len(places)))
    ports = [Port(name, graph.tensors[index]) for name, index in named]
    others = [graph.tensors[index] for index in order if index not in keys.values()]
    stray = next((name for name, index in named if index not in places), None)
    if stray is not None:
        raise ModelError(
            f"a signature names the {what} '{shortened(stray, 100)}', and its function has no such {what}",
            hint="The file may be damaged: copy it again, or convert it again from its source.",
        )
    names = unique_names([each.name for each in others], what, [each.name for each in ports])
    return (*ports, *(Port(name, tensor) for name, tensor in zip(names, others, strict=True)))


def unique_names(tensors: Sequence[str], what: str, taken: Sequence[str] = ()) -> list[str]:
    """Return readable names for tensors, all different: "serving_default_x:0" is "x".

    The number after the colon stays where it alone tells two apart. `what`: the name of a tensor that has none.
    """
    parts = [match for each in tensors if (match := TENSOR_NAME.fullmatch(each))]
    short = [match["name"] or what for match in parts]
    found: list[str] = []
    used = set(taken)
    for match, name in zip(parts, short, strict=True):
        full = f"{name}_{match['number']}" if short.count(name) > 1 and match["number"] else name
        unique, number = full, 1
        while unique in used:
            number += 1
            unique = f"{full}_{number}"
        used.add(unique)
        found.append(unique)
    return found
