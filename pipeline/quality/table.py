"""Kinds of tasks by their names in a plan. A new one is a file in pipeline/quality/kinds and a line here."""

from pipeline.quality.kinds import (
    binary,
    classification,
    custom,
    detection,
    embedding,
    keypoints,
    multilabel,
    reconstruction,
    regression,
    segmentation,
    sequence,
)
from pipeline.quality.task import About, Kind

ONE_OUTPUT: dict[str, Kind] = {
    "classification": classification,
    "binary": binary,
    "multilabel": multilabel,
    "regression": regression,
    "segmentation": segmentation,
    "keypoints": keypoints,
    "reconstruction": reconstruction,
    "embedding": embedding,
    "sequence": sequence,
}
KINDS: dict[str, About] = {**ONE_OUTPUT, "detection": detection, "custom": custom}
