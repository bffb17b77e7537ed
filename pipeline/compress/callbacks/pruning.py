"""Pruning as a Keras callback, for a training of one's own: `model.fit(x, y, callbacks=[PruneWeights(sparsity=0.8)])`.

The same masks and schedules as the pass `prune_weights`.
"""

from typing import Any, Literal

import msgspec

from pipeline.compress.keras_passes.prune_weights import Settings
from pipeline.compress.sparsity.callback import pruning
from pipeline.compress.sparsity.masks import Scope
from pipeline.errors import PlanError
from pipeline.frameworks.types import KerasCallback


def PruneWeights(  # noqa: N802 - stands where Keras's callbacks stand, which are classes; keras is imported only here
    sparsity: float | None = None,
    *,
    alpha: float | None = None,
    pattern: str | None = None,
    method: Literal["magnitude", "random"] = "magnitude",
    scope: Scope = "layer",
    exclude: tuple[str, ...] = (),
    schedule: dict[str, Any] | None = None,
    seed: int = 0,
) -> KerasCallback:
    """Return a callback that prunes the model it trains; arguments are the settings of `prune_weights` (docs/passes.md).

    Without `schedule` all is pruned before the first step. Afterwards the weights are exactly zero and the kernels' constraints are as
    they were. Raises PlanError for settings that are not possible.
    """
    given = {"sparsity": sparsity, "alpha": alpha, "pattern": pattern, "method": method, "scope": scope}
    try:
        settings = msgspec.convert({**given, "exclude": exclude, "schedule": schedule, "recover": {}}, Settings)
    except msgspec.ValidationError as error:
        raise PlanError(
            f"PruneWeights: {error}", hint="docs/passes.md describes the settings of prune_weights."
        ) from error
    return pruning(settings.selection(seed), settings.exclude, settings.schedule)
