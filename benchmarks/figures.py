"""Render docs/figures.md from benchmarks/results/. Nothing is measured here.

.venv/bin/python benchmarks/figures.py             # write the page
.venv/bin/python benchmarks/figures.py --check     # exit code 1 where the page is not that of the results
.venv/bin/python benchmarks/figures.py --old       # which figures were not measured on the code that is checked out
"""

import ast
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks._support.command import parser
from benchmarks._support.results import FOLDER, ROOT, Figure, read

PAGE = ROOT / "docs" / "figures.md"
HEAD = """# Figures

Generated from [benchmarks/results](../benchmarks/results) by `benchmarks/figures.py`: do not edit it. `make bench` measures the short
ones again, `make bench WHOLE=1` all of them (hours). [benchmarks/README.md](../benchmarks/README.md) lists the scripts.

**No real board was at hand: what runs on ARM, what a board's sensors say, and the energy of a real board are not measured yet.**

- Every row names the commit that it was measured at. Where that is not the code that you have, the figure is not one of your code:
  `python benchmarks/figures.py --old` lists those. A `+` after a commit means that files had been changed since.
- A command is given as it was run at that commit; scripts may have moved or been renamed since.
- Rows of `8c92e9e` were measured at that commit or, some of them, shortly before it.
- A load average far above the number of CPUs means that other work slowed these figures down.
- An interval is written as "low to high", with what it is. Columns without one had none recorded.
"""
CODE = ("pipeline", "targets", "device_agent")


def number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) and abs(value) >= 1000 else f"{value:,.10g}"


def value(one: Figure) -> str:
    """Return the value with its unit: "3.6x faster", "0.06 s", "0 of 305"."""
    return number(one.value) + ("" if one.unit[:1] == "x" or not one.unit else " ") + one.unit


def interval(one: Figure) -> str:
    if one.interval is None:
        return ""
    low, high = map(number, one.interval)
    return f"{low} to {high}" + (f"; {one.interval_is}" if one.interval_is else "")


def source(one: Figure) -> str:
    """Return where and when it was measured: what all figures of one measurement have in common."""
    load = f"load average {one.load}" if one.load else "load not recorded"
    command = f"python {one.command}" if one.command.startswith("benchmarks/") else one.command
    return f"`{one.commit}`, {one.date}; {one.machine}; {load}; `{command}`"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(line) + " |" for line in (headings, ["---"] * len(headings), *rows)]


def single(figures: Sequence[Figure]) -> list[str]:
    """Return a table with a row for each figure."""
    rows = [
        (one.figure, value(one), interval(one), one.note, f"`{one.commit}`, load {one.load or 'not recorded'}")
        for one in figures
    ]
    return table(("what", "figure", "interval", "note", "measured at"), rows)


def crossed(figures: Sequence[Figure]) -> list[str]:
    """Return tables of the figures that are `of` a case: a row for each case, with the figures as columns; cases that share one share a table."""
    cells: dict[str, dict[str, Figure]] = {}
    for one in figures:
        cells.setdefault(one.of, {})[one.figure] = one
    tables: list[tuple[dict[str, None], list[str]]] = []  # columns, names of the rows
    for of, row in cells.items():
        columns, names = next((each for each in tables if each[0].keys() & row.keys()), ({}, []))
        if not names:
            tables.append((columns, names))
        columns.update(dict.fromkeys(row))
        names.append(of)
    lines = []
    for columns, names in tables:
        rows = [
            (of, *(cell(cells[of].get(column)) for column in columns), measured_at(cells[of].values())) for of in names
        ]
        lines += [*table(("of", *columns, "measured at"), rows), ""]
    return lines[:-1]


def cell(one: Figure | None) -> str:
    if one is None:
        return ""
    ends = interval(one)
    return "; ".join(filter(None, [value(one) + (f" ({ends})" if ends else ""), one.note]))


def measured_at(figures: Iterable[Figure]) -> str:
    return ", ".join(dict.fromkeys(f"`{one.commit}`" for one in figures))


def section(path: Path) -> str:
    figures = read(path)
    script = script_of(path)
    link = f"[{script.parent.name}/{script.name}](../{script.relative_to(ROOT)})"
    lines = [f"## {path.stem}", "", f"{title(script)} {link}", ""]
    alone, of = [one for one in figures if not one.of], [one for one in figures if one.of]
    for kind, some in ((single, alone), (crossed, of)):
        if some:
            lines += [*kind(some), ""]
    if (PAGE.parent / f"{path.stem}.svg").exists():
        lines += [f"![What {script.name} found]({path.stem}.svg)", ""]
    lines += [f"- {each}" for each in dict.fromkeys(map(source, figures))]
    return "\n".join(lines) + "\n"


def script_of(path: Path) -> Path:
    """Return the script that wrote these results: the one of that name in some room."""
    (script,) = (ROOT / "benchmarks").glob(f"[!_]*/{path.stem}.py")
    return script


def title(script: Path) -> str:
    """Return the question that the docstring of a script begins with."""
    doc = ast.get_docstring(ast.parse(script.read_text())) or ""
    return " ".join(doc.split("\n\n")[0].split())


def page() -> str:
    sections = [section(path) for path in sorted(FOLDER.glob("*.json"))]
    return "\n".join([HEAD, *sections])


def old() -> list[str]:
    """List the figures whose commit has other code than the one that is checked out, or is not known here."""
    compare = ["git", "-C", str(ROOT), "diff", "--quiet"]
    same: dict[str, bool] = {}
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        for one in read(path):
            if one.commit not in same:
                done = subprocess.run([*compare, one.commit.rstrip("+"), "--", *CODE], capture_output=True, check=False)
                same[one.commit] = done.returncode == 0 and not one.commit.endswith("+")
            if not same[one.commit]:
                found.append(f"{path.stem}: {one.figure}{f' of {one.of}' if one.of else ''} ({one.commit})")
    return found


def write() -> None:
    PAGE.write_text(page())


def main() -> None:
    options = parser(__doc__)
    kind = options.add_mutually_exclusive_group()
    kind.add_argument("--check", action="store_true")
    kind.add_argument("--old", action="store_true")
    given = options.parse_args()
    if given.old:
        print("\n".join(old()))
    elif given.check:
        sys.exit(PAGE.read_text() != page())
    else:
        write()


if __name__ == "__main__":
    main()
