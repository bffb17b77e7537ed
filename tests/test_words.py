"""One language: the words that no page, message, docstring, comment or name of the product uses, and what to write."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
CODE = ("edgepress", "pipeline", "targets", "device_agent", "scripts", "benchmarks", "examples")
"""Folders whose Python files are held to the list: strings, docstrings and comments."""

PAGES = (
    *("*.md", "docs/**/*.md", "changes/*.md", "benchmarks/**/*.md", ".github/**/*.yml", ".github/**/*.md"),
    *("examples/*/*.md", "examples/*/*.toml", "pipeline/**/*.j2"),
)
"""Files that are held to the list as a whole."""

WORDS = {
    r"can not": "cannot",
    r"anew": "again",
    r"by lot": "at random, randomized",
    r"(?<!left )(?<!leave )(?<!leaves )behind": "after (time), followed by (order)",
    r"who(?:m|so)?ever": "anyone who, a process that, the caller",
    r"(?<!what )go(?:es)? on(?! for)": "continue, resume",
    r"went on": "continued, resumed",
    r"in the meantime": "while ..., during ...",
    r"meanwhile": "while ... (at the start)",
    r"so many": "that many, this number of",
    r"so much": "that much, this amount of",
    r"beside": "next to, against, interleaved with",
    r"(?<!there )(?:is|are|was|were) no (?!longer|more|less|better|worse|larger|smaller|slower|faster)\w+": "is not a ...",
    r"(?<!there )(?:is|are|was|were) (?-i:none)": "has no ...",
    r"(?:is|are|was|were) told(?! (?:to|that|how|apart|what|about|which|not)\b)": "is reported, is shown",
    r"(?:is|are) gone": "has ended, was removed, no longer exists",
    r"hungrier": "needs more",
    r"knock(?:s|ed|ing)?": "connect, try",
    r"just so": "exactly, as it is",
    r"surely": "certainly, provably",
    r"what it is of": "what it describes",
    r"lets (?:no|nobody|nothing|none)": "does not let ..., refuses",
    r"(?:^|(?<=[.;:] ))who (?:wants|asks|needs|has|reads|knows|runs|uses|sees|writes)": "to ..., anyone who ...",
}
"""A pattern, in which a space stands for any white space, and what to write in its place."""

NOT_FIRST = {
    r"of (?!course\b)\w+": "a docstring that starts with its subject or its verb",
}
"""A pattern with which no docstring starts, and what to write in its place."""

NAMES = frozenset(
    (
        *("beside", "turns", "company", "users", "waiting", "slowed", "place", "contents", "lesson", "asked", "seen"),
        *("times", "work", "said", "patience"),
    )
)
"""Words that say nothing of what a module or a class holds."""

ALLOWED: dict[tuple[str, str], str] = {}
"""(path, words that were found): the reason why they stay, as in a message of another program that is quoted."""


class Text(NamedTuple):
    """What is read in one go, with single spaces: a string with those that follow it, a comment of several lines.

    `lines` holds the number of the line of each character.
    """

    words: str
    lines: list[int]
    is_docstring: bool = False


def _text(parts: list[tuple[int, str]], is_docstring: bool = False) -> Text:
    words, lines = "", []
    for first, part in parts:
        for number, line in enumerate(part.split("\n"), first):
            for char in f"{line} ":
                if not char.isspace() or words[-1:] not in {"", " "}:
                    words += " " if char.isspace() else char
                    lines.append(number)
    return Text(words, lines, is_docstring)


def _unquoted(string: str) -> str:
    match = re.fullmatch(r"[a-zA-Z]*(\"\"\"|'''|\"|')(.*?)\1", string, re.DOTALL)
    return match[2] if match else string


def python_texts(source: str) -> Iterator[Text]:
    """Yield the strings, docstrings and comments of a Python file."""
    docstrings = {
        node.body[0].lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and ast.get_docstring(node, clean=False) is not None
    }
    comments: list[tuple[int, str]] = []
    strings: list[tuple[int, str]] = []
    middle = getattr(tokenize, "FSTRING_MIDDLE", None)
    around = {getattr(tokenize, name, None) for name in ("FSTRING_START", "FSTRING_END")}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        line = token.start[0]
        if token.type == tokenize.COMMENT:
            comments.append((line, token.string.lstrip("# ")))
        elif token.type == tokenize.STRING:
            strings.append((line, _unquoted(token.string)))
        elif token.type == middle:
            strings.append((line, token.string))
        elif token.type not in {tokenize.NL, *around}:
            for parts in (comments, strings):
                if parts:
                    yield _text(parts, parts is strings and parts[0][0] in docstrings)
                    parts.clear()


def found_in(text: Text) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the words that were found, and what to write in their place."""
    for pattern, instead in WORDS.items():
        for match in re.finditer(rf"(?<!\w)(?:{pattern})(?!\w)", text.words, re.IGNORECASE):
            yield text.lines[match.start()], match[0], instead
    if text.is_docstring:
        for pattern, instead in NOT_FIRST.items():
            if match := re.match(pattern, text.words, re.IGNORECASE):
                yield text.lines[0], match[0], instead


