from pathlib import Path

import click

from device_agent.wire import Conditions
from pipeline import units
from pipeline.commands import boards_clean, boards_share, boards_tune, boards_virtual
from pipeline.commands.common import json_option, say, say_aside, show_json
from pipeline.errors import PlanError
from pipeline.safe_text import clean
from targets import fleet, inventory, provision
from targets.boards import BOARDS, board
from targets.errors import TargetError
from targets.fleet import Checked

MEASURED_ANYWHERE = {
    "latency": "by the agent, with the board's monotonic clock",
    "model memory": "by the agent, from /proc of the process that runs the model",
}
WITHOUT_ADDRESS = {"local": "always there", "virtual": "always there", "emulated": "once it is started"}


@click.group("boards")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Where boards.toml is, if not in this folder or your own.",
)
@click.pass_context
def command(context: click.Context, folder: Path) -> None:
    """List, check, trust and clean boards. `local` and `virtual` always exist; others are in boards.toml."""
    context.obj = folder


command.add_command(boards_clean.clean)
command.add_command(boards_clean.uninstall)
command.add_command(boards_tune.tune)
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
    width = max(len(target.name) for target in targets)
    for target in targets:
        where = fleet.address(target) if target.kind == "ssh" else WITHOUT_ADDRESS[target.kind]
        say(f"{target.name:<{width}}  {where:<30}  {_title(target.board) if target.board else 'kind not named'}")
    click.echo(f"(inventory: {inventory.inventory_path(folder)})", err=True)


@command.command("check")
@click.argument("names", metavar="NAME...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every board of boards.toml.")
@boards_share.share_option
@boards_share.selftest_option
@boards_share.yes_option
@json_option
@click.pass_obj
def check(
    folder: Path, names: tuple[str, ...], share: Path | None, selftest: Path | None, *, everything: bool, yes: bool, as_json: bool
) -> int:  # fmt: skip
    """Connect to boards, start the agent there and say what each is and can have. Several are asked side by side.

    Exit code 0, or 4 if a board cannot be used.
    """
    if bool(names) == everything:
        raise click.UsageError("Name the boards, or say --all.")
    if share is None and (yes or selftest is not None):
        raise click.UsageError("--yes and --selftest belong to --share FILE.")
    if share is not None:
        if len(names) != 1:
            raise click.UsageError("--share takes one board.")
        boards_share.share(folder, names[0], share, selftest, yes=yes, as_json=as_json)
        return 0
    targets = list(inventory.read(folder).values()) if everything else [inventory.find(name, folder) for name in names]
    if len(targets) == 1 and not everything:
        one = fleet.check(targets[0], say_aside)
        if as_json:
            show_json(one)
        else:
            _show(one)
        return 0
    if not targets:
        click.echo(
            f"no board is in {inventory.inventory_path(folder)}; docs/add-a-board.md says how to add one", err=True
        )
    checked: dict[int, Checked] = {}
    width = max((len(target.name) for target in targets), default=0)
    for number, one in fleet.check_all(targets, say_aside):
        checked[number] = one
        if not as_json:
            _line(one, width)
    if as_json:
        show_json([checked[number] for number in range(len(targets))])
    return TargetError.exit_code if any(each.failed for each in checked.values()) else 0


@command.command("facts")
@click.argument("name")
@json_option
@click.pass_obj
def facts(folder: Path, name: str, *, as_json: bool) -> None:
    """What is known about a kind of board, with sources, next to what the board itself says; and what may be measured.

    NAME is a board, or a kind of board. A board that is away still has its kind's facts.
    """
    found: fleet.Checked | None = None
    kind: str | None = name
    if name not in BOARDS:
        target = inventory.find(name, folder)
        ((_, found),) = fleet.check_all([target], say_aside)
        kind = found.kind or target.board
    known = board(kind).facts() if kind else {}
    if as_json:
        show_json({"name": name, "kind": kind, "facts": known, "measured_anywhere": MEASURED_ANYWHERE, "board": found})
        return
    say(f"{name}: {_title(kind) if kind else 'its kind is not known, and not named as `board` in boards.toml'}")
    if found is not None and found.failed:
        say(f"the board itself could not be asked: {found.failed.message}\n  what to do: {found.failed.hint}")
    own = _own(found) if found is not None else {}
    for fact, value in known.items():
        say(f"{fact:<12} {value.says}\n{'':<12}   known from: {value.source}")
        if fact in own:
            say(f"{'':<12}   the board says: {own[fact]}")
    for what, how in MEASURED_ANYWHERE.items():
        say(f"{what:<12} {how}")


