"""Measurements to compare, whose every number a test can set."""

import io
import math
from pathlib import Path

import msgspec
import numpy as np

from pipeline.compare import compare
from pipeline.plan import Plan
from pipeline.plan_tables import ConvertTable, DataTable, LimitsTable, ModelTable, Tables, TaskTable
from pipeline.records import BoardAccuracy, Column, Data, Measured, Paired, Rows, Side, TailRatios
from tests.support.sample_run import measurement, run_of

ROWS = 1000


def plan(formats=(), passes=({"pass": "x"},), evaluation=None, metric=None, **limits):
    tables = Tables(
        model=ModelTable(path="m.keras"),
        data=DataTable(evaluation=evaluation),
        compress=passes,
        convert=ConvertTable(formats=formats),
        task=TaskTable(kind="regression" if any(key.startswith("metric_") for key in limits) else None, metric=metric),
        limits=LimitsTable(**limits),
    )
    return Plan(path=Path("edge.toml"), sha256="0" * 64, tables=tables)


def npy(store, array):
    file = io.BytesIO()
    np.save(file, array)
    return store.put_bytes(file.getvalue(), "npy")


class World:
    """A base of fp32 and candidates beside it, with answers in the store, so that every number can be set by a test."""

    def __init__(self, store):
        self.store = store
        self.labels = np.arange(ROWS) % 10
        y = npy(store, self.labels)
        self.data = Data(
            evaluation=Rows(inputs=(Column(name="x", artifact=y, shape=(), dtype="int64"),), y=y, rows=ROWS)
        )
        deployment = run_of((measurement(),)).deployment
        self.deployment = msgspec.structs.replace(deployment, evaluation_indices=npy(store, np.arange(ROWS)))

    def measured(
        self,
        variant="original",
        fmt="tflite-fp32",
        *,
        p10=1e-4,
        wrong=(),
        spread=0.001,
        launches=6,
        doubts=(),
        size=1000,
    ):
        answers = self.labels.copy()
        answers[list(wrong)] = (answers[list(wrong)] + 1) % 10
        one = measurement(variant, fmt, doubts=doubts)
        levels = tuple(p10 * (1 + spread * (k - (launches - 1) / 2)) for k in range(launches))
        latency = msgspec.structs.replace(
            one.latency, launch_p10_s=levels, launch_medians_s=levels, launches=launches, median_s=p10
        )
        accuracy = BoardAccuracy(
            rows=ROWS,
            accuracy_ratio=1 - len(wrong) / ROWS,
            differs_from_host_ratio=0.0,
            answers=npy(self.store, answers),
        )
        artifact = msgspec.structs.replace(one.artifact, size_bytes=size)
        return msgspec.structs.replace(one, latency=latency, accuracy=accuracy, artifact=artifact)

    def judge(self, *measurements, failures=(), paired=None, unpaired=(), **limits):
        """`paired` None: each compressed file has taken turns with the first one, at the ratio of their levels."""
        if paired is None:
            base = next(iter(measurements), None)
            paired = [
                pairs_of(one, base, one.latency.median_s / base.latency.median_s)
                for one in measurements
                if one.variant == "compressed"
            ]
        return compare(
            Measured(measurements=measurements, failures=failures, paired=tuple(paired), unpaired=tuple(unpaired)),
            plan(**limits),
            self.data,
            self.deployment,
            self.store,
        )


def pairs_of(one, base, slower, noise=0.002, tail=None, doubts=()):
    """Ten pairs whose log ratios lie evenly around that of `slower`."""
    steps = np.linspace(-1, 1, 10)
    side = Side(runs=1000, mean_s=1e-4, throughput_per_s=1e4, quantiles=(), pair_p10_s=(1e-4,) * 10)
    tails = () if tail is None else (TailRatios(percent=95, log_ratios=tuple(math.log(tail[0]) + tail[1] * steps)),)
    return Paired(
        subject=one.subject, baseline_subject=base.subject, margin=0.005, limit=0.03, tails=tails, baseline=side, candidate=side,
        log_ratios=tuple(math.log(slower) + noise * steps), seconds=20.0, board_samples=(), doubts=doubts, raw=one.raw,
    )  # fmt: skip
