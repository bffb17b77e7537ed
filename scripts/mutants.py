"""How many small changes of the source do the tests notice? `make mutants`, or python scripts/mutants.py [GROUP...].

mutmut makes the changes, one at a time, and runs the tests that reach the changed function. Each group below is run on a copy of
the tree, because mutmut writes into it. The score is the share of mutants that make some test fail. A survivor without any visible
effect is listed in equivalent_mutants.toml with the reason, and does not count.

A group of many mutants takes long: --sample 150 tries 150 of them, drawn with --seed, and prints the 95 % interval of the score.
"""

import argparse
import random
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from pipeline.statistics.order import proportion_interval

ROOT = Path(__file__).parents[1]
EQUIVALENT = ROOT / "scripts/equivalent_mutants.toml"
AIM = 0.95


class Group(NamedTuple):
    modules: tuple[str, ...]  # patterns of files
    tests: tuple[str, ...]
    process: str = "fork"  # or forkserver: tests run in the fork of a process that only imported; for TensorFlow, which has threads


# The tests of a group run in mutmut's own process, or in a fork of it: code that is pushed to an agent is not mutated.
GROUPS = {
    "decision": Group(
        ("pipeline/statistics/paired_test.py",),
        ("tests/pipeline/statistics/test_paired_test_numbers.py", "tests/pipeline/statistics/test_paired_test.py"),
    ),
    "wire": Group(
        ("device_agent/wire.py", "device_agent/record.py"),
        ("tests/device_agent/test_record.py",),
    ),
    "receive": Group(
        ("device_agent/files/transfer.py",),
        ("tests/device_agent/files/test_transfer_answers.py", "tests/device_agent/files/test_transfer_writer.py"),
    ),
    "jobs": Group(
        ("device_agent/jobs/requests.py",),
        (
            "tests/device_agent/jobs/test_requests.py",
            "tests/device_agent/jobs/test_listed.py",
            "tests/device_agent/jobs/test_start.py",
        ),
    ),
    "entropy": Group(
        ("pipeline/compress/codebooks/entropy.py",), ("tests/pipeline/compress/codebooks/test_entropy.py",)
    ),
    "surgery": Group(
        ("pipeline/compress/surgery/rules/*",),
        # Not test_surgery.py, too: it runs models for minutes. What it alone would notice counts as a survivor.
        ("tests/pipeline/compress/surgery/test_rules.py",),
        process="forkserver",
    ),
    "validity": Group(
        ("pipeline/measure/validity/*",),
        (
            "tests/pipeline/measure/validity/test_words.py",
            "tests/pipeline/measure/validity/test_bounds.py",
            "tests/pipeline/measure/validity/test_validity.py",
            "tests/pipeline/measure/validity/test_pairs.py",
        ),
    ),
    "session": Group(
        ("targets/session.py",),
        (
            "tests/targets/test_session_asks.py",
            "tests/targets/test_session_jobs.py",
            "tests/targets/test_session_follows.py",
        ),
    ),
    "job_records": Group(("targets/job_records.py",), ("tests/targets/test_job_records.py",)),
    "plausible": Group(
        ("targets/plausible.py",),
        ("tests/targets/test_plausible_bounds.py", "tests/targets/test_plausible_pairs.py"),
    ),
}

