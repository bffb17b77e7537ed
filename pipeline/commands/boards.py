from pathlib import Path

import click

from pipeline import units
from pipeline.commands import boards_virtual
from pipeline.commands.common import json_option, say, show_json
from pipeline.errors import PlanError
from targets import inventory, open_session, provision
from targets.boards import board


@click.group("boards")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Where boards.toml is, if not in this folder or your own.",
)
@click.pass_context
def command(context: click.Context, folder: Path) -> None:
    """List, check and trust boards. `local` and `virtual` always exist; others are in boards.toml."""
    context.obj = folder


command.add_command(boards_virtual.start)
command.add_command(boards_virtual.stop)


@command.command("list")
@json_option
@click.pass_obj
def list_(folder: Path, *, as_json: bool) -> None:
    """The boards that a plan can name."""
    targets = [*(inventory.find(name, folder) for name in inventory.ALWAYS), *inventory.read(folder).values()]
    if as_json:
        show_json(targets)
        return
    for target in targets:
        where = f"{target.user}@{target.host}:{target.port}" if target.kind == "ssh" else "always there"
        kind = board(target.board) if target.board else None
        title = kind.title if kind else "kind not named"
        title += " (edgepress was not tried on one yet)" if kind and not kind.tried_on_hardware else ""
        say(f"{target.name:<12} {where:<30} {title}")
    click.echo(f"(inventory: {inventory.inventory_path(folder)})", err=True)


@command.command("check")
@click.argument("name")
@json_option
@click.pass_obj
def check(folder: Path, name: str, *, as_json: bool) -> None:
    """Connect to a board, start the agent there and say what the board is and can have."""
    with open_session(inventory.find(name, folder)) as session:
        machine = session.machine
        if as_json:
            show_json(machine)
            return
        say(f"{name} at {session.address}: {machine.model or 'unknown board'}, {machine.cpu}, {machine.cpu_count} CPUs, "
                   f"{units.size(machine.memory_bytes)}")  # fmt: skip
        say(f"{machine.os}, kernel {machine.kernel}, Python {machine.python}, {machine.libc} {machine.libc_version}")
        say(
            f"agent answered after {units.seconds(session.first_answer_s)} ({units.size(session.agent_sent_bytes)} sent)"
        )
        now = session.observe()
        say(
            f"temperature {units.temperature(now.temperature_mc / 1000 if now.temperature_mc is not None else None)}, "
            f"clock {units.frequency(now.cpu_khz)}, governor {now.governor or units.UNKNOWN}, "
            f"throttle flags {units.flags(now.throttle_flags)}, {units.size(now.available_bytes)} of memory free"
        )
        for runtime, facts in provision.RUNTIMES.items():
            if facts.requirements:
                say(f"{runtime:<16} {provision.why_not(runtime, machine) or 'can be had'}")


@command.command("trust")
@click.argument("name")
@click.option("--fingerprint", help="Pin without asking if the board shows this one (SHA256:...).")
@click.pass_obj
def trust(folder: Path, name: str, fingerprint: str | None) -> None:
    """Show the host key of a board and, when you agree, pin it."""
    from targets.ssh import host_key, pin

    target = inventory.find(name, folder)
    if target.kind != "ssh":
        raise PlanError(
            f"{name} has no host key to trust",
            hint="It is this machine; edgepress pins the virtual board's key itself.",
        )
    key = host_key(target)
    say(f"{target.host}:{target.port} shows {key.fingerprint}")
    if fingerprint is not None and fingerprint != key.fingerprint.split()[-1]:
        raise PlanError(
            f"that is not {fingerprint}", hint="Nothing was pinned. Is something between you and the board?"
        )
    if fingerprint is None:
        click.confirm(
            "Does the board itself show the same (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub)?", abort=True
        )
    say(f"pinned in {pin(target, key)}")
