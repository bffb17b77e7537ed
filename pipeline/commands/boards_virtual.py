"""`edgepress boards start` and `stop`: the emulated machine, for people who have no board."""

import click

from pipeline.commands.common import say
from targets.inventory import EMULATED
from targets.virtual.emulated import machine
from targets.virtual.emulated.device_tree import IDENTITIES

name_argument = click.argument("name", type=click.Choice([EMULATED]))


def _progress(text: str) -> None:
    click.echo(text, err=True)


@click.command("start")
@name_argument
@click.option(
    "--as", "kind", type=click.Choice([kind.replace("_", "-") for kind in IDENTITIES]), default="raspberry-pi-4", show_default=True,
    help="The board whose name it takes.",
)  # fmt: skip
@click.option("--fresh", is_flag=True, help="With an empty disk: what earlier runs put there is lost.")
def start(name: str, kind: str, *, fresh: bool) -> None:
    """Boot an emulated ARM machine; the first time it is built from Debian's packages. It runs until it is stopped."""
    state = machine.start(kind.replace("-", "_"), _progress, fresh=fresh)
    say(f"{name} runs as {state.kind.replace('_', '-')} at 127.0.0.1:{state.port}; its timings are of the emulator")


@click.command("stop")
@name_argument
def stop(name: str) -> None:
    """End the emulated machine, as if its plug were pulled. Its disk is kept."""
    say(f"{name} is stopped" if machine.stop(_progress) else f"{name} did not run")
