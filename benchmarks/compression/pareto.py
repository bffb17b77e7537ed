"""What do combinations of passes achieve on the Fashion-MNIST example: how much smaller and faster, at what loss of accuracy?

    .venv/bin/python benchmarks/compression/pareto.py [--seeds 1 2 3] [--only NAME ...] [--picture docs/pareto.svg]

Goal: at least 10x smaller and 3x faster than the fp32 TFLite file on the same runtime, at 1.0 accuracy point or less.
Size, deflated size, accuracy and latency are compared with the fp32 TFLite file. Training all chains takes about 40 minutes on two quiet
cores.
"""

import math
import sys
import zlib
from pathlib import Path
from typing import NamedTuple

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support.experiment import Laboratory, accuracy, of_seeds, parser, spread, table
from benchmarks._support.results import change, results
from pipeline import units

FP32, INT8, FP16 = "tflite-fp32", "tflite-int8", "tflite-fp16"
SHORT = "{ epochs = 2, rows = 20_000, distill = { temperature = 4 } }"
WIDE = '[[compress]]\npass = "prune_channels"\nratio = %s\nrecover = { epochs = %d, distill = { temperature = 4 }, learning_rate = 2e-3 }\n'
QAT = '[[compress]]\npass = "quantize_aware"\nrecover = { epochs = 1, learning_rate = 1e-4, distill = { temperature = 4 } }\n'
QAT_ONLY = '[[compress]]\npass = "quantize_aware"\nrecover = { epochs = 1, rows = 20_000, learning_rate = 1e-4 }\n'
SPARSE = '[[compress]]\npass = "prune_weights"\nsparsity = %s\nrecover = %s\n'
CODEBOOK = '[[compress]]\npass = "codebook"\nbits = %d\nrecover = { epochs = 1, rows = 20_000, learning_rate = 1e-4 }\n'
CHAINS: dict[str, tuple[str, str]] = {  # (passes, format)
    "as given": ("", FP32),
    "float16 weights": ("", FP16),
    "int8": ("", INT8),
    "quantize_aware": (QAT_ONLY, INT8),
    "weights 50 %, int8": (SPARSE % (0.5, SHORT), INT8),
    "weights 80 %, int8": (SPARSE % (0.8, SHORT), INT8),
    "weights 2:4, int8": (f'[[compress]]\npass = "prune_weights"\npattern = "2:4"\nrecover = {SHORT}\n', INT8),
    "codebook 4 bits": (CODEBOOK % 4, FP32),
    "weights 80 %, codebook 4 bits": (SPARSE % (0.8, SHORT) + CODEBOOK % 4, FP32),
    "channels 25 %, int8": (WIDE % (0.25, 3), INT8),
    "channels 50 %, int8": (WIDE % (0.5, 6), INT8),
    "channels 75 %, int8": (WIDE % (0.75, 6), INT8),
    "channels 50 %, quantize_aware": (WIDE % (0.5, 6) + QAT, INT8),
    "channels 50 %, weights 50 %, int8": (WIDE % (0.5, 6) + SPARSE % (0.5, SHORT), INT8),
    "channels 50 %, codebook 4 bits": (WIDE % (0.5, 6) + CODEBOOK % 4, FP32),
}
POINTS_ALLOWED, TIMES_SMALLER, TIMES_FASTER = 1.0, 10.0, 3.0


class Result(NamedTuple):
    name: str
    accuracies: list[float]
    size_bytes: int
    deflated_bytes: int  # of the file, or of the container where a pass made one
    latency_s: float


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--picture", type=Path)
    given = options.parse_args()
    laboratory = Laboratory(given.folder)
    names = [name for name in CHAINS if not given.only or name in given.only or name == "as given"]
    files, accuracies, small = {}, {}, {}
    for name in names:
        passes, wanted = CHAINS[name]
        for seed in given.seeds if passes else given.seeds[:1]:
            now = laboratory.run(passes, [wanted], seed)
            variant = "compressed" if passes else "original"
            file = next(one for one in now.converted if (one.variant, one.format) == (variant, wanted))
            accuracies.setdefault(name, []).append(accuracy(file))
            print(
                f"  {name}, seed {seed}: {accuracies[name][-1]:.2f} %, {file.artifact.size_bytes:,} bytes", flush=True
            )
            if name not in files:
                files[name] = file
                packed = [one.container.size_bytes for one in now.compressed.passes if one.container]
                deflated = len(zlib.compress(now.store.path(file.artifact).read_bytes(), 6))
                small[name] = packed[-1] if packed else deflated
    renamed = {f"chain-{i}": name for i, name in enumerate(names)}
    variants = {name: variant for variant, name in renamed.items()}
    measured = laboratory.measure(now, [msgspec.structs.replace(files[name], variant=variants[name]) for name in names])
    latency = {renamed[one.variant]: one.latency.median_s for one in measured.measurements}
    found = [
        Result(name, accuracies[name], files[name].artifact.size_bytes, small[name], latency[name]) for name in names
    ]
    print(report(found))
    keep(found)
    if given.picture:
        given.picture.write_text(picture(found))


