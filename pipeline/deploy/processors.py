"""Whether the plan fits the CPUs of the board; said before anything but the agent is sent there."""

from device_agent.wire import Machine
from pipeline import units
from pipeline.errors import PlanError
from pipeline.plan import Plan


def are_asked_for(plan: Plan) -> bool:
    """Return whether the plan can be wrong about them."""
    return bool(plan.tables.measure.cpus) or max(plan.tables.measure.thread_counts) > 1


def check(plan: Plan, machine: Machine) -> None:
    """Raise PlanError where the plan wants CPUs that the board has not, or more threads than CPUs."""
    threads, cpus = max(plan.tables.measure.thread_counts), plan.tables.measure.cpus
    missing = sorted(set(cpus) - set(machine.cpus))
    if missing:
        raise PlanError(
            f"{plan.path}: measure.cpus: the board has no CPU {', '.join(map(str, missing))}: a program may use "
            f"{_ranges(machine.cpus)} there",
            hint="Name some of those, or leave measure.cpus out: then the fastest are taken.",
        )
    if threads > machine.cpu_count:
        raise PlanError(
            f"{plan.path}: measure.threads: {threads} threads on a board with {units.counted(machine.cpu_count, 'CPU')} would wait for each other",
            hint=f"Set it to {machine.cpu_count} or less.",
        )
    if cpus and threads > len(set(cpus)):
        raise PlanError(
            f"{plan.path}: measure.cpus: {threads} threads on {units.counted(len(set(cpus)), 'CPU')} would wait for each other",
            hint="Name as many CPUs as threads, or leave measure.cpus out: then the fastest are taken.",
        )


def _ranges(cpus: tuple[int, ...]) -> str:
    """0-3, 6."""
    parts: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if parts and cpu == parts[-1][-1] + 1:
            parts[-1].append(cpu)
        else:
            parts.append([cpu])
    return ", ".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)