@command.command("trust")
@click.argument("name")
@click.option("--fingerprint", help="Pin without asking if the board shows this one (SHA256:...).")
@json_option
@click.pass_obj
def trust(folder: Path, name: str, fingerprint: str | None, *, as_json: bool) -> None:
    """Show the host key of a board and, when you agree, pin it; so for each jump host on the way first."""
    from targets.ssh import host_key
    from targets.ssh.known_hosts import accepted, is_pinned, pin
    from targets.ssh.route import route

    target = inventory.find(name, folder)
    if target.kind != "ssh":
        raise PlanError(
            f"{name} has no host key to trust",
            hint="It is this machine; edgepress pins the virtual board's key itself.",
        )
    pinned = []
    for number, _ in enumerate(hops := route(target)):
        hop, key = host_key(target, number, say_aside)
        if number < len(hops) - 1 and accepted(hop.known_hosts, hop.known_as, key):
            continue
        click.echo(f"{hop.host}:{hop.port} shows {key.fingerprint}", err=as_json)
        if fingerprint is not None and fingerprint != key.fingerprint.split()[-1]:
            raise PlanError(
                f"that is not {fingerprint}", hint="Nothing was pinned. Is something between you and the board?"
            )
        file = Path(hop.known_hosts[0])
        known = is_pinned(file, hop.known_as, key)  # before anybody compares: another one that is pinned is refused
        if fingerprint is None and not known:
            click.confirm(
                "Does the board itself show the same (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub)?",
                abort=True, err=as_json,
            )  # fmt: skip
        pin(file, hop.known_as, key)
        pinned.append({"host": hop.known_as, "fingerprint": key.fingerprint, "file": str(file)})
        if not as_json:
            say(f"{'it is pinned already' if known else 'pinned'} in {file}")
    if as_json:
        show_json(pinned)


def _title(kind: str) -> str:
    known = board(kind)
    return known.title + ("" if known.tried_on_hardware else " (edgepress was not tried on one yet)")


def _show(one: Checked) -> None:
    machine, now = one.machine, one.conditions
    assert machine is not None
    assert now is not None
    say(f"{one.name} at {one.address}: {machine.model or 'unknown board'}, {machine.cpu}, {units.counted(machine.cpu_count, 'CPU')}, "
        f"{units.size(machine.memory_bytes)}")  # fmt: skip
    say(f"{machine.os}, kernel {machine.kernel}, {machine.bits}-bit Python {machine.python}, {machine.libc} "
        f"{machine.libc_version}")  # fmt: skip
    say(f"agent answered after {units.seconds(one.first_answer_s)} ({units.size(one.agent_sent_bytes)} sent)")
    if one.note:
        say(one.note)
    say(
        f"temperature {units.temperature(now.temperature_mc / 1000 if now.temperature_mc is not None else None)}, "
        f"clock {units.frequency(now.cpu_khz)}, governor {now.governor or units.UNKNOWN}, "
        f"throttle flags {units.flags(now.throttle_flags)}, {units.size(now.available_bytes)} of memory free"
    )
    if untold := _untold(now):
        say(f"it does not report: {', '.join(untold)}; these can raise no doubt (docs/tuning.md)")
    for meter in one.meters:
        untried = " (edgepress was not tried with it on hardware yet)"
        say(f"power meter {meter.name}: {meter.error or f'{meter.rail}; {meter.quality}{untried}'}")
    if not one.meters:
        say("power meter: none that can be read; docs/energy.md says which there are")
    for runtime, why_not in one.runtimes.items():
        untried = (
            ""
            if provision.RUNTIMES[runtime].tried_on_hardware
            else " (edgepress was not tried with it on hardware yet)"
        )
        say(f"{runtime:<20} {why_not or 'can be had'}{untried}")


def _untold(now: Conditions) -> list[str]:
    """Return what the rules of validity would look at and this board does not have."""
    looked_at: dict[str, tuple[object, ...]] = {
        "temperature": (now.temperature_mc,),
        "clocks": (now.cpu_khz,),
        "throttling": (now.throttle_flags, now.throttle_count, now.cooling_states),
        "supply": (now.throttle_flags, now.undervoltage, now.supply_mv),
        "pressure (PSI)": (now.cpu_stalled_us,),
        "swapping": (now.swapped_in_pages,),
    }
    return [name for name, values in looked_at.items() if all(value is None for value in values)]


def _line(one: Checked, width: int) -> None:
    """Say one line on a board; on stderr what to do where it failed."""
    if one.failed or one.machine is None:
        say(clean(f"{one.name:<{width}}  --  {one.failed.message if one.failed else ''}"))
    else:
        can = ", ".join(name for name, why_not in one.runtimes.items() if why_not is None) or "no runtime"
        say(clean(f"{one.name:<{width}}  ok  {one.machine.model or one.machine.cpu or one.machine.arch}; "
                  f"Python {one.machine.python}, {one.machine.bits} bit; {can}"))  # fmt: skip
    if one.failed:
        say_aside(f"{one.name}: what to do: {one.failed.hint}")


def _own(found: Checked) -> dict[str, str]:
    """Return what the board itself says, under the names of the facts of a kind."""
    machine, now = found.machine, found.conditions
    if machine is None or now is None:
        return {}
    can = ", ".join(name for name, why_not in found.runtimes.items() if why_not is None) or "none"
    celsius = now.temperature_mc / 1000 if now.temperature_mc is not None else None
    return {
        "identity": f"{machine.model or 'no model'}, {machine.arch}",
        "cores": f"{machine.cpu_count} x {machine.cpu or 'unknown'}",
        "memory": units.size(machine.memory_bytes),
        "runtimes": f"Python {machine.python}, {machine.bits} bit, {machine.libc} {machine.libc_version}: it can have {can}",
        "temperature": units.temperature(celsius),
        "throttling": units.flags(now.throttle_flags),
        "clocks": f"{units.frequency(now.cpu_khz)}, governor {now.governor or units.UNKNOWN}",
    }
