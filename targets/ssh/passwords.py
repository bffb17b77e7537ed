"""Passwords and passphrases: from the terminal or a named environment variable, only if boards.toml asks for one.

They are kept only in memory, until the process ends, so that a reopened link does not ask again.
"""

import getpass
import os
import threading

import msgspec

from targets.errors import AuthenticationRefused

_asked: dict[str, str] = {}
_lock = threading.Lock()  # boards that are checked in parallel ask one after another


class Secret(msgspec.Struct, frozen=True):
    """Where to get a secret. It does not hold the secret, so it may be printed."""

    prompt: str  # for people: what to enter
    variable: str | None = None  # environment variable; None: ask on the terminal


def reveal(secret: Secret) -> str:
    """Return the secret. AuthenticationRefused if the variable is empty or there is no terminal."""
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
    """Return a password, which is sent as UTF-8 (RFC 4252, 8). AuthenticationRefused also if it is not UTF-8."""
    value = reveal(secret)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise AuthenticationRefused(
            f"{secret.prompt} in {secret.variable or 'what was typed'} is not UTF-8, which SSH requires",
            hint="Was it entered in another encoding (latin-1)? Enter it again in a UTF-8 terminal.",
        ) from error
    return value


def forget(secret: Secret) -> None:
    """Forget a wrong secret, so that the next attempt asks again."""
    with _lock:
        _asked.pop(secret.prompt, None)


def _ask(prompt: str) -> str:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))  # getpass would fall back to echoing on stdin
    except OSError as error:
        raise AuthenticationRefused(
            f"{prompt} must be asked for, but there is no terminal",
            hint="Run this in a terminal, or name an environment variable in boards.toml (password_env, passphrase_env).",
        ) from error
    return getpass.getpass(f"{prompt}: ")
