"""What the board feeds a file with: the tensors of its inputs, by the runtime's names, and what is there for each."""

from collections.abc import Mapping
from typing import NamedTuple

from device_agent import wire
from pipeline import frameworks, units
from pipeline.errors import PlanError, StageError
from pipeline.records import Column, Converted, Model, TensorSpec
from pipeline.safe_text import shortened


class DeployedColumn(NamedTuple):
    """The rows of one input, on the board."""

    column: Column
    sha256: str

    @property
    def moves(self) -> bool:
        return not self.column.constant


def inputs_of(converted: Converted, columns: Mapping[str, DeployedColumn]) -> tuple[wire.Input, ...]:
    """Return the inputs of a file for which there are rows, or whose open axes need a length; the others are zeros.

    `columns`: by the names of inputs. StageError for several where this host cannot read which tensor is which, PlanError for an axis
    whose length nothing says.
    """
    if not converted.inputs:
        return _unread(converted, columns)
    state = {name for name, _ in converted.state}
    found = []
    for spec in converted.inputs:
        given = None if spec.name in state else columns.get(spec.name)
        shape = _given_shape(spec, given, converted)
        if given or shape:
            found.append(
                wire.Input(
                    tensor=spec.tensor,
                    shape=shape,
                    sha256=given.sha256 if given else "",
                    constant=given.column.constant if given else False,
                )
            )
    return tuple(found)


def state_of(converted: Converted) -> tuple[tuple[str, str], ...]:
    """Return what the file passes from one step to the next, by the runtime's names."""
    inputs, outputs = ({each.name: each.tensor for each in ends} for ends in (converted.inputs, converted.outputs))
    return tuple((inputs[source], outputs[target]) for source, target in converted.state)


def _unread(converted: Converted, columns: Mapping[str, DeployedColumn]) -> tuple[wire.Input, ...]:
    if len(columns) > 1 or converted.state:
        extra = frameworks.RUNTIME_EXTRA[converted.artifact.format]
        raise StageError(
            f"this host cannot read which of its inputs is which in {converted.file}, and the board has to be told",
            hint=f"pip install 'edgepress[{extra}]'",
        )
    return tuple(wire.Input("", (), each.sha256, each.column.constant) for each in columns.values())


def _given_shape(spec: TensorSpec, given: DeployedColumn | None, converted: Converted) -> tuple[int, ...]:
    """Return the whole tensor's shape for one inference, where the file leaves axes open; else ()."""
    if spec.shape is not None and None not in spec.shape:
        return ()
    if spec.fixed is not None:
        return spec.fixed
    if given is not None:
        row = given.column.shape[converted.sequences and given.moves :]
        return (1, *row) if spec.shape is not None and len(row) < len(spec.shape) else row
    if spec.shape is None or None in spec.shape[1:]:
        raise _unsaid(spec, converted.file, dict(converted.state))
    return (1, *(size for size in spec.shape[1:] if size is not None))


def check_lengths(model: Model, file: str) -> None:
    """Raise PlanError unless each axis of the model's inputs has a length: on the board it needs one. Known before anything is made."""
    for spec in model.inputs:
        if spec.fixed is None and (spec.shape is None or None in spec.shape[1:]):
            raise _unsaid(spec, file, dict(model.state))


def _unsaid(spec: TensorSpec, file: str, state: Mapping[str, str]) -> PlanError:
    name = shortened(spec.name, 100)
    rows = "" if spec.name in state else ", or rows with [data] evaluation"
    return PlanError(
        f"nothing says how long the open axes of the input '{name}' {units.shape(spec.shape)} of {file} are",
        hint=f'Give the shape of the whole tensor in the plan: [model] shape = {{ "{name}" = [...] }}{rows}.',
    )
