import math
from collections.abc import Sequence
from pathlib import Path

import click

from pipeline import selftest, units
from pipeline.commands.common import json_option, quiet_option, say, show_json, wait_option
from pipeline.commands.terminal import Terminal
from pipeline.records import Outcome
from pipeline.statistics.paired_test import ALPHA, LOOKS, rule_of
from targets import inventory, open_session


def _finite(_: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """NaN is in every range of click: nothing is below or above it."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a share.", param=parameter)
    return value


@click.command("selftest")
@click.argument("board")
@click.option("--model", type=click.Path(path_type=Path), help="A .tflite or .onnx file; without it, a small int8 net.")
@click.option("--runtime", help="In which runtime; without it, one that can run the file there.")
@click.option("--inputs", type=click.Path(path_type=Path), help="Rows of the model's input, .npy; without it, zeros.")
@click.option("--threads", type=click.IntRange(1, 256), default=1, show_default=True)
@click.option("--trials", type=click.IntRange(2, 100_000), default=20, show_default=True)
@click.option(
    "--limit",
    type=click.FloatRange(0.001, 10),
    default=0.03,
    show_default=True,
    callback=_finite,
    help="As latency_regression.",
)
@click.option(
    "--margin",
    type=click.FloatRange(0, 10),
    callback=_finite,
    help="As latency_margin, of the stricter rule; without it, a sixth of the limit.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), default=Path(), help="Where boards.toml is.")
@wait_option
@json_option
@quiet_option
def command(
    board: str, model: Path | None, runtime: str | None, inputs: Path | None, threads: int, trials: int, limit: float,
    margin: float | None, seed: int, folder: Path, *, wait_s: int, as_json: bool, quiet: bool,
) -> int:  # fmt: skip
    """How often is the verdict on latency wrong on BOARD? Each trial measures a file against itself, and judges it as it is and slowed
    down by 2, 3, 5 and 10 % and by the limit: by the limit alone, and by the stricter rule of a margin.

    Exit code 0; 3 if the board did not resolve the limit; 6 if it was not fit to measure.
    """
    margin = limit * selftest.SHARPER if margin is None else margin
    if margin > limit:
        raise click.BadParameter(f"{margin} is above the limit of {limit}.", param_hint="--margin")
    request = selftest.Request(
        model=model, runtime=runtime, inputs=inputs, threads=threads, trials=trials, rule=rule_of(limit, None),
        sharper=rule_of(limit, margin), seed=seed,
    )  # fmt: skip
    with Terminal(quiet=quiet) as progress, open_session(inventory.find(board, folder), progress.say) as session:
        session.busy_retry.left_s = wait_s
        progress.stage("selftest")
        found = selftest.run(session, request, progress)
    if as_json:
        show_json(found)
    else:
        _show(found)
    if found.emulated or not found.rates[0].trials:
        return Outcome.INVALID.exit_code
    return Outcome.PASS.exit_code if selftest.resolves(found) else Outcome.INCONCLUSIVE.exit_code


def _show(found: selftest.SelfTest) -> None:
    unchanged = found.rates[0]
    say(f"{found.board} at {found.address}; {found.model} in {found.runtime} {found.runtime_version}, "
        f"{units.seconds(found.latency_s)} an inference")  # fmt: skip
    if found.emulated:
        say("an emulated machine: its times cannot stand for a board, and no verdict should rest on them")
    if found.invalid:
        say(f"not counted: {units.counted(len(found.invalid), 'trial')}, for the board was not fit to measure: "
            + "; ".join(dict.fromkeys(found.invalid)))  # fmt: skip
    if not unchanged.trials:
        return
    say(f"{units.counted(unchanged.trials, 'trial')} of {LOOKS[0]} to {LOOKS[-1]} pairs; limit {units.percent(found.limit)}, "
        f"alpha {units.percent(ALPHA)}")  # fmt: skip
    _rates("by the limit alone", found.rates)
    say(f"\nfalse alarms: {units.count(unchanged.regressed)} of {units.count(unchanged.trials)}, so in truth at most "
        f"{units.percent(unchanged.regressed_high)} of all cases; 300 trials without one show at most 1.2 %")  # fmt: skip
    at_limit = next(rate for rate in found.rates if rate.slowdown == found.limit)
    say(f"slower by exactly the limit, where neither can be proven: REGRESSED {units.count(at_limit.regressed)} (in truth at most "
        f"{units.percent(at_limit.regressed_high)}), PASS {units.count(at_limit.passed)} (at most {units.percent(at_limit.passed_high)}) "
        f"of {units.count(at_limit.trials)}")  # fmt: skip
    _smallest(found.rates)
    if found.smallest_limit is not None and found.smallest_limit_last is not None:
        say(f"one pair's ratio varies by {units.percent(found.deviation)}: an unchanged file passes a limit of "
            f"{units.percent(found.smallest_limit)} in 95 % of all cases by the first look, "
            f"{units.percent(found.smallest_limit_last)} by the last (computed)")  # fmt: skip
    say(f"a verdict on an unchanged file took {units.seconds(found.seconds_median)} (median), at most "
        f"{units.seconds(found.seconds_longest)}")  # fmt: skip
    _rates(f"the same trials by the stricter rule, latency_margin {units.percent(found.margin)}", found.sharper)
    _smallest(found.sharper)
    if found.detectable_last is not None:
        say(f"seen in 95 % of all cases by the last look: {units.percent(found.detectable_last)} (computed)")


def _rates(title: str, rates: Sequence[selftest.Rate]) -> None:
    say(f"\n{title}\n{'slowed by':<10} {'REGRESSED':>9}  {'95 % interval':<20} {'PASS':>5}  {'INCONCLUSIVE':>12}")
    for rate in rates:
        interval = f"{units.percent(rate.regressed_low)} to {units.percent(rate.regressed_high)}"
        name = units.percent(rate.slowdown) if rate.slowdown else "nothing"
        say(f"{name:<10} {rate.regressed:>9}  {interval:<20} {rate.passed:>5}  {rate.inconclusive:>12}")


def _smallest(rates: Sequence[selftest.Rate]) -> None:
    smallest = selftest.caught(rates)
    told = [f"{units.percent(rate.slowdown)} ({units.count(rate.regressed)} of {units.count(rate.trials)})"
            for rate in rates if rate.slowdown == smallest]  # fmt: skip
    say(f"the smallest slowdown that was caught in 95 % of the trials: {''.join(told) or 'none'}")
