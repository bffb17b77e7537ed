"""Check what a job asks for."""

import os
import re

from device_agent import wire
from device_agent.channel import Refused
from device_agent.files.layout import Layout
from device_agent.meters import METERS
from device_agent.runtimes import RUNTIMES

NAME = re.compile("[A-Za-z_][A-Za-z0-9_]{0,99}")  # of a module, which becomes the name of a file, and of a function
MAX_RUNS = 1_000_000  # so that the raw answer stays below wire.MAX_LINE_BYTES
MAX_PAIR_RUNS = 1_000_000  # times kept of both sides together: they share a line

CHOICES = {
    "mode": ("time", "evaluate", "profile", "energy", "turns", "end_to_end"),
    "model_format": ("tflite", "onnx", "sleep"),
    "runtime": tuple(RUNTIMES),
}
LIMITS = {"threads": (1, 1024), "rotated_rows": (1, 1000), "timed_min_runs": (1, MAX_RUNS), "timed_max_runs": (1, MAX_RUNS), "timeout_ns": (1, 1 << 62),
          "warmup_min_ns": (0, 1 << 62), "warmup_max_ns": (0, 1 << 62), "timed_min_ns": (0, 1 << 62),
          "idle_ns": (0, 15_000_000_000), "pattern_ns": (0, 15_000_000_000)}  # fmt: skip


def check(layout: Layout, request: wire.Submit) -> None:
    """Refused "bad_request" for a job that cannot be run."""
    if request.band_mc < 0 or request.cool_ns < 0:
        raise Refused(
            "bad_request", f"band_mc is {request.band_mc}, cool_ns {request.cool_ns}: neither may be negative"
        )
    for launch in request.launches:
        _check(layout, launch)
        if launch.mode == "turns":
            raise Refused("bad_request", "the mode turns is only for the sides of a pair")
    for pair in request.pairs:
        _check(layout, pair.a)
        _check(layout, pair.b)
        _check_pair(pair)


def _check(layout: Layout, launch: wire.Launch) -> None:
    for name, choices in CHOICES.items():
        if getattr(launch, name) not in choices:
            raise Refused("bad_request", f"{name} is {getattr(launch, name)!r}, not one of {', '.join(choices)}")
    for name, (low, high) in LIMITS.items():
        if not low <= getattr(launch, name) <= high:
            raise Refused("bad_request", f"{name} is {getattr(launch, name)}, not {low} to {high}")
    unknown = [use.name for use in launch.meters if use.name not in METERS]
    if unknown:
        raise Refused("bad_request", f"there is no meter {unknown[0]!r}, only {', '.join(METERS)}")
    has = os.sched_getaffinity(0) if launch.cpus else set()
    if not has.issuperset(launch.cpus):
        raise Refused(
            "bad_request", f"the CPUs {list(launch.cpus)} are not all available: a program may use {sorted(has)}"
        )
    layout.blob(launch.model_sha256)
    for site in launch.sites:
        layout.site(site)
    for each in launch.inputs:
        if each.sha256:
            layout.blob(each.sha256)
        if any(not 0 <= size <= 1 << 40 for size in each.shape):
            raise Refused("bad_request", f"the input {each.tensor!r} has the shape {each.shape}")
    if (launch.mode == "end_to_end") != (launch.end_to_end is not None):
        raise Refused(
            "bad_request", f"the mode is {launch.mode}: what is timed with the model belongs to end_to_end alone"
        )
    if launch.end_to_end is not None:
        _check_end_to_end(layout, launch, launch.end_to_end)
    if launch.mode == "evaluate" and not any(each.sha256 and not each.constant for each in launch.inputs):
        raise Refused("bad_request", "there are no rows to evaluate")


def _check_end_to_end(layout: Layout, launch: wire.Launch, asked: wire.EndToEnd) -> None:
    functions = [each for each in (asked.preprocess, asked.postprocess) if each is not None]
    for sha256 in (*(each.sha256 for each in asked.rows), *(each.sha256 for each in functions)):
        layout.blob(sha256)
    for function in functions:
        if not (NAME.fullmatch(function.module) and NAME.fullmatch(function.name)):
            raise Refused("bad_request", f"not a function: {function.module[:80]!r}, {function.name[:80]!r}")
    if not functions or not asked.rows or len(asked.fed) != len(launch.inputs):
        raise Refused("bad_request", "end_to_end needs a function, rows, and what each input takes")
    if launch.sequences or launch.state:
        raise Refused("bad_request", "end_to_end takes rows, and these are sequences")


def _check_pair(pair: wire.Pair) -> None:
    if pair.starts not in ("AB", "BA") or not pair.cycles or not set(pair.cycles) <= {"ABBA", "BAAB"}:
        raise Refused("bad_request", f"a pair starts {pair.starts!r} and has the cycles {pair.cycles[:3]}")
    if {pair.a.mode, pair.b.mode} != {"turns"} or (pair.a.threads, pair.a.cpus) != (pair.b.threads, pair.b.cpus):
        raise Refused(
            "bad_request", "the two sides of a pair must have the mode turns, the same threads and the same CPUs"
        )
    kept = min(4 * len(pair.cycles) * pair.block_max_runs, pair.a.timed_max_runs + pair.b.timed_max_runs)
    if not (
        0 <= pair.block_min_ns <= 1 << 62 and 1 <= pair.block_min_runs <= pair.block_max_runs and kept <= MAX_PAIR_RUNS
    ):
        raise Refused(
            "bad_request", f"blocks of {pair.block_min_runs} to {pair.block_max_runs} runs in {len(pair.cycles)} cycles"
        )
