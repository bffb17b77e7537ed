"""`edgepress boards clean` and `edgepress boards uninstall`: room on a board."""

from pathlib import Path

import click

from pipeline import units
from pipeline.commands.common import json_option, say, say_aside, show_json
from pipeline.commands.quantities import Size
from pipeline.safe_text import clean as cleaned
from targets import inventory, open_session


@click.command("clean")
@click.argument("name")
@click.option(
    "--unused-days", type=click.IntRange(0, 3650), default=0, show_default=True,
    help="Only files that no run has asked for in this many days.",
)  # fmt: skip
@click.option(
    "--keep", "keep_bytes", type=Size(), default="0", help="Keep the most recently used files, up to this size: 200MB."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@json_option
@click.pass_obj
def clean(folder: Path, name: str, unused_days: int, keep_bytes: int, *, dry_run: bool, as_json: bool) -> None:
    """Remove from the board NAME what no job there needs: models, rows, runtimes, agents of other versions, old results.

    The next run sends again what it needs. What a job that runs or waits for its host needs is never removed.
    """
    with open_session(inventory.find(name, folder), say_aside) as session:
        found = session.clean(unused_days * 86400, keep_bytes, dry_run=dry_run)
    if as_json:
        show_json(vars(found))
        return
    counts = [
        units.counted(number, what)
        for number, what in ((found.blob_count, "file"), (found.site_count, "unpacked wheel"), (found.agent_count, "old agent"), (found.job_count, "old job"))
        if number
    ]  # fmt: skip
    what = f"{', '.join(counts)}: {units.size(found.removed_bytes)}" if counts else "nothing"
    say(f"{'would be removed' if dry_run else 'removed'} from {name}: {what}")
    say(f"{units.size(found.left_bytes)} {'would stay' if dry_run else 'stay'}")


@click.command("uninstall")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Remove without asking.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@json_option
@click.pass_obj
def uninstall(folder: Path, name: str, *, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Remove all that edgepress has put on the board NAME, with results that nobody has fetched. Refused while a job runs there."""
    with open_session(inventory.find(name, folder), say_aside) as session:
        found = session.uninstall(dry_run=True)
        if not dry_run:
            if not yes:
                size = units.size(found.removed_bytes)
                click.confirm(
                    cleaned(f"Remove {size} of edgepress below {found.root} on {session.address}?"),
                    abort=True,
                    err=True,
                )
            found = session.uninstall()
    if as_json:
        show_json(vars(found))
        return
    verb = "would be removed" if dry_run else "removed"
    say(f"{verb} from {name}: {units.size(found.removed_bytes)} below {found.root}")
    if found.kept:
        say(f"{found.root} stays: {', '.join(found.kept)} in it is not of edgepress")
