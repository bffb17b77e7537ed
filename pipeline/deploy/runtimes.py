"""Which runtimes a plan measures, and in which versions."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from device_agent import wire
from pipeline import spelling
from pipeline.errors import PlanError
from pipeline.plan import Plan
from pipeline.records import Deployment
from targets import provision

ALL = "all"
KEY = '[board] runtimes = { onnxruntime = "1.20.1" }'


def check(plan: Plan) -> None:
    """Raise PlanError for what is wrong with them even without asking the board."""
    wanted = plan.tables.measure.runtimes
    if isinstance(wanted, str) and wanted != ALL:
        raise PlanError(
            f'{plan.path}: measure.runtimes: "{wanted}" is not a list',
            hint=("Write " if wanted.lower() == ALL else f'Write ["{wanted}"], or ')
            + f'"{ALL}" for every runtime that the board can have.',
        )
    for name in named(plan):
        _check_name(plan, "measure.runtimes", name, provision.RUNTIMES)
    by_wheel = {name: each for name, each in provision.RUNTIMES.items() if each.distribution}
    for name, version in plan.tables.board.runtimes.items():
        _check_name(plan, "board.runtimes", name, by_wheel)
        _check_version(plan, name, version)
        if named(plan) and name not in named(plan):
            raise PlanError(
                f"{plan.path}: board.runtimes says which {name} to take, but measure.runtimes leaves it out",
                hint=f"Name {name} in measure.runtimes, too, or take it out of board.runtimes.",
            )


def _check_name(plan: Plan, key: str, name: str, known: Collection[str]) -> None:
    if name in known:
        return
    begin = next((each for each in known if name.replace("-", "_").startswith(each)), None)
    if begin and any(sign in name for sign in "=<>~!@ "):
        raise PlanError(
            f'{plan.path}: {key}: "{name}" gives a version, too, and only names are allowed here',
            hint=f'Write "{begin}" here, and its version into a table of the plan: {KEY}.',
        )
    known = [each for each in known if not provision.RUNTIMES[each].for_tests]
    raise PlanError(
        f"{plan.path}: {key}: there is no runtime called {name}",
        hint=f"{spelling.did_you_mean(name.replace('-', '_'), known)}The runtimes are: {', '.join(known)}.",
    )


def _check_version(plan: Plan, name: str, version: str) -> None:
    from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
    from packaging.version import InvalidVersion, Version

    distribution = provision.RUNTIMES[name].distribution
    key = f"{plan.path}: board.runtimes.{name}"
    if not version.endswith(".whl"):
        try:
            Version(version)
        except InvalidVersion as error:
            raise PlanError(
                f'{key}: "{version[:100]}" is not a version',
                hint=f"Write one version, or the path of a wheel file: {KEY}.",
            ) from error
        return
    path = plan.file(version)
    try:
        found = parse_wheel_filename(path.name)[0]
    except InvalidWheelFilename as error:
        raise PlanError(
            f"{key}: {path.name} does not have the name of a wheel",
            hint="The name of a wheel says what it is and which board it fits: keep the name that it was downloaded with.",
        ) from error
    if found != canonicalize_name(distribution):
        raise PlanError(f"{key}: {path.name} is a wheel of {found}", hint=f"Name a wheel of {distribution}.")
    if not path.is_file():
        raise PlanError(f"{key}: there is no file {path}", hint="Paths are relative to the plan.")
    if (records := _records(path)) != 1:
        raise PlanError(
            f"{key}: {path.name} is not a valid wheel: "
            + (f"it has {records} lists of its files (RECORD)" if records else "it cannot be read as one"),
            hint="Download or build it again.",
        )


def _records(wheel: Path) -> int:
    """Return how many lists of its files it has; 0: it is not a zip file, or has none."""
    import zipfile

    try:
        with zipfile.ZipFile(wheel) as archive:
            return sum(name.endswith(".dist-info/RECORD") for name in archive.namelist())
    except (
        OSError,
        ValueError,
        RuntimeError,
        NotImplementedError,
        zipfile.BadZipFile,
    ):  # whatever zipfile raises on an input
        return 0


def named(plan: Plan) -> tuple[str, ...]:
    """Those of measure.runtimes; (): it leaves the choice to us, or asks for all."""
    wanted = plan.tables.measure.runtimes
    return () if isinstance(wanted, str) else tuple(dict.fromkeys(wanted))  # one that is named twice is measured once


def chosen(plan: Plan) -> dict[str, provision.Chosen]:
    """Return, by runtime, the version or the wheel file that the plan asks for."""
    asked = plan.tables.board.runtimes.items()
    return {name: plan.file(each) if each.endswith(".whl") else each for name, each in asked}


def _spoken_of(plan: Plan) -> set[str]:
    """Runtimes that a plan without a list names elsewhere: to choose a version, or to judge by."""
    judged = {entry.partition("@")[2] for entry in plan.tables.limits.applies_to}
    return (judged | set(plan.tables.board.runtimes)) & set(provision.RUNTIMES)


def _wanted(plan: Plan) -> tuple[str, ...]:
    return named(plan) or tuple(name for name in provision.RUNTIMES if name in _spoken_of(plan))


def runtimes_of(plan: Plan) -> tuple[str, ...]:
    """The runtimes that this plan may measure, whatever the board is."""
    if named(plan):
        return named(plan)
    every = {name: each for name, each in provision.RUNTIMES.items() if not each.for_tests}
    if plan.tables.measure.runtimes == ALL:
        return tuple(every)
    return tuple(name for name, each in every.items() if not each.only_named or name in _spoken_of(plan))


def choose(plan: Plan, families: set[str], machine: wire.Machine) -> tuple[str, ...]:
    """The plan's runtimes, or of each family of files the best that this board can have (all, where the plan says so); each must be
    possible, and each family must have one.
    """
    wanted = _wanted(plan)
    for name in wanted:
        if name not in plan.tables.board.runtimes:
            provision.check(name, machine)
    if plan.tables.measure.runtimes == ALL:
        wanted = tuple(dict.fromkeys((*wanted, *provision.possible(machine))))
    elif not named(plan):
        served = {family for name in wanted for family in provision.RUNTIMES[name].formats}
        wanted = (*wanted, *provision.best(families - served, machine))
    found = tuple(name for name in wanted if families & set(provision.RUNTIMES[name].formats))
    families_are_served(plan, families, found, provision.possible(machine))
    return found


def families_are_served(plan: Plan, families: set[str], runtimes: Sequence[str], possible: Sequence[str]) -> None:
    """Raise PlanError for a family of files that no runtime of these runs; `possible` are those that could be named."""
    for each in sorted(families):
        if not any(each in provision.RUNTIMES[name].formats for name in runtimes):
            can = [name for name in possible if each in provision.RUNTIMES[name].formats]
            raise PlanError(
                f"{plan.path}: no runtime for .{each} files: "
                + (
                    f"measure.runtimes names only {', '.join(named(plan))}"
                    if named(plan)
                    else "the board can have none"
                ),
                hint=f"Name one of: {', '.join(can)}." if can else "Convert to another format for this board.",
            )


def are_named(plan: Plan) -> bool:
    """Return whether the plan can ask for one that the board cannot have."""
    return bool(_wanted(plan))


def can_be_had(plan: Plan, machine: wire.Machine, say: Callable[[str], None] | None = None) -> None:
    """Whether the board can have those that the plan names; wheels of other versions than the table's are got at once: that there are none
    for this board is reported before minutes are spent.
    """
    for name in _wanted(plan):
        if name in plan.tables.board.runtimes:  # of another version or build the table says nothing
            provision.wheels(name, machine, chosen(plan)[name], say)
        else:
            provision.check(name, machine)


def other_versions(now: Deployment, before: Deployment) -> str:
    """Return what a reader of two runs must know: the same board ran other wheels then. "": the same, or another board."""
    then = {each.name: set(each.packages) for each in before.runtimes}
    changed = [
        f"{each.name} with {_names(set(each.packages) - then[each.name])}, before with {_names(then[each.name] - set(each.packages))}"
        for each in now.runtimes
        if now.target == before.target and then.get(each.name, set(each.packages)) != set(each.packages)
    ]
    return (
        f"Other versions than in the run before, so their times cannot be compared: {'; '.join(changed)}."
        if changed
        else ""
    )


def _names(wheels: Collection[str]) -> str:
    """numpy-2.4.6-cp311-cp311-manylinux2014_x86_64.whl -> numpy 2.4.6"""
    return ", ".join(sorted(" ".join(each.split("-")[:2]) for each in wheels)) or "none"