CONFIG = """
[tool.mutmut]
source_paths = ["pipeline", "targets", "device_agent"]
only_mutate = {modules}
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args = ["-p", "no:cacheprovider", "-p", "no:xdist"]
process_isolation = "{process}"
use_git_change_detection = false
also_copy = ["benchmarks", "docs", "examples", "scripts", "README.md", "Makefile", "constraints.txt"]
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}; all by default")
    parser.add_argument("--children", type=int, default=1, help="mutants that are tried at the same time")
    parser.add_argument("--sample", type=int, metavar="N", help="try only N mutants of each group, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="which sample is drawn")
    given = parser.parse_args()
    if unknown := set(given.groups) - GROUPS.keys():
        parser.error(f"there is no group {', '.join(sorted(unknown))}; the groups are: {', '.join(GROUPS)}")
    excused = {(each["function"], each["was"], each["now"]) for each in equivalent()}
    sample = None if given.sample is None else Sample(given.sample, given.seed)
    scores = [tried(name, given.children, excused, sample) for name in given.groups or GROUPS]
    return 0 if all(score >= AIM for score in scores) else 1


def equivalent() -> list[dict[str, str]]:
    return tomllib.loads(EQUIVALENT.read_text())["mutant"] if EQUIVALENT.exists() else []


class Sample(NamedTuple):
    size: int
    seed: int

    def of(self, mutants: dict[str, str]) -> list[str]:
        names = sorted(mutants)
        return random.Random(self.seed).sample(names, min(self.size, len(names)))  # noqa: S311 - it makes no secret


def tried(name: str, children: int, excused: set[tuple[str, str, str]], sample: Sample | None = None) -> float:
    """Return the score of a group; print it and the survivors."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder)
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
        for each in filter(None, listed.split("\0")):
            (copy / each).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / each, copy / each)
        group = GROUPS[name]
        config = CONFIG.format(modules=list(group.modules), tests=list(group.tests), process=group.process)
        with (copy / "pyproject.toml").open("a") as file:
            file.write(config.replace("'", '"'))
        chosen: list[str] = []
        whole: dict[str, str] = {}
        if sample is not None:
            mutmut(copy, "run", "no such mutant")  # makes them all and times the tests before it misses this one
            whole = outcomes_in(copy)
            chosen = sample.of(whole)
        run = ("run", "--max-children", str(children))
        done = mutmut(copy, *run, *chosen)
        if late := [mutant for mutant, outcome in outcomes_in(copy).items() if outcome == "timeout"]:
            mutmut(copy, *run, *late)  # perhaps the machine was only busy
        outcomes = {mutant: outcome for mutant, outcome in outcomes_in(copy).items() if not chosen or mutant in chosen}
        if not outcomes or "not checked" in outcomes.values():
            print(done[-4000:])
            raise SystemExit(f"{name}: mutmut could not try every mutant; the end of its output is above")
        left = {}
        for mutant, outcome in outcomes.items():
            if outcome not in {"killed", "timeout"}:
                was, now = changed(mutmut(copy, "show", mutant))
                function = re.sub(r"__mutmut_\d+$", "", mutant)
                if (function, was, now) not in excused:
                    left[mutant] = (outcome, was, now)
    counted = Counter(outcomes.values())
    caught = counted["killed"] + counted["timeout"]
    tries = caught + len(left)
    score = caught / tries
    print(f"{name}: {caught} of {tries} mutants caught, {score:.1%} ({len(outcomes) - tries} more change nothing)")
    for mutant in (each for each, outcome in outcomes.items() if outcome == "timeout"):
        print(f"  {mutant}: caught by its timeout; on a busy machine, check that it really never ends")
    if sample is not None:
        low, high = proportion_interval(caught, tries)
        drawn = f"a sample of {len(chosen)} of {len(whole)}, seed {sample.seed}"
        print(f"  {drawn}: of all of them, {low:.1%} to {high:.1%} are caught (95 % interval)")
    for mutant, (outcome, was, now) in left.items():
        print(f"  {mutant}: {outcome}\n    - {was}\n    + {now}")
    sys.stdout.flush()
    return score


def outcomes_in(folder: Path) -> dict[str, str]:
    """Return the outcome of each mutant by its name."""
    return dict(re.findall(r"^\s+(\S+): ([a-z ]+)$", mutmut(folder, "results", "--all", "true"), re.MULTILINE))


def mutmut(folder: Path, *arguments: str) -> str:
    run = [sys.executable, "-m", "mutmut", *arguments]
    done = subprocess.run(run, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout


def changed(diff: str) -> tuple[str, str]:
    """Return the lines that a mutant removes and adds."""
    out, new = (
        [line[1:].strip() for line in diff.splitlines() if line.startswith(sign) and not line.startswith(sign * 3)]
        for sign in "-+"
    )
    return " ".join(out), " ".join(new)


if __name__ == "__main__":
    sys.exit(main())
