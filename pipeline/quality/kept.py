"""Statistics as .npz files, so that two runs can be compared row by row without their answers."""

import io
from dataclasses import fields
from pathlib import Path

import numpy as np

from pipeline.quality.detection import Detections
from pipeline.quality.ranking import Auroc, AveragePrecision, EqualErrorRate
from pipeline.quality.regression import Determination
from pipeline.quality.statistic import Array, Drawn, Mean, MeanQuotient, Quotient, RootQuotient, Statistic

KINDS = {
    kind.__name__: kind
    for kind in (
        Quotient,
        RootQuotient,
        MeanQuotient,
        Determination,
        Auroc,
        AveragePrecision,
        EqualErrorRate,
        Detections,
        Drawn,
    )
}


def written(statistic: Statistic) -> bytes:
    """Return the content of a .npz file: `kind`, then the arrays of the statistic; of a mean those of each part, numbered."""
    parts = statistic.of if isinstance(statistic, Mean) else (statistic,)
    kinds = [type(each).__name__ for each in parts]
    arrays: dict[str, Array] = {"kind": np.array(kinds)}
    for number, each in enumerate(parts):
        arrays |= {f"{number}/{field.name}": getattr(each, field.name) for field in fields(KINDS[kinds[number]])}
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def read(path: Path) -> Statistic:
    """Read what `written` has written: a file of the store."""
    with np.load(path, allow_pickle=False) as file:
        parts = [
            KINDS[kind](*(file[f"{number}/{field.name}"] for field in fields(KINDS[kind])))
            for number, kind in enumerate(file["kind"].tolist())
        ]
    return parts[0] if len(parts) == 1 else Mean(tuple(parts))
