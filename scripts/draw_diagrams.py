"""Draw docs/diagrams. They are read in light and in dark mode, on a desk and on a phone: narrow, with large text.

.venv/bin/python scripts/draw_diagrams.py             # write them
.venv/bin/python scripts/draw_diagrams.py --check     # exit code 1 where a file differs from what would be drawn
"""

import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs" / "diagrams"
WIDTH = 480
STYLE = """
svg{color-scheme:light dark}
.ground{fill:#ffffff}.box{fill:#f3f5f7;stroke:#8a96a3}.a{fill:#cfe3f5;stroke:#2b6ca3}.b{fill:#fbdcc0;stroke:#b35c00}
.idle{fill:#e8ebee;stroke:#8a96a3}text{fill:#1b2733;font-family:system-ui,sans-serif;font-size:15px}
.strong{font-weight:650}.small{font-size:13px;fill:#46525e}.line{stroke:#46525e;fill:none;stroke-width:1.6}.tip{fill:#46525e}
@media (prefers-color-scheme:dark){
.ground{fill:#0f1419}.box{fill:#1b232b;stroke:#6d7a87}.a{fill:#163a57;stroke:#5aa6e0}.b{fill:#54300c;stroke:#f0a35a}
.idle{fill:#222b33;stroke:#6d7a87}text{fill:#e6edf3}.small{fill:#b3bfca}.line{stroke:#b3bfca}.tip{fill:#b3bfca}}
"""


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{words}</text>'


def box(x: float, y: float, width: float, height: float, kind: str = "box") -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" class="{kind}"/>'


def labelled(x: float, y: float, width: float, title: str, *lines: str, kind: str = "box") -> str:
    """Return a box with a title and lines below it, as high as they need."""
    parts = [box(x, y, width, 30 + 18 * len(lines), kind), text(x + 10, y + 20, title, "strong")]
    parts += [text(x + 10, y + 40 + 18 * number, line, "small") for number, line in enumerate(lines)]
    return "".join(parts)


def down(x: float, y: float, length: float, words: str = "", second: str = "") -> str:
    """Return an arrow downwards, with words on its right side."""
    tip = y + length
    label = text(x + 12, y + length / 2 + (0 if second else 5), words, "small") if words else ""
    label += text(x + 12, y + length / 2 + 17, second, "small") if second else ""
    return f'<path class="line" d="M{x} {y}V{tip - 6}"/><path class="tip" d="M{x - 5} {tip - 8}h10l-5 8z"/>{label}'


def processes() -> tuple[str, int, str]:
    job = ("a process of its own: it outlives the connection", "holds the board's lock; numbered records on disk")
    parts = [
        labelled(10, 10, 460, "Your machine: edgepress", "makes the files, keeps the store, judges, writes the report"),
        down(60, 58, 52, "one SSH connection, host key pinned:", "JSON lines, no port, no pickle, no shell text"),
        box(10, 110, 460, 350),
        text(20, 132, "The board: sshd and Python 3.8, nothing else", "strong"),
        labelled(28, 146, 424, "agent", "ends when the connection ends", "named by its content, checked at each start"),
        down(60, 212, 46, "submits a job, follows its records"),
        labelled(28, 258, 424, "job", *job),
        down(60, 324, 46, "starts a fresh process for each launch"),
        labelled(28, 370, 206, "runner: baseline", "fresh process, own runtime", kind="a"),
        labelled(246, 370, 206, "runner: candidate", "a crash is an answer", kind="b"),
        text(28, 444, "Runners answer with nanoseconds, bytes and microwatts.", "small"),
    ]
    words = "The host talks over one SSH connection to an agent on the board; a job outlives it and starts a runner for each launch"
    return "".join(parts), 470, words