def private_words(name: str) -> set[str]:
    """Return the words of a name, in snake or camel case, that say nothing of what it holds."""
    return {part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)} & NAMES


PYTHON = [path for folder in CODE for path in sorted((ROOT / folder).rglob("*.py"))]
WHOLE = sorted({path for pattern in PAGES for path in ROOT.glob(pattern)})


def _assert_nothing_found(path: Path, texts: list[Text]) -> None:
    name = str(path.relative_to(ROOT))
    slips = [
        f"{name}:{line}: {words!r}, write: {instead}"
        for text in texts
        for line, words, instead in found_in(text)
        if (name, words) not in ALLOWED
    ]
    assert not slips, "\n".join(slips)


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_strings_and_comments_keep_to_the_words(path):
    _assert_nothing_found(path, list(python_texts(path.read_text())))


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_keep_to_the_words(path):
    _assert_nothing_found(path, [_text([(1, path.read_text())])])


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_classes_have_names_that_say_what_they_hold(path):
    slips = {str(part): private_words(part) for part in path.relative_to(ROOT).with_suffix("").parts}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            slips[f"class {node.name}, line {node.lineno}"] = private_words(node.name)
    assert not any(slips.values()), {name: words for name, words in slips.items() if words}


def test_each_exception_is_needed():
    for (name, words), reason in ALLOWED.items():
        path = ROOT / name
        texts = python_texts(path.read_text()) if path.suffix == ".py" else [_text([(1, path.read_text())])]
        assert reason
        assert words in {found for text in texts for _, found, _ in found_in(text)}, f"{name} needs no exception"


SLIPS = {
    "It can not be read.": "can not",
    "It can\n    not be read.": "can not",
    "Asked anew.": "anew",
    "Drawn by lot.": "by lot",
    "It comes behind the mark.": "behind",
    "Whoever reads it.": "Whoever",
    "It goes on.": "goes on",
    "It went on.": "went on",
    "It grew in the meantime.": "in the meantime",
    "It grew meanwhile.": "meanwhile",
    "And so many bytes.": "so many",
    "It holds so much.": "so much",
    "Beside its baseline.": "Beside",
    "X is no file.": "is no file",
    "Sensors are none.": "are none",
    "A crash is told by its signal.": "is told",
    "The process is gone.": "is gone",
    "It is hungrier.": "hungrier",
    "The host knocks.": "knocks",
    "It is kept just so.": "just so",
    "It is surely less.": "surely",
    "It says what it is of.": "what it is of",
    "It lets no program start.": "lets no",
    "It waits. Who wants more sets it.": "Who wants",
}
"""A made-up sentence for each pattern of WORDS, and what is found in it."""


def test_each_pattern_is_tried():
    found = {words for sentence in SLIPS for _, words, _ in found_in(_text([(1, sentence)]))}
    assert found == set(SLIPS.values())
    assert len(set(WORDS.values())) == len(WORDS)
    assert {instead for sentence in SLIPS for _, _, instead in found_in(_text([(1, sentence)]))} == set(WORDS.values())


@pytest.mark.parametrize("sentence", SLIPS)
def test_the_list_finds_each_word_in_strings_docstrings_comments_and_pages(sentence):
    words, first = SLIPS[sentence], sentence.splitlines()
    sources = {
        "docstring": f'"""A module.\n\n{sentence}\n"""\n',
        "message": f'x = 1\nprint(f"""\n{sentence}""")\n',
        "comment": "x = 1\n\n" + "".join(f"# {line}\n" for line in first),
        "two strings": 'x = (\n    ""\n' + "".join(f"    {line + ' '!r}\n" for line in first) + ")\n",
    }
    for kind, source in sources.items():
        assert [found[:2] for text in python_texts(source) for found in found_in(text)] == [(3, words)], kind
    assert [found[:2] for found in found_in(_text([(1, f"# Page\n\n{sentence}\n")]))] == [(3, words)]


@pytest.mark.parametrize("source", ['"""Of a batch."""\n', 'def f():\n    """\n    Of a batch.\n    """\n'])
def test_a_docstring_has_a_subject(source):
    assert [words for text in python_texts(source) for _, words, _ in found_in(text)] == ["Of a"]


@pytest.mark.parametrize(
    "sentence",
    [
        *(
            "It cannot be read.",
            "There is no file.",
            "It is no longer there.",
            "No file is left behind.",
            "Besides, no.",
        ),
        *("A user who has a board.", "The user is told that it failed.", "Side by side.", "It says what goes on."),
    ],
)
def test_the_list_lets_plain_english_pass(sentence):
    assert not list(found_in(_text([(1, sentence)])))


def test_names_are_read_in_both_cases():
    assert private_words("board_said") == {"said"}
    assert private_words("_Times") == {"times"}
    assert private_words("BoardSeen") == {"seen"}
    assert not private_words("timestamps")
    assert not private_words("Replaced")
