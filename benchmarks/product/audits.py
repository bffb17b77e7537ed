"""Does the audit read any model file, in what time, and do damaged ones crash or stall it?

    .venv/bin/python benchmarks/product/audits.py
    .venv/bin/python benchmarks/product/audits.py --files 50 --mutations 2000

The files are the models inside of public packages and the first tests of the onnx package. Each is audited by the same call as
`edgepress audit`. Then small ones are damaged at random (bytes changed, ends cut off, parts repeated) and read by the same code, a thousand
in each process, whose memory is bounded: an answer and an error of ours are right; any other exception and a file that takes more than 10 s
are faults. A file that ends the process, as some do in onnx's native code, is given to `edgepress audit`, whose child must end in an error.
"""

import multiprocessing
import random
import resource
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.corpus import backend, packages
from benchmarks._support.machine import describe
from benchmarks._support.results import ROOT, results
from pipeline import audit
from pipeline.errors import EdgepressError

AUDITED = ("tflite", "onnx")
SMALL_BYTES = 300_000  # of a file that is damaged: in larger ones most changes hit weights, which nobody reads
LONGEST_S = 10.0
MEMORY_BYTES = {"tflite": 256 << 20, "onnx": 1 << 30}  # above what the imports take
OF_EACH, TOLD = 1000, 20  # files in a process; after how many it tells what became of them
TFLITE_OF_TEN = 9  # the reader of .tflite files is ours; that of ONNX is onnx's own


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("--files", type=int, default=200, metavar="N")
    parser.add_argument("--mutations", type=int, default=100_000, metavar="N")
    parser.add_argument("--folder", type=Path, default=ROOT / ".benchmarks" / "corpus", help="where packages are kept")
    given = parser.parse_args()
    print(describe(), flush=True)
    found = [each for each in (*packages.cases(given.folder), *backend.cases(given.folder)) if each.kind in AUDITED]
    paths = [each.path for each in found][: given.files]
    with results(__file__) as add:
        whole(paths, add)
        damaged([path for path in paths if path.stat().st_size <= SMALL_BYTES], given.mutations, add)


def whole(paths: Sequence[Path], add: Callable[..., None]) -> None:
    """Audit the files as they are."""
    times: dict[str, list[float]] = {kind: [] for kind in AUDITED}
    outcomes: Counter[str] = Counter()
    for path in paths:
        began = time.perf_counter()
        outcome = outcome_of(audit.audit, path)
        outcomes[outcome] += 1
        times[path.suffix[1:]].append(time.perf_counter() - began)
        if outcome not in {"audited", "refused"}:
            print(f"  {path}: {outcome}", flush=True)
    print(f"{len(paths)} files: {dict(outcomes)}")
    faults = len(paths) - outcomes["audited"] - outcomes["refused"]
    add("files that nobody here made: audited", outcomes["audited"], f"of {len(paths)}")
    add("files that nobody here made: crashes", faults, f"of {len(paths)}")
    for kind, seconds in times.items():
        if seconds:
            print(
                f"  .{kind}: {len(seconds)} files, median {statistics.median(seconds) * 1e3:.0f} ms, longest {max(seconds) * 1e3:.0f} ms"
            )
            ends = min(seconds), max(seconds)
            add(
                "time of an audit",
                statistics.median(seconds),
                "s",
                of=f".{kind}",
                interval=ends,
                interval_is="range of the files",
            )


def damaged(paths: Sequence[Path], count: int, add: Callable[..., None]) -> None:
    """Damage small files at random, in processes of their own."""
    context = multiprocessing.get_context("spawn")
    outcomes: Counter[str] = Counter()
    longest = 0.0
    for number, start in enumerate(range(0, count, OF_EACH)):
        kind = "onnx" if number % 10 >= TFLITE_OF_TEN else "tflite"
        sources = [path for path in paths if path.suffix == f".{kind}"]
        if not sources:
            continue
        wanted = min(OF_EACH, count - start)
        answers = context.SimpleQueue()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"damaged.{kind}")
            process = context.Process(target=damage, args=(sources, path, wanted, number, answers))
            process.start()
            process.join(OF_EACH * LONGEST_S)
            if process.exitcode != 0:
                process.kill()
                process.join()
                outcome = outcome_of(audit.audit, path)
                outcomes[outcome] += 1
                died = "hung" if process.exitcode is None else f"died with {process.exitcode}"
                print(f"  {kind}, seed {number}: the process {died}; edgepress audit: {outcome}", flush=True)
        while not answers.empty():
            some, slowest = answers.get()
            outcomes.update(some)
            longest = max(longest, slowest)
    outcomes["more than 10 s"] += longest > LONGEST_S
    total = sum(outcomes.values())
    faults = total - outcomes["audited"] - outcomes["refused"]
    print(f"{total} damaged files: {dict(outcomes)}; the longest took {longest:.2f} s")
    add("damaged files: crashes, other errors, more than 10 s or too much memory", faults, f"of {total}")
    add("damaged files: the longest audit", round(longest, 2), "s")


def damage(paths: Sequence[Path], path: Path, count: int, seed: int, answers: "multiprocessing.SimpleQueue") -> None:
    """Read `count` damaged files here, one after the other at `path`."""
    kind = path.suffix[1:]
    read = reader(kind, paths[0])
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES[kind],) * 2)
    draw, outcomes, longest = random.Random(seed), Counter(), 0.0
    for number in range(1, count + 1):
        path.write_bytes(changed(draw.choice(paths).read_bytes(), draw))
        began = time.perf_counter()
        outcomes[outcome_of(read, path)] += 1
        longest = max(longest, time.perf_counter() - began)
        if number % TOLD == 0 or number == count:
            answers.put((outcomes, longest))
            outcomes = Counter()


def reader(kind: str, warm: Path) -> Callable[[Path], object]:
    """Return what reads a file in this process, after it has imported what it needs."""
    read: Callable[[Path], object] = (
        audit.audit if kind == "tflite" else lambda path: audit.work(audit.Request(path=str(path)), lambda *_: None)
    )
    read(warm)
    return read


def changed(data: bytes, draw: random.Random) -> bytes:
    """Return the file with some bytes changed, an end cut off or a part put elsewhere."""
    found = bytearray(data)
    if draw.random() < 0.1:
        del found[draw.randrange(1, len(found)) :]
    if draw.random() < 0.1:
        start, to = draw.randrange(len(found)), draw.randrange(len(found))
        found[to:to] = found[start : start + 64]
    for _ in range(draw.choice((0, 1, 2, 4, 8, 16))):
        found[draw.randrange(len(found))] = draw.choice((0, 1, 127, 128, 255, draw.randrange(256)))
    return bytes(found)


def outcome_of(read: Callable[[Path], object], path: Path) -> str:
    try:
        read(path)
    except EdgepressError:
        return "refused"
    except Exception as error:  # noqa: BLE001 - to be counted
        return type(error).__name__
    return "audited"


if __name__ == "__main__":
    main()