def pair() -> tuple[str, int, str]:
    number = (
        "the pair's number: the median ratio of its ten cycles",
        "one number a pair, however noisy the times were",
    )
    test = ("sign-flip test of the log ratios against the limit", "exact; stops at the first look that knows")
    parts = [
        text(10, 24, "One pair, on the same CPU: time goes to the right", "strong"),
        text(10, 62, "A: baseline", "small"),
        text(10, 112, "B: candidate", "small"),
        box(96, 44, 62, 28, "idle"),
        text(127, 63, "warm up", "small", "middle"),
        box(160, 94, 62, 28, "idle"),
        text(191, 113, "warm up", "small", "middle"),
    ]
    x = 230
    for cycle in ("ABBA", "BAAB"):
        start = x
        for side in cycle:
            y = 44 if side == "A" else 94
            parts += [box(x, y, 24, 28, side.lower()), text(x + 12, y + 19, side, "", "middle")]
            x += 26
        parts.append(f'<path class="line" d="M{start} 136h102M{start} 132v8M{start + 102} 132v8"/>')
        parts.append(text(start + 51, 156, f"cycle {cycle}", "small", "middle"))
        x += 8
    parts += [
        text(450, 88, "...", "strong"),
        text(10, 190, "A block is 20 ms and at least 5 inferences. Which cycle comes", "small"),
        text(10, 208, "next is drawn at random, so drift meets both sides alike.", "small"),
        down(60, 218, 34, "each cycle: p10 of B / p10 of A"),
        labelled(10, 252, 460, *number),
        down(60, 300, 34, "look after 10, 14 and 20 pairs"),
        labelled(10, 334, 460, *test),
        down(60, 382, 30),
    ]
    for index, (word, width) in enumerate((("REGRESSED", 118), ("PASS", 80), ("INCONCLUSIVE", 138), ("INVALID", 100))):
        at = 10 + (0, 126, 214, 360)[index]
        parts += [box(at, 412, width, 30), text(at + width / 2, 432, word, "strong", "middle")]
    words = "In a pair, two fresh processes take turns in blocks, ABBA or BAAB; each pair gives one ratio, and a test judges the pairs"
    return "".join(parts), 456, words


STAGES = (
    ("load", "Loaded", "the model and its data, hashed"),
    ("compress", "Compressed", "a PassReport for each pass"),
    ("convert", "Converted", "each file, and how far from its source"),
    ("deploy", "Deployment", "the board, its runtimes, what was sent"),
    ("measure", "Measured", "Measurement, Paired, and their Doubts"),
    ("compare", "Compared", "a Verdict for each limit"),
    ("report", "RunRecord", "all of it: pages, JSON, exit code"),
)


def records() -> tuple[str, int, str]:
    parts = [text(10, 24, "stage", "strong"), text(140, 24, "the record that it hands on", "strong")]
    for number, (stage, record, holds) in enumerate(STAGES):
        y = 36 + 62 * number
        on_board = stage in ("deploy", "measure")
        parts += [
            box(10, y, 104, 44, "b" if on_board else "a"),
            text(62, y + 27, stage, "strong", "middle"),
            f'<path class="line" d="M116 {y + 22}h16"/><path class="tip" d="M130 {y + 17}v10l8 -5z"/>',
            box(140, y, 330, 44),
            text(150, y + 18, record, "strong"),
            text(150, y + 36, holds, "small"),
        ]
        if stage != "report":
            parts.append(down(62, y + 44, 18))
    y = 36 + 62 * len(STAGES)
    parts += [
        box(10, y, 18, 14, "a"),
        text(34, y + 12, "on your machine", "small"),
        box(170, y, 18, 14, "b"),
        text(194, y + 12, "talks to the board", "small"),
        text(10, y + 38, "Files lie in the store under their sha256. An unchanged", "small"),
        text(10, y + 56, "stage is found again by its inputs, settings and versions.", "small"),
    ]
    return "".join(parts), y + 66, "Seven stages, and the record that each hands on to the next"


DIAGRAMS = {"processes": processes, "pair": pair, "records": records}


def drawn(name: str) -> str:
    parts, height, words = DIAGRAMS[name]()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img" aria-label="{words}">'
        f'<style>{STYLE}</style><rect class="ground" width="{WIDTH}" height="{height}"/>{parts}</svg>\n'
    )


def main() -> None:
    wrong = []
    for name in DIAGRAMS:
        path = FOLDER / f"{name}.svg"
        if sys.argv[1:] == ["--check"]:
            wrong += [name] if not path.exists() or path.read_text() != drawn(name) else []
        else:
            path.write_text(drawn(name))
    sys.exit(f"these differ from what would be drawn: {', '.join(wrong)}" if wrong else 0)


if __name__ == "__main__":
    main()
