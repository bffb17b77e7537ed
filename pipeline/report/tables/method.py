"""How the numbers were measured, so that they can be reproduced."""

from pipeline import units
from pipeline.records import Paired, RunRecord
from pipeline.report.tables._columns import table_of
from pipeline.report.tables.tensors import STEPS, one_inference
from pipeline.report.trust import Trust, level_of
from pipeline.report.view import Shown, Table, Topic
from pipeline.statistics.paired_test import ALPHA, LOOKS

TOPIC = Topic.METHOD
SHOWN = Shown.DETAILS
ENERGY = (
    "A launch of its own: idle, the model without pause, idle again; the integral over exactly that window, less idle for the "
    "net value. edgepress was not tried with any power meter's hardware yet, only with recorded and simulated ones"
)


def table(run: RunRecord, _trust: Trust) -> Table:
    """A name and its value in each line; those of pairs where any were run."""
    measured = run.measured.measurements

    def spread(values: list[int]) -> str:
        low, high = min(values), max(values)
        return units.count(low) if low == high else f"{units.count(low)} to {units.count(high)}"

    lines = [("seed", f"{run.seed} of the run, {run.measured.seed} of the order of launches")]
    if measured:
        meters = ", ".join(f"{one.name} ({one.rail}; {one.quality})" for one in run.deployment.meters) or "none"
        lines += [
            ("launches", f"fresh processes of each measurement: {spread([one.latency.launches for one in measured])}"),
            ("runs", f"{spread([one.latency.runs for one in measured])} timed in all, each of {one_inference(run)}"),
            *([("sequences", STEPS)] if run.loaded.model.sequences else []),
            ("warm-up", f"{spread([one.warmup_runs for one in measured])} runs, not counted"),
            ("threads", spread([one.threads for one in measured])),
            ("interval of a latency", "95 %, of the median over launches (distribution-free, from 6 launches on)"),
            (
                "interval of a ratio",
                "95 %, of candidate / baseline in the same round, by the 10th percentile of each launch; 98 % by pairs",
            ),
            ("energy", f"meters: {meters}. {ENERGY}"),
            (
                "raw results",
                "every launch as the board sent it is in the store: "
                + ", ".join(dict.fromkeys(one.raw.sha256[:12] for one in measured)),
            ),
        ]
    lines += _pairs(run)
    lines.append(("plan", f"{run.plan_path}, sha256 {run.plan_sha256}"))
    return table_of("How it was measured", "what|how", lines, facts=True)


def _pairs(run: RunRecord) -> list[tuple[str, str]]:
    """How pairs were measured and judged."""
    paired = run.measured.paired
    if not paired:
        return []
    looks = ", ".join(units.count(look) for look in LOOKS[:-1])
    rules = dict.fromkeys((one.margin, one.limit) for one in paired)
    named = "; ".join(
        f"limit {units.percent(limit)}" + (f", margin {units.percent(margin)}" if margin < limit else "")
        for margin, limit in rules
    )
    bound = "margin" if any(margin < limit for margin, limit in rules) else "limit"
    raw = ", ".join(one.raw.sha256[:12] for one in paired)
    return [
        (
            "pairs",
            (
                "baseline and candidate as two fresh processes on the same CPUs, started in a random order; they alternate in short blocks, "
                f"ABBA or BAAB at random, {_blocks(paired)} blocks a pair"
            ),
        ),
        (
            "number of a pair",
            "the median over its cycles of candidate / baseline, each by the 10th percentile of its blocks in that cycle",
        ),
        (
            "verdict on latency",
            (
                f"exact sign-flip test over the pairs, looks at {looks} and {units.count(LOOKS[-1])} of them, each at {units.level(ALPHA)} / "
                f"{units.count(len(LOOKS))}, one-sided. REGRESSED: provably above the {bound}; PASS: provably below the limit ({named})"
            ),
        ),
        (
            "interval by pairs",
            f"{level_of(by_test=True)}, over all looks: the changes that the test does not reject",
        ),
        ("raw pairs", f"every inference of every block is in the store: {raw}"),
    ]


def _blocks(paired: tuple[Paired, ...]) -> str:
    numbers = [len(one.board_samples) // max(len(one.log_ratios), 1) for one in paired]
    low, high = min(numbers), max(numbers)
    return units.count(low) if low == high else f"{units.count(low)} to {units.count(high)}"