def keep(found: list[Result]) -> None:
    base = found[0]
    with results(__file__) as add:
        for one in found:
            mean = sum(one.accuracies) / len(one.accuracies)
            add("accuracy", round(mean, 2), "%", of=one.name, **of_seeds(one.accuracies))
            add("points lost", round(base.accuracies[0] - mean, 2), "points", of=one.name)
            add("file", round(one.size_bytes / 1024, 1), "KiB", of=one.name)
            add("the file against fp32", round(base.size_bytes / one.size_bytes, 1), "x smaller", of=one.name)
            add("deflated or packed", round(one.deflated_bytes / 1024, 1), "KiB", of=one.name)
            add("that against fp32", round(base.size_bytes / one.deflated_bytes, 1), "x smaller", of=one.name)
            add("latency", round(one.latency_s * 1e6, 1), "µs", of=one.name)
            add("against fp32", *change(base.latency_s / one.latency_s, 1), of=one.name)


def report(results: list[Result]) -> str:
    base = results[0]
    rows = []
    for one in results:
        lost = base.accuracies[0] - sum(one.accuracies) / len(one.accuracies)
        smaller, faster = base.size_bytes / one.size_bytes, base.latency_s / one.latency_s
        reached = lost <= POINTS_ALLOWED and smaller >= TIMES_SMALLER and faster >= TIMES_FASTER
        cells = (
            one.name,
            f"{spread(one.accuracies)} %",
            f"{lost:+.2f}",
            units.size(one.size_bytes),
            f"{smaller:.1f}x",
            units.size(one.deflated_bytes),
            f"{base.size_bytes / one.deflated_bytes:.1f}x",
            f"{one.latency_s * 1e6:.1f} µs",
            f"{faster:.1f}x",
            "reached" if reached else "",
        )
        rows.append(cells)
    headings = (
        "chain",
        "accuracy",
        "points lost",
        "file",
        "smaller",
        "deflated or packed",
        "smaller",
        "latency",
        "faster",
        "10x, 3x, 1 point",
    )
    return table(headings, rows)


WIDTH, HEIGHT, LEFT, BOTTOM = 760, 420, 60, 370


def picture(results: list[Result]) -> str:
    """Return one self-contained SVG: accuracy over "times smaller"; the area of a point is its latency."""
    base = results[0]
    means = [sum(one.accuracies) / len(one.accuracies) for one in results]
    smaller = [base.size_bytes / one.deflated_bytes for one in results]
    low, high = math.floor(min(means)) - 0.5, math.ceil(max(means)) + 0.2
    widest = max(smaller) * 1.25
    x = lambda value: LEFT + math.log(value) / math.log(widest) * (WIDTH - LEFT - 20)  # noqa: E731
    y = lambda value: BOTTOM - (value - low) / (high - low) * (BOTTOM - 20)  # noqa: E731
    parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>']
    parts += [
        f'<path d="M{x(value):.1f} 20V{BOTTOM}" stroke="#ddd"/>'
        f'<text x="{x(value):.1f}" y="{BOTTOM + 18}" text-anchor="middle">{value}x</text>'
        for value in (1, 2, 5, 10, 20, 50)
        if value < widest
    ]
    parts += [
        f'<path d="M{LEFT} {y(value):.1f}H{WIDTH}" stroke="#ddd"/>'
        f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value} %</text>'
        for value in range(math.ceil(low), math.floor(high) + 1)
    ]
    for number, (one, mean, times) in enumerate(zip(results, means, smaller, strict=True), start=1):
        radius = 3 + 9 * math.sqrt(one.latency_s / base.latency_s)
        note = f"{one.name}: {mean:.2f} %, {times:.1f}x smaller, {base.latency_s / one.latency_s:.1f}x faster"
        parts.append(
            f'<circle cx="{x(times):.1f}" cy="{y(mean):.1f}" r="{radius:.1f}" fill="#0072b2" fill-opacity=".35" stroke="#0072b2"><title>{note}</title></circle><text x="{x(times):.1f}" y="{y(mean) + 4:.1f}" text-anchor="middle" font-weight="600">{number}</text>'
        )
    parts.append(
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 10}" text-anchor="middle">times smaller than the fp32 file (deflated or packed); numbers are the lines of the table; area: latency</text>'
    )
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">{"".join(parts)}</svg>\n'


if __name__ == "__main__":
    main()
