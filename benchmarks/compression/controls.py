"""Does a compression method help, or only the training that comes with it?

    .venv/bin/python benchmarks/compression/controls.py [--seeds 1 2 3] [--only NAME ...]

Method and control train for the same epochs on the same rows, with three seeds. Compared is the accuracy of the file on the 10,000 test
images; the difference is paired by seed.
"""

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support.experiment import Laboratory, accuracy, of_seeds, parser, spread, table
from benchmarks._support.results import results

FP32, INT8 = "tflite-fp32", "tflite-int8"
HALF = '[[compress]]\npass = "prune_channels"\nratio = 0.5\nimportance = "%s"\n'
RECOVER = '[[compress]]\npass = "recover"\nepochs = 2\nrows = 20_000\nlearning_rate = 2e-3\n%s'
SHARP, SOFT = "distill = { temperature = 1 }\n", "distill = { temperature = 4 }\n"
SCRATCH = '[[compress]]\npass = "distill"\nwidth = 0.5\nepochs = 2\nrows = 20_000\nlearning_rate = 2e-3\n' + SOFT
MORE = '[[compress]]\npass = "recover"\nepochs = 1\nrows = 20_000\nlearning_rate = 2e-4\n'
AWARE = '[[compress]]\npass = "quantize_aware"\nrecover = { epochs = 1, rows = 20_000, learning_rate = 2e-4 }\n'
HALF_L1, HALF_RANDOM = HALF % "l1", HALF % "random"
PLAIN, DISTILLED_1, DISTILLED_4 = RECOVER % "", RECOVER % SHARP, RECOVER % SOFT
CONTROLS = {  # (method, control, format)
    "distilled (temperature 1) against plain recovery, channels 50 %": (HALF_L1 + DISTILLED_1, HALF_L1 + PLAIN, FP32),
    "distilled (temperature 4) against plain recovery, channels 50 %": (HALF_L1 + DISTILLED_4, HALF_L1 + PLAIN, FP32),
    "pruned teacher against the same net from scratch, both distilled": (HALF_L1 + DISTILLED_4, SCRATCH, FP32),
    "channel importance L1 against random": (HALF_L1 + PLAIN, HALF_RANDOM + PLAIN, FP32),
    "quantization-aware against post-training, int8": (AWARE, MORE, INT8),
    "the same after channels 50 %": (HALF_L1 + DISTILLED_4 + AWARE, HALF_L1 + DISTILLED_4 + MORE, INT8),
}


def main() -> None:
    given = parser(__doc__).parse_args()
    laboratory = Laboratory(given.folder)
    rows, kept = [], []
    for name, (method, control, wanted) in CONTROLS.items():
        if given.only and name not in given.only:
            continue
        found: tuple[list[float], list[float]] = ([], [])
        for seed in given.seeds:
            for values, passes in zip(found, (method, control), strict=True):
                now = laboratory.run(passes, [wanted], seed)
                file = next(one for one in now.converted if (one.variant, one.format) == ("compressed", wanted))
                values.append(accuracy(file))
            print(f"  {name}, seed {seed}: {found[0][-1]:.2f} % against {found[1][-1]:.2f} %", flush=True)
        differences = [one - other for one, other in zip(*found, strict=True)]
        rows.append((name, f"{spread(found[0])} %", f"{spread(found[1])} %", spread(differences)))
        kept.append((name, differences))
    with results(__file__) as add:
        for name, differences in kept:
            add("difference", round(statistics.fmean(differences), 2), "points", of=name, **of_seeds(differences))
    print(table(("method against control", "method", "control", "difference, points"), rows))


if __name__ == "__main__":
    main()
