"""Passwords and passphrases: from the terminal or a named environment variable, only where boards.toml asks for one.

They are kept in memory until the process ends, so that a link that is opened again asks nobody twice, and nowhere else.
"""

import getpass
import os
import threading

import msgspec

from targets.errors import AuthenticationRefused

_asked: dict[str, str] = {}
_lock = threading.Lock()  # boards that are checked side by side ask one after the other


class Secret(msgspec.Struct, frozen=True):
    """Where a secret is to be had. It holds none itself, so it may be printed."""

    prompt: str  # for people: what is asked for
    variable: str | None = None  # environment variable; None: ask on the terminal


def reveal(secret: Secret) -> str:
    """The secret itself. AuthenticationRefused where the variable is empty or there is nobody to ask."""
    if secret.variable is not None:
        value = os.environ.get(secret.variable, "")
        if not value:
            raise AuthenticationRefused(
                f"{secret.prompt} should be in the environment variable {secret.variable}, which is not set",
                hint=f"Set {secret.variable} for this command, or correct its name in boards.toml.",
            )
        return value
    with _lock:
        if secret.prompt not in _asked:
            _asked[secret.prompt] = _ask(secret.prompt)
        return _asked[secret.prompt]


def reveal_text(secret: Secret) -> str:
    """A password, which goes as UTF-8 (RFC 4252, 8). AuthenticationRefused also where it is none."""
    value = reveal(secret)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise AuthenticationRefused(
            f"{secret.prompt} in {secret.variable or 'what was typed'} is not UTF-8, as SSH wants it",
            hint="Was it written with another encoding (latin-1)? Write it again in a terminal that has UTF-8.",
        ) from error
    return value


def forget(secret: Secret) -> None:
    """It was wrong: ask again next time."""
    with _lock:
        _asked.pop(secret.prompt, None)


def _ask(prompt: str) -> str:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))  # getpass would fall back to echoing on stdin
    except OSError as error:
        raise AuthenticationRefused(
            f"{prompt} is to be asked for, and there is no terminal to ask on",
            hint="Run this in a terminal, or name an environment variable in boards.toml (password_env, passphrase_env).",
        ) from error
    return getpass.getpass(f"{prompt}: ")
