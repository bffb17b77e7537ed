"""Remove from a text what identifies a board, its network and its users. Pure: it reads nothing.

Two ways together: the names that the board and boards.toml give (each occurrence is removed, also within a longer word), and anything
that looks like an address, a MAC, a UUID, a home folder or a serial number.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

# Default names of systems: they identify no one, and occur in names of hardware ("raspberrypi,5-model-b", "nvidia,tegra234").
EVERYBODY = frozenset(
    [
        "pi",
        "nvidia",
        "jetson",
        "ubuntu",
        "raspberrypi",
        "raspberry",
        "raspbian",
        "debian",
        "root",
        "user",
        "admin",
        "localhost",
        "local",
        "board",
        "edgepress",
        "linux",
        "orin",
        "nano",
        "tegra",
        "rock",
        "orangepi",
        "odroid",
        "arm",
        "armv7l",
        "aarch64",
        "x86_64",
        "intel",
        "none",
        "default",
        "0",
        "unknown",
    ]
)
PLACEHOLDERS = re.compile(
    r"(.)\1*|to be filled.*|default string|not (?:specified|applicable)|system serial number|none|n/a", re.IGNORECASE
)
SHORT = 5  # a shorter name may be part of an ordinary word, and is only removed as a whole word
KINDS = ("host name", "user name", "address", "MAC address", "serial number", "board name")
MARKS = re.compile("<(?:" + "|".join(KINDS) + ")>")  # their replacements
HEX = r"[0-9A-Fa-f]"
PATTERNS = (
    ("MAC address", re.compile(rf"(?<!{HEX})(?:{HEX}{{2}}[:-]){{5}}{HEX}{{2}}(?!{HEX})")),
    ("serial number", re.compile(rf"(?<!{HEX})(?:{HEX}{{8}}-(?:{HEX}{{4}}-){{3}}{HEX}{{12}})(?!{HEX})")),  # a UUID
    ("serial number", re.compile(r"(?<=^Serial)(\s*:\s*)\S+", re.MULTILINE)),  # /proc/cpuinfo
    ("serial number", re.compile(rf"(?<![0-9A-Za-z])(?=[0-9]*[A-Fa-f])(?=[A-Fa-f]*[0-9]){HEX}{{16,}}(?![0-9A-Za-z])")),
    ("address", re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,}")),  # of mail
    ("user name", re.compile(r"(?<=/home/)[^/\s:<>]+|(?<=/Users/)[^/\s:<>]+")),
)
ADDRESS = re.compile(r"(?<![\w.:])[0-9A-Fa-f:.]{3,45}(?:%\w+)?(?![\w:])")


class Redactor:
    """Removes the secrets of one board. `removed` counts them, by kind."""

    def __init__(self, secrets: Iterable[tuple[str, str]]) -> None:
        """`secrets`: (kind, text). Default names and placeholder serial numbers are not secrets."""
        self.removed: Counter[str] = Counter()
        named = sorted({each for each in secrets if _names_somebody(each[1])}, key=lambda one: -len(one[1]))
        self.secrets = [(kind, secret.lower(), _pattern(secret)) for kind, secret in named]

    def clean(self, text: str) -> str:
        low = text.lower()  # few secrets occur, and this test costs a hundredth: a board may report thousands
        for kind, secret, pattern in self.secrets:
            if secret in low:
                text = self._without(pattern, kind, text)
        for kind, pattern in PATTERNS:
            text = self._without(pattern, kind, text)
        return ADDRESS.sub(self._address, text)

    def leaks(self, text: str) -> list[str]:
        """Return the kinds of secrets in a text: empty after `clean`. Replacements are not secrets."""
        text = MARKS.sub("\n", text)
        low = text.lower()
        return sorted({kind for kind, secret, pattern in self.secrets if secret in low and pattern.search(text)})

    def _without(self, pattern: re.Pattern[str], kind: str, text: str) -> str:
        def replacement(match: re.Match[str]) -> str:
            self.removed[kind] += 1
            kept = match[1] if pattern.groups and match[1] else ""
            return f"{kept}<{kind}>"

        return pattern.sub(replacement, text)

    def _address(self, match: re.Match[str]) -> str:
        text = match[0].rstrip(".")
        try:
            found = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return match[0]
        if found.is_unspecified or text.count(":") + text.count(".") < 2:
            return match[0]
        self.removed["address"] += 1
        return "<address>" + match[0][len(text) :]


def _names_somebody(secret: str) -> bool:
    return len(secret) > 1 and secret.lower() not in EVERYBODY and PLACEHOLDERS.fullmatch(secret) is None


def _pattern(secret: str) -> re.Pattern[str]:
    """Return a pattern that ignores case. Digits alone match only as a whole number: part of a longer one is a reading."""
    text = re.escape(secret)
    if len(secret) < SHORT or secret.isdigit():
        text = rf"(?<![0-9A-Za-z]){text}(?![0-9A-Za-z])"
    return re.compile(text, re.IGNORECASE)


def everywhere(value: Any, clean: Callable[[str], str]) -> Any:
    """Apply `clean` to each text in a JSON value, and to keys."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(str(key)): everywhere(each, clean) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [everywhere(each, clean) for each in value]
    return value
