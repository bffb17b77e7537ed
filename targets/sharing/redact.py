"""Take out of a text what names a board, its network and its people. Pure: nothing is read and nothing is asked.

Two ways together: what the board and boards.toml say are its names (each occurrence goes, also within a longer word), and what looks like
an address, a MAC, a UUID, a home folder or a serial number, whoever it belongs to.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

# Names that systems come with: they name nobody, and stand in the names of hardware ("raspberrypi,5-model-b", "nvidia,tegra234").
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
SHORT = 5  # below it a name may be part of an ordinary word, and is taken out as a whole word only
KINDS = ("host name", "user name", "address", "MAC address", "serial number", "board name")
MARKS = re.compile("<(?:" + "|".join(KINDS) + ")>")  # what stands in their place
HEX = r"[0-9A-Fa-f]"
PATTERNS = (
    ("MAC address", re.compile(rf"(?<!{HEX})(?:{HEX}{{2}}[:-]){{5}}{HEX}{{2}}(?!{HEX})")),
    ("serial number", re.compile(rf"(?<!{HEX})(?:{HEX}{{8}}-(?:{HEX}{{4}}-){{3}}{HEX}{{12}})(?!{HEX})")),  # a UUID
    ("serial number", re.compile(r"(?<=^Serial)(\s*:\s*)\S+", re.MULTILINE)),  # /proc/cpuinfo
    ("serial number", re.compile(rf"(?<![0-9A-Za-z])(?=[0-9]*[A-Fa-f])(?=[A-Fa-f]*[0-9]){HEX}{{16,}}(?![0-9A-Za-z])")),
    ("address", re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,}")),  # of mail
    ("user name", re.compile(r"(?<=/home/)[^/\s:<>]+|(?<=/Users/)[^/\s:<>]+")),
)  # fmt: skip
ADDRESS = re.compile(r"(?<![\w.:])[0-9A-Fa-f:.]{3,45}(?:%\w+)?(?![\w:])")


class Redactor:
    """Knows the secrets of one board. `removed` counts what was taken out, by kind."""

    def __init__(self, secrets: Iterable[tuple[str, str]]) -> None:
        """`secrets`: (kind, text). Names that everybody has, and serial numbers that are none, are no secrets."""
        self.removed: Counter[str] = Counter()
        named = sorted({each for each in secrets if _names_somebody(each[1])}, key=lambda one: -len(one[1]))
        self.secrets = [(kind, secret.lower(), _pattern(secret)) for kind, secret in named]

    def clean(self, text: str) -> str:
        low = text.lower()  # hardly any is in it, and to look so costs a hundredth: a board may tell thousands
        for kind, secret, pattern in self.secrets:
            if secret in low:
                text = self._without(pattern, kind, text)
        for kind, pattern in PATTERNS:
            text = self._without(pattern, kind, text)
        return ADDRESS.sub(self._address, text)

    def leaks(self, text: str) -> list[str]:
        """The kinds of secrets that are in a text: empty after `clean`. What stands in a secret's place is none."""
        text = MARKS.sub("\n", text)
        low = text.lower()
        return sorted({kind for kind, secret, pattern in self.secrets if secret in low and pattern.search(text)})

    def _without(self, pattern: re.Pattern[str], kind: str, text: str) -> str:
        def gone(match: re.Match[str]) -> str:
            self.removed[kind] += 1
            kept = match[1] if pattern.groups and match[1] else ""
            return f"{kept}<{kind}>"

        return pattern.sub(gone, text)

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
    """Whatever its case. Digits alone are taken out as a whole number only: part of a longer one is a reading."""
    text = re.escape(secret)
    if len(secret) < SHORT or secret.isdigit():
        text = rf"(?<![0-9A-Za-z]){text}(?![0-9A-Za-z])"
    return re.compile(text, re.IGNORECASE)


def everywhere(value: Any, clean: Callable[[str], str]) -> Any:
    """`clean` each text in what JSON can hold; keys are cleaned, too."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(str(key)): everywhere(each, clean) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [everywhere(each, clean) for each in value]
    return value
