"""How often does the interval of a metric's difference hold the truth?

    .venv/bin/python benchmarks/verdicts/metric_intervals.py [--sets 1000] [--rows 100 1000] [--only mAP]

Two models answer the same made-up rows, 5,000 to 20,000 of them, and their difference on all of these is the truth. A set is drawn from them,
with replacement, and the code that judges a plan's `metric_drop` gives its interval of 95 %. The interval of the better model's own
value, which `metric_at_least` is judged by, is counted, too. To be done in 20 minutes, rows are drawn again 200 times where the product draws
1,000, and mAP is that of four of its ten overlaps. Intervals of the shares are exact ones at 95 % (Clopper and Pearson).
"""

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.machine import describe
from benchmarks._support.results import results
from pipeline.compare import metric_intervals
from pipeline.quality import ranking, regression, segmentation
from pipeline.quality.detection import Boxes, Detections, mean_average_precision
from pipeline.quality.statistic import MeanQuotient, Quotient, plain
from pipeline.statistics.order import proportion_interval

DRAWS = (
    200  # fewer than the product's 1,000, which would take an hour: a standard deviation of 200 draws is known to 5 %
)
OVERLAPS = slice(None, None, 3)  # of the ten of mAP: 0.5, 0.65, 0.8 and 0.95, for the same reason
LOW, HIGH = 0.93, 0.97


class Scores:
    """True and false rows with their scores, the same again with a little noise. A fifth of the rows is true."""

    ratio = True

    def __init__(self, rows=20_000):
        random = np.random.default_rng(1)
        self.rows, self.true = rows, random.random(rows) < 0.2
        better = random.normal(size=rows) + 1.5 * self.true
        self.scores = better, better + 0.5 * random.normal(size=rows)

    def sets(self, some):
        return [ranking.auroc(self.true[some], scores[some]) for scores in self.scores]


class Numbers:
    """Numbers with errors of long tails, which differ more for large targets: 3 columns."""

    ratio = False

    def __init__(self, rows=20_000):
        random = np.random.default_rng(2)
        self.rows = rows
        targets = random.lognormal(0, 0.7, (rows, 3))
        better = targets * (1 + 0.1 * random.standard_t(4, (rows, 3)))
        worse = better + 0.03 * targets * random.standard_t(4, (rows, 3))
        self.errors = [regression.mean_absolute_error(targets, each) for each in (better, worse)]

    def sets(self, some):
        return [Quotient(each.parts[some], each.wholes[some]) for each in self.errors]


class Maps:
    """Rectangles of 1 to 3 classes on a background, 32 x 32, found a pixel or two away from where they are; one class is rare."""

    ratio = True

    def __init__(self, rows=5_000):
        random = np.random.default_rng(3)
        self.rows = rows
        labels, better, worse = (np.zeros((rows, 32, 32), np.int64) for _ in range(3))
        for row in range(rows):
            for _ in range(random.integers(1, 4)):
                kind = random.choice(5, p=(0.02, 0.23, 0.25, 0.25, 0.25))
                (y, x), (high, wide) = random.integers(2, 18, 2), random.integers(5, 13, 2)
                off = random.integers(-2, 3, 2)
                more = off + (random.random(2) < 0.2)
                for chosen, (down, right) in ((labels, (0, 0)), (better, off), (worse, more)):
                    chosen[row, max(0, y + down) : y + high + down, max(0, x + right) : x + wide + right] = kind
        self.found = [segmentation.mean_iou(labels, each, 5, None) for each in (better, worse)]

    def sets(self, some):
        return [MeanQuotient(each.parts[some], each.wholes[some]) for each in self.found]


