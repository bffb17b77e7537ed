"""Really remove channels, units and attention heads: what is left is an ordinary smaller model, faster on every runtime.

Channels that depend on each other go together, through the whole graph (pipeline/compress/surgery). What cannot be removed stays,
and is reported with its reason. Without training, a pruned net answers worse: give it `recover`.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from pipeline.compress import training as train
from pipeline.compress.base import Changed, Claims
from pipeline.compress.context import Context
from pipeline.compress.settings import PassSettings, Recover
from pipeline.compress.surgery import KeptLayer, Selection, prune_model
from pipeline.compress.surgery.graph import walk
from pipeline.compress.surgery.groups import grouped
from pipeline.compress.surgery.importance import Importance
from pipeline.compress.surgery.selection import Scope, check, select
from pipeline.compress.training import batch_norm
from pipeline.errors import PromiseError, StageError
from pipeline.frameworks.types import KerasModel

Ratio = Annotated[float, Meta(ge=0, lt=1)]


class Settings(PassSettings, frozen=True):
    """Exactly one of ratio, alpha and ratios."""

    ratio: Ratio | None = None  # share of the channels that goes
    scope: Scope = "layer"  # layer: this share of each group of layers; global: of all channels that can go
    alpha: Annotated[float, Meta(gt=0, le=1)] | None = None  # a threshold: alpha * the most important of the group
    ratios: dict[str, Ratio] = msgspec.field(default_factory=dict)  # a share for each of these layers; the others stay
    importance: Importance = "l1"
    round_to: Annotated[int, Meta(ge=1, le=1024)] = 8
    min_channels: Annotated[int, Meta(ge=1)] = 1
    exclude: tuple[str, ...] = ()  # layers whose channels all stay
    recalibrate: bool = True  # batch normalisation, where there is no recover (which has its own)
    recover: Recover | None = None

    @property
    def selection(self) -> Selection:
        return Selection(
            self.ratio, self.scope, self.alpha, self.ratios, self.importance, self.round_to, self.min_channels, self.exclude
        )  # fmt: skip


def requires(model: KerasModel, settings: Settings, context: Context) -> None:
    """Refuse settings that do not fit the model, and models that can lose no channel."""
    found = grouped(walk(model), settings.exclude)
    check(settings.selection, found)
    if not found.groups:
        raise StageError(
            f"prune_channels finds no channel in {model.name} that can be removed: {'; '.join(_sentences(found.left))}",
            hint="Take prune_channels out, or take layers out of `exclude`.",
        )
    train.check(model, settings.recover, context)
    if settings.recover is None and settings.recalibrate:
        batch_norm.check(model, context)


def apply(model: KerasModel, settings: Settings, context: Context) -> Changed:
    """Prune; then train, or estimate the statistics of batch normalisation again."""
    pruned = prune_model(model, settings.selection, context.seed)
    notes = list(_sentences(pruned.left))
    if not pruned.groups:
        raise StageError(
            f"prune_channels would remove nothing from {model.name}: {'; '.join(notes) or 'no channel is that unimportant'}",
            hint="Give a larger ratio or alpha, or a smaller round_to or min_channels.",
        )
    if settings.recover is not None:
        notes += train.recover(pruned.model, settings.recover, context)
        return Changed(train.without_training_state(pruned.model), tuple(notes))
    if settings.recalibrate:
        notes += batch_norm.recalibrate_or_say(pruned.model, context)
    return Changed(pruned.model, tuple(notes))


def ensures(before: KerasModel, after: KerasModel, settings: Settings) -> Claims:
    """Check that every layer has as many channels as were to stay, as counted in the saved model."""
    wiring, now = walk(before), walk(after)
    found = grouped(wiring, settings.exclude)
    chosen = select(wiring, found, settings.selection, seed=0)
    total_before = total_after = 0
    drawn = settings.importance == "random" and (settings.scope == "global" or settings.alpha is not None)
    pruned = set()
    for old, new in zip(wiring.producers.values(), now.producers.values(), strict=True):
        gone = int(np.isin(found.components.of[old.ids], chosen.dead).sum())
        wrong = len(new.ids) > len(old.ids) if drawn else len(new.ids) != len(old.ids) - gone
        if wrong:  # where one draw decides on several layers, or against a threshold, their number depends on the seed
            raise PromiseError(
                f"layer '{new.name}' has {len(new.ids)} {new.kind}, and {len(old.ids) - gone} of {len(old.ids)} were to stay",
                hint="This is a fault of the pass. Take it out of the plan and report it.",
            )
        if len(new.ids) < len(old.ids):
            pruned.add(old.name)
        total_before, total_after = total_before + len(old.ids), total_after + len(new.ids)
    if not total_after < total_before:
        raise PromiseError(
            f"the model has {total_after} channels, as many as before",
            hint="This is a fault of the pass. Take it out of the plan and report it.",
        )
    layers = {producer.name for producer in wiring.producers.values()}
    return {
        "channels_before": float(total_before),
        "channels_after": float(total_after),
        "pruned_groups": float(sum(not pruned.isdisjoint(group.layers) for group in found.groups)),
        "pruned_layers": float(len(pruned)),
        "kept_layers": float(len(layers - pruned)),
    }


def _sentences(left: Iterable[KeptLayer]) -> Iterable[str]:
    """One for each reason, with the layers that it holds for."""
    layers: dict[str, list[str]] = defaultdict(list)
    for each in left:
        if each.layer not in layers[each.why]:
            layers[each.why].append(each.layer)
    for why, names in layers.items():
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        yield f"{', '.join(names[:5])}{more}: {why}"
