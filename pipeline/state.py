"""Which folder holds the state of a plan: .edgepress next to it, or the one that is named, or one of the user's own."""

import hashlib
import os
from pathlib import Path

from pipeline.errors import PlanError
from pipeline.plan_file import check_name
from pipeline.store.store import IGNORE
from targets import folders

NAME = ".edgepress"


def folder_of(plan_folder: Path, given: Path | None) -> Path:
    """`given`: from --state. PlanError for a folder of something else: what edgepress does not need there would be removed."""
    if given is not None:
        try:  # as in a plan: no shell has put a home folder in where EDGEPRESS_STATE comes from a file
            root = Path(os.path.abspath(given.expanduser()))  # noqa: PTH100 - resolve() would hide a link that leads nowhere
        except RuntimeError as error:
            raise PlanError(f"--state {given}: {error}", hint="Write the path out.") from error
        if root.is_dir() and root.name != NAME and not _ours(root):
            raise PlanError(
                f"--state {given} is a folder of something else: it has files that are not of edgepress",
                hint="Name a folder that is empty or does not exist yet.",
            )
        return check_name(root)
    default = check_name(plan_folder / NAME)
    if os.path.lexists(default) or folders.writable(plan_folder):
        return default
    mark = hashlib.sha256(os.fsencode(plan_folder)).hexdigest()[:12]
    return folders.state_folder() / f"{plan_folder.name or 'root'}-{mark}"


def _ours(root: Path) -> bool:
    try:
        return not any(root.iterdir()) or (root / ".gitignore").read_bytes() == IGNORE
    except OSError:
        return False
