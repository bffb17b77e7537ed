"""Output on a terminal or into a file that cannot hold every character: what a table says still arrives."""

import codecs
import io
import re
import sys
import unicodedata
from typing import TextIO

ASCII = {
    "─": "-", "━": "-", "═": "=", "│": "|", "┃": "|", "┼": "+", "├": "+", "┤": "+", "╸": "-", "╺": "-", "•": "*", "→": "->", "←": "<-",
    "–": "-", "—": "-", "−": "-", "×": "x", "±": "+-", "≤": "<=", "≥": ">=", "≈": "~", "µ": "u", "μ": "u", "°": " ", "✓": "ok",  # noqa: RUF001
}  # fmt: skip
"""What stands for a character that cannot be shown; of a letter with a mark, the letter; of all others, a question mark."""

HANDLER = "edgepress"


def degrade() -> None:
    """Let stdout and stderr replace what their encoding lacks: a verdict is not lost over a line of a table."""
    codecs.register_error(HANDLER, _replaced)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=HANDLER)


def json_for(text: str, stream: TextIO | None) -> str:
    """JSON that loses nothing: what the stream cannot hold is written by its number."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return re.sub("[^\x00-\x7f]", _escaped, text)
    return text


def _escaped(match: re.Match[str]) -> str:
    units = match.group().encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_in_ascii(character) for character in error.object[error.start : error.end]), error.end


def _in_ascii(character: str) -> str:
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return ASCII.get(character) or plain or "?"
