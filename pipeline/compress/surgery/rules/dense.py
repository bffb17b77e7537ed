"""Dense layers, einsum and embedding."""

from pipeline.compress.surgery.channels import Axes, Ids
from pipeline.compress.surgery.rules.elementwise import activated
from pipeline.compress.surgery.wiring import Call


def dense(call: Call) -> list[Axes]:
    layer, out = call.layer, call.new(call.layer.units)
    call.weight(layer.kernel, call.x[-1], out)
    call.weight(layer.bias, out)
    call.size(units=out)
    call.makes(out, (layer.kernel, 1))
    activated(call, layer.activation, out)
    return [(*call.x[:-1], out)]


def embedding(call: Call) -> list[Axes]:
    layer, out = call.layer, call.new(call.layer.output_dim)
    call.weight(layer.embeddings, None, out)
    call.size(output_dim=out)
    call.makes(out, (layer.embeddings, 1))
    return [(*call.x, out)]


def einsum(call: Call) -> list[Axes]:
    """Apply the rule of an equation such as "abc,cd->abd": a letter stands for the same channels wherever it stands.

    Letters of the kernel that the input has are the input's channels; the last one that only the kernel and the output have is
    made here.
    """
    layer = call.layer
    left, result = layer.equation.replace(" ", "").replace("...", "*" * (len(call.x) - _letters(call))).split("->")
    given, kernel = left.split(",")
    if "*" in left:
        given, kernel, result = _spelt_out(given), kernel.replace("*", ""), _spelt_out(result)
    known: dict[str, Ids | None] = dict(zip(given, call.x, strict=True))
    new = [letter for letter in kernel if letter not in given]
    if not new:
        return call.fixed()
    made = call.new(layer.kernel.shape[kernel.index(new[-1])])
    known |= {letter: made if letter == new[-1] else None for letter in new}
    call.weight(layer.kernel, *(known[letter] for letter in kernel))
    if layer.bias is not None:
        call.weight(layer.bias, *_of_bias(layer, result, known))
    shape = result[len(result) - len(layer.partial_output_shape) :]
    call.size(
        output_shape=tuple(
            size if (ids := known[letter]) is None else ids
            for letter, size in zip(shape, layer.partial_output_shape, strict=True)
        )
    )
    call.makes(made, (layer.kernel, kernel.index(new[-1])))
    out = tuple(known[letter] for letter in result)
    for ids in out:
        activated(call, layer.activation, ids)
    return [out]


def _letters(call: Call) -> int:
    """Return how many axes of the input have a letter of their own."""
    return len(call.layer.equation.replace(" ", "").split(",")[0].replace("...", ""))


def _spelt_out(letters: str) -> str:
    """Return the axes that an ellipsis stands for, with a digit for each."""
    count = 0
    spelt = ""
    for letter in letters:
        spelt += str(count) if letter == "*" else letter
        count += letter == "*"
    return spelt


def _of_bias(layer: object, result: str, known: dict[str, Ids | None]) -> list[Ids | None]:
    axes = getattr(layer, "bias_axes", "")
    first = min(result.index(letter) for letter in axes)
    return [known[letter] if letter in axes else None for letter in result[first:]]
