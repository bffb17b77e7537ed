"""What the models of all runtimes share: their inputs, real values in and out, and state from one inference to the next."""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from device_agent.wire import Launch


class Tensor(NamedTuple):
    """`name`: the runtime's own. A scale of 0: not quantized."""

    name: str
    shape: Tuple[int, ...]
    dtype: str  # numpy's name
    scale: float = 0.0
    zero_point: int = 0


class Model:
    """A runtime's model has `_set(tensor, array)`, `_get(name)` -> the raw answer, and fills `inputs` and `output_tensors`."""

    allocate: Optional[Callable[[], None]] = None
    inputs: Sequence[Tensor] = ()
    output_tensors: Sequence[Tensor] = ()
    delegates: Tuple[str, ...] = ()
    _set: Callable[[Tensor, Any], None]
    _get: Callable[[str], Any]

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.state: List[Tuple[Tensor, Tensor]] = []

    def _found(self, inputs: Dict[str, Tensor], outputs: Dict[str, Tensor]) -> None:
        """Choose what the launch names of what the file has."""
        launch = self.launch
        named = {_named(inputs, each.tensor, "input"): each for each in launch.inputs}
        state = [
            (_named(inputs, source, "input"), _named(outputs, target, "output")) for source, target in launch.state
        ]
        taken = set(named) | {source for source, _ in state}
        self.inputs = [inputs[name] for name in (*named, *(name for name in inputs if name not in taken))]
        self.output_tensors = [outputs[_named(outputs, name, "output")] for name in launch.outputs] or list(
            outputs.values()
        )
        self.state = [(inputs[source], outputs[target]) for source, target in state]

    def fitted(self, rows: Sequence[Any]) -> List[Any]:
        """Bring one row, an array or None (zeros) for each of launch.inputs, into the model's form."""
        rows = [*rows, *([None] * (len(self.inputs) - len(rows)))]
        return [fitted(row, tensor) for row, tensor in zip(rows, self.inputs)]  # noqa: B905 - Python 3.8

    def feed(self, arrays: Sequence[Any], fresh: bool) -> None:
        """`fresh`: state begins with zeros, and not with the last answers."""
        kept = [
            (source, fitted(None if fresh else dequantized(self._get(target.name), target), source))
            for source, target in self.state
        ]
        # state comes last: the launch may name its inputs, too, for the lengths of their open axes
        for tensor, array in (*zip(self.inputs, arrays), *kept):  # noqa: B905 - Python 3.8
            self._set(tensor, array)

    def outputs(self) -> List[Any]:
        return [dequantized(self._get(tensor.name), tensor) for tensor in self.output_tensors]

    def reset(self) -> None:
        """Nothing is left of earlier inferences but `state`, where the library keeps none itself."""


def _named(tensors: Dict[str, Tensor], name: str, what: str) -> str:
    if not name and len(tensors) == 1:
        return next(iter(tensors))
    if name not in tensors:
        raise ValueError("the model has no %s %r, only %s" % (what, name, ", ".join(tensors) or "none"))
    return name


def fitted(row: Any, tensor: Tensor) -> Any:
    """Return the array that a model takes for `row`; None: zeros."""
    import numpy as np

    shape, dtype = tensor.shape, tensor.dtype
    if row is None:
        row = np.zeros(shape, "float32" if tensor.scale else dtype)
    if row.shape not in (shape, shape[1:] if shape[:1] == (1,) else shape):
        raise ValueError("the input %s takes %s, a row has %s" % (tensor.name, shape, row.shape))
    if row.dtype == dtype:
        return np.ascontiguousarray(row).reshape(shape)
    if row.dtype.kind != "f" or not (tensor.scale or np.dtype(dtype).kind == "f"):
        raise ValueError("the input %s takes %s, the rows are %s" % (tensor.name, dtype, row.dtype))
    if not tensor.scale:
        return np.ascontiguousarray(row, dtype).reshape(shape)
    limits = np.iinfo(dtype)
    steps = np.rint(row / np.float32(tensor.scale)) + tensor.zero_point  # rint: half to even
    return np.clip(steps, limits.min, limits.max).astype(dtype).reshape(shape)


def dequantized(output: Any, tensor: Tensor) -> Any:
    """Return real values as float32; integers and truth values that stand for nothing else as they are."""
    if tensor.scale:
        return (output.astype("float32") - tensor.zero_point) * tensor.scale
    return output.astype("float32") if output.dtype.kind == "f" else output
