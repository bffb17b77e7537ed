"""What a pass is, and the check of its promise. A pass is one file here and one line in PASSES.

    Settings     its keys in the plan, a frozen pipeline.plan.Table; a pass that trains calls that table `fine_tune`
    requires     raise if this model or these settings can not be
    apply        change the model (it is the pass's own copy) and return it
    ensures      look whether the promise is kept in what was saved; return the figures that were found

The base checks what no pass may change: the input and the output, and that every weight is a finite number.
"""

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol

import msgspec
import numpy as np
from msgspec import Meta

from pipeline import frameworks
from pipeline.child import Tell
from pipeline.errors import PromiseError
from pipeline.frameworks import Array
from pipeline.plan import Table
from pipeline.records import Record

Claims = dict[str, float]


class FineTune(Table, frozen=True):
    """How a pass trains."""

    epochs: Annotated[int, Meta(ge=1, le=1000)] = 1
    learning_rate: Annotated[float, Meta(gt=0, le=1)] = 1e-3
    batch_size: Annotated[int, Meta(ge=1, le=65536)] = 128
    rows: Annotated[int, Meta(ge=1)] | None = None  # drawn by the plan's seed; None: all


class PassSettings(Table, frozen=True):
    """Base of every pass's Settings."""

    def as_dict(self) -> dict[str, Any]:
        """All settings, also those left at their default: what the report shows and the cache key holds."""
        found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return found


class Step(Record, frozen=True):
    """One pass that the plan asks for, with its checked settings."""

    name: str
    settings: dict[str, Any]


class Training(NamedTuple):
    x: Array
    y: Array | None


class Pass(Protocol):
    """The module of a pass. Frameworks are imported inside its functions."""

    Settings: type[PassSettings]

    def requires(self, model: Any, settings: Any) -> None: ...
    def apply(self, model: Any, settings: Any, training: Training | None, tell: Tell) -> Any: ...
    def ensures(self, before: Any, after: Any, settings: Any) -> Claims: ...


def apply_pass(
    name: str,
    the_pass: Pass,
    model: Any,
    settings: PassSettings,
    training: Training | None,
    tell: Tell,
    *,
    seed: int = 0,
) -> tuple[Any, bytes, Claims]:
    """Return the changed model, its file, and what the pass claims of it. `model` itself stays as it was.

    The promise is checked on the model as it is read back from its file, so on what the next stage gets.
    """
    import keras

    the_pass.requires(model, settings)
    keras.utils.set_random_seed(seed)
    file = frameworks.save_keras(the_pass.apply(read_back(frameworks.save_keras(model)), settings, training, tell))
    after = read_back(file)
    check_promises(name, model, after)
    try:
        return after, file, the_pass.ensures(model, after, settings)
    except PromiseError as error:
        raise PromiseError(f"{name} broke its promise: {error.message}", hint=error.hint) from error


def check_promises(name: str, before: Any, after: Any) -> None:
    """PromiseError if the pass changed the interface, or left a weight that is not a finite number."""
    for what, old, new in zip(
        ("input", "output"), frameworks.keras_specs(before, name), frameworks.keras_specs(after, name), strict=True
    ):
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            raise PromiseError(
                f"{name} broke its promise: the {what} '{new.name}' was {old.dtype} {old.shape} and is now {new.dtype} {new.shape}",
                hint="This is a fault of the pass. Take it out of the plan and report it.",
            )
    for layer, weights in weights_of(after):
        if not np.isfinite(weights).all():
            raise PromiseError(
                f"{name} broke its promise: the weights '{layer}' hold NaN or infinity",
                hint="If the pass trains, a smaller fine_tune.learning_rate usually helps.",
            )


def read_back(file: bytes) -> Any:
    """A model from the bytes of its file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(file)
        return frameworks.open_keras(path)


def layers_of(model: Any) -> Iterator[Any]:
    """Every layer once, also inside nested models, in the order of the graph."""
    seen: set[int] = set()

    def walk(outer: Any) -> Iterator[Any]:
        for layer in outer.layers:
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            if hasattr(layer, "layers"):
                yield from walk(layer)
            else:
                yield layer

    yield from walk(model)


def weights_of(model: Any) -> Iterator[tuple[str, Array]]:
    """Path and values of every floating point weight."""
    for variable in model.weights:
        values = np.asarray(variable)
        if np.issubdtype(values.dtype, np.floating):
            yield variable.path, values


class Weighed(NamedTuple):
    """What a model's weights amount to."""

    parameters: int
    nonzero: int
    deflated_bytes: int


def weigh(model: Any) -> Weighed:
    """Count the weights, those that are not zero, and the bytes that they take in a compressed download."""
    import zlib

    parameters = nonzero = 0
    data = io.BytesIO()
    for _, values in weights_of(model):
        parameters += values.size
        nonzero += int(np.count_nonzero(values))
        data.write(values.tobytes())
    return Weighed(parameters, nonzero, len(zlib.compress(data.getvalue(), 6)))
