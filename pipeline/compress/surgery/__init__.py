"""Structured pruning of Keras 3 models: channels, units and heads are really removed, and an ordinary smaller model is given back.

    walk         the graph is read once: what every layer does with channels (rules/), in channel ids (channels.py)
    select       importance of each set of tied channels; the least important ones go
    rebuild      the same layers with fewer channels, and with the weights of those that stay

What a rule does not know stays as it is, and is reported with its reason.
"""

from typing import NamedTuple

from pipeline.compress.surgery.graph import walk
from pipeline.compress.surgery.groups import Group, KeptLayer, grouped
from pipeline.compress.surgery.rebuild import rebuilt
from pipeline.compress.surgery.selection import Selection, select
from pipeline.frameworks.types import KerasModel

__all__ = ["Group", "KeptLayer", "Pruned", "Selection", "groups_of", "prune_model"]


class Pruned(NamedTuple):
    model: KerasModel
    groups: tuple[Group, ...]  # of which something was removed
    left: tuple[KeptLayer, ...]  # layers that stayed as they were, or wider than was asked, and why


def groups_of(model: KerasModel) -> tuple[Group, ...]:
    """What can be pruned, in the order of the graph; `channels_after` is `channels_before`. StageError if the graph cannot be read."""
    return tuple(group.after() for group in grouped(walk(model)).groups)


def prune_model(model: KerasModel, selection: Selection, seed: int = 0) -> Pruned:
    """Return a smaller copy; `model` stays as it is. The seed is that of `importance = "random"`.

    PlanError if the selection does not fit the model, StageError if a layer cannot be cloned.
    """
    wiring = walk(model)
    found = grouped(wiring, selection.exclude)
    chosen = select(wiring, found, selection, seed)
    return Pruned(
        model=rebuilt(model, wiring, found.components.of, chosen.dead),
        groups=chosen.pruned,
        left=(*found.left, *chosen.left),
    )
