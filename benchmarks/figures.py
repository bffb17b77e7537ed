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

from _results import FOLDER, ROOT, Figure, read

PAGE = ROOT / "docs" / "figures.md"
HEAD = """# Figures

Generated from [benchmarks/results](../benchmarks/results) by `benchmarks/figures.py`: do not edit it. `make bench` measures the short
ones again, `make bench WHOLE=1` all of them (hours).

**No real board was at hand: what runs on ARM, what a board's sensors say, and the energy of a real board are not measured yet.**

- Every row names the commit that it was measured at. Where that is not the code that you have, the figure is not one of your code:
  `python benchmarks/figures.py --old` lists those. A `+` after a commit means that files had been changed since.
- Rows of `8c92e9e` were measured at that commit or, some of them, shortly before it.
- A load average far above the number of CPUs means that other work slowed these figures down.
- An interval is written as "low to high", with what it is. Columns without one had none recorded.
"""
CODE = ("pipeline", "targets", "device_agent")


def number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) and abs(value) >= 1000 else f"{value:,.10g}"


def said(one: Figure) -> str:
    """The value with its unit: "3.6x faster", "0.06 s", "0 of 305"."""
    return number(one.value) + ("" if one.unit[:1] == "x" or not one.unit else " ") + one.unit


def interval(one: Figure) -> str:
    if one.interval is None:
        return ""
    low, high = map(number, one.interval)
    return f"{low} to {high}" + (f"; {one.interval_is}" if one.interval_is else "")


def source(one: Figure) -> str:
    """Where and when: what all figures of one measurement have in common."""
    load = f"load average {one.load}" if one.load else "load not recorded"
    return f"`{one.commit}`, {one.date}; {one.machine}; {load}; `{one.command}`"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(line) + " |" for line in (headings, ["---"] * len(headings), *rows)]


def single(figures: Sequence[Figure]) -> list[str]:
    """One row each."""
    rows = [
        (one.figure, said(one), interval(one), one.note, f"`{one.commit}`, load {one.load or 'not recorded'}")
        for one in figures
    ]
    return table(("what", "figure", "interval", "note", "measured at"), rows)


def crossed(figures: Sequence[Figure]) -> list[str]:
    """Those that are `of` something: a row each, with the figures as columns; a table for those that share one."""
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
    return "; ".join(filter(None, [said(one) + (f" ({ends})" if ends else ""), one.note]))


def measured_at(figures: Iterable[Figure]) -> str:
    return ", ".join(dict.fromkeys(f"`{one.commit}`" for one in figures))


def section(path: Path) -> str:
    figures = read(path)
    script = path.with_suffix(".py")
    lines = [f"## {path.stem}", "", title(ROOT / "benchmarks" / script.name), ""]
    alone, of = [one for one in figures if not one.of], [one for one in figures if one.of]
    for kind, some in ((single, alone), (crossed, of)):
        if some:
            lines += [*kind(some), ""]
    if (PAGE.parent / f"{path.stem}.svg").exists():
        lines += [f"![What {path.stem}.py found]({path.stem}.svg)", ""]
    lines += [f"- {each}" for each in dict.fromkeys(map(source, figures))]
    return "\n".join(lines) + "\n"


def title(script: Path) -> str:
    """The first sentence of the script that measures it."""
    doc = ast.get_docstring(ast.parse(script.read_text())) or ""
    return " ".join(doc.split("\n\n")[0].split())


def page() -> str:
    sections = [section(path) for path in sorted(FOLDER.glob("*.json"))]
    return "\n".join([HEAD, *sections])


def old() -> list[str]:
    """Figures whose commit has other code than the one that is checked out; a commit that is not known is one of them."""
    ask = ["git", "-C", str(ROOT), "diff", "--quiet"]
    same: dict[str, bool] = {}
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        for one in read(path):
            if one.commit not in same:
                done = subprocess.run([*ask, one.commit.rstrip("+"), "--", *CODE], capture_output=True, check=False)
                same[one.commit] = done.returncode == 0 and not one.commit.endswith("+")
            if not same[one.commit]:
                found.append(f"{path.stem}: {one.figure}{f' of {one.of}' if one.of else ''} ({one.commit})")
    return found


def main() -> None:
    if sys.argv[1:] == ["--old"]:
        print("\n".join(old()))
    elif sys.argv[1:] == ["--check"]:
        sys.exit(PAGE.read_text() != page())
    else:
        PAGE.write_text(page())


if __name__ == "__main__":
    main()
