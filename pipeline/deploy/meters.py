"""Which power meters watch: those of the plan, each asked whether it can be read before minutes are spent."""

from collections.abc import Sequence

from device_agent import wire
from pipeline.errors import PlanError
from pipeline.plan import Plan
from pipeline.records import DeployedMeter
from pipeline.spelling import did_you_mean
from targets import Session, meters
from targets.errors import MeterUnavailable
from targets.inventory import Target

AUTO = "auto"


def chosen(session: Session, plan: Plan, target: Target) -> tuple[DeployedMeter, ...]:
    """Return the meters to use. MeterUnavailable for one that is named, in the plan or in boards.toml, and cannot be read."""
    names = plan.tables.measure.meters
    found: dict[str, wire.MeterInfo] = {}
    if AUTO in names:
        found = {info.name: info for info in session.meters()}
        names = (*dict.fromkeys((*(name for name in names if name != AUTO), *target.meters)),)
    uses = tuple(use_of(name, target) for name in names)
    board = tuple(use for use in uses if use.name not in meters.METERS)
    if board:
        found |= {info.name: info for info in session.meters(board)}
    for use in uses:
        if use.name in meters.METERS:
            found[use.name] = meters.open_meter(use).info
    for name, info in found.items():
        if info.error:
            raise MeterUnavailable(
                f"the power meter {name} cannot be read on {session.address}: {info.error}",
                hint=f"{_correct(name, target)}, or leave it out of [measure] meters of the plan; docs/energy.md has every meter.",
            )
    return tuple(
        DeployedMeter(
            name=name, settings=use_of(name, target).settings, on_board=name not in meters.METERS, rail=info.rail,
            quality=info.quality, period_s=info.period_ns / 1e9, accumulates=info.accumulates,
        )
        for name, info in found.items()
    )  # fmt: skip


def _correct(name: str, target: Target) -> str:
    """Return what to do about a meter, where it is named."""
    table = f"[{target.name}.meters.{name}]"
    if name in target.meters:
        return f"Correct {table} in boards.toml"
    known = f"Name one that is there (`edgepress boards check {target.name}`; this machine itself reads {', '.join(meters.METERS)})"
    known = did_you_mean(name, (*meters.METERS, *target.meters, AUTO)) + known
    return f"{known}, or give its settings in {table} of boards.toml" if target.kind == "ssh" else known


def are_to_judge(plan: Plan, target: Target) -> bool:
    """Return whether the plan sets a limit on energy. PlanError where the target is emulated: its meters are this machine's."""
    if plan.tables.limits.energy_regression is None:
        return False
    if target.kind == "emulated":
        raise PlanError(
            f"{plan.path}: limits.energy_regression: {target.name} is emulated, and draws this machine's power",
            hint="Set this limit in a plan for a board with a power meter; docs/energy.md.",
        )
    return True


def one_judges(plan: Plan, target: Target, found: Sequence[DeployedMeter]) -> None:
    """Raise MeterUnavailable where none of them can judge a limit on energy."""
    if not {meter.name for meter in found} - meters.CLOCKLESS:
        named = target.kind == "ssh"  # the tables of other boards have no meters
        where = (
            f"Name a meter in [{target.name}.meters] of boards.toml" if named else "Judge it on a board with a meter"
        )
        only = f"only {', '.join(meter.name for meter in found)}, of unknown clock" if found else "no power meter"
        raise MeterUnavailable(
            f"{plan.path}: limits.energy_regression cannot be judged: {target.name} has {only}",
            hint=f"{where}, or leave the limit out; docs/energy.md.",
        )


def use_of(name: str, target: Target) -> wire.MeterUse:
    """Return a meter with its settings of boards.toml, as text."""
    return wire.MeterUse(name, tuple((key, str(value)) for key, value in target.meters.get(name, {}).items()))
