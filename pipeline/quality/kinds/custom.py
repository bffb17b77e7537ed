"""A metric of the user's own, "module:function": pipeline/quality/own.py."""

from pipeline.quality.task import Metric

LABELS = "Labels are numbers of any form, a row for each of the evaluation rows: the metric gets them as they are."
METRICS: dict[str, Metric] = {}
SETTINGS = frozenset({"higher_is_better"})