class Detectors:
    """Up to two boxes of two classes a row, found a little off, with some that are not there."""

    ratio = True

    def __init__(self, rows=5_000):
        random = np.random.default_rng(4)
        self.rows = rows
        truths, better, worse = [], [], []
        for _ in range(rows):
            count = random.integers(0, 3)
            corner, kinds = random.uniform(0, 80, (count, 2)), random.choice(2, count, p=(0.7, 0.3))
            boxes = np.concatenate([corner, corner + random.uniform(12, 40, (count, 2))], axis=1)
            truths.append(Boxes(boxes, kinds))
            kept, extra = random.random(count) < 0.9, random.uniform(0, 60, (1, 2))
            scores = np.concatenate([random.beta(5, 2, kept.sum()), random.beta(2, 5, 1)])
            classes = np.concatenate([kinds[kept], random.integers(0, 2, 1)])
            near = boxes + np.clip(random.normal(0, 2.5, boxes.shape), -5.9, 5.9) * 0.95
            for found, noise in ((better, 0.0), (worse, 0.8)):
                placed = near[kept] + np.clip(random.normal(0, 1, near[kept].shape), -1, 1) * 0.3 * noise
                found.append(
                    Boxes(np.concatenate([placed, np.concatenate([extra, extra + 20], axis=1)]), classes, scores)
                )
        matched = [mean_average_precision(truths, each) for each in (better, worse)]
        self.matched = [Detections(one.truths, one.kind, one.row, one.hit[OVERLAPS]) for one in matched]

    def sets(self, some):
        return [drawn(each, some) for each in self.matched]


def drawn(all_rows: Detections, some) -> Detections:
    """Return the statistic of these rows, in rising order; one that is drawn twice is two rows. Boxes stay matched."""
    times = np.bincount(some, minlength=all_rows.rows)
    first = np.cumsum(times) - times
    of_found = times[all_rows.row]
    again = np.arange(of_found.sum()) - np.repeat(np.cumsum(of_found) - of_found, of_found)
    return Detections(
        all_rows.truths[:, np.sort(some)],
        np.repeat(all_rows.kind, of_found),
        np.repeat(first[all_rows.row], of_found) + again,
        np.repeat(all_rows.hit, of_found, axis=1),
    )


METRICS = {"MAE": Numbers, "AUROC": Scores, "mean IoU": Maps, "mAP": Detectors}


class Counted:
    """How many intervals of the difference and of the value hold the truth, and how far the mean of each is from it."""

    def __init__(self, population, rows, sets, seed):
        everything = population.sets(np.arange(population.rows))
        truths = plain(everything[1]) - plain(everything[0]), plain(everything[0])
        random = np.random.default_rng((seed, rows))
        self.holds, off, self.method = np.zeros(2, int), np.zeros(2), ""
        for number in range(sets):
            better, worse = population.sets(random.integers(0, population.rows, rows))
            found = (
                metric_intervals.of_difference(worse, better, number, ratio=population.ratio, draws=DRAWS),
                metric_intervals.of_value(better, number, ratio=population.ratio, draws=DRAWS),
            )
            self.holds += [each.low <= truth <= each.high for each, truth in zip(found, truths, strict=True)]
            off += [each.value - truth for each, truth in zip(found, truths, strict=True)]
            self.method = found[0].method.split(",")[0]
        self.truth, self.off = truths, off / sets


def main():
    parser = command.parser(__doc__)
    parser.add_argument("--sets", type=int, default=1000)
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--only", choices=METRICS)
    given = parser.parse_args()
    missed = []
    print(f"{describe()}\nheld the truth, of {given.sets} sets: metric, rows | difference | value | took", flush=True)
    with results(__file__) as add:
        for seed, name in enumerate(METRICS):
            if given.only not in (None, name):
                continue
            population = METRICS[name]()
            for rows in given.rows:
                began = time.monotonic()
                found = Counted(population, rows, given.sets, seed)
                for what, holds, truth, off in zip(
                    ("difference", "value"), found.holds, found.truth, found.off, strict=True
                ):
                    low, high = proportion_interval(int(holds), given.sets)
                    add(
                        f"intervals at 95 % of the {what} that hold the truth, {rows:,} rows",
                        round(100 * int(holds) / given.sets, 1),
                        "%",
                        of=name,
                        interval=(round(100 * low, 1), round(100 * high, 1)),
                        interval_is="95 %",
                        note=f"{given.sets:,} sets; truth {truth:.4f}, mean of the sets {off:+.4f} from it"
                        + (f"; {found.method}" if what == "difference" else ""),
                    )
                shares = [each / given.sets for each in found.holds]
                took = time.monotonic() - began
                print(
                    f"{name}, {rows:,} | {shares[0]:.1%} ({found.method}) | {shares[1]:.1%} | {took:.0f} s", flush=True
                )
                if not LOW <= shares[0] <= HIGH:
                    missed.append(f"{name} at {rows:,} rows: {shares[0]:.1%}")
    if missed:
        sys.exit(f"the interval of the difference holds the truth too rarely or too often: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
