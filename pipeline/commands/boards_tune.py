"""`edgepress boards tune`: governor and clocks, fixed for a while."""

from pathlib import Path

import click

from device_agent.wire import Tuned
from pipeline import units
from pipeline.commands.common import json_option, say, say_aside, show_json
from pipeline.commands.quantities import Duration
from targets import inventory, open_session

LONGEST_S = 24 * 3600
LEASE = Duration("30m, 45s or 2h, of a day at most", least_s=1, longest_s=LONGEST_S)


@click.command("tune")
@click.argument("name")
@click.option("--for", "lease_s", type=LEASE, default="30m", show_default=True, help="How long: 30m, 45s, 2h.")
@click.option("--restore", is_flag=True, help="Put back now what was there.")
@json_option
@click.pass_obj
def tune(folder: Path, name: str, lease_s: int, *, restore: bool, as_json: bool) -> None:
    """Fix governor and clocks of the board NAME, where its user may, until the time is over.

    The board restores its settings by itself, also when this host or the link has failed. A plan with `[board] tune = true` does
    this around its measurement.
    """
    with open_session(inventory.find(name, folder), say_aside) as session:
        tuned = session.tune(0 if restore else lease_s)
        governor = session.observe().governor
    if as_json:
        show_json(vars(tuned))
        return
    for line in tuned.restored:
        say(f"put back  {line}")
    for line in tuned.changed:
        say(f"set  {line}")
    for line in tuned.refused:
        say(f"this user may not; on the board:  {line}")
    if restore and not tuned.restored:
        say(f"{name} was not tuned, or everything is as it was")
    if not restore:
        say(
            f"everything is put back in {units.seconds(lease_s)}" if tuned.changed
            else f"nothing was changed on {name}: {_why(tuned, governor)}"
        )  # fmt: skip


def _why(tuned: Tuned, governor: str | None) -> str:
    if tuned.refused:
        return "its user may not do what the lines above do"
    if governor is None:
        return "its kernel offers no control of clocks (no cpufreq); on a virtual machine that is its host's"
    return f"it is tuned as far as it can be already: governor {governor}"
