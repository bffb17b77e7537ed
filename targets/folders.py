"""Where this user's files are, by the XDG base directory rules; also for a user without a home or a name.

https://specifications.freedesktop.org/basedir-spec/latest/ - a relative path in one of its variables must be ignored.
"""

import os
import pwd
import stat
import tempfile
from pathlib import Path

from targets.errors import FolderUnusable

NAME = "edgepress"


def home() -> Path | None:
    """Return the user's home; None without HOME and without an entry in the password database (`docker run -u 1234`)."""
    given = os.environ.get("HOME", "")
    if not given:
        try:
            given = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            return None
    return Path(given) if given.startswith("/") else None


def user() -> str:
    """Return the user's name, or number if there is no name."""
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):  # the order of getpass.getuser
        if os.environ.get(variable):
            return os.environ[variable]
    return named_user() or str(os.getuid())


def named_user() -> str | None:
    """Return the user's name in the password database, where sshd looks."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return None


def cache_folder() -> Path:
    """Return the folder for what edgepress keeps between plans: wheels, and the files of `local` and `virtual` boards."""
    return _given("XDG_CACHE_HOME") or _below_home(".cache") or _own_temporary("cache")


def state_folder() -> Path:
    """Return the folder for the results of plans whose own folder is not writable."""
    return _given("XDG_STATE_HOME") or _below_home(".local/state") or _own_temporary("state")


def config_folder() -> Path | None:
    """Return the folder of the user's own boards.toml; None without a home."""
    own = home()
    return _given("XDG_CONFIG_HOME") or (own / ".config" / NAME if own else None)


def writable(folder: Path) -> bool:
    """Whether this user may write into that folder, or create it."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _given(variable: str) -> Path | None:
    path = os.environ.get(variable, "")
    return Path(path) / NAME if path.startswith("/") else None


def _below_home(place: str) -> Path | None:
    own = home()
    folder = own / place / NAME if own else None
    return folder if folder is not None and writable(folder) else None


def _own_temporary(purpose: str) -> Path:
    """Return a folder for a user without a writable home. FolderUnusable if another user has taken the name."""
    top = Path(tempfile.gettempdir(), f"{NAME}-{os.getuid()}")
    try:
        top.mkdir(mode=0o700, exist_ok=True)
        found = top.lstat()
    except OSError as error:
        raise FolderUnusable(f"{top} cannot be used: {error.strerror}", hint=_NAME_ANOTHER) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise FolderUnusable(f"{top} is not private to this user, and there is no writable home", hint=_NAME_ANOTHER)
    return top / purpose


_NAME_ANOTHER = "Name a folder that you can write into in XDG_CACHE_HOME and XDG_STATE_HOME, or set HOME."
