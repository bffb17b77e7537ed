"""Which channels go."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from pipeline.compress.settings import check_names
from pipeline.compress.surgery.channels import Ids
from pipeline.compress.surgery.groups import ChannelSet, Group, Grouped, KeptLayer
from pipeline.compress.surgery.importance import Importance, importances
from pipeline.compress.surgery.wiring import Wiring
from pipeline.errors import PlanError
from pipeline.frameworks import Array

Scope = Literal["layer", "global"]


class Selection(NamedTuple):
    """One of `ratio`, `alpha` and `ratios` says how many channels go; the least important ones do."""

    ratio: float | None = None  # share of the channels that goes
    scope: Scope = "layer"  # the share of each group of layers, or of all channels that can go
    alpha: float | None = None  # those go that are less important than alpha times the most important of their group
    ratios: Mapping[str, float] = {}  # share for each of these layers; the others stay
    importance: Importance = "l1"
    round_to: int = 8  # what is left is a multiple of it; a layer that is not wider stays. Heads are not rounded
    min_channels: int = 1
    exclude: tuple[str, ...] = ()


class Chosen(NamedTuple):
    dead: Ids  # components
    pruned: tuple[Group, ...]
    left: tuple[KeptLayer, ...]


def check(selection: Selection, found: Grouped) -> None:
    """Raise PlanError unless exactly one way to select is given, for layers that there are."""
    given = [key for key, value in (("ratio", selection.ratio), ("alpha", selection.alpha)) if value is not None]
    given += ["ratios"] if selection.ratios else []
    if len(given) != 1:
        raise PlanError(
            f"prune_channels takes exactly one of ratio, alpha and ratios, and has {' and '.join(given) or 'none'}",
            hint="ratio: a share for all layers; alpha: a threshold; ratios: a table of layers, each with its share.",
        )
    if selection.scope == "global" and selection.ratio is None:
        raise PlanError(
            f'prune_channels: scope = "global" goes with ratio, not with {given[0]}',
            hint="Take scope out, or give one ratio for the whole net.",
        )
    known = list(dict.fromkeys(layer for group in found.groups for layer in group.layers))
    check_names(selection.ratios, known, "prune_channels.ratios")
    for group in found.groups:
        _ratio_of(group, selection.ratios)


def select(wiring: Wiring, found: Grouped, selection: Selection, seed: int) -> Chosen:
    """Choose by the wanted counts, rounded. PlanError if the selection names what is not there."""
    check(selection, found)
    scores = importances(wiring, found.components.of, found.groups, selection.importance, seed)
    dead, pruned, left = [np.empty(0, np.intp)], [], []
    for group, score, wanted in zip(found.groups, scores, _wanted(found.groups, scores, selection), strict=True):
        stay = kept(group, wanted, selection)
        gone = len(score) - stay
        dead.append(group.components[np.argsort(score, kind="stable")[:gone]])
        if gone:
            pruned.append(group.after(gone))
        if why := _short(group, wanted, stay, selection):
            left += [KeptLayer(layer, why) for layer in group.layers]
    return Chosen(np.concatenate(dead), tuple(pruned), tuple(left))


def _wanted(groups: Sequence[ChannelSet], scores: Sequence[Array], selection: Selection) -> list[float]:
    """Return how many components of each group would stay, before rounding."""
    if selection.alpha is not None:
        return [float((score >= selection.alpha * score.max()).sum()) for score in scores]
    if selection.ratios:
        return [len(group.components) * (1 - _ratio_of(group, selection.ratios)) for group in groups]
    share = selection.ratio or 0.0
    if selection.scope == "layer" or not groups:
        return [len(group.components) * (1 - share) for group in groups]
    every = np.concatenate(scores)
    goes = np.zeros(len(every), bool)
    goes[np.argsort(every, kind="stable")[: math.floor(share * len(every) + 0.5)]] = True
    parts = np.split(goes, np.cumsum([len(score) for score in scores])[:-1])
    return [float((~part).sum()) for part in parts]


def _ratio_of(group: ChannelSet, ratios: Mapping[str, float]) -> float:
    given = {ratios[layer]: layer for layer in group.layers if layer in ratios}
    if len(given) > 1:
        named = " and ".join(f"'{layer}'" for layer in given.values())
        raise PlanError(
            f"prune_channels.ratios: {named} lose their channels together, so they cannot have different ratios",
            hint="Give both the same ratio, or only one of them.",
        )
    return next(iter(given), 0.0)


def kept(group: ChannelSet, wanted: float, selection: Selection) -> int:
    """Return how many components stay: the nearest multiple of round_to channels, at least one and at least min_channels."""
    count, step = len(group.components), _step(group, selection)
    stay = math.floor(wanted / step + 0.5) * step
    least = max(step, math.ceil(selection.min_channels / group.width / step) * step)
    return min(max(stay, least), count)


def _step(group: ChannelSet, selection: Selection) -> int:
    """Components that make up round_to channels. Heads are not rounded: their width is not their number."""
    return 1 if group.kind == "heads" else selection.round_to // math.gcd(selection.round_to, group.width)


def _short(group: ChannelSet, wanted: float, stay: int, selection: Selection) -> str:
    """Why less was removed than was asked; nothing to say where it is only rounded."""
    channels, asked = group.channels, wanted * group.width
    step = _step(group, selection)
    if stay == len(group.components) and wanted < len(group.components):
        return f"all of its {channels} {group.kind} stay with round_to = {selection.round_to} and min_channels = {selection.min_channels}"
    if stay - wanted > step / 2:
        return f"{asked:.3g} of its {channels} {group.kind} would be left; {stay * group.width} are kept, the least that is allowed"
    return ""
