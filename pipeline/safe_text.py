"""Names come from models, boards and other people's files, and may hold what a terminal would obey."""

import re

# C0 and C1 control characters (a terminal obeys them), line and paragraph separators, marks that reverse the reading
# order (a name could read as another: CVE-2021-42574), and invisible characters.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]")


MOST = 2000  # characters of a text in a report: more than any of ours has, and a layer's name can have a million


def clean(text: str) -> str:
    """Write out what a terminal or a reader's eye would obey: ESC is shown by its code. What nobody would read to its end is
    shortened; in an error, where it is made (errors.py).
    """
    return _escaped(shortened(text, MOST))


def _escaped(text: str) -> str:
    return UNSAFE.sub(lambda match: match.group().encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def clean_lines(text: str) -> str:
    """Clean line by line, for messages of several lines."""
    return "\n".join(map(_escaped, text.split("\n")))


def clean_json(text: str) -> str:
    """Escape in JSON what a terminal would obey: such characters can only stand inside strings, where their code is the same."""
    return UNSAFE.sub(lambda match: "\n" if match.group() == "\n" else f"\\u{ord(match.group()):04x}", text)


def shortened(text: str, most: int = 300) -> str:
    """Text from elsewhere can be of any length, and a sentence of ours should still be read to its end. Its head and its tail."""
    from device_agent import wire  # here: `--help` says nothing from elsewhere, and need not wait for it

    return wire.shortened(text, most)
