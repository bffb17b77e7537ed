"""How many small changes of the source do the tests notice? `make mutants`, or python scripts/mutants.py [GROUP...].

mutmut makes the changes, one at a time, and runs the tests that reach the changed function. Each group below is run on a copy of
the tree, for mutmut writes beside the source. The score is the share that some test fails on. A survivor that changes nothing that
can be seen is listed in equivalent_mutants.toml with the reason, and does not count.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
EQUIVALENT = ROOT / "scripts/equivalent_mutants.toml"
AIM = 0.95


class Group(NamedTuple):
    modules: tuple[str, ...]  # patterns of files
    tests: tuple[str, ...]


# The tests of a group run in mutmut's own process, or in a fork of it: code that is pushed to an agent is none of its mutants.
GROUPS = {
    "decision": Group(("pipeline/decision.py",), ("tests/pipeline/test_decision.py",)),
    "entropy": Group(("pipeline/compress/codebooks/entropy.py",), ("tests/pipeline/compress/test_codebook_file.py",)),
    "surgery": Group(
        ("pipeline/compress/surgery/rules/*",),
        ("tests/pipeline/compress/test_surgery.py",),
    ),
}

CONFIG = """
[tool.mutmut]
source_paths = ["pipeline", "targets", "device_agent"]
only_mutate = {modules}
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args = ["-p", "no:cacheprovider", "-p", "no:xdist"]
use_git_change_detection = false
also_copy = ["benchmarks", "docs", "examples", "scripts", "README.md", "Makefile", "constraints.txt"]
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}; all by default")
    parser.add_argument("--children", type=int, default=1, help="mutants that are tried at the same time")
    given = parser.parse_args()
    if unknown := set(given.groups) - GROUPS.keys():
        parser.error(f"there is no group {', '.join(sorted(unknown))}; the groups are: {', '.join(GROUPS)}")
    excused = {(each["function"], each["was"], each["now"]) for each in equivalent()}
    scores = [tried(name, given.children, excused) for name in given.groups or GROUPS]
    return 0 if all(score >= AIM for score in scores) else 1


def equivalent() -> list[dict[str, str]]:
    return tomllib.loads(EQUIVALENT.read_text())["mutant"] if EQUIVALENT.exists() else []


def tried(name: str, children: int, excused: set[tuple[str, str, str]]) -> float:
    """The score of a group; prints it, and what survived."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder)
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
        for file in filter(None, listed.split("\0")):
            (copy / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, copy / file)
        group = GROUPS[name]
        config = CONFIG.format(modules=list(group.modules), tests=list(group.tests)).replace("'", '"')
        with (copy / "pyproject.toml").open("a") as file:
            file.write(config)
        done = mutmut(copy, "run", "--max-children", str(children))
        outcomes = dict(re.findall(r"^\s+(\S+): ([a-z ]+)$", mutmut(copy, "results", "--all", "true"), re.MULTILINE))
        if not outcomes or "not checked" in outcomes.values():
            print(done[-4000:])
            raise SystemExit(f"{name}: mutmut could not try every mutant; its last words are above")
        left = {}
        for mutant, outcome in outcomes.items():
            if outcome not in {"killed", "timeout"}:
                was, now = changed(mutmut(copy, "show", mutant))
                function = re.sub(r"__mutmut_\d+$", "", mutant)
                if (function, was, now) not in excused:
                    left[mutant] = (outcome, was, now)
    counted = Counter(outcomes.values())
    caught = counted["killed"] + counted["timeout"]
    score = caught / (caught + len(left))
    print(f"{name}: {caught} of {caught + len(left)} mutants caught, {score:.1%} "
          f"({len(outcomes) - caught - len(left)} more change nothing)")  # fmt: skip
    for mutant, (outcome, was, now) in left.items():
        print(f"  {mutant}: {outcome}\n    - {was}\n    + {now}")
    sys.stdout.flush()
    return score


def mutmut(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    return done.stdout


def changed(diff: str) -> tuple[str, str]:
    """The lines that a mutant takes out and puts in."""
    out, new = (
        [line[1:].strip() for line in diff.splitlines() if line.startswith(sign) and not line.startswith(sign * 3)]
        for sign in "-+"
    )
    return " ".join(out), " ".join(new)


if __name__ == "__main__":
    sys.exit(main())
